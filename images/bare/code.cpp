#include "code.hpp"

#include "hypercall.hpp"
#include "memory_map.hpp"

namespace farcall::bare {
namespace {

constexpr std::uint64_t kCacheLine = 128;

constexpr std::uint32_t kSystemCallWord = 0x44000002;  // sc

// Where in the gate's page the system call is; the page's end: nowhere.
std::uint64_t gate_in_page = wire::kPageBytes;

void make_executable(std::uint64_t address, std::uint64_t byte_count) {
  for (std::uint64_t line = address; line < address + byte_count; line += kCacheLine) {
    asm volatile("dcbst 0, %0" : : "r"(line) : "memory");
  }
  asm volatile("sync" : : : "memory");
  for (std::uint64_t line = address; line < address + byte_count; line += kCacheLine) {
    asm volatile("icbi 0, %0" : : "r"(line) : "memory");
  }
  asm volatile("sync; isync" : : : "memory");
}

}  // namespace

void forget_code() {
  // For one page, as the call has it; QEMU forgets those of all pages (hw/ppc/spapr_hcall.c).
  constexpr std::uint64_t kInvalidateInstructionCache = std::uint64_t{1} << (63 - 40);
  if (hypercall(Hypercall::page_init, kInvalidateInstructionCache, kUnusedPage).status != 0) {
    __builtin_trap();
  }
}

std::uint64_t gate_page(std::uint64_t in_page) {
  if (in_page != gate_in_page) {
    for (std::uint64_t word = 0; word < wire::kPageBytes; word += sizeof(std::uint32_t)) {
      *at_physical<std::uint32_t>(kGatePage + word) =
          word == in_page ? kSystemCallWord : wire::kTrapWord;
    }
    make_executable(kGatePage, wire::kPageBytes);
    gate_in_page = in_page;
  }
  return kGatePage;
}

}  // namespace farcall::bare
