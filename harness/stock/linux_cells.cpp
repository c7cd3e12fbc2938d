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
#include "bpf/stack_argument.hpp"

namespace farcall::stock {
namespace {

constexpr std::uint8_t kCallx = 0x8d;
constexpr std::uint8_t kGotox = 0x0d;
constexpr std::uint8_t kMayGoto = 0xe5;
constexpr std::uint8_t kMov64Immediate = 0xb7;

// Of farcall's own runs of the kernel's code: far from what the kernel places.
constexpr GuestAddress kStack = {0xc000'0000'0200'0000};
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
      return "a tail call";
    }
    const auto called = external_with_id(program, bpf::ExternalKind::helper, slot.imm);
    const std::size_t functions = program.functions.size();
    return called && real_helper(program.externals[*called - functions]) != nullptr
               ? std::string{}
               : fmt::format("helper {} is the case's own function", slot.imm);
  }
  if (slot.opcode == kCallOpcode && slot.src != bpf::kPseudoCall) {
    return "a kfunc is the case's own function";
  }
  if (slot.opcode == bpf::kLoadImmediate64 && slot.src != 0 && slot.src != bpf::kPseudoFunction) {
    return "a map";
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

std::string_view words(model::Endian endian) {
  return endian == model::Endian::big ? "big" : "little";
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
  if (std::ranges::any_of(program.functions, &bpf::Function::begins_program)) {
    return not_asked("several programs");
  }
  if (!cell.expected.rejection &&
      std::ranges::any_of(pseudo_calls(program),
                          [](const bpf::PseudoCall& call) { return call.callee == 0; })) {
    return not_asked("its first function is called, which the verifier refuses");
  }
  if (cell.expected.failure && !is_of_placement(cell.expected.failure->code) &&
      !cell.expected.rejection) {
    return not_asked(fmt::format("the case expects {}", name(cell.expected.failure->code)));
  }
  if (cell.memory.size() > wire::kMostKernelRegions) {
    return not_asked(fmt::format("{} regions of memory", cell.memory.size()));
  }
  for (const bpf::MemoryRegion& region : cell.memory) {
    if (region.bytes.empty() || region.bytes.size() > wire::kMostKernelRegionBytes) {
      return not_asked(fmt::format("{} has {} bytes", region.name, region.bytes.size()));
    }
    if (holds_addresses(cell, region)) {
      return not_asked(fmt::format("{} holds addresses", region.name));
    }
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

// r1 to r5 as the case gives them.
std::vector<bpf::Slot> prologue(const model::Cell& cell) {
  std::vector<bpf::Slot> slots;
  for (std::size_t i = 0; i < cell.arguments.size(); ++i) {
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

std::uint64_t loaded_value(const std::vector<bpf::Slot>& slots, std::uint32_t slot) {
  return static_cast<std::uint32_t>(slots[slot].imm) |
         std::uint64_t{static_cast<std::uint32_t>(slots[slot + 1].imm)} << 32U;
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
  linux.cell.arguments = {};
  bpf::Program program = with_prologue(*cell.program, prologue(cell));
  linux.question.slots = program.slots;
  for (std::uint32_t i = 0; i < program.slots.size(); ++i) {
    if (program.slots[i].opcode != bpf::kLoadImmediate64) {
      continue;
    }
    if (const auto place = place_of(cell, loaded_value(program.slots, i))) {
      linux.loads.push_back({.slot = i, .region = place->region, .offset = place->offset});
      bpf::Slot* const asked = &linux.question.slots[i];
      asked[0].src = bpf::kPseudoMapValue;
      asked[0].imm = static_cast<std::int32_t>(place->region);
      asked[1].imm = static_cast<std::int32_t>(place->offset);
    }
    ++i;
  }
  for (const bpf::MemoryRegion& region : cell.memory) {
    linux.question.regions.push_back({.bytes = region.bytes, .writable = region.writable});
  }
  std::vector<kernel::NamedFunction> names;
  for (const bpf::Function& function : program.functions) {
    names.push_back({.name = function.name, .begin = function.begin});
  }
  linux.question.types = kernel::type_information(linux.question.slots, names, facts.order());
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
    cell.memory[i].address = answer.regions[i].address;
  }
  for (const RegionLoad& load : linux_cell.loads) {
    set_address(program.slots, load.slot, cell.memory[load.region].address.value + load.offset);
  }
  if (answer.functions.size() == program.functions.size()) {
    std::ranges::transform(answer.functions, cell.placement.functions.begin(),
                           &kernel::JitedFunction::address);
  }
  cell.program = std::make_shared<const bpf::Program>(std::move(program));
  return cell;
}

}  // namespace farcall::stock
