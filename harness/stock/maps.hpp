// The memory of a cell as a stock kernel has it: as memory, or as a map that the kernel makes.
//
// farcall's maps are regions of a layout of its own (bpf/map_layout.hpp). What a
// kernel's map holds is brought into that layout, so that the same checks compare it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bpf/address_space.hpp"
#include "kernel/exchange.hpp"
#include "model/cell.hpp"

namespace farcall::stock {

enum class RegionKind : std::uint8_t {
  memory,    // one value of an array map, got at by its address
  values,    // an array of which the program only loads addresses of values: they are one value
  array,     // BPF_MAP_TYPE_ARRAY
  hash,      // BPF_MAP_TYPE_HASH
  programs,  // BPF_MAP_TYPE_PROG_ARRAY
};

// Whether it is a map of its own to the kernel, which a load with src 1 names.
bool is_own_map(RegionKind kind);

// One for each region of the cell's memory, by how its program names it.
std::vector<RegionKind> region_kinds(const model::Cell& cell);

// Why the kernel has no such map as that region is; empty: it has.
std::string no_such_map(const model::Cell& cell, const bpf::MemoryRegion& region, RegionKind kind);

// Why the kernel's memory of the cell's arrays is more than an answer holds; empty: it is not. Each of
// them is one by no_such_map().
std::string too_much_to_tell(const model::Cell& cell, std::span<const RegionKind> kinds);

// What the kernel is asked to make of it.
kernel::Region kernel_region(const model::Cell& cell, const bpf::MemoryRegion& region,
                             RegionKind kind);

// Where the region lies, given what the kernel says of it. A hash table lies where no kernel has
// anything: what the kernel has at its address is another one.
GuestAddress region_address(const kernel::RegionAfter& after, RegionKind kind, std::size_t number);

// What the region holds after the kernel's run, as farcall has it. `left`: what the interpreter leaves
// there, whose slots a hash table's keys have; a key that it has not gets a free one.
SharedBytes bytes_after(const bpf::MemoryRegion& left, const kernel::RegionAfter& after,
                        RegionKind kind, std::endian order);

// An array as the kernel has it, with what is expected of it: the map's structure, and after it the
// values, each at a multiple of eight bytes. Nothing: the kernel did not tell of its memory.
std::optional<bpf::MemoryRegion> kernel_layout(const bpf::MemoryRegion& region,
                                               const kernel::RegionAfter& after, std::endian order);
// The same after the run: what the kernel says of its values is in place of those before it.
std::optional<SharedBytes> kernel_layout_after(const bpf::MemoryRegion& region,
                                               const kernel::RegionAfter& after, std::endian order);
std::vector<model::ExpectedMemory> in_kernel_layout(const model::ExpectedMemory& expected,
                                                    const bpf::MemoryRegion& region,
                                                    const kernel::RegionAfter& after,
                                                    std::endian order);

}  // namespace farcall::stock
