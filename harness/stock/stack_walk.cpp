#include "stock/stack_walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "decode/call_sites.hpp"
#include "run/pipeline.hpp"
#include "stock/capture.hpp"
#include "stock/document.hpp"
#include "stock/programs.hpp"
#include "stock/refusal.hpp"

namespace farcall::stock {
namespace {

constexpr std::uint8_t kExitOpcode = 0x95;
constexpr std::uint8_t kMov64 = 0xbf;
constexpr std::uint8_t kMov64Number = 0xb7;
constexpr std::uint8_t kAdd64 = 0x0f;
constexpr std::uint8_t kAdd64Number = 0x07;
constexpr std::uint8_t kShiftLeft64Number = 0x67;
constexpr std::uint8_t kLoad64 = 0x79;               // ldxdw
constexpr std::uint8_t kStore64 = 0x7b;              // stxdw
constexpr std::uint8_t kJumpIfAtLeastNumber = 0x35;  // jge
constexpr std::uint8_t kJumpFar = 0x06;              // by imm
constexpr std::int32_t kTracePrintk = 6;
constexpr std::int32_t kGetStack = 67;

// The region: how many walks there were, no text to print, and the first walks, each what the helper
// returned and addresses. A kernel shows 127 of them.
constexpr std::uint32_t kNoTextAt = 8;
constexpr std::uint32_t kWalksAt = 16;
constexpr std::uint32_t kMostWalks = 16;
constexpr std::uint32_t kWalkShift = 10;
constexpr std::uint32_t kWalkBytes = std::uint32_t{1} << kWalkShift;
constexpr std::uint32_t kShownBytes = kWalkBytes - 8;
constexpr std::uint32_t kWalkRegionBytes = kWalksAt + kMostWalks * kWalkBytes;

constexpr std::string_view kNoWalk = "no walk over the stack: ";

Error no_copy(std::string_view why) {
  return {.code = ErrorCode::jit_declined, .message = fmt::format("{}{}", kNoWalk, why)};
}

bool is_jump(const bpf::Slot& slot) {
  const unsigned kind = slot.opcode & 7U;
  const unsigned operation = slot.opcode & 0xf0U;
  return (kind == 5 || kind == 6) && operation != 0x80U && operation != 0x90U;
}

// Whether the slot has in its imm how far away a function is.
bool names_function(const bpf::Slot& slot) {
  return (slot.opcode == bpf::kLoadImmediate64 && slot.src == bpf::kPseudoFunction) ||
         (slot.opcode == kCallOpcode && slot.src == bpf::kPseudoCall);
}

void load_address(std::vector<bpf::Slot>& slots, std::uint8_t to, std::uint32_t region,
                  std::uint32_t offset) {
  slots.push_back({.opcode = bpf::kLoadImmediate64,
                   .dst = to,
                   .src = bpf::kPseudoMapValue,
                   .imm = static_cast<std::int32_t>(region)});
  slots.push_back({.imm = static_cast<std::int32_t>(offset)});
}

// Before an exit, where nothing but r0 is of use any more.
std::vector<bpf::Slot> call_to_be_observed(std::uint32_t region) {
  std::vector<bpf::Slot> slots = {{.opcode = kMov64, .dst = 6, .src = 0}};
  load_address(slots, 1, region, kNoTextAt);
  slots.push_back({.opcode = kMov64Number, .dst = 2, .imm = 1});
  slots.push_back({.opcode = kCallOpcode, .imm = kTracePrintk});
  slots.push_back({.opcode = kMov64, .dst = 0, .src = 6});
  return slots;
}

// Walks the stack, unless the region is full.
std::vector<bpf::Slot> observer(std::uint32_t region) {
  std::vector<bpf::Slot> slots = {{.opcode = kMov64, .dst = 6, .src = 1}};
  load_address(slots, 7, region, 0);
  const std::vector<bpf::Slot> walk = {
      {.opcode = kMov64, .dst = 1, .src = 8},
      {.opcode = kAdd64Number, .dst = 1, .imm = 1},
      {.opcode = kStore64, .dst = 7, .src = 1},
      {.opcode = kShiftLeft64Number, .dst = 8, .imm = kWalkShift},
      {.opcode = kAdd64Number, .dst = 7, .imm = kWalksAt},
      {.opcode = kAdd64, .dst = 7, .src = 8},
      {.opcode = kMov64, .dst = 1, .src = 6},
      {.opcode = kMov64, .dst = 2, .src = 7},
      {.opcode = kAdd64Number, .dst = 2, .imm = 8},
      {.opcode = kMov64Number, .dst = 3, .imm = kShownBytes},
      {.opcode = kMov64Number, .dst = 4, .imm = 0},
      {.opcode = kCallOpcode, .imm = kGetStack},
      {.opcode = kStore64, .dst = 7, .src = 0},
  };
  slots.push_back({.opcode = kLoad64, .dst = 8, .src = 7});
  slots.push_back({.opcode = kJumpIfAtLeastNumber,
                   .dst = 8,
                   .offset = static_cast<std::int16_t>(walk.size()),
                   .imm = kMostWalks});
  slots.insert(slots.end(), walk.begin(), walk.end());
  slots.push_back({.opcode = kMov64Number, .dst = 0, .imm = 0});
  slots.push_back({.opcode = kExitOpcode});
  return slots;
}

// A program with slots before each exit of some functions: who jumps to the exit comes to them.
struct Grown {
  std::vector<bpf::Slot> slots;
  std::vector<std::uint32_t> begins;  // where each slot of before is now, with what is before it
};

// Nothing: a jump is too long. `inserted`: for each slot, what comes before it.
std::optional<Grown> grown(const std::vector<bpf::Slot>& slots,
                           const std::vector<std::vector<bpf::Slot>>& inserted) {
  Grown all;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    all.begins.push_back(static_cast<std::uint32_t>(all.slots.size()));
    all.slots.insert(all.slots.end(), inserted[i].begin(), inserted[i].end());
    places.push_back(all.slots.size());
    all.slots.push_back(slots[i]);
  }
  for (const bpf::SlotIndex i : instructions(slots)) {
    bpf::Slot& slot = all.slots[places[i]];
    const bool by_imm = names_function(slot) || slot.opcode == kJumpFar;
    if (!by_imm && !is_jump(slot)) {
      continue;
    }
    const std::int64_t target = std::int64_t{i} + 1 + (by_imm ? slot.imm : slot.offset);
    const std::int64_t distance = std::int64_t{all.begins[static_cast<std::size_t>(target)]} -
                                  static_cast<std::int64_t>(places[i]) - 1;
    if (by_imm) {
      slot.imm = static_cast<std::int32_t>(distance);
    } else if (distance == static_cast<std::int16_t>(distance)) {
      slot.offset = static_cast<std::int16_t>(distance);
    } else {
      return std::nullopt;
    }
  }
  return all;
}

// Where no tail call may lead to the very first function again, its walks would say nothing.
bool is_observed(const bpf::Program& program, std::uint32_t function) {
  return function != 0 || makes_tail_calls(program);
}

// How many calls of that function the copy has before the slot, which may be the function's end.
std::uint32_t calls_before(const bpf::Program& program, std::uint32_t function,
                           bpf::SlotIndex end) {
  std::uint32_t count = 0;
  for (const bpf::SlotIndex at : instructions(program, program.functions[function])) {
    const std::uint8_t opcode = program.slots[at].opcode;
    const bool is_observed_exit = opcode == kExitOpcode && is_observed(program, function);
    count += at < end && (opcode == kCallOpcode || is_observed_exit) ? 1 : 0;
  }
  return count;
}

// Turns one program of a cell into its copy. jit.declined: a jump would be too long.
Result<void> instrument(const bpf::Program& program, const ProgramPart& part, std::uint32_t region,
                        std::endian order, std::vector<bpf::Slot>& slots,
                        kernel::TypeInformation& types) {
  std::vector<std::vector<bpf::Slot>> inserted(slots.size());
  for (std::uint32_t f = part.first_function; f < part.end_function; ++f) {
    if (!is_observed(program, f)) {
      continue;
    }
    for (const bpf::SlotIndex at : instructions(program, program.functions[f])) {
      if (program.slots[at].opcode == kExitOpcode) {
        inserted[at - part.begin] = call_to_be_observed(region);
      }
    }
  }
  auto copy = grown(slots, inserted);
  if (!copy) {
    return no_copy("a jump would be too long");
  }
  std::vector<kernel::NamedFunction> names;
  for (std::uint32_t f = part.first_function; f < part.end_function; ++f) {
    const bpf::Function& function = program.functions[f];
    names.push_back({.name = function.name, .begin = copy->begins[function.begin - part.begin]});
  }
  slots = std::move(copy->slots);
  types = kernel::type_information(slots, names, order);
  types.lines.clear();
  return success();
}

bool is_in(const model::CodeFunction& function, GuestAddress address) {
  return address.value - function.address.value < 4 * function.words.size();
}

// What the kernel stored of one walk.
struct Walk {
  std::int64_t returned = 0;
  std::vector<GuestAddress> addresses;  // the innermost first

