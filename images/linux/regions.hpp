// The memory and the maps of a question's programs: made, found, and read after the run.
#pragma once

#include <linux/bpf.h>
#include <linux/errno.h>

#include <cstddef>
#include <cstdint>

#include "linux/host.hpp"
#include "linux/programs.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall {

using wire::KernelMapType;

// `size` bytes of the batch from `at` on, which goes past them.
inline const char* take(std::size_t& at, std::size_t end, std::size_t size) {
  if (size > end - at) {
    give_up("a batch is too short");
  }
  const char* const taken = batch + at;
  at += size;
  return taken;
}

// Reads the kernel's memory by a program, as a kernel need not have /proc/kcore.
class KernelReader {
 public:
  static KernelReader make() {
    const Memory memory = make_memory(sizeof(Asked), false);
    constexpr auto kSize = static_cast<std::int32_t>(offsetof(Asked, size));
    constexpr auto kBytes = static_cast<std::int32_t>(offsetof(Asked, bytes));
    bpf_insn ask[16];
    bpf_insn* at = put_map_value(ask, 6, memory.map, 0);
    at = put_map_value(at, 1, memory.map, kBytes);
    *at++ = {.code = 0x79, .dst_reg = 2, .src_reg = 6, .off = kSize, .imm = 0};  // ldxdw r2, [r6+8]
    *at++ = {
        .code = 0x25, .dst_reg = 2, .src_reg = 0, .off = 3, .imm = kAtOnce};  // jgt r2, most, end
    *at++ = {.code = 0x79, .dst_reg = 3, .src_reg = 6, .off = 0, .imm = 0};   // ldxdw r3, [r6]
    *at++ = {.code = 0x85, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = BPF_FUNC_probe_read_kernel};
    *at++ = {.code = 0x7b, .dst_reg = 6, .src_reg = 0, .off = kSize, .imm = 0};  // stxdw [r6+8], r0
    at = put_end(at);
    const long loaded = load(ask, static_cast<std::uint32_t>(at - ask));
    if (memory.map < 0 || loaded < 0) {
      give_up("the program that reads the kernel's memory cannot be loaded");
    }
    return KernelReader(loaded, reinterpret_cast<Asked*>(memory.bytes));
  }

  void read(std::uint64_t address, char* bytes, std::size_t size) const {
    while (size != 0) {
      const std::size_t part = size < kAtOnce ? size : kAtOnce;
      asked_->address = address;
      asked_->size = part;
      std::uint32_t result = 0;
      if (run(loaded_, result) < 0 || asked_->size != 0) {
        give_up("the kernel's memory cannot be read");
      }
      memcpy(bytes, asked_->bytes, part);
      address += part;
      bytes += part;
      size -= part;
    }
  }

 private:
  static constexpr std::uint32_t kAtOnce = 4096;
  struct Asked {
    std::uint64_t address;
    std::uint64_t size;  // then what the helper returned
    char bytes[kAtOnce];
  };
  KernelReader(long loaded, Asked* asked) : loaded_(loaded), asked_(asked) {}
  long loaded_;
  Asked* asked_;  // the program's memory
};

// Memory of the kernel, as it was before the run.
struct Piece {
  std::uint64_t address = 0;
  const char* bytes = nullptr;
  std::uint32_t size = 0;
};

inline Piece pieces[wire::kMostKernelPieces];
inline char piece_bytes[wire::kMostKernelPieceBytes];
// A map's, after the run; of a hash table there must be room for one element more than it has.
inline char map_bytes[2 * std::size_t{wire::kMostKernelRegionBytes}];

struct Region {
  wire::KernelRegion asked;
  const char* bytes = nullptr;  // of the batch
  Memory* memory = nullptr;     // unless it is a map
  long map = -1;
  std::uint64_t address = 0;  // of a map
  std::uint64_t values_at = 0;
  std::uint32_t first_piece = 0;
  std::uint32_t piece_count = 0;

  bool is(KernelMapType type) const { return asked.map_type == static_cast<std::uint32_t>(type); }
};

struct Regions {
  std::uint32_t count = 0;
  std::uint32_t piece_count = 0;
  std::size_t piece_bytes = 0;
  Region all[wire::kMostKernelRegions];
};

// The loads that name a region name its map.
inline void name_maps(std::uint32_t slot_count, const Regions& regions) {
  for (std::uint32_t i = 0; i < slot_count; ++i) {
    if (slots[i].code != kLoad64) {
      continue;
    }
    if (slots[i].src_reg == BPF_PSEUDO_MAP_VALUE || slots[i].src_reg == BPF_PSEUDO_MAP_FD) {
      const auto region_number = static_cast<std::uint32_t>(slots[i].imm);
      if (region_number >= regions.count) {
        give_up("a program names a region that it does not have");
      }
      slots[i].imm = static_cast<std::int32_t>(regions.all[region_number].map);
    }
    ++i;
  }
}

