// The batch that the host gives: each of its programs is loaded, run, described and answered.
#pragma once

#include "linux/host.hpp"
#include "linux/programs.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall {

// Programs and whatever else the agent needs of the guest.
struct Tools {
  Window window;
  KernelLog log;
  Symbols symbols;
};

struct Regions {
  std::uint32_t count = 0;
  Memory* all[wire::kMostKernelRegions] = {};
};

// The loads that name a region name its map.
inline void name_maps(std::uint32_t slot_count, const Regions& regions) {
  for (std::uint32_t i = 0; i < slot_count; ++i) {
    if (slots[i].code != kLoad64) {
      continue;
    }
    if (slots[i].src_reg == BPF_PSEUDO_MAP_VALUE) {
      const auto region_number = static_cast<std::uint32_t>(slots[i].imm);
      if (region_number >= regions.count) {
        give_up("a program names a region that it does not have");
      }
      slots[i].imm = static_cast<std::int32_t>(regions.all[region_number]->map);
    }
    ++i;
  }
}

// What describe() has found of a program.
inline void count_parts(const bpf_prog_info& info, wire::KernelAnswer& said) {
  said.function_count = info.jited_prog_len == 0 ? 0 : info.nr_jited_ksyms;
  said.code_bytes = info.jited_prog_len;
  said.program_bytes = info.xlated_prog_len;
  said.function_type_count = info.nr_func_info;
  // Both tables have the same rows, or one of them is not told.
  said.line_count = info.nr_line_info == info.nr_jited_line_info ? info.nr_line_info : 0;
}

inline void write_answer(const Tools& tools, wire::KernelAnswer& said, const Regions& regions,
                         bool as_listed) {
  const Window& window = tools.window;
  said.kernel_log_bytes = tools.log.read();
  window.write(&said, sizeof said);
  for (std::uint32_t i = 0; i < said.function_count; ++i) {
    wire::KernelFunction function{
        .address = addresses[i], .code_bytes = lengths[i], .reserved = 0, .symbol = {}};
    if (as_listed) {
      listed_symbol(addresses[i], function.symbol);
    } else {
      constexpr std::uint32_t kAtOnce = Symbols::kAtOnce;
      if (i % kAtOnce == 0) {
        const std::uint32_t left = said.function_count - i;
        tools.symbols.ask(addresses + i, left < kAtOnce ? left : kAtOnce);
      }
      tools.symbols.copy(i % kAtOnce, function.symbol);
    }
    window.write(&function, sizeof function);
  }
  window.write(code, said.code_bytes);
  window.write(program, said.program_bytes);
  static_assert(sizeof function_types[0] == wire::kFunctionTypeBytes);
  window.write(function_types, said.function_type_count * sizeof function_types[0]);
  for (std::uint32_t i = 0; i < said.line_count; ++i) {
    const wire::KernelLine line{.address = line_addresses[i],
                                .slot = lines[i].insn_off,
                                .line_and_column = lines[i].line_col};
    window.write(&line, sizeof line);
  }
  for (std::uint32_t i = 0; i < said.region_count; ++i) {
    const Memory& memory = *regions.all[i];
    const wire::KernelRegionAfter after{
        .address = memory.address, .byte_count = memory.size, .reserved = 0};
    window.write(&after, sizeof after);
    window.write(memory.bytes, memory.size);
  }
  window.write(verifier_log, said.log_bytes);
  window.write(kernel_log, said.kernel_log_bytes);
}

inline void answer(const Tools& tools, std::uint32_t slot_count, const Regions& regions,
                   const Types& types, KernelProgramType type, bool as_listed, long no_memory) {
  wire::KernelAnswer said = {};
  std::uint32_t result = 0;
  bpf_prog_info info = {};
  const auto say = [&](KernelOutcome outcome, long status) {
    said.outcome = static_cast<std::uint32_t>(outcome);
    said.error = static_cast<std::uint32_t>(-status);
  };
  long loaded = -1;
  if (no_memory < 0) {
    say(KernelOutcome::no_memory, no_memory);
  } else if (loaded = load(slots, slot_count, types, type); loaded < 0) {
    say(KernelOutcome::rejected, loaded);
    said.log_bytes = static_cast<std::uint32_t>(length(verifier_log));
  } else if (const long ran = run(loaded, result); ran < 0) {
    say(KernelOutcome::not_run, ran);
  } else if (const long known = describe(loaded, info); known < 0) {
    say(KernelOutcome::not_known, known);
  } else {
    said.result = result;
    count_parts(info, said);
    said.region_count = regions.count;
  }
  write_answer(tools, said, regions, as_listed);
  if (loaded >= 0) {
    close_file(loaded);
  }
}

