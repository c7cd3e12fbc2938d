#include "stock/dump.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "bpf/validator.hpp"
#include "check/kernel_dump_findings.hpp"
#include "decode/call_sites.hpp"
#include "external/external.hpp"
#include "stock/document.hpp"
#include "stock/linux_cells.hpp"
#include "stock/programs.hpp"

namespace farcall::stock {
namespace {

bool is_pointer(const bpf::Slot& slot) {
  return slot.opcode == bpf::kLoadImmediate64 && slot.src == bpf::kPseudoFunction;
}

// An instruction that names a function, and which function of the program or what helper.
struct Naming {
  check::Named named{};
  std::uint32_t function = 0;  // it is in
  std::uint32_t ordinal = 0;   // among the calls of the function; of a load, of the one after it
  bpf::SlotIndex slot = 0;
};

// All of them in program order. What a field of theirs has does not matter.
std::vector<Naming> namings(const bpf::Program& program) {
  std::vector<Naming> all;
  for (std::uint32_t f = 0; f < program.functions.size(); ++f) {
    std::uint32_t ordinal = 0;
    const bpf::Function& function = program.functions[f];
    for (const bpf::SlotIndex at : instructions(program, function)) {
      const bpf::Slot& slot = program.slots[at];
      if (is_pointer(slot)) {
        all.push_back({check::Named::by_pointer, f, ordinal, at});
      } else if (slot.opcode == kCallOpcode) {
        const bool is_pseudo = slot.src == bpf::kPseudoCall;
        all.push_back(
            {is_pseudo ? check::Named::by_call : check::Named::by_number, f, ordinal, at});
        ++ordinal;
      }
    }
  }
  return all;
}

// The number of the function that the instruction names in a program as it was loaded.
std::uint32_t callee_in(const bpf::Program& loaded, const Naming& naming) {
  const bpf::Slot& slot = loaded.slots[naming.slot];
  const auto target = static_cast<bpf::SlotIndex>(std::int64_t{naming.slot} + 1 + slot.imm);
  return function_at(loaded, target).value_or(0);
}

bool same_kind(const Naming& one, const Naming& other) {
  return one.named == other.named && one.function == other.function;
}

// How much of the stack the function's own instructions name.
std::uint32_t named_stack(const bpf::Program& program, const bpf::Function& function) {
  constexpr std::uint8_t kFrame = 10;
  std::int32_t lowest = 0;
  for (const bpf::SlotIndex at : instructions(program, function)) {
    const bpf::Slot& slot = program.slots[at];
    const unsigned kind = slot.opcode & 7U;
    if ((kind == 1 && slot.src == kFrame) || ((kind == 2 || kind == 3) && slot.dst == kFrame)) {
      lowest = std::min<std::int32_t>(lowest, slot.offset);
    }
  }
  return static_cast<std::uint32_t>(-lowest);
}

struct Addresses {
  std::vector<std::int64_t> from_base;
  std::string whose;
};

// What may stand in a call of a function that is interpreted: which of the kernel's interpreters it
// is depends on how much stack the verifier sees.
Addresses of_interpreters(std::uint32_t stack_bytes, const KernelSymbols& symbols) {
  Addresses all{.from_base = {},
                .whose = fmt::format("an interpreter of functions with {} bytes of stack or more",
                                     stack_bytes)};
  const auto base = symbols.find(kCallBaseSymbol);
  for (std::uint32_t bytes = kInterpretedStackStep; base && bytes <= kMostInterpretedStack;
       bytes += kInterpretedStackStep) {
    const auto interpreter = symbols.find(interpreter_symbol(bytes));
    if (interpreter && bytes >= stack_bytes) {
      all.from_base.push_back(farcall::bytes(*interpreter - *base));
    }
  }
  return all;
}

// What a call of that helper may call, as it is or with the JIT on.
std::array<const char*, 2> called_in(const RealHelper& helper, bool jit) {
  if (jit && helper.is_of_maps()) {
    return {helper.of_array, helper.of_hash};
  }
  return {helper.symbol, nullptr};
}

// The first function of the program that one belongs to: a kernel counts from there.
std::uint32_t first_of_its_program(const bpf::Program& program, std::uint32_t function) {
  const std::vector<ProgramPart> parts = program_parts(program);
  return parts[part_of(parts, function)].first_function;
}

// What may stand in a call of a helper. With the JIT on, one of a map is a call of that map's own
// function: of which kind of map is not looked at.
Addresses of_helper(const bpf::Program& loaded, const bpf::Slot& slot, bool jit,
                    const KernelSymbols& symbols) {
  if (slot.imm == bpf::kTailCall) {
    return {.from_base = {bpf::kTailCall}, .whose = "the number of the tail call"};
  }
  const auto called = external_with_id(loaded, bpf::ExternalKind::helper, slot.imm);
  if (!called) {
    return {};
  }
  const RealHelper* const helper = real_helper(loaded.externals[*called - loaded.functions.size()]);
  if (helper == nullptr) {
    return {};
  }
  Addresses all{.from_base = {}, .whose = helper->symbol};
  if (jit && helper->is_of_maps()) {
    all.whose = fmt::format("what {} is of a map", helper->symbol);
  }
  const auto base = symbols.find(kCallBaseSymbol);
  for (const char* const symbol : called_in(*helper, jit)) {
    const auto address = symbol == nullptr ? std::nullopt : symbols.find(symbol);
    if (base && address) {
      all.from_base.push_back(bytes(*address - *base));
    }
  }
  return all;
}

// Whether each 64-bit load of the function has its second half there.
bool has_whole_loads(const bpf::Program& program, const bpf::Function& function) {
  bpf::SlotIndex at = function.begin;
  while (at < function.end) {
    at += bpf::slots_of(program.slots[at].opcode);
  }
  return at == function.end;
}

// The slots of the dump, with its functions by their names. Nothing: they are not the program's, in its
// order, or do not divide the dump.
std::optional<bpf::Program> with_functions(const bpf::Program& loaded,
                                           const kernel::Answer& answer) {
  bpf::Program dumped{.slots = answer.program, .functions = {}};
  const std::size_t count = answer.function_types.size();
  std::uint32_t next = 0;  // the least number that a function may have
  for (std::size_t i = 0; i < count; ++i) {
    const kernel::FunctionType& type = answer.function_types[i];
    const std::uint32_t number = type.type - kernel::kFirstFunctionType;
    const auto end = i + 1 < count ? std::uint32_t{answer.function_types[i + 1].slot}
                                   : static_cast<std::uint32_t>(answer.program.size());
    const bpf::SlotIndex begin = i == 0 ? 0 : dumped.functions.back().end;
    if (number < next || number >= loaded.functions.size() || type.slot != begin || begin >= end ||
        end > answer.program.size()) {
      return std::nullopt;
    }
    dumped.functions.push_back({.name = loaded.functions[number].name,
                                .begin = begin,
                                .end = end,
                                .begins_program = loaded.functions[number].begins_program});
    if (!has_whole_loads(dumped, dumped.functions.back())) {
      return std::nullopt;
    }
    next = number + 1;
  }
  return dumped;
}

std::vector<std::string> names_of(const bpf::Program& program) {
  std::vector<std::string> names;
  std::ranges::transform(program.functions, std::back_inserter(names), &bpf::Function::name);
  return names;
}

// The calls of the dump, by function and number in it, beside those in the bytes.
std::vector<check::CallInCode> calls_in_code(const bpf::Program& loaded, const bpf::Program& dumped,
                                             std::span<const model::DecodedCall> decoded) {
  std::vector<check::CallInCode> calls;
  for (const Naming& naming : namings(dumped)) {
    const bpf::CallSite site = {naming.function, naming.ordinal};
    const auto found = std::ranges::find(decoded, site, &model::DecodedCall::site);
    if (naming.named != check::Named::by_pointer && found != decoded.end()) {
      calls.push_back({.name = to_string(loaded, site), .slot = naming.slot, .at = found->at});
    }
  }
  return calls;
}

}  // namespace

std::optional<bpf::Program> as_source(std::span<const bpf::Slot> dumped) {
  std::vector<std::int64_t> begins = {0};
  const auto calls = [&](std::size_t i) {
    return dumped[i].opcode == kCallOpcode && dumped[i].src == bpf::kPseudoCall;
  };
  const auto callee = [&](std::size_t i) {
    return static_cast<std::int64_t>(i) + 1 + dumped[i].offset;
  };
  for (const bpf::SlotIndex i : instructions(dumped)) {
    if (calls(i)) {
      begins.push_back(callee(i));
    } else if (is_pointer(dumped[i])) {
      begins.push_back(static_cast<std::int64_t>(i) + 1 + dumped[i].imm);
    }
  }
  std::ranges::sort(begins);
  begins.erase(std::ranges::unique(begins).begin(), begins.end());
  if (begins.front() < 0 || begins.back() >= static_cast<std::int64_t>(dumped.size())) {
    return std::nullopt;
  }
  bpf::Program program{.slots = {dumped.begin(), dumped.end()}, .functions = {}};
  for (std::size_t i = 0; i < begins.size(); ++i) {
    const std::int64_t end =
        i + 1 < begins.size() ? begins[i + 1] : static_cast<std::int64_t>(dumped.size());
    program.functions.push_back({.name = fmt::format("f{}", i),
                                 .begin = static_cast<bpf::SlotIndex>(begins[i]),
                                 .end = static_cast<bpf::SlotIndex>(end)});
  }
  for (std::size_t i = 0; i < dumped.size(); ++i) {
    if (calls(i)) {
      program.slots[i].imm = dumped[i].offset;
      program.slots[i].offset = 0;
    }
  }
  return program;
}

std::optional<bpf::Program> as_source(const bpf::Program& loaded, const kernel::Answer& answer) {
  auto found = with_functions(loaded, answer);
  if (!found || found->functions.size() != loaded.functions.size()) {
    return std::nullopt;
  }
  bpf::Program& dumped = *found;
  const std::vector<Naming> before = namings(loaded);
  const std::vector<Naming> after = namings(dumped);
  if (!std::ranges::equal(before, after, same_kind)) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (after[i].named == check::Named::by_number) {
      continue;
    }
    const bpf::Function& callee = dumped.functions[callee_in(loaded, before[i])];
    bpf::Slot* const slot = &dumped.slots[after[i].slot];
    slot[0].offset = 0;
    slot[0].imm = static_cast<std::int32_t>(std::int64_t{callee.begin} - after[i].slot - 1);
    if (after[i].named == check::Named::by_pointer) {
      slot[1].imm = 0;
    }
  }
  return dumped;
}

