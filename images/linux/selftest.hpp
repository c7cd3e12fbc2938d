// The modules of /selftest, see wire/kernel_selftest.hpp.
#pragma once

#include "linux/host.hpp"
#include "linux/programs.hpp"
#include "wire/kernel_selftest.hpp"

namespace farcall {

// The modules' own tests run while they are loaded.
[[noreturn]] inline void run_selftest(int file) {
  wire::KernelSelftest wanted;
  if (system_call(__NR_read, static_cast<std::uint64_t>(file), number(&wanted), sizeof wanted) !=
          sizeof wanted ||
      wanted.magic != wire::kSelftestMagic || wanted.module_count > 10) {
    give_up("/selftest is not one of farcall's");
  }
  switch_jit(wanted.mode);
  const Window window = Window::open();
  wire::KernelSelftestReply reply{
      .magic = wire::kSelftestBegins, .nonce = wanted.nonce, .loaded_count = 0, .error = 0};
  window.write(&reply, sizeof reply);
  std::uint32_t loaded = 0;
  long status = 0;
  for (; loaded < wanted.module_count; ++loaded) {
    char path[] = "/module0";
    path[7] = static_cast<char>('0' + loaded);
    const int module = open_file(path, O_RDONLY);
    const bool is_last = loaded + 1 == wanted.module_count;
    status = system_call(__NR_finit_module, static_cast<std::uint64_t>(module),
                         number(is_last ? wanted.parameters : ""), 0);
    if (status != 0) {
      break;
    }
  }
  reply.magic = wire::kSelftestEnds;
  reply.loaded_count = loaded;
  reply.error = static_cast<std::uint32_t>(-status);
  window.write(&reply, sizeof reply);
  window.end();
  power_off();
}

}  // namespace farcall