inline long change(int command, long map, const void* key, const void* value) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_fd = static_cast<std::uint32_t>(map);
  attributes.key = number(key);
  attributes.value = number(value);
  return bpf(command, attributes);
}

// An errno below 0: the kernel has no such map, or does not take its elements.
inline long make_own_map(Region& region) {
  const wire::KernelRegion& asked = region.asked;
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_type = asked.map_type;
  attributes.key_size = asked.key_bytes;
  attributes.value_size = asked.value_bytes;
  attributes.max_entries = asked.entry_count;
  if (region.is(KernelMapType::array)) {
    attributes.map_flags = BPF_F_MMAPABLE;  // in pages of its own, where nothing is read-only
  }
  region.map = bpf(BPF_MAP_CREATE, attributes);
  if (region.map < 0 || !region.is(KernelMapType::array)) {
    return region.map;
  }
  const std::uint64_t bytes = std::uint64_t{asked.entry_count} * asked.value_bytes;
  if (bytes != asked.byte_count) {
    give_up("an array has other bytes than values");
  }
  for (std::uint32_t key = 0; key < asked.entry_count; ++key) {
    const char* const value = region.bytes + std::size_t{key} * asked.value_bytes;
    if (const long changed = change(BPF_MAP_UPDATE_ELEM, region.map, &key, value); changed < 0) {
      return changed;
    }
  }
  return 0;
}

// Where the regions of a question are that have just been made.
inline void find_regions(Regions& regions) {
  Memory* not_found[wire::kMostKernelRegions];
  std::uint32_t not_found_count = 0;
  Sought sought[2 + wire::kMostKernelRegions];
  std::uint32_t sought_count = 0;
  for (std::uint32_t i = 0; i < regions.count; ++i) {
    const Region& region = regions.all[i];
    if (region.memory == nullptr) {
      sought[sought_count++] = {.map = region.map, .is_structure = true};
    } else if (region.memory->address == 0) {
      not_found[not_found_count++] = region.memory;
    }
  }
  if (not_found_count != 0) {
    find_values(not_found, not_found_count);
  }
  std::uint64_t values_at = 0;
  if (sought_count != 0) {
    // The values of each array are as far after its structure as those of this one.
    Memory example = make_memory(8, false);
    sought[sought_count] = {.map = example.map, .is_structure = true};
    sought[sought_count + 1] = {.map = example.map};
    find_addresses(sought, sought_count + 2);
    remove(example);
    values_at = sought[sought_count + 1].address - sought[sought_count].address;
  }
  std::uint32_t next = 0;
  for (std::uint32_t i = 0; i < regions.count; ++i) {
    Region& region = regions.all[i];
    if (region.memory == nullptr) {
      region.address = sought[next++].address;
      region.values_at = values_at;
    } else {
      region.address = region.memory->address;
    }
  }
}

// Those at `at` of the batch, which goes past them. An errno below 0: the kernel has not all of them.
inline long take_regions(Regions& regions, std::size_t& at, std::size_t end, std::uint32_t count) {
  long status = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    Region& region = regions.all[regions.count++];
    memcpy(&region.asked, take(at, end, sizeof region.asked), sizeof region.asked);
    const std::uint32_t byte_count = region.asked.byte_count;
    region.bytes = take(at, end, byte_count);
    if (byte_count > wire::kMostKernelRegionBytes) {
      give_up("a region is too large");
    }
    long made = 0;
    if (region.is(KernelMapType::none)) {
      region.memory = &take_memory(byte_count, region.asked.read_only != 0);
      region.map = region.memory->map;
      made = region.map;
      if (made >= 0) {
        write(*region.memory, region.bytes);
      }
    } else {
      made = make_own_map(region);
    }
    status = made < 0 ? made : status;
  }
  if (status >= 0) {
    find_regions(regions);
  }
  return status;
}

// An errno below 0: an array of programs does not take that program.
struct Put {
  long status = 0;
  std::uint32_t program_number = 0;
};

// The programs of arrays of programs.
inline Put put_programs(const Regions& regions, const long* loaded, std::uint32_t loaded_count) {
  for (std::uint32_t i = 0; i < regions.count; ++i) {
    const Region& region = regions.all[i];
    if (!region.is(KernelMapType::programs)) {
      continue;
    }
    if (region.asked.byte_count / 4 != region.asked.entry_count) {
      give_up("an array has other programs than elements");
    }
    for (std::uint32_t key = 0; key < region.asked.entry_count; ++key) {
      ul32 program_number;
      memcpy(&program_number, region.bytes + std::size_t{4} * key, 4);
      if (program_number == wire::kNoKernelProgram) {
        continue;
      }
      if (program_number >= loaded_count) {
        give_up("an array has a program that there is not");
      }
      const auto program_file = static_cast<std::uint32_t>(loaded[program_number]);
      if (const long put = change(BPF_MAP_UPDATE_ELEM, region.map, &key, &program_file); put < 0) {
        return {.status = put, .program_number = program_number};
      }
    }
  }
  return {};
}

