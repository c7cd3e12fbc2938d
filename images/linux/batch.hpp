// The batch that the host gives: each of its programs is loaded, run, described and answered.
#pragma once

#include "linux/host.hpp"
#include "linux/programs.hpp"
#include "linux/regions.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall {

// Programs and whatever else the agent needs of the guest.
struct Tools {
  Window window;
  KernelLog log;
  Symbols symbols;
  KernelReader reader;
};

// What describe() has found of a program.
inline void count_parts(const bpf_prog_info& info, wire::KernelAnswer& said) {
  said.function_count = info.jited_prog_len == 0 ? 0 : info.nr_jited_ksyms;
  said.code_bytes = info.jited_prog_len;
  said.program_bytes = info.xlated_prog_len;
  said.function_type_count = info.nr_func_info;
  // Both tables have the same rows, or one of them is not told.
  said.line_count = info.nr_line_info == info.nr_jited_line_info ? info.nr_line_info : 0;
}

// What describe() has found of a program, whose answer so far is `said`; the regions of the one that
// was run.
inline void write_answer(const Tools& tools, const wire::KernelAnswer& said, const Regions* regions,
                         bool as_listed) {
  const Window& window = tools.window;
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
    write_region(window, *regions, i);
  }
  window.write(verifier_log, said.log_bytes);
  window.write(kernel_log, said.kernel_log_bytes);
}