std::optional<CalledSymbol> called_symbol(std::int32_t imm, const KernelSymbols& symbols) {
  const auto base = symbols.find(kCallBaseSymbol);
  for (const RealHelper& helper : kRealHelpers) {
    for (const char* const symbol : {helper.symbol, helper.of_array, helper.of_hash}) {
      const auto address = symbol == nullptr ? std::nullopt : symbols.find(symbol);
      if (base && address && bytes(*address - *base) == imm) {
        return CalledSymbol{.helper = &helper, .symbol = symbol};
      }
    }
  }
  return std::nullopt;
}

std::optional<std::vector<CalledSymbol>> called_symbols(std::span<const bpf::Slot> dumped,
                                                        const KernelSymbols& symbols) {
  std::vector<CalledSymbol> all;
  for (const bpf::SlotIndex at : instructions(dumped)) {
    const bpf::Slot& slot = dumped[at];
    if (slot.opcode != kCallOpcode || slot.src != bpf::kHelperCall || is_tail_call(slot)) {
      continue;
    }
    const auto called = called_symbol(slot.imm, symbols);
    if (!called) {
      return std::nullopt;
    }
    all.push_back(*called);
  }
  return all;
}

std::optional<bpf::Program> as_dumped(const bpf::Program& loaded, const kernel::Answer& answer) {
  auto dumped = with_functions(loaded, answer);
  if (!dumped || dumped->functions.size() != answer.functions.size()) {
    return std::nullopt;
  }
  for (const bpf::SlotIndex at : instructions(*dumped)) {
    bpf::Slot* const slot = &dumped->slots[at];
    const bool is_call = slot->opcode == kCallOpcode;
    if (!is_pointer(*slot) && !(is_call && slot->src == bpf::kPseudoCall)) {
      continue;
    }
    const std::uint32_t first = first_of_its_program(*dumped, *function_at(*dumped, at));
    const std::int64_t number = std::int64_t{is_call ? slot->imm : slot[1].imm} + first;
    if (number < 0 || static_cast<std::size_t>(number) >= dumped->functions.size()) {
      return std::nullopt;
    }
    const auto begin = std::int64_t{dumped->functions[static_cast<std::size_t>(number)].begin};
    slot[0].imm = static_cast<std::int32_t>(begin - at - 1);
    slot[0].offset = 0;
    if (!is_call) {
      slot[1].imm = 0;
    }
  }
  return dumped;
}

