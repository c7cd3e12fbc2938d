#include "vm/libvirt_connection.hpp"

#include <fmt/format.h>

namespace farcall::vm {
namespace {

// A daemon that does not answer for so long is gone.
constexpr int kKeepAliveSeconds = 2;
constexpr unsigned kKeepAliveTries = 3;

}  // namespace

LibvirtEvents::LibvirtEvents(const Libvirt& libvirt) : libvirt_(libvirt) {
  libvirt_.virEventRegisterDefaultImpl();
  wake_up_ = libvirt_.virEventAddTimeout(-1, [](int, void*) {}, nullptr, nullptr);
  thread_ = std::thread([this] {
    while (!ended_ && libvirt_.virEventRunDefaultImpl() >= 0) {
    }
  });
}

LibvirtEvents::~LibvirtEvents() {
  ended_ = true;
  libvirt_.virEventUpdateTimeout(wake_up_, 0);
  thread_.join();
  libvirt_.virEventRemoveTimeout(wake_up_);
}

void LibvirtConnection::connection_lost(virConnectPtr /*connection*/, int /*reason*/, void* self) {
  static_cast<LibvirtConnection*>(self)->lost_ = true;
}

Result<std::unique_ptr<LibvirtConnection>> LibvirtConnection::open(const std::string& uri) {
  FARCALL_TRY(loaded, Libvirt::load());
  const Libvirt& libvirt = *loaded;
  if (libvirt.virInitialize() < 0) {
    return libvirt.error("libvirt cannot be initialized");
  }
  std::unique_ptr<LibvirtConnection> opened(new LibvirtConnection(libvirt, uri));
  opened->connection_ = libvirt.virConnectOpen(uri.c_str());
  if (opened->connection_ == nullptr) {
    return libvirt.error(fmt::format("cannot connect to {}", uri));
  }
  // Neither is there for drivers without a daemon, which cannot be lost.
  (void)libvirt.virConnectSetKeepAlive(opened->connection_, kKeepAliveSeconds, kKeepAliveTries);
  (void)libvirt.virConnectRegisterCloseCallback(opened->connection_, connection_lost, opened.get(),
                                                nullptr);
  return opened;
}

LibvirtConnection::~LibvirtConnection() {
  if (connection_ != nullptr) {
    (void)libvirt_.virConnectUnregisterCloseCallback(connection_, connection_lost);
    libvirt_.virConnectClose(connection_);
  }
}

}  // namespace farcall::vm