  bool is_cut_off() const { return returned == kShownBytes; }
};

std::vector<Walk> walks_in(const kernel::Answer& answer, std::endian order) {
  const std::vector<std::byte>& bytes = answer.regions.back().bytes;
  const auto count = std::min<std::uint64_t>(load<std::uint64_t>(bytes.data(), order), kMostWalks);
  std::vector<Walk> walks;
  for (std::size_t i = 0; i < count; ++i) {
    const auto one = std::span(bytes).subspan(kWalksAt + i * kWalkBytes, kWalkBytes);
    Walk walk{.returned = static_cast<std::int64_t>(load<std::uint64_t>(one.data(), order)),
              .addresses = {}};
    for (std::int64_t at = 8; at <= walk.returned; at += 8) {
      walk.addresses.push_back({load<std::uint64_t>(&one[static_cast<std::size_t>(at)], order)});
    }
    walks.push_back(std::move(walk));
  }
  return walks;
}

model::Finding mismatch(const std::string& what) {
  return {ErrorCode::stack_mismatch, "",
          fmt::format("the kernel's stack walk, in {}: {}", kWalkingCopy, what)};
}

// Why the answer tells of no walk; empty: it does.
std::string why_unseen(const WalkingCopy& copy, const kernel::Answered& answered) {
  if (!answered) {
    return answered.error().message;
  }
  const kernel::Answer& answer = answered.value();
  if (const auto reason = skipped(answer)) {
    return reason->message;
  }
  if (answer.functions.empty()) {
    return "the kernel's JIT made no code of it";
  }
  const auto is_known = [&](const kernel::FunctionType& function) {
    return function.type - kernel::kFirstFunctionType < copy.program->functions.size();
  };
  if (answer.functions.size() != answer.function_types.size() ||
      !std::ranges::all_of(answer.function_types, is_known) ||
      answer.regions.size() != copy.question.regions.size()) {
    return "the kernel does not say which functions it has";
  }
  return {};
}

// Compares walks with what is expected of them, see the header.
class WalkReader {
 public:
  WalkReader(const WalkingCopy& copy, const kernel::Answer& answer,
             const kernel::KernelFacts& facts)
      : program_(*copy.program),
        numbers_(numbers(answer)),
        image_(kernel_image(answer, names(program_, numbers_), facts)),
        sites_(decode::call_sites(image_, {.endian = facts.endian, .toc = facts.toc})) {}

