// A connection to libvirt, and the event loop that libvirt wants with it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "vm/libvirt_functions.hpp"

namespace farcall::vm {

// Runs libvirt's event loop as long as it lives. There can be one in a process.
class LibvirtEvents {
 public:
  explicit LibvirtEvents(const Libvirt& libvirt);
  LibvirtEvents(const LibvirtEvents&) = delete;
  LibvirtEvents& operator=(const LibvirtEvents&) = delete;
  ~LibvirtEvents();

 private:
  const Libvirt& libvirt_;
  std::atomic<bool> ended_ = false;
  int wake_up_ = -1;  // a timer of libvirt's
  std::thread thread_;
};

class LibvirtConnection {
 public:
  // Errors: machine.libvirt with what libvirt says, or that it is not there.
  static Result<std::unique_ptr<LibvirtConnection>> open(const std::string& uri);
  LibvirtConnection(const LibvirtConnection&) = delete;
  LibvirtConnection& operator=(const LibvirtConnection&) = delete;
  ~LibvirtConnection();

  const Libvirt& libvirt() const { return libvirt_; }
  virConnectPtr handle() const { return connection_; }
  const std::string& uri() const { return uri_; }
  bool lost() const { return lost_; }  // the daemon is gone

 private:
  LibvirtConnection(const Libvirt& libvirt, std::string uri)
      : libvirt_(libvirt), uri_(std::move(uri)), events_(libvirt) {}

  static void connection_lost(virConnectPtr connection, int reason, void* self);

  const Libvirt& libvirt_;
  std::string uri_;
  LibvirtEvents events_;
  virConnectPtr connection_ = nullptr;
  std::atomic<bool> lost_ = false;
};

}  // namespace farcall::vm
