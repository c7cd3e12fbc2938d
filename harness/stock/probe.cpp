#include "stock/probe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <utility>

#include "bpf/assembler.hpp"
#include "bpf/program.hpp"
#include "decode/call_sites.hpp"
#include "ppc64/abi.hpp"
#include "stock/capture.hpp"
#include "stock/document.hpp"
#include "stock/dump.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {
namespace {

constexpr std::uint32_t kNearResult = 5;
constexpr std::uint32_t kFarResult = 7;
constexpr std::uint32_t kLinesResult = 0x1111'1111;
constexpr std::size_t kLinesExit = 11;    // the number of the last instruction of lines_program()
constexpr std::int32_t kFiller = 40'000;  // more than a signed off of 16 bits reaches

bpf::Program program_of(std::string_view text) {
  return bpf::assemble(text, {.file = "probe", .line = 1}).value();
}

// main calls f and g, and adds what they return.
bpf::Program near_program() {
  return program_of(
      "call local f\n"
      "mov %r6, %r0\n"
      "call local g\n"
      "add %r0, %r6\n"
      "mov %r1, 1\n"
      "exit\n"
      "f: mov %r0, 2\n"
      "exit\n"
      "g: mov %r0, 3\n"
      "exit\n");
}

// f has nine constants that are blinded, one after the other, and comes to kLinesResult.
bpf::Program lines_program() {
  std::string text = fmt::format("call local f\nexit\nf: mov %r0, {:#x}\n", kLinesResult);
  for (int i = 0; i < 8; ++i) {
    text += "xor %r0, 0x12345678\n";
  }
  return program_of(text + "exit\n");
}

bpf::Program far_program() {
  std::string text = "call local far\n";
  for (std::int32_t i = 0; i < kFiller; ++i) {
    text += "mov %r1, 1\n";
  }
  return program_of(text + fmt::format("exit\nfar: mov %r0, {}\nexit\n", kFarResult));
}

// Goes round until may_goto ends it: it looks at the clock only after 65,535 rounds.
bpf::Program may_goto_program() {
  return program_of(
      fmt::format("mov %r0, {}\nagain: may_goto done\nja again\ndone: exit\n", kNearResult));
}

// An early exit lies more than 32 MiB before the end of its function, if each lddw is counted at its
// longest. What decides between the two ways is in memory, where the verifier does not know it.
bpf::Program early_exit_program() {
  constexpr std::int32_t kLoads = 2'000;
  constexpr std::int32_t kAtomics = 838'250;
  std::string text =
      "lddw %r6, 0\n"
      "ldxdw %r6, [%r6]\n"
      "mov %r7, 1\n"
      "mov %r3, 0\n"
      "stxdw [%r10-8], %r3\n"
      "mov %r0, 1\n"
      "jne %r6, 1, long\n"
      "exit\n";
  text += fmt::format("long: mov %r7, {}\n", kFarResult);
  for (std::int32_t i = 0; i < kLoads; ++i) {
    text += "lddw %r2, 1\n";
  }
  for (std::int32_t i = 0; i < kAtomics; ++i) {
    text += "lock cmpxchg [%r10-8], %r3\n";
  }
  return program_of(text + "mov %r0, %r7\nexit\n");
}

kernel::Question question(const bpf::Program& program, wire::KernelMode mode, std::endian order) {
  std::vector<kernel::NamedFunction> names;
  for (const bpf::Function& function : program.functions) {
    names.push_back({.name = function.name, .begin = function.begin});
  }
  return {.slots = program.slots,
          .regions = {},
          .mode = mode,
          .types = kernel::type_information(program.slots, names, order)};
}

ProbeStory not_seen(std::string why) {
  return {Shown::not_seen, std::move(why)};
}

// Why an answer shows nothing; nothing: it does.
std::optional<ProbeStory> nothing_in(const kernel::Answered& answered) {
  if (!answered) {
    return not_seen(answered.error().message);
  }
  const auto why = skipped(answered.value());
  if (!why) {
    return std::nullopt;
  }
  const bool rejected = answered.value().outcome == wire::KernelOutcome::rejected;
  return ProbeStory{rejected ? Shown::not_applicable : Shown::not_seen, why->message};
}

ProbeStory dump_by_mode(const kernel::Answer& jit, const kernel::Answer& interpreter) {
  const auto [one, other] = std::ranges::mismatch(jit.program, interpreter.program);
  if (one == jit.program.end() && other == interpreter.program.end()) {
    return {Shown::absent, {}};
  }
  if (one == jit.program.end() || other == interpreter.program.end()) {
    return {Shown::there, fmt::format("it has {} slots with the JIT on, and {} with it off",
                                      jit.program.size(), interpreter.program.size())};
  }
  return {Shown::there,
          fmt::format("slot {} has off {}, imm {} with the JIT on, and off {}, imm {} with it off",
                      one - jit.program.begin(), one->offset, one->imm, other->offset, other->imm)};
}

ProbeStory names_when_hardened(const kernel::Answer& hardened) {
  if (hardened.functions.empty()) {
    return not_seen("the kernel made no code");
  }
  for (const kernel::JitedFunction& function : hardened.functions) {
    if (!function.symbol.starts_with("bpf_prog_")) {
      return {Shown::there, fmt::format("/proc/kallsyms has {} at {}",
                                        function.symbol.empty() ? "nothing" : function.symbol,
                                        to_string(function.address))};
    }
  }
  return {Shown::absent, {}};
}

ProbeStory line_info(const kernel::Answer& jit, const kernel::KernelFacts& facts) {
  if (jit.lines.empty()) {
    return not_seen("the kernel tells of no lines");
  }
  const auto dumped = as_source(near_program(), jit);
  if (!dumped) {
    return not_seen("the calls in the kernel's dump are not those of the program");
  }
  for (const model::Finding& finding : line_findings(near_program(), *dumped, jit, facts)) {
    return {Shown::there, finding.site + ": " + finding.text};
  }
  return {Shown::absent, {}};
}

// Two instructions after a call even a row that is one instruction early is after the call's branch.
ProbeStory lines_from_the_descriptor(const kernel::Answer& jit, const kernel::KernelFacts& facts) {
  constexpr std::uint32_t kTwoAfterTheCall = 2;  // of near_program(), which begins with one
  if (facts.abi != model::Abi::elfv1) {
    return {Shown::not_applicable, "this kernel's functions have no descriptors"};
  }
  constexpr std::size_t kFunctions = 3;
  const auto row = std::ranges::find(jit.lines, kTwoAfterTheCall, &kernel::LineRow::slot);
  if (row == jit.lines.end() || jit.functions.size() != kFunctions) {
    return not_seen("the kernel does not tell of all lines");
  }
  const std::array<std::string, kFunctions> names = {"main", "f", "g"};
  const auto sites = decode::call_sites(kernel_image(jit, names, facts),
                                        {.endian = facts.endian, .toc = facts.toc});
  if (sites.empty() || row->address + ppc64::kElfv1.descriptor_bytes <= sites.front().at) {
    return not_seen("the lines are not where its call is");
  }
  if (row->address > sites.front().at) {
    return {Shown::absent, {}};
  }
  return {Shown::there,
          fmt::format("it has the second instruction after a call, whose branch is at {}, at {}",
                      to_string(sites.front().at), to_string(row->address))};
}

// How many bytes before the end of f its last instruction begins, if the lines are right. Nothing:
// they are not told.
std::optional<std::int64_t> bytes_of_exit(const kernel::Answer& answer) {
  if (answer.lines.size() <= kLinesExit || answer.functions.size() != 2) {
    return std::nullopt;
  }
  const kernel::JitedFunction& f = answer.functions.back();
  return static_cast<std::int64_t>(f.address.value + 4 * f.words.size() -
                                   answer.lines[kLinesExit].address.value);
}

// Blinding changes nothing of what an exit becomes. Other instructions may take one word more.
ProbeStory line_info_when_hardened(const kernel::Answer& jit, const kernel::Answer& hardened) {
  constexpr std::int64_t kSame = 16;
  const auto expected = bytes_of_exit(jit);
  const auto told = bytes_of_exit(hardened);
  if (!expected || !told) {
    return not_seen("the kernel does not tell of all lines");
  }
  if (std::abs(*told - *expected) <= kSame) {
    return {Shown::absent, {}};
  }
  return {Shown::there, fmt::format("it has the exit of a function {} bytes before the function's "
                                    "end; {} without hardening",
                                    *told, *expected)};
}

ProbeStory far_dump(const kernel::Answer& jit) {
  if (jit.program.empty()) {
    return not_seen("there is no dump");
  }
  const bpf::Slot& slot = jit.program.front();
  constexpr std::int32_t kDistance = kFiller + 1;
  return {slot.imm == kDistance ? Shown::absent : Shown::there,
          fmt::format("the call of {} slots is dumped with off {}, imm {}", kDistance, slot.offset,
                      slot.imm)};
}

// One that is to return that, and may be the kernel's end.
ProbeStory survived(const kernel::Answered& answered, std::uint32_t expected) {
  if (!answered && answered.error().code == ErrorCode::jit_crashed) {
    return {Shown::there, answered.error().message};
  }
  if (const auto nothing = nothing_in(answered)) {
    return *nothing;
  }
  const std::uint32_t result = answered.value().result;
  return result == expected
             ? ProbeStory{Shown::absent, {}}
             : ProbeStory{Shown::there,
                          fmt::format("it returned {:#x} instead of {:#x}", result, expected)};
}

}  // namespace

