// Radix translation, Power ISA 3.0B Book III section 5.7.10: a tree of four levels with 13, 9, 9
// and 9 bits of the address, 4 KiB pages. Tables are big-endian whatever the guest is.
//
// Two trees: addresses with top bits 0 (quadrant 0) are translated by the tree of the process in
// PID, those with top bits 11 (quadrant 3) by the tree of process 0. With PID 0 both would share
// one, and code mapped at 0xc008… could also be reached at 0x0008…
//
// Tables come from a pool whose pages are all zero; every entry that is set is remembered, so that
// unmap_all() zeroes exactly these. What maps the gate comes first and stays; other things near it,
// as the stack, then need fewer tables.
#include "base/byte_order.hpp"
#include "hypercall.hpp"
#include "layout.h"
#include "memory_map.hpp"
#include "mmu/mmu.hpp"

namespace farcall::bare {
namespace {

constexpr std::uint64_t kProcess = 1;

constexpr unsigned kRootBits = 13;
constexpr unsigned kTableBits = 9;
constexpr unsigned kPageShift = 12;
constexpr std::uint64_t kRootBytes = std::uint64_t{8} << kRootBits;
constexpr std::uint64_t kTableEntries = std::uint64_t{1} << kTableBits;

// Entries of either kind.
constexpr std::uint64_t kValid = std::uint64_t{1} << 63;
constexpr std::uint64_t kLeaf = std::uint64_t{1} << 62;
// Leaves: what problem state may do, and "referenced, changed" so that the MMU need not set them.
constexpr std::uint64_t kReferencedChanged = 0x180;
constexpr std::uint64_t kRead = 0x4;
constexpr std::uint64_t kWrite = 0x2;
constexpr std::uint64_t kExecute = 0x1;

constexpr std::uint64_t kRights[] = {kRead | kExecute, kRead, kRead | kWrite};  // by wire::Access

// The process table: root, size of the root, and size of the address space (52 bits = 31 + 21).
struct ProcessEntry {
  ub64 tree;
  ub64 unused;
};
constexpr std::uint64_t kProcessTable = kTranslationRoots;
constexpr std::uint64_t kProcessTableBytes = 65536;
constexpr std::uint64_t kUserRoot = kProcessTable + kProcessTableBytes;
constexpr std::uint64_t kKernelRoot = kUserRoot + kRootBytes;
static_assert(kKernelRoot + kRootBytes <= kGatePage);

constexpr std::uint64_t process_entry(std::uint64_t root) {
  constexpr std::uint64_t size = 52 - 31;
  return (size >> 3) << 61 | (size & 7) << 5 | root | kRootBits;
}

// H_REGISTER_PROC_TBL: a new table, radix, guest may invalidate translations (GTSE).
constexpr std::uint64_t kRegisterRadix = 0x1d;
constexpr std::uint64_t kTableSize64K = 4;  // 2^(12 + 4) bytes

constexpr std::uint64_t kPoolTables = kTablePoolBytes / wire::kPageBytes;

std::uint64_t tables_used = 0;
// The entries that are set: few as a rule, and these are remembered on the page that jobs need anyway.
constexpr std::uint64_t kFewEntries = 64;
ub64* few_entries[kFewEntries];
[[gnu::section(".bss.large")]] ub64* more_entries[wire::kMaxPages + kPoolTables];
std::uint64_t entry_count = 0;

ub64*& entry_set(std::uint64_t number) {
  return number < kFewEntries ? few_entries[number] : more_entries[number - kFewEntries];
}

// What maps the gate.
std::uint64_t gate = ~std::uint64_t{0};  // its address
ub64* gate_directory = nullptr;          // the third table on the way to it
std::uint64_t gate_tables = 0;
std::uint64_t gate_entries = 0;

bool is_kernel(std::uint64_t address) {
  return address >> 62 == 3;
}

void set_entry(ub64& entry, std::uint64_t value) {
  entry = value;
  entry_set(entry_count++) = &entry;
}

ub64* next_table(ub64& entry) {
  const std::uint64_t value = entry;
  if (value != 0) {
    return at_physical<ub64>(value & ~(kValid | (wire::kPageBytes - 1)));
  }
  const std::uint64_t table = kTablePool + wire::kPageBytes * tables_used++;
  set_entry(entry, kValid | table | kTableBits);
  return at_physical<ub64>(table);
}

// The third table on the way to an address: it divides 1 GiB into parts of 2 MiB.
constexpr unsigned kDirectoryShift = kPageShift + 2 * kTableBits;

ub64* directory(std::uint64_t address) {
  if (address >> kDirectoryShift == gate >> kDirectoryShift) {
    return gate_directory;
  }
  unsigned shift = kPageShift + 3 * kTableBits;
  auto* table = at_physical<ub64>(is_kernel(address) ? kKernelRoot : kUserRoot);
  table = next_table(table[(address >> shift) & ((1 << kRootBits) - 1)]);
  return next_table(table[(address >> kDirectoryShift) & (kTableEntries - 1)]);
}

ub64* leaf_table(std::uint64_t address) {
  constexpr unsigned kShift = kPageShift + kTableBits;
  return next_table(directory(address)[(address >> kShift) & (kTableEntries - 1)]);
}

void zero_entries(std::uint64_t first) {
  while (entry_count > first) {
    *entry_set(--entry_count) = 0;
  }
}

// Drops all that the MMU remembers of the translation of a process, inner tables included. There is
// no way to drop single pages of quadrant 3: tlbie is only defined for addresses in quadrant 0.
void invalidate(std::uint64_t process) {
  constexpr std::uint64_t kWholeProcess = std::uint64_t{1} << 10;  // RB[IS] = 1
  // RIC = 2: translations and page-walk caches; PRS = 1: process-scoped; R = 1: radix.
  asm volatile(".machine push; .machine power9; tlbie %0, %1, 2, 1, 1; .machine pop"
               :
               : "r"(kWholeProcess), "r"(process << 32)
               : "memory");
}

void initialize() {
  auto* processes = at_physical<ProcessEntry>(kProcessTable);
  processes[0].tree = process_entry(kKernelRoot);
  processes[kProcess].tree = process_entry(kUserRoot);
  const auto registered =
      hypercall(Hypercall::register_process_table, kRegisterRadix, kProcessTable, 0, kTableSize64K);
  if (registered.status != 0) {
    __builtin_trap();
  }
  asm volatile("mtspr %0, %1; isync" : : "i"(SPR_PID), "r"(kProcess) : "memory");
}

void map_pages(std::uint64_t address, std::uint64_t physical, std::uint64_t page_count,
               wire::Access access) {
  const std::uint64_t flags =
      kValid | kLeaf | kReferencedChanged | kRights[static_cast<std::uint32_t>(access)];
  ub64* table = nullptr;
  for (std::uint64_t page = 0; page < page_count; ++page) {
    const std::uint64_t at = address + page * wire::kPageBytes;
    const std::uint64_t index = (at >> kPageShift) & (kTableEntries - 1);
    if (table == nullptr || index == 0) {
      table = leaf_table(at);
    }
    set_entry(table[index], flags | (physical + page * wire::kPageBytes));
  }
}

void map_gate(std::uint64_t address, std::uint64_t physical) {
  if (address == gate) {
    return;
  }
  zero_entries(0);
  tables_used = 0;
  gate = ~std::uint64_t{0};
  map_pages(address, physical, 1, wire::Access::execute);
  gate_directory = directory(address);
  gate = address;
  gate_tables = tables_used;
  gate_entries = entry_count;
}

void finish_mapping() {
  asm volatile("ptesync" : : : "memory");
}

void unmap_all() {
  zero_entries(gate_entries);
  tables_used = gate_tables;
  asm volatile("ptesync" : : : "memory");
  invalidate(0);
  invalidate(kProcess);
  asm volatile("eieio; tlbsync; ptesync" : : : "memory");
}

}  // namespace

const Mmu kRadix = {wire::Mmu::radix, initialize, map_pages, map_gate, finish_mapping, unmap_all};

}  // namespace farcall::bare