  // What is wrong in it; empty: nothing.
  std::string wrong_in(const Walk& walk, const Frames& expected) const {
    if (walk.returned < 0) {
      return fmt::format("bpf_get_stack fails with {}", walk.returned);
    }
    std::size_t shown = 0;        // of the expected frames
    bool is_after_kernel = true;  // a frame that is not the program's is between
    for (const GuestAddress address : walk.addresses) {
      if (!is_programs(address)) {
        is_after_kernel = true;
        continue;
      }
      const model::DecodedCall* const site = returning_to(address);
      if (site == nullptr) {
        return fmt::format("it shows {}, which no call returns to", to_string(address));
      }
      const std::string place =
          fmt::format("it shows {} in {}", to_string(address), name(numbers_[site->site.function]));
      if (shown == expected.size()) {
        return fmt::format("{}, beyond {}, which nobody called", place,
                           name(expected.back().function));
      }
      if (numbers_[site->site.function] != expected[shown].function) {
        return fmt::format("{}, where {} is under way", place, name(expected[shown].function));
      }
      const FrameUnderWay* const inner = shown == 0 ? nullptr : &expected[shown - 1];
      if (!(inner == nullptr ? calls_helper(*site) : enters(*site, *inner, is_after_kernel))) {
        return fmt::format("{}, where a call returns that is not of {}", place,
                           inner == nullptr ? "bpf_trace_printk" : name(inner->called));
      }
      if (has_its_calls(site->site.function) && site->site.ordinal != expected[shown].call) {
        return fmt::format("{}, where call {} of it returns, and call {} is under way", place,
                           site->site.ordinal, expected[shown].call);
      }
      ++shown;
      is_after_kernel = false;
    }
    return shown == expected.size() || walk.is_cut_off()
               ? ""
               : fmt::format("it does not show {}, which is under way",
                             name(expected[shown].function));
  }