std::vector<kernel::Question> probe_questions(std::endian order) {
  using enum wire::KernelMode;
  const bpf::Program near = near_program();
  const bpf::Program far = far_program();
  kernel::Question listed = question(near, hardened, order);
  listed.as_listed = true;
  const bpf::Program lines = lines_program();
  return {question(near, jit, order),
          question(near, interpreter, order),
          std::move(listed),
          question(lines, jit, order),
          question(lines, hardened, order),
          question(far, jit, order),
          question(far, interpreter, order),
          question(may_goto_program(), interpreter, order)};
}

kernel::Question large_question(std::endian order) {
  kernel::Question large = question(early_exit_program(), wire::KernelMode::jit, order);
  large.slots.front().src = bpf::kPseudoMapValue;  // of the region below
  large.regions = {{.bytes = std::vector<std::byte>(8)}};
  return large;
}

std::vector<ProbeStory> probe_stories(std::span<const kernel::Answered> answers,
                                      const kernel::KernelFacts& facts) {
  // The answers that a row needs, and what it makes of them.
  const auto with = [&](std::initializer_list<std::size_t> numbers, const auto& story) {
    for (const std::size_t number : numbers) {
      if (const auto nothing = nothing_in(answers[number])) {
        return *nothing;
      }
      const std::uint32_t result = answers[number].value().result;
      const bool is_of_lines = number == Probe::lines_jit || number == Probe::lines_hardened;
      const std::uint32_t expected = is_of_lines ? kLinesResult : kNearResult;
      if (number < Probe::far_jit && result != expected) {
        return not_seen(
            fmt::format("its program returned {:#x} instead of {:#x}", result, expected));
      }
    }
    return story();
  };
  using enum Probe::Number;
  const auto said = [&](Probe::Number number) -> const kernel::Answer& {
    return answers[number].value();
  };
  return {
      with({near_jit, near_interpreter},
           [&] { return dump_by_mode(said(near_jit), said(near_interpreter)); }),
      with({far_jit}, [&] { return far_dump(said(far_jit)); }),
      survived(answers[far_interpreter], kFarResult),
      with({near_jit}, [&] { return line_info(said(near_jit), facts); }),
      with({near_jit}, [&] { return lines_from_the_descriptor(said(near_jit), facts); }),
      with({lines_jit, lines_hardened},
           [&] { return line_info_when_hardened(said(lines_jit), said(lines_hardened)); }),
      survived(answers[may_goto], kNearResult),
      with({near_listed}, [&] { return names_when_hardened(said(near_listed)); }),
      survived(answers[large], kFarResult),
  };
}

}  // namespace farcall::stock