// `size` bytes of the batch from `at` on, which goes past them.
inline const char* take(std::size_t& at, std::size_t end, std::size_t size) {
  if (size > end - at) {
    give_up("a batch is too short");
  }
  const char* const taken = batch + at;
  at += size;
  return taken;
}

inline Types take_types(std::size_t& at, std::size_t end, const wire::KernelProgram& wanted) {
  const char* const btf = take(at, end, wanted.btf_bytes);
  Types types{.functions =
                  take(at, end, std::size_t{wanted.function_type_count} * wire::kFunctionTypeBytes),
              .function_count = wanted.function_type_count,
              .lines = take(at, end, std::size_t{wanted.line_count} * wire::kSourceLineBytes),
              .line_count = wanted.line_count};
  if (wanted.btf_bytes != 0) {
    bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.btf = number(btf);
    attributes.btf_size = wanted.btf_bytes;
    types.btf = bpf(BPF_BTF_LOAD, attributes);
    if (types.btf < 0) {
      give_up("the BTF of a program is refused");
    }
  }
  return types;
}

// The program at `at` of the batch, which goes past it.
inline void answer_next(const Tools& tools, std::size_t& at, std::size_t end, std::uint32_t& mode) {
  wire::KernelProgram wanted;
  memcpy(&wanted, take(at, end, sizeof wanted), sizeof wanted);
  const std::size_t slot_bytes = std::size_t{wanted.slot_count} * sizeof(bpf_insn);
  if (slot_bytes > sizeof slots || wanted.region_count > wire::kMostKernelRegions ||
      wanted.crowd_mebibytes > wire::kMostCrowdMebibytes) {
    give_up("a program is too large");
  }
  long crowd[wire::kMostCrowdMebibytes];
  for (std::uint32_t i = 0; i < wanted.crowd_mebibytes; ++i) {
    crowd[i] = make_map(std::uint32_t{1} << 20, BPF_F_MMAPABLE);
    if (crowd[i] < 0) {
      give_up("there is not enough memory for the other maps");
    }
  }
  memcpy(slots, take(at, end, slot_bytes), slot_bytes);
  const Types types = take_types(at, end, wanted);
  Regions regions;
  Memory* not_found[wire::kMostKernelRegions];
  std::uint32_t not_found_count = 0;
  long status = 0;
  for (std::uint32_t i = 0; i < wanted.region_count; ++i) {
    wire::KernelRegion one;
    memcpy(&one, take(at, end, sizeof one), sizeof one);
    const char* const bytes = take(at, end, one.byte_count);
    if (one.byte_count > wire::kMostKernelRegionBytes) {
      give_up("a region is too large");
    }
    Memory& memory = take_memory(one.byte_count, one.read_only != 0);
    regions.all[regions.count++] = &memory;
    if (memory.map < 0) {
      status = memory.map;
      continue;
    }
    write(memory, bytes);
    if (memory.address == 0) {
      not_found[not_found_count++] = &memory;
    }
  }
  if (status == 0 && not_found_count != 0) {
    find_values(not_found, not_found_count);
  }
  if (status == 0) {
    name_maps(wanted.slot_count, regions);
  }
  if (wanted.mode != mode) {
    mode = wanted.mode;
    switch_jit(mode);
  }
  answer(tools, wanted.slot_count, regions, types,
         static_cast<KernelProgramType>(std::uint32_t{wanted.type}), wanted.as_listed != 0, status);
  if (types.btf >= 0) {
    close_file(types.btf);
  }
  for (std::uint32_t i = 0; i < regions.count; ++i) {
    regions.all[i]->is_in_use = false;
  }
  for (std::uint32_t i = 0; i < wanted.crowd_mebibytes; ++i) {
    close_file(crowd[i]);
  }
}

}  // namespace farcall