 private:
  // The verifier may have taken functions away.
  static std::vector<std::uint32_t> numbers(const kernel::Answer& answer) {
    std::vector<std::uint32_t> all;
    for (const kernel::FunctionType& function : answer.function_types) {
      all.push_back(function.type - kernel::kFirstFunctionType);
    }
    return all;
  }
  static std::vector<std::string> names(const bpf::Program& program,
                                        const std::vector<std::uint32_t>& numbers) {
    std::vector<std::string> all;
    for (const std::uint32_t number : numbers) {
      all.push_back(program.functions[number].name);
    }
    return all;
  }
  const std::string& name(std::uint32_t function) const {
    return program_.functions[function].name;
  }

  bool is_programs(GuestAddress address) const {
    return std::ranges::any_of(image_.functions, [&](const model::CodeFunction& function) {
      return is_in(function, address);
    });
  }

  // Null: none does. Tail calls return to nowhere.
  const model::DecodedCall* returning_to(GuestAddress address) const {
    const auto site = std::ranges::find_if(sites_, [&](const model::DecodedCall& call) {
      const model::CodeFunction& function = image_.functions[call.site.function];
      const std::uint32_t word = function.words[(call.at.value - function.address.value) / 4];
      return call.at.value + 4 == address.value && (word & 1U) != 0;
    });
    return site == sites_.end() ? nullptr : &*site;
  }

  bool calls_helper(const model::DecodedCall& site) const {
    return site.target && !is_programs(*site.target);
  }

  // Whether the verifier has neither removed nor added any.
  bool has_its_calls(std::uint32_t code) const {
    const std::uint32_t number = numbers_[code];
    return std::ranges::count(sites_, code, [](const model::DecodedCall& call) {
             return call.site.function;
           }) == calls_before(program_, number, program_.functions[number].end);
  }

  // The verifier may have put a loop in place of a helper that calls a function back.
  bool enters(const model::DecodedCall& site, const FrameUnderWay& inner,
              bool is_after_kernel) const {
    if (is_after_kernel) {
      return inner.by_helper && calls_helper(site);
    }
    const auto code = std::ranges::find(numbers_, inner.called);
    return site.target && code != numbers_.end() &&
           is_in(image_.functions[static_cast<std::size_t>(code - numbers_.begin())], *site.target);
  }

  const bpf::Program& program_;
  std::vector<std::uint32_t> numbers_;  // in the program, of each function that the kernel has
  model::CodeImage image_;
  std::vector<model::DecodedCall> sites_;
};

// Which functions are under way, as the interpreter goes on.
class FrameWatcher {
 public:
  explicit FrameWatcher(const bpf::Program& program) : program_(program) {}

  void operator()(const bpf::InterpreterStep& step) {
    const std::uint32_t function = function_with(step.slot);
    while (!frames_.empty() && frames_.back().depth > step.depth) {
      frames_.pop_back();
    }
    // A helper is a frame of the interpreter's, too. It may call back again as soon as a function has
    // returned.
    const bool is_new = frames_.empty() || frames_.back().depth < step.depth;
    if (is_new) {
      const bool by_helper = !frames_.empty() && step.depth - frames_.back().depth > 1;
      frames_.push_back({.depth = step.depth,
                         .last = step.slot,
                         .frame = {.called = function, .by_helper = by_helper}});
    } else if (returns(frames_.back().last)) {
      frames_.back().frame.called = function;
    }
    frames_.back().last = step.slot;
    frames_.back().frame.function = function;
    if (returns(step.slot) && is_observed(program_, function) && seen_.size() < kMostWalks) {
      Frames frames;
      for (const One& one : frames_) {
        frames.insert(frames.begin(), one.frame);
        frames.front().call = calls_before(program_, one.frame.function, one.last);
      }
      seen_.push_back(std::move(frames));
    }
  }

