// A connection to libvirt, and what goes with one: the event loop that libvirt wants, its errors as
// values, its objects with owners.
#pragma once

#include <libvirt/libvirt.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "base/error.hpp"

namespace farcall::vm {

template <typename T, int (*free_object)(T*)>
struct LibvirtFree {
  void operator()(T* object) const { free_object(object); }
};
using LibvirtDomain = std::unique_ptr<virDomain, LibvirtFree<virDomain, virDomainFree>>;

// What libvirt says of the last failure in this thread, as machine.libvirt: `WHAT: …`.
Error libvirt_error(std::string_view what);

// Runs libvirt's event loop as long as it lives. There can be one in a process.
class LibvirtEvents {
 public:
  LibvirtEvents();
  LibvirtEvents(const LibvirtEvents&) = delete;
  LibvirtEvents& operator=(const LibvirtEvents&) = delete;
  ~LibvirtEvents();

 private:
  std::atomic<bool> ended_ = false;
  int wake_up_ = -1;  // a timer of libvirt's
  std::thread thread_;
};

class LibvirtConnection {
 public:
  // Errors: machine.libvirt with what libvirt says.
  static Result<std::unique_ptr<LibvirtConnection>> open(const std::string& uri);
  LibvirtConnection(const LibvirtConnection&) = delete;
  LibvirtConnection& operator=(const LibvirtConnection&) = delete;
  ~LibvirtConnection();

  virConnectPtr handle() const { return connection_; }
  const std::string& uri() const { return uri_; }
  bool lost() const { return lost_; }  // the daemon is gone

 private:
  explicit LibvirtConnection(std::string uri) : uri_(std::move(uri)) {}

  static void connection_lost(virConnectPtr connection, int reason, void* self);

  std::string uri_;
  LibvirtEvents events_;
  virConnectPtr connection_ = nullptr;
  std::atomic<bool> lost_ = false;
};

}  // namespace farcall::vm