std::optional<Rewritten> as_rewritten(const model::Cell& cell, const kernel::Answer& answer,
                                      const KernelSymbols& symbols) {
  const bpf::Program& loaded = *cell.program;
  auto dumped = as_dumped(loaded, answer);
  if (!dumped) {
    return std::nullopt;
  }
  bpf::Program made = *dumped;
  made.externals = loaded.externals;
  made.maps = loaded.maps;
  for (const bpf::SlotIndex at : instructions(made)) {
    bpf::Slot* const slot = &made.slots[at];
    constexpr std::uint8_t kMov32 = 0xbc;
    const bool calls_helper = slot->opcode == kCallOpcode && slot->src == bpf::kHelperCall;
    const bool is_load = slot->opcode == bpf::kLoadImmediate64;
    if (calls_helper && !is_tail_call(*slot)) {
      const auto called = called_symbol(slot->imm, symbols);
      if (!called) {
        return std::nullopt;
      }
      slot->imm = called->helper->number;
      if (called->symbol == std::string_view(kHashElementSymbol)) {
        slot->imm = kHashElement;
        if (!external_with_id(made, bpf::ExternalKind::helper, kHashElement)) {
          made.externals.push_back(external::external(*external::find(external::kHashElementName),
                                                      bpf::ExternalKind::helper, kHashElement));
        }
      }
    } else if (is_load && slot->src != 0 && !is_pointer(*slot)) {
      // What was loaded, with the address that the kernel put there.
      const auto row = std::ranges::find(answer.lines, at, &kernel::LineRow::slot);
      if (row == answer.lines.end() || row->loaded_slot >= loaded.slots.size() ||
          loaded.slots[row->loaded_slot].opcode != bpf::kLoadImmediate64) {
        return std::nullopt;
      }
      std::copy_n(&loaded.slots[row->loaded_slot], 2, slot);
    } else if (slot->opcode == kMov32 && slot->dst == slot->src) {
      slot->imm = 0;  // 1 says that it belongs to the instruction before
    }
  }
  if (!bpf::validate(made)) {
    return std::nullopt;
  }
  return Rewritten{.dumped = *std::move(dumped), .program = std::move(made)};
}

