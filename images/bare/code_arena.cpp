#include "code_arena.hpp"

#include "layout.h"
#include "memory_map.hpp"

namespace farcall::bare {
namespace {

constexpr std::uint64_t kCacheLine = 128;

constexpr std::uint32_t kSystemCallWord = 0x44000002;  // sc

// Where in the gate's page the system call is; the page's end: nowhere.
std::uint64_t gate_in_page = wire::kPageBytes;

// Pages below this offset hold trap words or code; those above have never been used.
std::uint64_t prepared_bytes = 0;

void make_executable(std::uint64_t address, std::uint64_t byte_count) {
  const std::uint64_t first = address & ~(kCacheLine - 1);
  for (std::uint64_t line = first; line < address + byte_count; line += kCacheLine) {
    asm volatile("dcbst 0, %0" : : "r"(line) : "memory");
  }
  asm volatile("sync" : : : "memory");
  for (std::uint64_t line = first; line < address + byte_count; line += kCacheLine) {
    asm volatile("icbi 0, %0" : : "r"(line) : "memory");
  }
  asm volatile("sync; isync" : : : "memory");
}

constexpr std::uint64_t kTwoTrapWords = std::uint64_t{TRAP_WORD} << 32 | TRAP_WORD;

// QEMU looks at each store into a page as long as any block of it is translated: those at both ends of
// what was code are gone after the first two stores, and there are seldom others.
void fill(std::uint64_t address, std::uint64_t byte_count) {
  if (byte_count == 0) {
    return;
  }
  const std::uint64_t end = address + byte_count;
  *at_physical<std::uint32_t>(end - 4) = TRAP_WORD;
  *at_physical<std::uint32_t>(address) = TRAP_WORD;
  for (std::uint64_t pair = (address + 7) & ~std::uint64_t{7}; pair + 8 <= end; pair += 8) {
    *at_physical<std::uint64_t>(pair) = kTwoTrapWords;
  }
}

void prepare(std::uint64_t end) {
  while (prepared_bytes < end) {
    fill(kCodeArena + prepared_bytes, wire::kPageBytes);
    prepared_bytes += wire::kPageBytes;
  }
}

}  // namespace

void place_code(std::uint64_t arena_offset, const std::byte* code, std::uint64_t byte_count) {
  prepare(arena_offset + byte_count);
  // Bytes and not words: the host already laid them out in the guest's byte order.
  auto* to = at_physical<std::uint32_t>(kCodeArena + arena_offset);
  for (std::uint64_t i = 0; i < byte_count / 4; ++i) {
    __builtin_memcpy(&to[i], code + i * 4, 4);
  }
  make_executable(kCodeArena + arena_offset, byte_count);
}

void remove_code(std::uint64_t arena_offset, std::uint64_t byte_count) {
  fill(kCodeArena + arena_offset, byte_count);
  make_executable(kCodeArena + arena_offset, byte_count);
}

std::uint64_t gate_page(std::uint64_t in_page) {
  if (in_page != gate_in_page) {
    fill(kGatePage, wire::kPageBytes);
    *at_physical<std::uint32_t>(kGatePage + in_page) = kSystemCallWord;
    make_executable(kGatePage, wire::kPageBytes);
    gate_in_page = in_page;
  }
  return kGatePage;
}

}  // namespace farcall::bare
