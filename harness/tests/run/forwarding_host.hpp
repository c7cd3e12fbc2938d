// A host for tests that change how one kind of machine is started.
#pragma once

#include <cstddef>
#include <span>

#include "vm/host.hpp"

namespace farcall::tests {

// Starts what the direct host starts.
class ForwardingHost : public vm::Host {
 public:
  Result<vm::StartedQemu> start(const vm::MachineSpec& spec) override {
    return vm::direct_host().start(spec);
  }
  Result<vm::StartedLinux> boot(const vm::LinuxSpec& spec, std::span<const std::byte> initramfs,
                                vm::LinuxStart start) override {
    return vm::direct_host().boot(spec, initramfs, start);
  }
  Result<vm::LinuxMachine> machine(const vm::LinuxSpec& spec) override {
    return vm::direct_host().machine(spec);
  }
};

}  // namespace farcall::tests