template <typename Counts>
inline Types take_types(std::size_t& at, std::size_t end, const Counts& wanted) {
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

// A program of the batch, that is run or that tail calls may go to.
struct Wanted {
  const char* slots = nullptr;
  std::uint32_t slot_count = 0;
  Types types;
};

// Its slots and BTF are at `at`, which goes past them.
template <typename Counts>
inline Wanted take_program(std::size_t& at, std::size_t end, const Counts& counts) {
  const std::size_t slot_bytes = std::size_t{counts.slot_count} * sizeof(bpf_insn);
  if (slot_bytes > sizeof slots) {
    give_up("a program is too large");
  }
  Wanted wanted{.slots = take(at, end, slot_bytes), .slot_count = counts.slot_count, .types = {}};
  wanted.types = take_types(at, end, counts);
  return wanted;
}

// The file descriptor, or an errno below 0.
inline long load_wanted(const Wanted& wanted, const Regions& regions, KernelProgramType type) {
  memcpy(slots, wanted.slots, std::size_t{wanted.slot_count} * sizeof(bpf_insn));
  name_maps(wanted.slot_count, regions);
  return load(slots, wanted.slot_count, wanted.types, type);
}

// A question: the program that is run, and those that its tail calls may go to; and who observes
// them, or nobody.
struct Programs {
  std::uint32_t count = 0;
  Wanted wanted[1 + wire::kMostKernelTargets];
  long loaded[1 + wire::kMostKernelTargets];
  Wanted observer;
  long observer_loaded = -1;
  long observer_attached = -1;
};

inline void say(wire::KernelAnswer& said, KernelOutcome outcome, long status) {
  said.outcome = static_cast<std::uint32_t>(outcome);
  said.error = static_cast<std::uint32_t>(-status);
}

// What there is to say of a program that was loaded; `said` is not changed by one that is described.
inline void describe_loaded(long loaded, wire::KernelAnswer& said) {
  bpf_prog_info info = {};
  if (const long known = describe(loaded, info); known < 0) {
    say(said, KernelOutcome::not_known, known);
  } else {
    count_parts(info, said);
  }
}

inline bool is_without_code(long loaded) {
  bpf_prog_info info = {};
  return describe(loaded, info) >= 0 && info.jited_prog_len == 0;
}

inline wire::KernelAnswer rejected(long status) {
  wire::KernelAnswer said = {};
  say(said, KernelOutcome::rejected, status);
  said.log_bytes = static_cast<std::uint32_t>(length(verifier_log));
  return said;
}

// Loads the programs, and runs the first. What is said of it is about the first of them that is
// rejected, too. `status`: an errno below 0 if there are no regions.
inline wire::KernelAnswer load_and_run(Programs& programs, Regions& regions,
                                       const wire::KernelProgram& wanted, const char* context,
                                       const KernelReader& reader, long status) {
  wire::KernelAnswer said = {};
  const auto type = static_cast<KernelProgramType>(std::uint32_t{wanted.type});
  if (status < 0) {
    say(said, KernelOutcome::no_memory, status);
    return said;
  }
  for (std::uint32_t i = 0; i < programs.count; ++i) {
    programs.loaded[i] = load_wanted(programs.wanted[i], regions, type);
    if (programs.loaded[i] < 0) {
      return rejected(programs.loaded[i]);
    }
  }
  if (programs.observer.slot_count != 0) {
    programs.observer_loaded =
        load_wanted(programs.observer, regions, KernelProgramType::raw_tracepoint);
    if (programs.observer_loaded < 0) {
      return rejected(programs.observer_loaded);
    }
    programs.observer_attached = attach(programs.observer_loaded, "bpf_trace_printk");
    if (programs.observer_attached < 0) {
      say(said, KernelOutcome::not_run, programs.observer_attached);
      return said;
    }
  }
  const bool jit = wanted.mode != static_cast<std::uint32_t>(wire::KernelMode::interpreter);
  if (const Put put = put_programs(regions, programs.loaded, programs.count); put.status < 0) {
    // The first program that names an array says which it takes: of one type, all with code or all
    // without (bpf_prog_map_compatible() of kernel/bpf/core.c). That is one of find_addresses().
    const bool no_code =
        jit && put.status == -EINVAL && is_without_code(programs.loaded[put.program_number]);
    say(said, no_code ? KernelOutcome::no_code_of_one : KernelOutcome::not_put, put.status);
    said.result = put.program_number;
    return said;
  }
  if (jit) {
    read_structures(regions, reader);
  }
  std::uint32_t result = 0;
  if (const long ran = run(programs.loaded[0], result, context, wanted.context_bytes); ran < 0) {
    say(said, KernelOutcome::not_run, ran);
    return said;
  }
  said.result = result;
  said.region_count = regions.count;
  describe_loaded(programs.loaded[0], said);
  return said;
}

// The question at `at` of the batch, which goes past it.
inline void answer_next(const Tools& tools, std::size_t& at, std::size_t end, std::uint32_t& mode) {
  wire::KernelProgram wanted;
  memcpy(&wanted, take(at, end, sizeof wanted), sizeof wanted);
  if (wanted.region_count > wire::kMostKernelRegions ||
      wanted.target_count > wire::kMostKernelTargets ||
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
  if (wanted.mode != mode) {
    mode = wanted.mode;
    switch_jit(mode);
  }
  Programs programs;
  programs.wanted[programs.count++] = take_program(at, end, wanted);
  const char* const context = take(at, end, wanted.context_bytes);
  wire::KernelTarget observer = {};
  observer.slot_count = wanted.observer_slot_count;
  programs.observer = take_program(at, end, observer);
  Regions regions;
  const long status = take_regions(regions, at, end, wanted.region_count);
  for (std::uint32_t i = 0; i < wanted.target_count; ++i) {
    wire::KernelTarget target;
    memcpy(&target, take(at, end, sizeof target), sizeof target);
    programs.wanted[programs.count++] = take_program(at, end, target);
  }
  for (long& loaded : programs.loaded) {
    loaded = -1;
  }
  wire::KernelAnswer said = load_and_run(programs, regions, wanted, context, tools.reader, status);
  const bool is_done = said.outcome == static_cast<std::uint32_t>(KernelOutcome::done);
  said.target_count = is_done ? std::uint32_t{wanted.target_count} : 0U;
  said.kernel_log_bytes = tools.log.read();
  write_answer(tools, said, &regions, wanted.as_listed != 0);
  for (std::uint32_t i = 0; i < said.target_count; ++i) {
    wire::KernelAnswer of_target = {};
    describe_loaded(programs.loaded[1 + i], of_target);
    write_answer(tools, of_target, nullptr, wanted.as_listed != 0);
  }
  if (programs.observer_attached >= 0) {
    close_file(programs.observer_attached);
  }
  if (programs.observer_loaded >= 0) {
    close_file(programs.observer_loaded);
  }
  for (std::uint32_t i = 0; i < programs.count; ++i) {
    if (programs.loaded[i] >= 0) {
      close_file(programs.loaded[i]);
    }
    if (programs.wanted[i].types.btf >= 0) {
      close_file(programs.wanted[i].types.btf);
    }
  }
  give_back(regions);
  for (std::uint32_t i = 0; i < wanted.crowd_mebibytes; ++i) {
    close_file(crowd[i]);
  }
}

}  // namespace farcall
