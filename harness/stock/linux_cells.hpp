// Cells of the `linux` guest: what a stock kernel is asked of the cells that cases have.
//
// The kernel places functions and memory itself, links and JITs itself: so of a case's cells only
// those with another CPU or MMU are other cells to it, and each is run three times, with the JIT
// on, off, and hardened. A program gets its registers by a prologue, for the kernel gives it no others than r1 and
// r10. A program that makes tail calls has no prologue for r1: it is the context.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "bpf/external.hpp"
#include "kernel/exchange.hpp"
#include "kernel/kernel_file.hpp"
#include "model/document.hpp"
#include "stock/maps.hpp"

namespace farcall::stock {

// Of every call: src says of what kind.
using bpf::kCallOpcode;

// A helper of Linux that a native function of farcall's stands for in other guests, with the same
// meaning. A case that declares that function under that number names the helper.
struct RealHelper {
  std::int32_t number = 0;
  std::string_view native;  // of external/
  const char* symbol = nullptr;
  // What the JIT's code calls instead, of an array and of a hash table; null: none.
  const char* of_array = nullptr;
  const char* of_hash = nullptr;

  bool is_of_maps() const { return of_hash != nullptr; }
};
// Its native is external::kHashElementName. The number that a call of it has in what the verifier has
// made of a program: Linux has none.
inline constexpr const char* kHashElementSymbol = "__htab_map_lookup_elem";
inline constexpr std::int32_t kHashElement = 0x7000'0000;

inline constexpr std::array<RealHelper, 4> kRealHelpers = {{
    {181, "loop", "bpf_loop"},
    {1, "map_lookup_elem", "bpf_map_lookup_elem", nullptr, kHashElementSymbol},
    {2, "map_update_elem", "bpf_map_update_elem", "array_map_update_elem", "htab_map_update_elem"},
    {3, "map_delete_elem", "bpf_map_delete_elem", "array_map_delete_elem", "htab_map_delete_elem"},
}};

// The one that the program's external is; null: it is the case's own function.
const RealHelper* real_helper(const bpf::External& external);

// A 64-bit immediate load of the address of a region's byte.
struct RegionLoad {
  std::uint32_t slot = 0;
  std::uint32_t region = 0;  // in the cell's memory
  std::uint32_t offset = 0;
};

struct LinuxCell {
  // What the kernel runs: its program has the prologue, its functions and memory lie where the
  // case's cell had them, until the kernel says where they are. The name ends in `@linux`, with the
  // CPU and the MMU where the case declares them.
  model::Cell cell;
  std::string origin;  // the name of the case's own cell
  std::vector<RegionLoad> loads;
  std::vector<RegionKind> kinds;         // of the cell's memory; none if it is skipped
  std::optional<std::uint32_t> context;  // which of it r1 points to as a context
  kernel::Question question;
  std::optional<Error> skipped;  // jit.declined: why the kernel is not asked
};

// The cells of `documents` as a kernel has them, in order; of those that are the same to it, the
// first of its byte order that is expected to work, and of its ABI if there is one. What a case
// expects of a placement or of a linker is dropped.
std::vector<LinuxCell> linux_cells(std::span<const model::Document> documents,
                                   const kernel::KernelFacts& facts);

// One of them.
LinuxCell linux_cell(const model::Cell& cell, const kernel::KernelFacts& facts);

// The cell with its memory where the kernel has put it, and its functions, if the kernel has made code
// of each.
model::Cell placed_by_kernel(const LinuxCell& linux_cell, const kernel::Answer& answer);

}  // namespace farcall::stock