inline void read_piece(Regions& regions, Region& region, std::uint64_t address, std::size_t size,
                       const KernelReader& reader) {
  if (regions.piece_count == wire::kMostKernelPieces ||
      size > wire::kMostKernelPieceBytes - regions.piece_bytes) {
    give_up("the maps of a program are too large");
  }
  char* const bytes = piece_bytes + regions.piece_bytes;
  reader.read(address, bytes, size);
  regions.piece_bytes += size;
  pieces[regions.piece_count++] = {
      .address = address, .bytes = bytes, .size = static_cast<std::uint32_t>(size)};
  ++region.piece_count;
}

// What of the kernel's structures its code may read.
inline void read_structures(Regions& regions, const KernelReader& reader) {
  for (std::uint32_t i = 0; i < regions.count; ++i) {
    Region& region = regions.all[i];
    region.first_piece = regions.piece_count;
    const bool holds_programs = region.is(KernelMapType::programs);
    if (!holds_programs && !region.is(KernelMapType::array)) {
      continue;
    }
    constexpr std::uint32_t kAlignment = wire::kKernelValueAlignment;
    const std::uint32_t value_bytes =
        (region.asked.value_bytes + kAlignment - 1) / kAlignment * kAlignment;
    const std::uint32_t count = region.asked.entry_count;
    read_piece(regions, region, region.address, region.values_at + std::size_t{count} * value_bytes,
               reader);
    const char* const values = pieces[region.first_piece].bytes + region.values_at;
    for (std::uint32_t key = 0; holds_programs && key < count; ++key) {
      std::uint64_t program_address;
      memcpy(&program_address, values + std::size_t{8} * key, 8);
      read_piece(regions, region, program_address,
                 program_address == 0 ? 0 : wire::kKernelProgramBytes, reader);
    }
  }
}

// What a map holds, into map_bytes; how many bytes.
inline std::uint32_t read_map(const Region& region) {
  const wire::KernelRegion& asked = region.asked;
  std::size_t size = 0;
  if (region.is(KernelMapType::array)) {
    for (std::uint32_t key = 0; key < asked.entry_count; ++key) {
      if (change(BPF_MAP_LOOKUP_ELEM, region.map, &key, map_bytes + size) < 0) {
        give_up("an element of an array cannot be read");
      }
      size += asked.value_bytes;
    }
  } else if (region.is(KernelMapType::hash)) {
    const char* last = nullptr;
    while (true) {
      if (size + asked.key_bytes + asked.value_bytes > sizeof map_bytes) {
        give_up("a hash table is too large");
      }
      char* const key = map_bytes + size;
      const long next = change(BPF_MAP_GET_NEXT_KEY, region.map, last, key);
      if (next == -ENOENT) {
        break;
      }
      if (next < 0 || change(BPF_MAP_LOOKUP_ELEM, region.map, key, key + asked.key_bytes) < 0) {
        give_up("an element of a hash table cannot be read");
      }
      last = key;
      size += asked.key_bytes + asked.value_bytes;
    }
  }
  return static_cast<std::uint32_t>(size);
}

inline void write_region(const Window& window, const Regions& regions, std::uint32_t index) {
  const Region& region = regions.all[index];
  const char* const bytes = region.memory == nullptr ? map_bytes : region.memory->bytes;
  const std::uint32_t byte_count =
      region.memory == nullptr ? read_map(region) : region.memory->size;
  const wire::KernelRegionAfter after{.address = region.address,
                                      .byte_count = byte_count,
                                      .piece_count = region.piece_count,
                                      .values_at = static_cast<std::uint32_t>(region.values_at),
                                      .reserved = 0};
  window.write(&after, sizeof after);
  window.write(bytes, byte_count);
  for (std::uint32_t i = 0; i < region.piece_count; ++i) {
    const Piece& piece = pieces[region.first_piece + i];
    const wire::KernelPiece said{.address = piece.address, .byte_count = piece.size, .reserved = 0};
    window.write(&said, sizeof said);
    window.write(piece.bytes, piece.size);
  }
}

inline void give_back(Regions& regions) {
  for (std::uint32_t i = 0; i < regions.count; ++i) {
    Region& region = regions.all[i];
    if (region.memory != nullptr) {
      region.memory->is_in_use = false;
    } else if (region.map >= 0) {
      close_file(region.map);
    }
  }
}

}  // namespace farcall
