// libvirt's functions. Its library and the fifty that it needs are loaded when a libvirt is asked
// for: to link them would cost every start of farcall more than a guest's boot, and who wants no
// libvirt need not have one.
#pragma once

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <csignal>
#include <memory>
#include <string_view>

#include "base/error.hpp"

namespace farcall::vm {

// Writing to a daemon that is gone raises SIGPIPE in the thread that writes. The signal should only
// report that the reader of farcall's own output is gone; while this object exists, the thread does
// not get it.
class NoBrokenPipe {
 public:
  NoBrokenPipe();
  NoBrokenPipe(const NoBrokenPipe&) = delete;
  NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;
  ~NoBrokenPipe();

 private:
  sigset_t before_ = {};
};

template <typename Pointer>
class LibvirtFunction;

template <typename Value, typename... Arguments>
class LibvirtFunction<Value (*)(Arguments...)> {
 public:
  LibvirtFunction() = default;
  explicit LibvirtFunction(Value (*function)(Arguments...)) : function_(function) {}

  Value operator()(Arguments... arguments) const {
    const NoBrokenPipe guard;
    return function_(arguments...);
  }

 private:
  Value (*function_)(Arguments...) = nullptr;
};

#define FARCALL_LIBVIRT_FUNCTIONS(X)      \
  X(virConnectClose)                      \
  X(virConnectGetDomainCapabilities)      \
  X(virConnectListAllDomains)             \
  X(virConnectOpen)                       \
  X(virConnectRegisterCloseCallback)      \
  X(virConnectSetKeepAlive)               \
  X(virConnectUnregisterCloseCallback)    \
  X(virDomainCreateXML)                   \
  X(virDomainDestroy)                     \
  X(virDomainFree)                        \
  X(virDomainGetName)                     \
  X(virDomainIsActive)                    \
  X(virDomainLookupByName)                \
  X(virDomainQemuMonitorCommand)          \
  X(virDomainQemuMonitorCommandWithFiles) \
  X(virDomainResume)                      \
  X(virEventAddTimeout)                   \
  X(virEventRegisterDefaultImpl)          \
  X(virEventRemoveTimeout)                \
  X(virEventRunDefaultImpl)               \
  X(virEventUpdateTimeout)                \
  X(virGetLastErrorCode)                  \
  X(virGetLastErrorMessage)               \
  X(virGetVersion)                        \
  X(virInitialize)                        \
  X(virSetErrorFunc)

// Each has the name that libvirt gives it.
struct Libvirt {
// NOLINTNEXTLINE(bugprone-macro-parentheses): it names a member
#define FARCALL_MEMBER(name) LibvirtFunction<decltype(&::name)> name;
  FARCALL_LIBVIRT_FUNCTIONS(FARCALL_MEMBER)
#undef FARCALL_MEMBER

  // Loads the library for the rest of the process's life, once. Errors: machine.libvirt, with what
  // is to be installed.
  static Result<const Libvirt*> load();

  // What libvirt says of the last failure in this thread, as machine.libvirt: `WHAT: …`, with what
  // is to be installed if it lacks a driver.
  Error error(std::string_view what) const;
};

struct LibvirtFree {
  const Libvirt* libvirt = nullptr;
  void operator()(virDomainPtr domain) const { libvirt->virDomainFree(domain); }
};
using LibvirtDomain = std::unique_ptr<virDomain, LibvirtFree>;

}  // namespace farcall::vm
