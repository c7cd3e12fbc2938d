#include "stock/maps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "bpf/map_layout.hpp"
#include "bpf/program.hpp"
#include "stock/programs.hpp"

namespace farcall::stock {
namespace {

// Of hash tables the first, one for each gigabyte: after all memory that a guest may have, before vmalloc.
constexpr GuestAddress kHashTables = {0xc000'0f00'0000'0000};
constexpr std::uint64_t kBetweenTables = std::uint64_t{1} << 30;

// From one value of an array to the next in a kernel.
std::size_t stride(const bpf::MapLayout& layout) {
  return align_up(std::uint64_t{layout.value_bytes}, wire::kKernelValueAlignment);
}

// How the program's loads name a map.
struct NamedBy {
  bool map = false;
  bool value = false;
};

NamedBy named_by(const bpf::Program& program, std::int32_t number) {
  NamedBy by;
  for (const bpf::SlotIndex i : instructions(program)) {
    const bpf::Slot& slot = program.slots[i];
    if (slot.opcode == bpf::kLoadImmediate64 && slot.imm == number) {
      by.map = by.map || slot.src == bpf::kPseudoMap;
      by.value = by.value || slot.src == bpf::kPseudoMapValue;
    }
  }
  return by;
}

// A slot of a hash table that holds that key; else, one that holds none; else the table has no room.
std::optional<std::size_t> slot_for(const std::vector<std::byte>& table,
                                    const bpf::MapLayout& layout, std::span<const std::byte> key,
                                    std::endian order) {
  std::optional<std::size_t> unused;
  for (std::size_t slot = 0; slot < layout.slots; ++slot) {
    const std::size_t at = layout.key_at(slot);
    if (load<std::uint64_t>(&table[layout.in_use_at(slot)], order) == 0) {
      unused = unused ? unused : slot;
    } else if (std::memcmp(&table[at], key.data(), key.size()) == 0) {
      return slot;
    }
  }
  return unused;
}

// `elements`: the kernel's, each key and value.
std::vector<std::byte> table_after(std::span<const std::byte> left,
                                   std::span<const std::byte> elements, std::endian order) {
  const bpf::MapLayout layout = bpf::map_layout(left, order);
  if (!layout.is_table_in(left.size())) {
    return {};
  }
  std::vector<std::byte> table(left.begin(), left.end());
  std::vector<bool> holds(layout.slots);
  const std::size_t element_bytes = std::size_t{layout.key_bytes} + layout.value_bytes;
  if (elements.size() % element_bytes != 0) {
    return {};
  }
  for (std::size_t at = 0; at + element_bytes <= elements.size(); at += element_bytes) {
    const auto key = elements.subspan(at, layout.key_bytes);
    const auto slot = slot_for(table, layout, key, order);
    if (!slot || holds[*slot]) {
      return {};  // more than it has room for, or a key twice
    }
    std::ranges::copy(key, table.begin() + static_cast<std::ptrdiff_t>(layout.key_at(*slot)));
    std::ranges::copy(elements.subspan(at + layout.key_bytes, layout.value_bytes),
                      table.begin() + static_cast<std::ptrdiff_t>(layout.value_at(*slot)));
    store(&table[layout.in_use_at(*slot)], std::uint64_t{1}, order);
    holds[*slot] = true;
  }
  for (std::size_t slot = 0; slot < layout.slots; ++slot) {
    if (!holds[slot]) {
      store(&table[layout.in_use_at(slot)], std::uint64_t{0}, order);
    }
  }
  return table;
}

}  // namespace

bool is_own_map(RegionKind kind) {
  return kind == RegionKind::array || kind == RegionKind::hash || kind == RegionKind::programs;
}

std::vector<RegionKind> region_kinds(const model::Cell& cell) {
  const bpf::Program& program = *cell.program;
  const std::endian order = byte_order(cell.axes.endian);
  std::vector<RegionKind> kinds;
  for (const bpf::MemoryRegion& region : cell.memory) {
    const auto map = std::ranges::find(program.maps, region.name, &bpf::Map::name);
    if (map == program.maps.end()) {
      kinds.push_back(RegionKind::memory);
      continue;
    }
    const bpf::MapLayout layout = bpf::map_layout(region.bytes, order);
    const NamedBy by = named_by(program, static_cast<std::int32_t>(map - program.maps.begin()));
    if (layout.elements != 0 && map->value_bytes == 0) {
      kinds.push_back(RegionKind::programs);
    } else if (by.map) {
      kinds.push_back(layout.elements != 0 ? RegionKind::array : RegionKind::hash);
    } else {
      kinds.push_back(by.value ? RegionKind::values : RegionKind::memory);
    }
  }
  return kinds;
}

std::string no_such_map(const model::Cell& cell, const bpf::MemoryRegion& region, RegionKind kind) {
  constexpr std::uint32_t kMostElements = 4096;  // each is read by a call of the kernel
  constexpr std::uint32_t kMostPrograms = 256;
  const bpf::MapLayout layout = bpf::map_layout(region.bytes, byte_order(cell.axes.endian));
  switch (kind) {
    case RegionKind::memory:
    case RegionKind::values:
      return {};
    case RegionKind::array:
      return layout.elements > kMostElements ||
                     layout.elements * stride(layout) > wire::kMostKernelRegionBytes
                 ? fmt::format("{} has {} elements of {} bytes", region.name, layout.elements,
                               layout.value_bytes)
                 : std::string{};
    case RegionKind::hash:
      if (!layout.is_table_in(region.bytes.size())) {
        return fmt::format("{} is neither an array nor a hash table", region.name);
      }
      return layout.slots > kMostElements
                 ? fmt::format("{} has {} slots", region.name, layout.slots)
                 : std::string{};
    case RegionKind::programs:
      return layout.elements > kMostPrograms
                 ? fmt::format("{} has {} elements", region.name, layout.elements)
                 : std::string{};
  }
  return {};
}

std::string too_much_to_tell(const model::Cell& cell, std::span<const RegionKind> kinds) {
  std::uint64_t pieces = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < cell.memory.size(); ++i) {
    const bool holds_programs = kinds[i] == RegionKind::programs;
    if (!holds_programs && kinds[i] != RegionKind::array) {
      continue;
    }
    const bpf::MapLayout layout =
        bpf::map_layout(cell.memory[i].bytes, byte_order(cell.axes.endian));
    const std::uint64_t programs = holds_programs ? layout.elements : 0;
    pieces += 1 + programs;
    bytes += wire::kMostArrayStructureBytes + programs * wire::kKernelProgramBytes +
             layout.elements * (holds_programs ? wire::kKernelValueAlignment : stride(layout));
  }
  return pieces > wire::kMostKernelPieces || bytes > wire::kMostKernelPieceBytes
             ? fmt::format("its arrays are {} pieces of the kernel's memory with {} bytes", pieces,
                           bytes)
             : std::string{};
}

kernel::Region kernel_region(const model::Cell& cell, const bpf::MemoryRegion& region,
                             RegionKind kind) {
  const std::endian order = byte_order(cell.axes.endian);
  const bpf::MapLayout layout = bpf::map_layout(region.bytes, order);
  const auto after_header =
      std::span(region.bytes).subspan(std::min(bpf::kArrayHeaderBytes, region.bytes.size()));
  const std::vector<std::byte> values(after_header.begin(), after_header.end());
  switch (kind) {
    case RegionKind::memory:
      return {.bytes = region.bytes.to_vector(), .writable = region.writable};
    case RegionKind::values:
      return {.bytes = values, .writable = region.writable};
    case RegionKind::array:
      return {.bytes = values,
              .map = kernel::MapDefinition{.type = wire::KernelMapType::array,
                                           .value_bytes = layout.value_bytes,
                                           .entries = layout.elements}};
    case RegionKind::hash:
      return {.bytes = {},
              .map = kernel::MapDefinition{.type = wire::KernelMapType::hash,
                                           .key_bytes = layout.key_bytes,
                                           .value_bytes = layout.value_bytes,
                                           .entries = layout.slots}};
    case RegionKind::programs:
      break;
  }
  kernel::MapDefinition map{.type = wire::KernelMapType::programs,
                            .value_bytes = 4,  // a file descriptor, whatever is in the kernel
                            .entries = layout.elements};
  const std::vector<ProgramPart> parts = program_parts(*cell.program);
  for (std::size_t at = 0; at + 8 <= values.size(); at += 8) {
    const GuestAddress pointee = {load<std::uint64_t>(&values[at], order)};
    const auto part = std::ranges::find_if(parts, [&](const ProgramPart& one) {
      return cell.placement.functions[one.first_function] == pointee;
    });
    map.programs.push_back(part == parts.end() ? wire::kNoKernelProgram
                                               : static_cast<std::uint32_t>(part - parts.begin()));
  }
  return {.bytes = {}, .map = std::move(map)};
}

GuestAddress region_address(const kernel::RegionAfter& after, RegionKind kind, std::size_t number) {
  switch (kind) {
    case RegionKind::memory:
    case RegionKind::array:
    case RegionKind::programs:
      return after.address;
    case RegionKind::values:
      return {after.address.value - bpf::kArrayHeaderBytes};
    case RegionKind::hash:
      return kHashTables + number * kBetweenTables;
  }
  return after.address;
}

SharedBytes bytes_after(const bpf::MemoryRegion& left, const kernel::RegionAfter& after,
                        RegionKind kind, std::endian order) {
  switch (kind) {
    case RegionKind::memory:
      return after.bytes;
    case RegionKind::values:
    case RegionKind::array: {
      const auto header = std::span(left.bytes).first(bpf::kArrayHeaderBytes);
      std::vector<std::byte> bytes(header.begin(), header.end());
      bytes.insert(bytes.end(), after.bytes.begin(), after.bytes.end());
      return bytes;
    }
    case RegionKind::hash:
      return table_after(left.bytes, after.bytes, order);
    case RegionKind::programs:
      return left.bytes;  // no program can write it
  }
  return {};
}

std::optional<bpf::MemoryRegion> kernel_layout(const bpf::MemoryRegion& region,
                                               const kernel::RegionAfter& after,
                                               std::endian order) {
  const bpf::MapLayout layout = bpf::map_layout(region.bytes, order);
  const std::size_t size = after.values_at + layout.elements * stride(layout);
  if (after.pieces.size() != 1 || after.pieces[0].bytes.size() != size ||
      after.pieces[0].address != after.address) {
    return std::nullopt;
  }
  bpf::MemoryRegion laid_out = region;
  laid_out.address = after.address;
  laid_out.bytes = after.pieces[0].bytes;
  return laid_out;
}

std::optional<SharedBytes> kernel_layout_after(const bpf::MemoryRegion& region,
                                               const kernel::RegionAfter& after,
                                               std::endian order) {
  const bpf::MapLayout layout = bpf::map_layout(region.bytes, order);
  auto laid_out = kernel_layout(region, after, order);
  if (!laid_out || after.bytes.size() != std::size_t{layout.elements} * layout.value_bytes) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < layout.elements; ++i) {
    std::ranges::copy(std::span(after.bytes).subspan(i * layout.value_bytes, layout.value_bytes),
                      laid_out->bytes.own().subspan(after.values_at + i * stride(layout)).begin());
  }
  return std::move(laid_out->bytes);
}

std::vector<model::ExpectedMemory> in_kernel_layout(const model::ExpectedMemory& expected,
                                                    const bpf::MemoryRegion& region,
                                                    const kernel::RegionAfter& after,
                                                    std::endian order) {
  const bpf::MapLayout layout = bpf::map_layout(region.bytes, order);
  std::vector<model::ExpectedMemory> pieces;
  for (std::size_t i = 0; i < expected.bytes.size(); ++i) {
    const std::uint64_t at = expected.offset + i;
    if (at < bpf::kArrayHeaderBytes) {
      continue;  // which no kernel has
    }
    const std::uint64_t in_values = at - bpf::kArrayHeaderBytes;
    const std::uint64_t offset = after.values_at + in_values / layout.value_bytes * stride(layout) +
                                 in_values % layout.value_bytes;
    if (pieces.empty() || pieces.back().offset + pieces.back().bytes.size() != offset) {
      pieces.push_back(
          {.region = expected.region, .offset = offset, .bytes = {}, .line = expected.line});
    }
    pieces.back().bytes.push_back(expected.bytes[i]);
  }
  return pieces;
}

}  // namespace farcall::stock