std::optional<std::string> removed_pointee(const bpf::Program& loaded,
                                           const kernel::Answer& answer) {
  const auto dumped = with_functions(loaded, answer);
  if (!dumped || dumped->functions.size() == loaded.functions.size()) {
    return std::nullopt;
  }
  for (const Naming& naming : namings(loaded)) {
    const std::string& pointee = loaded.functions[callee_in(loaded, naming)].name;
    const auto row = std::ranges::find(answer.lines, naming.slot, &kernel::LineRow::loaded_slot);
    if (naming.named == check::Named::by_pointer && row != answer.lines.end() &&
        row->slot < answer.program.size() && is_pointer(answer.program[row->slot]) &&
        std::ranges::find(dumped->functions, pointee, &bpf::Function::name) ==
            dumped->functions.end()) {
      return pointee;
    }
  }
  return std::nullopt;
}

std::vector<model::Finding> dump_findings(const bpf::Program& loaded, const bpf::Program& dumped,
                                          const kernel::Answer& answer, wire::KernelMode mode,
                                          const AskedKernel& kernel) {
  const bool jit = mode != wire::KernelMode::interpreter;
  const std::vector<Naming> before = namings(loaded);
  const std::vector<Naming> after = namings(dumped);
  std::vector<check::DumpedName> names;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const bpf::Slot* const told = &answer.program[after[i].slot];
    std::uint32_t callee = 0;
    std::uint32_t first = 0;  // of its program
    check::DumpedName name{.named = after[i].named,
                           .site = {},
                           .callee = {},
                           .number_by_cut = {},
                           .addresses = {},
                           .whose = {},
                           .offset = told[0].offset,
                           .imm = told[0].imm};
    if (name.named == check::Named::by_number) {
      Addresses helper = of_helper(loaded, loaded.slots[before[i].slot], jit, kernel.symbols);
      name.addresses = std::move(helper.from_base);
      name.whose = std::move(helper.whose);
    } else {
      callee = callee_in(loaded, before[i]);
      first = first_of_its_program(loaded, callee);
      name.number = callee - first;
      name.callee = loaded.functions[callee].name;
      name.distance = dumped.slots[after[i].slot].imm;
    }
    if (name.named == check::Named::by_call) {
      const auto lands = std::ranges::find(
          dumped.functions,
          std::int64_t{after[i].slot} + 1 + static_cast<std::int16_t>(name.distance),
          [](const bpf::Function& function) { return std::int64_t{function.begin}; });
      if (lands != dumped.functions.end()) {
        name.number_by_cut = static_cast<std::uint32_t>(lands - dumped.functions.begin()) - first;
      }
    }
    if (name.named == check::Named::by_pointer) {
      name.second_imm = told[1].imm;
    } else {
      name.site = to_string(loaded, {after[i].function, after[i].ordinal});
    }
    if (name.named == check::Named::by_call && !jit) {
      const std::uint32_t stack = named_stack(loaded, loaded.functions[callee]);
      Addresses interpreters = of_interpreters(stack, kernel.symbols);
      name.addresses = std::move(interpreters.from_base);
      name.whose = std::move(interpreters.whose);
    }
    names.push_back(std::move(name));
  }
  return check::dump_findings(names, jit, kernel.series);
}