  const std::vector<Frames>& seen() const { return seen_; }

 private:
  struct One {
    std::uint32_t depth = 0;
    bpf::SlotIndex last = 0;  // that it executed
    FrameUnderWay frame;
  };

  bool returns(bpf::SlotIndex slot) const { return program_.slots[slot].opcode == kExitOpcode; }

  std::uint32_t function_with(bpf::SlotIndex slot) const {
    const auto after =
        std::ranges::upper_bound(program_.functions, slot, {}, &bpf::Function::begin);
    return static_cast<std::uint32_t>(after - program_.functions.begin()) - 1;
  }

  const bpf::Program& program_;
  std::vector<One> frames_;
  std::vector<Frames> seen_;
};

}  // namespace

Result<std::vector<Frames>> expected_walks(const LinuxCell& linux_cell) {
  model::Cell cell = linux_cell.cell;
  if (linux_cell.context) {
    cell.arguments[0] = cell.memory[*linux_cell.context].address.value;
  }
  FrameWatcher watcher(*cell.program);
  if (auto run = run::interpretation(cell, std::ref(watcher)); !run) {
    return no_copy(run.error().message);
  }
  return watcher.seen();
}

Result<WalkingCopy> walking_copy(const LinuxCell& linux_cell, std::vector<Frames> expected,
                                 std::endian order) {
  WalkingCopy copy{.question = linux_cell.question,
                   .program = linux_cell.cell.program,
                   .expected = std::move(expected)};
  const bpf::Program& program = *copy.program;
  const auto region = static_cast<std::uint32_t>(copy.question.regions.size());
  if (copy.expected.empty()) {
    return no_copy("no function that the program calls returns");
  }
  if (region >= wire::kMostKernelRegions) {
    return no_copy("the program has as many regions of memory as there can be");
  }
  const std::vector<ProgramPart> parts = program_parts(program);
  FARCALL_TRYV(
      instrument(program, parts[0], region, order, copy.question.slots, copy.question.types));
  for (std::size_t i = 1; i < parts.size(); ++i) {
    kernel::TailProgram& target = copy.question.targets[i - 1];
    FARCALL_TRYV(instrument(program, parts[i], region, order, target.slots, target.types));
  }
  copy.question.regions.push_back({.bytes = std::vector<std::byte>(kWalkRegionBytes)});
  copy.question.observer = observer(region);
  return copy;
}

StackWalk stack_walk(const WalkingCopy& copy, const kernel::Answered& answered,
                     const kernel::KernelFacts& facts) {
  if (!answered && answered.error().code == ErrorCode::jit_crashed) {
    return {.findings = {{ErrorCode::jit_crashed, "",
                          fmt::format("{}: {}", kWalkingCopy, answered.error().message)}},
            .unseen = {}};
  }
  if (std::string why = why_unseen(copy, answered); !why.empty()) {
    return {.findings = {}, .unseen = fmt::format("{}{}", kNoWalk, why)};
  }
  const std::vector<Walk> walks = walks_in(answered.value(), facts.order());
  if (walks.size() != copy.expected.size()) {
    return {.findings = {mismatch(fmt::format("there are {} walks, and {} returns", walks.size(),
                                              copy.expected.size()))},
            .unseen = {}};
  }
  const WalkReader reader(copy, answered.value(), facts);
  for (std::size_t i = 0; i < walks.size(); ++i) {
    if (const std::string wrong = reader.wrong_in(walks[i], copy.expected[i]); !wrong.empty()) {
      return {.findings = {mismatch(wrong)}, .unseen = {}};
    }
  }
  return {.findings = {}, .unseen = {}};
}

}  // namespace farcall::stock
