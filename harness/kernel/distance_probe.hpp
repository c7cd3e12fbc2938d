// A guest of any architecture that says where its stock kernel puts JITed code: images/linux/
// distance_probe.c is its first process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "kernel/architecture.hpp"
#include "process/process.hpp"

namespace farcall::kernel {

// What the probe says. Each line of it is `farcall: NAME VALUE`, the value in hex:
//   __bpf_call_base, _text, _start  addresses of /proc/kallsyms, as far as the kernel has them
//   function      of a JITed program
//   crowd         so many bytes of code are there now beside what is measured from here on
//   refused       before the crowd was whole, the kernel did so, with this errno
//   end, no-jit, no-symbols, not-loaded   how it ended, the last two with an errno
struct ProbeReport {
  bool has_jit = true;  // if not, there is nothing else
  GuestAddress call_base;
  std::optional<GuestAddress> text;   // _text
  std::optional<GuestAddress> start;  // _start
  std::vector<GuestAddress> idle;     // functions, as the kernel had booted
  std::uint64_t crowd_bytes = 0;
  bool is_full = false;               // the kernel had no room for more of the crowd
  std::vector<GuestAddress> crowded;  // functions, beside the crowd
};

// Of what the guest's console had. machine.bad-answer: it did not come to an end, or that is not
// what a probe says.
Result<ProbeReport> read_probe_report(std::string_view console);

// Programs of this machine that such a guest takes.
struct ProbeTools {
  std::string qemu;
  std::string compiler;
};
// machine.no-qemu and machine.no-image, with the Debian package that holds what is missing.
Result<ProbeTools> find_probe_tools(const Architecture& architecture);

// The first process, a static ELF file: `source` compiled. machine.no-image: the compiler says no.
Result<std::string> compile_probe(const Architecture& architecture, const ProbeTools& tools,
                                  const std::filesystem::path& source);

struct ProbeGuest {
  std::filesystem::path kernel;
  bool kaslr = true;
};

// How to start it: `initramfs` and `console` are descriptors that QEMU inherits.
process::Command probe_command(const Architecture& architecture, const std::string& qemu,
                               const ProbeGuest& guest, int initramfs, int console);

// Boots, and reads what the probe says. machine.start, machine.timeout, machine.bad-answer.
Result<ProbeReport> boot_probe(const Architecture& architecture, const ProbeTools& tools,
                               const ProbeGuest& guest, std::string_view probe);

}  // namespace farcall::kernel