std::vector<model::Finding> line_findings(const bpf::Program& loaded, const bpf::Program& dumped,
                                          const kernel::Answer& answer,
                                          const kernel::KernelFacts& facts) {
  std::vector<check::KernelLine> lines;
  for (const kernel::LineRow& line : answer.lines) {
    lines.push_back({.slot = line.slot, .address = line.address});
  }
  const auto decoded = decode::call_sites(kernel_image(answer, names_of(loaded), facts),
                                          {.endian = facts.endian, .toc = facts.toc});
  return check::line_findings(lines, calls_in_code(loaded, dumped, decoded));
}

std::vector<model::Finding> pointer_findings(const bpf::Program& loaded,
                                             const kernel::Answer& answer,
                                             const kernel::KernelFacts& facts) {
  const std::vector<Naming> all = namings(loaded);
  if (std::ranges::find(all, check::Named::by_pointer, &Naming::named) == all.end()) {
    return {};
  }
  const model::CodeImage image = kernel_image(answer, names_of(loaded), facts);
  const auto made = decode::made_pointers(image, {.endian = facts.endian, .toc = facts.toc});
  std::vector<model::Finding> findings;
  auto next = made.begin();
  for (const Naming& naming : all) {
    if (naming.named != check::Named::by_pointer) {
      continue;
    }
    const std::uint32_t pointee = callee_in(loaded, naming);
    const std::uint8_t gpr = image.bpf_registers[loaded.slots[naming.slot].dst];
    // In the order of the program, as code is.
    const auto found = std::find_if(next, made.end(), [&](const decode::MadePointer& pointer) {
      return pointer.function == naming.function && pointer.gpr == gpr &&
             pointer.pointee == pointee;
    });
    if (found == made.end()) {
      findings.push_back(
          {ErrorCode::call_decoded_elsewhere, "",
           fmt::format("expected the code of {} to load the address of {}, {}, as jited_ksyms has "
                       "it, into r{}; no instruction does",
                       loaded.functions[naming.function].name, loaded.functions[pointee].name,
                       to_string(image.functions[pointee].address), gpr)});
    } else {
      next = std::next(found);
    }
  }
  return findings;
}

}  // namespace farcall::stock
