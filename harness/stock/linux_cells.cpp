#include "stock/linux_cells.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <memory>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "bpf/stack_argument.hpp"
#include "stock/programs.hpp"

namespace farcall::stock {
namespace {

constexpr std::uint8_t kCallx = 0x8d;
constexpr std::uint8_t kGotox = 0x0d;
constexpr std::uint8_t kMayGoto = 0xe5;
constexpr std::uint8_t kMov64Immediate = 0xb7;

// Of farcall's own runs of the kernel's code: far from what the kernel places, after all memory that
// a guest may have.
constexpr GuestAddress kStack = {0xc000'0d00'0000'0000};
constexpr GuestAddress kCallBase = {0xc000'0000'0010'0000};

Error not_asked(std::string why) {
  return {.code = ErrorCode::jit_declined, .message = "not for a stock kernel: " + std::move(why)};
}

// What of a slot a stock kernel has no counterpart for, or an empty text.
std::string foreign(const bpf::Program& program, const bpf::Slot& slot) {
  if (slot.opcode == kCallx) {
    return "a call through a register";
  }
  if (slot.opcode == kGotox) {
    return "a jump through a table";
  }
  if (slot.opcode == kMayGoto) {
    return "may_goto, whose number of rounds the kernel chooses";
  }
  if (slot.opcode != kCallOpcode &&
      (slot.dst == bpf::kArgumentBase || slot.src == bpf::kArgumentBase)) {
    return "arguments six and more, which Linux does not have on ppc64";
  }
  if (slot.opcode == kCallOpcode && slot.src == bpf::kHelperCall) {
    if (slot.imm == bpf::kTailCall) {
      return {};
    }
    const auto called = external_with_id(program, bpf::ExternalKind::helper, slot.imm);
    const std::size_t functions = program.functions.size();
    if (called && real_helper(program.externals[*called - functions]) != nullptr) {
      return {};
    }
    const auto* const real = std::ranges::find(kRealHelpers, slot.imm, &RealHelper::number);
    return fmt::format("helper {} is the case's own function", slot.imm) +
           (real == kRealHelpers.end() ? ""
                                       : fmt::format("; the kernel's {} would be `-- helper {} {}`",
                                                     real->symbol, real->number, real->native));
  }
  if (slot.opcode == kCallOpcode && slot.src != bpf::kPseudoCall) {
    return "a kfunc is the case's own function";
  }
  return {};
}

// Failures that come of where things lie, or of how a call carries an address.
bool is_of_placement(ErrorCode code) {
  return code == ErrorCode::call_out_of_range || code == ErrorCode::link_branch_out_of_range;
}

struct PlaceInRegion {
  std::uint32_t region = 0;
  std::uint32_t offset = 0;
};

std::optional<PlaceInRegion> place_of(const model::Cell& cell, std::uint64_t address) {
  for (std::uint32_t i = 0; i < cell.memory.size(); ++i) {
    const bpf::MemoryRegion& region = cell.memory[i];
    if (address - region.address.value < region.bytes.size()) {
      return PlaceInRegion{.region = i,
                           .offset = static_cast<std::uint32_t>(address - region.address.value)};
    }
  }
  return std::nullopt;
}

bool is_function(const model::Cell& cell, std::uint64_t address) {
  return std::ranges::find(cell.placement.functions, GuestAddress{address}) !=
         cell.placement.functions.end();
}

bool is_address(const model::Cell& cell, std::uint64_t value) {
  return place_of(cell, value).has_value() || is_function(cell, value);
}

bool holds_addresses(const model::Cell& cell, const bpf::MemoryRegion& region) {
  for (std::size_t at = 0; at + 8 <= region.bytes.size(); at += 8) {
    if (is_address(cell, load<std::uint64_t>(&region.bytes[at], byte_order(cell.axes.endian)))) {
      return true;
    }
  }
  return false;
}

std::uint64_t loaded_value(const std::vector<bpf::Slot>& slots, std::uint32_t slot) {
  return static_cast<std::uint32_t>(slots[slot].imm) |
         std::uint64_t{static_cast<std::uint32_t>(slots[slot + 1].imm)} << 32U;
}

// What the load at `slot` names of the cell's memory is, in `asked`, a region by its number; in
// `program` an address is that of a region's byte, see RegionLoad, or a map.
void name_region(const model::Cell& cell, LinuxCell& linux, std::uint32_t slot,
                 bpf::Program& program, std::vector<bpf::Slot>& asked) {
  bpf::Slot* const loaded = &program.slots[slot];
  if (loaded->opcode != bpf::kLoadImmediate64 || loaded->src == bpf::kPseudoFunction) {
    return;
  }
  const auto map_named = [&](const std::string& name) {
    return static_cast<std::int32_t>(std::ranges::find(program.maps, name, &bpf::Map::name) -
                                     program.maps.begin());
  };
  std::optional<PlaceInRegion> place;
  if (loaded->src == 0) {
    place = place_of(cell, loaded_value(program.slots, slot));
    if (!place) {
      return;
    }
    if (is_own_map(linux.kinds[place->region])) {
      loaded[0].src = bpf::kPseudoMap;
      loaded[0].imm = map_named(cell.memory[place->region].name);
      loaded[1].imm = 0;
    } else {
      linux.loads.push_back({.slot = slot, .region = place->region, .offset = place->offset});
    }
  } else {
    const std::string& name = program.maps[static_cast<std::size_t>(loaded->imm)].name;
    const auto region = std::ranges::find(cell.memory, name, &bpf::MemoryRegion::name);
    place = PlaceInRegion{.region = static_cast<std::uint32_t>(region - cell.memory.begin()),
                          .offset = static_cast<std::uint32_t>(loaded[1].imm)};
  }
  const bool is_map = loaded->src == bpf::kPseudoMap;
  asked[slot].src = is_map ? bpf::kPseudoMap : bpf::kPseudoMapValue;
  asked[slot].imm = static_cast<std::int32_t>(place->region);
  asked[slot + 1].imm = is_map ? 0 : static_cast<std::int32_t>(place->offset);
  if (loaded->src == 0 && linux.kinds[place->region] == RegionKind::values) {
    asked[slot + 1].imm -= static_cast<std::int32_t>(bpf::kArrayHeaderBytes);
  }
}

std::string_view words(model::Endian endian) {
  return endian == model::Endian::big ? "big" : "little";
}

// Programs that make tail calls hand on the context that r1 points to at entry: which region that is.
// Nothing: r1 is 0.
std::optional<std::uint32_t> context_region(const model::Cell& cell) {
  const auto place = place_of(cell, cell.arguments[0]);
  return makes_tail_calls(*cell.program) && place ? std::optional(place->region) : std::nullopt;
}

// Whether the programs get the region's address by more than r1 at entry: the others are those of the
// kernel's map, and the context is a copy of it.
bool is_named_otherwise(const model::Cell& cell, std::uint32_t region) {
  const auto is_in_it = [&](std::uint64_t address) {
    const auto place = place_of(cell, address);
    return place && place->region == region;
  };
  const std::vector<bpf::Slot>& slots = cell.program->slots;
  return std::any_of(cell.arguments.begin() + 1, cell.arguments.end(), is_in_it) ||
         std::ranges::any_of(instructions(slots), [&](bpf::SlotIndex i) {
           return slots[i].opcode == bpf::kLoadImmediate64 && slots[i].src == 0 &&
                  is_in_it(loaded_value(slots, i));
         });
}

// Why r1 cannot be what the case says, in a program that makes tail calls.
std::optional<Error> no_context(const model::Cell& cell, std::span<const RegionKind> kinds) {
  if (!makes_tail_calls(*cell.program)) {
    return std::nullopt;
  }
  const auto place = place_of(cell, cell.arguments[0]);
  if (!place) {
    return cell.arguments[0] == 0
               ? std::nullopt
               : std::optional(not_asked("its r1 is a number, and a tail call hands on a context"));
  }
  const bpf::MemoryRegion& region = cell.memory[place->region];
  if (place->offset != 0 || kinds[place->region] != RegionKind::memory ||
      region.bytes.size() > wire::kMostKernelContextBytes) {
    return not_asked(
        fmt::format("its r1 points to {}, and a tail call hands on a context of at most {} bytes",
                    region.name, wire::kMostKernelContextBytes));
  }
  if (is_named_otherwise(cell, place->region)) {
    return not_asked(
        fmt::format("its r1 points to {}, whose address it also has otherwise; a kernel hands on a "
                    "copy as the context",
                    region.name));
  }
  return std::nullopt;
}

// An address in the middle of a map of its own, for which the kernel has no name.
bool is_within_own_map(const model::Cell& cell, std::span<const RegionKind> kinds,
                       std::uint64_t address) {
  const auto place = place_of(cell, address);
  return place && place->offset != 0 && is_own_map(kinds[place->region]);
}

std::optional<Error> names_inside_of_map(const model::Cell& cell,
                                         std::span<const RegionKind> kinds) {
  const auto named = [&](std::uint64_t address) {
    return not_asked(fmt::format("an address inside {}, a map of the kernel's",
                                 cell.memory[place_of(cell, address)->region].name));
  };
  for (const std::uint64_t value : cell.arguments) {
    if (is_within_own_map(cell, kinds, value)) {
      return named(value);
    }
  }
  const std::vector<bpf::Slot>& slots = cell.program->slots;
  for (const bpf::SlotIndex i : instructions(slots)) {
    if (slots[i].opcode == bpf::kLoadImmediate64 && slots[i].src == 0 &&
        is_within_own_map(cell, kinds, loaded_value(slots, i))) {
      Error error = named(loaded_value(slots, i));
      error.where = cell.program->origins.at(i);
      return error;
    }
  }
  return std::nullopt;
}

// Why the kernel is not asked about that cell.
std::optional<Error> objection(const model::Cell& cell, const kernel::KernelFacts& facts) {
  if (!cell.program) {
    return not_asked("a document without a program");
  }
  if (cell.control) {
    return not_asked("a cell with a fault in it");
  }
  if (cell.axes.endian != facts.endian) {
    return not_asked(fmt::format("a {}-endian cell; this kernel is {}-endian",
                                 words(cell.axes.endian), words(facts.endian)));
  }
  const bpf::Program& program = *cell.program;
  for (std::uint32_t i = 0; i < program.slots.size(); ++i) {
    if (const std::string what = foreign(program, program.slots[i]); !what.empty()) {
      Error error = not_asked(what);
      error.where = program.origins.at(i);
      return error;
    }
    if (program.slots[i].opcode == bpf::kLoadImmediate64) {
      ++i;
    }
  }
  const std::vector<ProgramPart> parts = program_parts(program);
  if (parts.size() > 1 + wire::kMostKernelTargets) {
    return not_asked(fmt::format("{} programs, and a kernel is given {} at most", parts.size(),
                                 1 + wire::kMostKernelTargets));
  }
  for (const bpf::PseudoCall& call : pseudo_calls(program)) {
    if (call.callee >= program.functions.size()) {
      continue;
    }
    const std::size_t part = part_of(parts, call.callee);
    if (!cell.expected.rejection && call.callee == parts[part].first_function) {
      return not_asked("its first function is called, which the verifier refuses");
    }
    if (part != part_of(parts, call.site.function)) {
      return not_asked(
          fmt::format("{} is called by several programs, which have no functions in "
                      "common in a kernel",
                      program.functions[call.callee].name));
    }
  }
  if (cell.expected.failure && !is_of_placement(cell.expected.failure->code) &&
      !cell.expected.rejection) {
    return not_asked(fmt::format("the case expects {}", name(cell.expected.failure->code)));
  }
  if (cell.memory.size() > wire::kMostKernelRegions) {
    return not_asked(fmt::format("{} regions of memory, and a kernel is given {} at most",
                                 cell.memory.size(), wire::kMostKernelRegions));
  }
  const auto simplified = std::ranges::find(program.maps, true, &bpf::Map::simplified);
  if (simplified != program.maps.end()) {
    return not_asked(fmt::format(
        "{} is a per-CPU or LRU map, of which a kernel has a value for each CPU, or drops "
        "elements when it is full; here it is a plain one",
        simplified->name));
  }
  const std::vector<RegionKind> kinds = region_kinds(cell);
  for (std::size_t i = 0; i < cell.memory.size(); ++i) {
    const bpf::MemoryRegion& region = cell.memory[i];
    if (region.bytes.empty() || region.bytes.size() > wire::kMostKernelRegionBytes) {
      return not_asked(fmt::format("{} has {} bytes, and a kernel is given 1 to {}", region.name,
                                   region.bytes.size(), wire::kMostKernelRegionBytes));
    }
    if (kinds[i] != RegionKind::programs && holds_addresses(cell, region)) {
      return not_asked(fmt::format("{} holds addresses", region.name));
    }
    if (std::string why = no_such_map(cell, region, kinds[i]); !why.empty()) {
      return not_asked(std::move(why));
    }
  }
  if (std::string why = too_much_to_tell(cell, kinds); !why.empty()) {
    return not_asked(std::move(why));
  }
  if (auto why = no_context(cell, kinds)) {
    return why;
  }
  if (auto why = names_inside_of_map(cell, kinds)) {
    return why;
  }
  if (std::ranges::any_of(cell.arguments,
                          [&](std::uint64_t value) { return is_function(cell, value); })) {
    return not_asked("a register holds the address of a function");
  }
  return std::nullopt;
}

void set_address(std::vector<bpf::Slot>& slots, std::uint32_t slot, std::uint64_t address) {
  slots[slot].imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(address));
  slots[slot + 1].imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(address >> 32U));
}

// r1 to r5 as the case gives them, but for an r1 that is a context.
std::vector<bpf::Slot> prologue(const model::Cell& cell) {
  std::vector<bpf::Slot> slots;
  for (std::size_t i = makes_tail_calls(*cell.program) ? 1 : 0; i < cell.arguments.size(); ++i) {
    const auto value = static_cast<std::int64_t>(cell.arguments[i]);
    const auto number = static_cast<std::uint8_t>(i + 1);
    if (!place_of(cell, cell.arguments[i]) && value == static_cast<std::int32_t>(value)) {
      slots.push_back(
          {.opcode = kMov64Immediate, .dst = number, .imm = static_cast<std::int32_t>(value)});
    } else {
      slots.push_back({.opcode = bpf::kLoadImmediate64, .dst = number});
      slots.push_back({});
      set_address(slots, static_cast<std::uint32_t>(slots.size() - 2), cell.arguments[i]);
    }
  }
  return slots;
}

// The program after `slots`, which are its main function's first.
bpf::Program with_prologue(const bpf::Program& program, std::vector<bpf::Slot> slots) {
  const auto count = static_cast<bpf::SlotIndex>(slots.size());
  bpf::Program all = program;
  all.slots.insert(all.slots.begin(), slots.begin(), slots.end());
  std::vector<bpf::SlotIndex> begins(program.slots.size() + 1);
  std::iota(begins.begin() + 1, begins.end(), count + 1);
  all.origins = program.origins.grown(begins);  // `slots` come from where the first one does
  for (bpf::Function& function : all.functions) {
    function.begin += function.begin == 0 ? 0 : count;
    function.end += count;
  }
  for (bpf::SourceLine& line : all.lines) {
    line.slot += count;
  }
  return all;
}

// Nothing of what a case says about where things lie, and how calls get there.
model::Expectation without_places(const model::Cell& cell) {
  model::Expectation expected = cell.expected;
  if (expected.failure) {
    expected = {.rejection = cell.expected.rejection};
    expected.any_other_call = true;
  }
  if (expected.result && is_address(cell, *expected.result)) {
    expected.result.reset();
  }
  return expected;
}

// Pointers to functions that were elsewhere, in an array of programs.
void move_pointers(const std::vector<GuestAddress>& before, const model::Cell& cell,
                   std::span<std::byte> array) {
  const std::endian order = byte_order(cell.axes.endian);
  for (std::size_t at = bpf::kArrayHeaderBytes; at + 8 <= array.size(); at += 8) {
    const auto function =
        std::ranges::find(before, GuestAddress{load<std::uint64_t>(&array[at], order)});
    if (function != before.end()) {
      const auto number = static_cast<std::size_t>(function - before.begin());
      store(&array[at], cell.placement.functions[number].value, order);
    }
  }
}

std::string linux_name(const model::Cell& cell, const std::string& axes) {
  return cell.name.substr(0, cell.name.find('@')) + "@linux" + axes;
}

}  // namespace

const RealHelper* real_helper(const bpf::External& external) {
  const auto* const found = std::ranges::find_if(kRealHelpers, [&](const RealHelper& helper) {
    return external.kind == bpf::ExternalKind::helper && !external.stub &&
           external.id == helper.number && external.name == helper.native;
  });
  return found == kRealHelpers.end() ? nullptr : found;
}

LinuxCell linux_cell(const model::Cell& cell, const kernel::KernelFacts& facts) {
  LinuxCell linux{.cell = cell,
                  .origin = cell.name,
                  .loads = {},
                  .kinds = {},
                  .context = {},
                  .question = {},
                  .skipped = objection(cell, facts)};
  linux.cell.name = linux_name(cell, "");
  linux.cell.axes.guest = model::GuestKind::linux;
  if (linux.skipped) {
    return linux;
  }
  linux.cell.axes.abi = facts.abi;  // it is the kernel that calls
  linux.cell.expected = without_places(cell);
  linux.cell.placement.stack = kStack;
  linux.cell.placement.call_base = kCallBase;
  linux.kinds = region_kinds(cell);
  bpf::Program program = with_prologue(*cell.program, prologue(cell));
  std::vector<bpf::Slot> asked = program.slots;
  for (const bpf::SlotIndex i : instructions(program)) {
    name_region(cell, linux, i, program, asked);
  }
  linux.cell.arguments = {};
  // Up to 6.12 only a program that does not sleep may name an array of programs.
  if (makes_tail_calls(program) ||
      std::ranges::find(linux.kinds, RegionKind::programs) != linux.kinds.end()) {
    linux.question.type = wire::KernelProgramType::raw_tracepoint;
  }
  if (makes_tail_calls(program)) {
    linux.context = context_region(cell);
    if (linux.context) {
      linux.question.context = cell.memory[*linux.context].bytes.to_vector();
    }
  }
  for (std::size_t i = 0; i < cell.memory.size(); ++i) {
    linux.question.regions.push_back(kernel_region(cell, cell.memory[i], linux.kinds[i]));
  }
  for (const ProgramPart& part : program_parts(program)) {
    kernel::TailProgram one{.slots = {asked.begin() + part.begin, asked.begin() + part.end}};
    std::vector<kernel::NamedFunction> names;
    for (std::uint32_t f = part.first_function; f < part.end_function; ++f) {
      names.push_back(
          {.name = program.functions[f].name, .begin = program.functions[f].begin - part.begin});
    }
    one.types = kernel::type_information(one.slots, names, facts.order());
    if (part.first_function == 0) {
      linux.question.slots = std::move(one.slots);
      linux.question.types = std::move(one.types);
    } else {
      linux.question.targets.push_back(std::move(one));
    }
  }
  linux.cell.program = std::make_shared<const bpf::Program>(std::move(program));
  return linux;
}

std::vector<LinuxCell> linux_cells(std::span<const model::Document> documents,
                                   const kernel::KernelFacts& facts) {
  // Of a case, by CPU and MMU, which of its cells.
  using Key = std::tuple<std::string, model::Cpu, model::Mmu>;
  std::vector<std::pair<Key, const model::Cell*>> chosen;
  std::map<Key, std::size_t> numbers;
  const auto rank = [&](const model::Cell& cell) {
    return std::tuple(objection(cell, facts).has_value(), cell.axes.endian != facts.endian,
                      cell.expected.failure.has_value(), cell.axes.abi != facts.abi);
  };
  std::map<std::string, std::size_t> kinds;  // of a case, how many
  for (const model::Document& document : documents) {
    const model::Cell& cell = document.cell;
    const Key key = {cell.case_path, cell.axes.cpu, cell.axes.mmu};
    const auto [found, is_new] = numbers.try_emplace(key, chosen.size());
    if (is_new) {
      chosen.emplace_back(key, &cell);
      ++kinds[cell.case_path];
    } else if (rank(cell) < rank(*chosen[found->second].second)) {
      chosen[found->second].second = &cell;
    }
  }
  std::vector<LinuxCell> cells;
  for (const auto& [key, cell] : chosen) {
    cells.push_back(linux_cell(*cell, facts));
    if (kinds[cell->case_path] > 1) {
      cells.back().cell.name =
          linux_name(*cell, fmt::format("-{}-{}", value_name(cell->axes, model::Axis::cpu),
                                        value_name(cell->axes, model::Axis::mmu)));
    }
  }
  return cells;
}

model::Cell placed_by_kernel(const LinuxCell& linux_cell, const kernel::Answer& answer) {
  model::Cell cell = linux_cell.cell;
  bpf::Program program = *cell.program;
  for (std::size_t i = 0; i < cell.memory.size(); ++i) {
    cell.memory[i].address = region_address(answer.regions[i], linux_cell.kinds[i], i);
  }
  for (const RegionLoad& load : linux_cell.loads) {
    set_address(program.slots, load.slot, cell.memory[load.region].address.value + load.offset);
  }
  if (linux_cell.context) {
    cell.arguments[0] = cell.memory[*linux_cell.context].address.value;
  }
  if (answer.functions.size() == program.functions.size()) {
    const std::vector<GuestAddress> before = cell.placement.functions;
    std::ranges::transform(answer.functions, cell.placement.functions.begin(),
                           &kernel::JitedFunction::address);
    for (std::size_t i = 0; i < cell.memory.size(); ++i) {
      if (linux_cell.kinds[i] == RegionKind::programs) {
        move_pointers(before, cell, cell.memory[i].bytes.own());
      }
    }
  }
  cell.program = std::make_shared<const bpf::Program>(std::move(program));
  return cell;
}

}  // namespace farcall::stock
