#include "vm/libvirt_functions.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>

namespace farcall::vm {
namespace {

// It needs libvirt.so.0, so that dlsym() finds the functions of both.
constexpr const char* kLibrary = "libvirt-qemu.so.0";

constexpr std::string_view kInstall = "apt-get install libvirt0 libvirt-daemon-driver-qemu";

Error not_loaded() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): glibc's is of the thread
  const char* const why = ::dlerror();
  return {.code = ErrorCode::machine_libvirt,
          .message = fmt::format("libvirt cannot be loaded: {}", why == nullptr ? kLibrary : why),
          .hint = std::string(kInstall)};
}

// Errors are returned; libvirt would also print them.
void say_nothing(void* /*unused*/, virErrorPtr /*error*/) {}

Result<Libvirt> find_functions() {
  void* const library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return not_loaded();
  }
  Libvirt found;
#define FARCALL_FIND(name)                                                            \
  if (void* const function = ::dlsym(library, #name)) {                               \
    found.name = decltype(found.name)(reinterpret_cast<decltype(&::name)>(function)); \
  } else {                                                                            \
    return not_loaded();                                                              \
  }
  FARCALL_LIBVIRT_FUNCTIONS(FARCALL_FIND)
#undef FARCALL_FIND
  // The embedded driver logs to standard error unless it is told where.
  ::setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
  found.virSetErrorFunc(nullptr, say_nothing);
  return found;
}

sigset_t broken_pipe() {
  sigset_t signals = {};
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGPIPE);
  return signals;
}

}  // namespace

NoBrokenPipe::NoBrokenPipe() {
  const sigset_t signals = broken_pipe();
  ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
}

NoBrokenPipe::~NoBrokenPipe() {
  if (::sigismember(&before_, SIGPIPE) != 0) {
    return;
  }
  const sigset_t signals = broken_pipe();
  const timespec at_once = {};
  ::sigtimedwait(&signals, nullptr, &at_once);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

Result<const Libvirt*> Libvirt::load() {
  static const Result<Libvirt> loaded = find_functions();
  if (!loaded) {
    return loaded.error();
  }
  return &loaded.value();
}

Error Libvirt::error(std::string_view what) const {
  const char* const last = virGetLastErrorMessage();
  const std::string_view words = last == nullptr ? "no reason given" : last;
  std::string hint = virGetLastErrorCode() == VIR_ERR_NO_CONNECT ? std::string(kInstall) : "";
  if (words.find("Failed to parse user") != std::string_view::npos) {
    hint = "apt-get install libvirt-daemon-system, which makes that user";
  }
  if (words.find("Permission denied") != std::string_view::npos) {
    hint = words.find("Failed to connect socket") != std::string_view::npos
               ? "this user may not use that daemon; without --connect, farcall needs none"
               : "a system's libvirt runs QEMU as a user of its own, who must be able to read "
                 "that file; without --connect, farcall's runs it as you";
  }
  return {.code = ErrorCode::machine_libvirt,
          .message = fmt::format("{}: {}", what, words),
          .hint = std::move(hint)};
}

}  // namespace farcall::vm
