#include "kernel/architecture.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "kernel/version.hpp"

namespace farcall::kernel {
namespace {

constexpr std::array<Architecture, 5> kArchitectures = {{
    {.name = kPpc64el, .flavour = "powerpc64le", .default_series = "6.1"},
    {.name = "arm64",
     .flavour = "arm64",
     .qemu = "qemu-system-aarch64",
     .qemu_package = "qemu-system-arm",
     .machine = "virt",
     .cpu = "cortex-a57",
     .console = "ttyAMA0",
     .compiler = "aarch64-linux-gnu-gcc",
     .compiler_packages = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
     .default_series = "6.1"},
    {.name = "amd64",
     .flavour = "amd64",
     .qemu = "qemu-system-x86_64",
     .qemu_package = "qemu-system-x86",
     .machine = "q35",
     .cpu = "max",  // has RDRAND, from which KASLR takes its chance
     .console = "ttyS0",
     .compiler = "x86_64-linux-gnu-gcc",
     .compiler_packages = "gcc-x86-64-linux-gnu libc6-dev-amd64-cross; on amd64, gcc libc6-dev",
     .default_series = "6.1"},
    // Debian 12, whose kernel is 6.1, is not there for riscv64.
    {.name = "riscv64",
     .flavour = "riscv64",
     .qemu = "qemu-system-riscv64",
     .qemu_package = "qemu-system-misc",
     .machine = "virt",
     .cpu = "rv64",
     .console = "ttyS0",
     .compiler = "riscv64-linux-gnu-gcc",
     .compiler_packages = "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross",
     .default_series = "6.12"},
    {.name = "s390x",
     .flavour = "s390x",
     .qemu = "qemu-system-s390x",
     .qemu_package = "qemu-system-misc",
     .machine = "s390-ccw-virtio",
     .cpu = "max",
     .console = "",
     .compiler = "s390x-linux-gnu-gcc",
     .compiler_packages = "gcc-s390x-linux-gnu libc6-dev-s390x-cross",
     .default_series = "6.1"},
}};

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;

// As Debian configures these kernels. The newest of each architecture comes first.
constexpr std::array<AreaRule, 5> kAreas = {{
    // All of vmalloc. With VA_BITS = 52 on a CPU that has 48: VMEMMAP_START is counted from
    // PAGE_OFFSET of 52 bits, and VMALLOC_END goes beyond it by what 48 bits leave unused.
    {.architecture = "arm64",
     .since = "6.12",
     .source = "arch/arm64/mm/init.c EXECMEM_BPF, include/asm/pgtable.h VMALLOC_START, VMALLOC_END",
     .begin = 0xffff'8000'8000'0000,
     .end = 0xffff'fc1f'bf80'0000},
    {.architecture = "arm64",
     .since = "6.1",
     .source = "arch/arm64/net/bpf_jit_comp.c bpf_jit_alloc_exec, include/asm/pgtable.h",
     .begin = 0xffff'8000'0800'0000,
     .end = 0xffff'fbff'f000'0000},
    // That of modules: after the 1 GiB that the kernel itself may lie in.
    {.architecture = "amd64",
     .since = "6.1",
     .source = "arch/x86/include/asm/pgtable_64_types.h MODULES_VADDR, MODULES_END",
     .begin = 0xffff'ffff'c000'0000,
     .end = 0xffff'ffff'ff00'0000},
    {.architecture = "riscv64",
     .since = "6.1",
     .source = "arch/riscv/include/asm/pgtable.h BPF_JIT_REGION_START, BPF_JIT_REGION_END",
     .begin = 128 * kMebibyte,
     .end = 0,
     .is_before_kernel = true},
    // That of modules, for kernels with a JIT, which are made for z196 and later CPUs.
    {.architecture = "s390x",
     .since = "6.12",
     .source = "arch/s390/boot/startup.c MODULES_VADDR, MODULES_END; mm/init.c",
     .begin = 2048 * kMebibyte,
     .end = 0,
     .is_before_kernel = true},
}};

}  // namespace

std::span<const Architecture> architectures() {
  return kArchitectures;
}

Result<const Architecture*> architecture(std::string_view name) {
  const auto* const found = std::ranges::find(kArchitectures, name, &Architecture::name);
  if (found == kArchitectures.end()) {
    std::vector<std::string_view> names;
    for (const Architecture& one : kArchitectures) {
      names.push_back(one.name);
    }
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("'{}' is not an architecture known here", name),
                 .hint = fmt::format("expected one of {}", fmt::join(names, ", "))};
  }
  return found;
}

const AreaRule* area_rule(std::string_view architecture, std::string_view series) {
  const auto* const found = std::ranges::find_if(kAreas, [&](const AreaRule& rule) {
    return rule.architecture == architecture && !is_older(series, rule.since);
  });
  return found == kAreas.end() ? nullptr : found;
}

Area area_of(const AreaRule& rule, GuestAddress start) {
  if (!rule.is_before_kernel) {
    return {.begin = {rule.begin}, .end = {rule.end}};
  }
  return {.begin = {start.value - rule.begin}, .end = {start.value - rule.end}};
}

}  // namespace farcall::kernel
