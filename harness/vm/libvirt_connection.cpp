#include "vm/libvirt_connection.hpp"

#include <fmt/format.h>
#include <libvirt/virterror.h>
#include <stdlib.h>

namespace farcall::vm {
namespace {

// A daemon that does not answer for so long is gone.
constexpr int kKeepAliveSeconds = 2;
constexpr unsigned kKeepAliveTries = 3;

// Errors are returned; libvirt would also print them.
void say_nothing(void* /*unused*/, virErrorPtr /*error*/) {}

}  // namespace

Error libvirt_error(std::string_view what) {
  const char* const words = virGetLastErrorMessage();
  return {.code = ErrorCode::machine_libvirt,
          .message = fmt::format("{}: {}", what, words == nullptr ? "no reason given" : words)};
}

LibvirtEvents::LibvirtEvents() {
  virEventRegisterDefaultImpl();
  wake_up_ = virEventAddTimeout(
      -1, [](int, void*) {}, nullptr, nullptr);
  thread_ = std::thread([this] {
    while (!ended_ && virEventRunDefaultImpl() >= 0) {
    }
  });
}

LibvirtEvents::~LibvirtEvents() {
  ended_ = true;
  virEventUpdateTimeout(wake_up_, 0);
  thread_.join();
  virEventRemoveTimeout(wake_up_);
}

void LibvirtConnection::connection_lost(virConnectPtr /*connection*/, int /*reason*/, void* self) {
  static_cast<LibvirtConnection*>(self)->lost_ = true;
}

Result<std::unique_ptr<LibvirtConnection>> LibvirtConnection::open(const std::string& uri) {
  // The embedded driver logs to standard error unless it is told where.
  ::setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
  virSetErrorFunc(nullptr, say_nothing);
  if (virInitialize() < 0) {
    return libvirt_error("libvirt cannot be initialized");
  }
  std::unique_ptr<LibvirtConnection> opened(new LibvirtConnection(uri));
  opened->connection_ = virConnectOpen(uri.c_str());
  if (opened->connection_ == nullptr) {
    return libvirt_error(fmt::format("cannot connect to {}", uri));
  }
  // Neither is there for drivers without a daemon, which cannot be lost.
  (void)virConnectSetKeepAlive(opened->connection_, kKeepAliveSeconds, kKeepAliveTries);
  (void)virConnectRegisterCloseCallback(opened->connection_, connection_lost, opened.get(),
                                        nullptr);
  return opened;
}

LibvirtConnection::~LibvirtConnection() {
  if (connection_ != nullptr) {
    (void)virConnectUnregisterCloseCallback(connection_, connection_lost);
    virConnectClose(connection_);
  }
}

}  // namespace farcall::vm
