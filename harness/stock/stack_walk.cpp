#include "stock/stack_walk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "bpf/program.hpp"
#include "decode/call_sites.hpp"
#include "stock/capture.hpp"
#include "stock/document.hpp"
#include "stock/programs.hpp"

namespace farcall::stock {
namespace {

constexpr std::uint8_t kExitOpcode = 0x95;
constexpr std::uint8_t kMov64 = 0xbf;
constexpr std::uint8_t kMov64Number = 0xb7;
constexpr std::uint8_t kAdd64Number = 0x07;
constexpr std::uint8_t kLoad64 = 0x79;   // ldxdw
constexpr std::uint8_t kStore64 = 0x7b;  // stxdw
constexpr std::uint8_t kJumpFar = 0x06;  // by imm
constexpr std::int32_t kGetStack = 67;
constexpr std::uint8_t kFrame = 10;    // r10
constexpr std::uint8_t kHandedOn = 5;  // the register

// The region: addresses, and what the helper returned.
constexpr std::uint32_t kWalkBytes = 512;
constexpr std::uint32_t kWalkRegionBytes = kWalkBytes + 8;

constexpr std::string_view kNoWalk = "no walk over the stack: ";

Error no_copy(std::string_view why) {
  return {.code = ErrorCode::jit_declined, .message = fmt::format("{}{}", kNoWalk, why)};
}

bool is_jump(const bpf::Slot& slot) {
  const unsigned kind = slot.opcode & 7U;
  const unsigned operation = slot.opcode & 0xf0U;
  return (kind == 5 || kind == 6) && operation != 0x80U && operation != 0x90U;
}

bool is_pseudo_call(const bpf::Slot& slot) {
  return slot.opcode == kCallOpcode && slot.src == bpf::kPseudoCall;
}

// Slots of a function, without second halves.
template <typename Visit>
void each_slot(const std::vector<bpf::Slot>& slots, const bpf::Function& function, Visit visit) {
  for (bpf::SlotIndex i = function.begin; i < function.end; ++i) {
    visit(slots[i]);
    i += slots[i].opcode == bpf::kLoadImmediate64 ? 1U : 0U;
  }
}

bool calls_functions(const std::vector<bpf::Slot>& slots, const bpf::Function& function) {
  bool found = false;
  each_slot(slots, function, [&](const bpf::Slot& slot) { found = found || is_pseudo_call(slot); });
  return found;
}

// Whether r5 might be one of the function's parameters: what names it first does not just write it.
// That is not said of all ways through the function. If it is wrong, the verifier sees a context
// where the program wants something else, or the program comes to another result.
bool may_take_r5(const std::vector<bpf::Slot>& slots, const bpf::Function& function) {
  std::optional<bool> takes;
  each_slot(slots, function, [&](const bpf::Slot& slot) {
    const unsigned kind = slot.opcode & 7U;
    const bool writes = slot.opcode == kMov64 || slot.opcode == kMov64Number ||
                        slot.opcode == bpf::kLoadImmediate64 || kind == 1;
    const bool is_source =
        slot.src == kHandedOn && slot.opcode != kCallOpcode && slot.opcode != bpf::kLoadImmediate64;
    if (!takes && (is_source || slot.dst == kHandedOn)) {
      takes = is_source || !writes;
    }
  });
  return takes.value_or(false);
}

// Below all that the function's own instructions name of its stack.
std::int16_t below_its_stack(const std::vector<bpf::Slot>& slots, const bpf::Function& function) {
  std::int32_t lowest = 0;
  each_slot(slots, function, [&](const bpf::Slot& slot) {
    const unsigned kind = slot.opcode & 7U;
    const bool by_frame =
        (kind == 1 && slot.src == kFrame) || ((kind == 2 || kind == 3) && slot.dst == kFrame);
    if (by_frame) {
      lowest = std::min<std::int32_t>(lowest, slot.offset);
    }
    if (slot.opcode == kAdd64Number && slot.imm > -512) {
      lowest = std::min(lowest, slot.imm);
    }
  });
  constexpr std::int32_t kAligned = 8;
  return static_cast<std::int16_t>(-((-lowest + kAligned - 1) / kAligned * kAligned) - kAligned);
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
std::vector<bpf::Slot> walk(std::uint32_t region, std::int16_t context) {
  std::vector<bpf::Slot> slots = {
      {.opcode = kMov64, .dst = 6, .src = 0},
      {.opcode = kLoad64, .dst = 1, .src = kFrame, .offset = context},
  };
  load_address(slots, 2, region, 0);
  slots.push_back({.opcode = kMov64Number, .dst = 3, .imm = kWalkBytes});
  slots.push_back({.opcode = kMov64Number, .dst = 4, .imm = 0});
  slots.push_back({.opcode = kCallOpcode, .imm = kGetStack});
  load_address(slots, 1, region, kWalkBytes);
  slots.push_back({.opcode = kStore64, .dst = 1, .src = 0});
  slots.push_back({.opcode = kMov64, .dst = 0, .src = 6});
  return slots;
}

// What goes before a slot: on entry to its function, and each time it is reached.
struct Inserted {
  std::vector<bpf::Slot> on_entry;
  std::vector<bpf::Slot> before;
};

// Empty: a jump is too long.
std::vector<bpf::Slot> with_inserted(const std::vector<bpf::Slot>& slots,
                                     const std::vector<Inserted>& inserted) {
  std::vector<std::int64_t> entries;  // where a slot is now, with what was inserted
  std::vector<std::int64_t> reached;  // where who jumps to it comes to
  std::vector<std::int64_t> places;
  std::int64_t at = 0;
  for (const Inserted& one : inserted) {
    entries.push_back(at);
    reached.push_back(at + static_cast<std::int64_t>(one.on_entry.size()));
    places.push_back(reached.back() + static_cast<std::int64_t>(one.before.size()));
    at = places.back() + 1;
  }
  std::vector<bpf::Slot> all;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    all.insert(all.end(), inserted[i].on_entry.begin(), inserted[i].on_entry.end());
    all.insert(all.end(), inserted[i].before.begin(), inserted[i].before.end());
    bpf::Slot slot = slots[i];
    const bool is_second_half = i > 0 && slots[i - 1].opcode == bpf::kLoadImmediate64;
    const auto next = static_cast<std::int64_t>(i) + 1;
    if (!is_second_half && is_pseudo_call(slot)) {
      slot.imm = static_cast<std::int32_t>(entries[static_cast<std::size_t>(next + slot.imm)] -
                                           places[i] - 1);
    } else if (!is_second_half && is_jump(slot)) {
      const bool far = slot.opcode == kJumpFar;
      const std::int64_t distance =
          reached[static_cast<std::size_t>(next + (far ? slot.imm : slot.offset))] - places[i] - 1;
      if (far) {
        slot.imm = static_cast<std::int32_t>(distance);
      } else if (distance == static_cast<std::int16_t>(distance)) {
        slot.offset = static_cast<std::int16_t>(distance);
      } else {
        return {};
      }
    }
    all.push_back(slot);
  }
  return all;
}

bool is_in(const model::CodeFunction& function, GuestAddress address) {
  return address.value - function.address.value < 4 * function.words.size();
}

// What the kernel stored of its code, the innermost first. It puts 0 in place of an address that may
// be none.
std::vector<GuestAddress> shown(const kernel::Answer& answer, const model::CodeImage& image,
                                std::endian order) {
  const std::vector<std::byte>& bytes = answer.regions.back().bytes;
  std::vector<GuestAddress> addresses;
  for (std::size_t at = 0; at < kWalkBytes; at += 8) {
    const GuestAddress address = {load<std::uint64_t>(&bytes[at], order)};
    if (std::ranges::any_of(image.functions, [&](const model::CodeFunction& function) {
          return is_in(function, address);
        })) {
      addresses.push_back(address);
    }
  }
  return addresses;
}

std::int64_t returned(const kernel::Answer& answer, std::endian order) {
  return static_cast<std::int64_t>(
      load<std::uint64_t>(&answer.regions.back().bytes[kWalkBytes], order));
}

model::Finding mismatch(const std::string& what) {
  return {ErrorCode::stack_mismatch, "",
          fmt::format("the kernel's stack walk, in {}: {}", kWalkingCopy, what)};
}

// Why the answer tells of no walk; empty: it does.
std::string why_unseen(const WalkingCopy& copy, const kernel::Answered& answered,
                       std::endian order) {
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
  if (answer.functions.size() != copy.functions.size() ||
      answer.regions.size() != copy.question.regions.size()) {
    return "the kernel's verifier has taken a function away";
  }
  return returned(answer, order) == 0 ? "no function that calls no other has returned" : "";
}

// What the answer of a copy that walked has wrong.
std::vector<model::Finding> walk_findings(const WalkingCopy& copy, const kernel::Answer& answer,
                                          const kernel::KernelFacts& facts) {
  if (returned(answer, facts.order()) < 0) {
    return {mismatch(fmt::format("bpf_get_stack fails with {}", returned(answer, facts.order())))};
  }
  const model::CodeImage image = kernel_image(answer, copy.functions, facts);
  const std::vector<GuestAddress> addresses = shown(answer, image, facts.order());
  if (addresses.empty()) {
    return {mismatch("it shows no function of the program")};
  }
  const auto sites = decode::call_sites(image, {.endian = facts.endian, .toc = facts.toc});
  std::optional<std::size_t> callee;  // the function that was shown before; empty: the helper
  for (const GuestAddress address : addresses) {
    const auto site = std::ranges::find_if(
        sites, [&](const model::DecodedCall& call) { return call.at.value + 4 == address.value; });
    if (site == sites.end()) {
      return {mismatch(fmt::format("it shows {}, which no call returns to", to_string(address)))};
    }
    const bool calls_it =
        site->target && (callee ? is_in(image.functions[*callee], *site->target)
                                : std::ranges::none_of(image.functions, [&](const auto& function) {
                                    return is_in(function, *site->target);
                                  }));
    if (!calls_it) {
      return {mismatch(fmt::format("it shows {} in {}, where a call returns that is not of {}",
                                   to_string(address), image.functions[site->site.function].name,
                                   callee ? image.functions[*callee].name : "bpf_get_stack"))};
    }
    callee = site->site.function;
  }
  if (*callee != 0) {
    return {mismatch(fmt::format("it ends in {}, and not in the first function",
                                 image.functions[*callee].name))};
  }
  return {};
}

}  // namespace

Result<WalkingCopy> walking_copy(const LinuxCell& linux_cell) {
  const bpf::Program& program = *linux_cell.cell.program;
  const std::vector<bpf::Slot>& slots = linux_cell.question.slots;
  WalkingCopy copy{.question = linux_cell.question, .functions = {}};
  const auto region = static_cast<std::uint32_t>(copy.question.regions.size());
  if (program.functions.size() < 2) {
    return no_copy("the program calls no function of its own");
  }
  if (makes_tail_calls(program)) {
    return no_copy("the program makes tail calls");
  }
  if (region >= wire::kMostKernelRegions) {
    return no_copy("the program has as many regions of memory as there can be");
  }
  std::vector<Inserted> inserted(slots.size());
  for (const bpf::SlotIndex i : instructions(slots)) {
    if (slots[i].opcode == bpf::kLoadImmediate64 && slots[i].src == bpf::kPseudoFunction) {
      return no_copy("a helper calls a function back, and hands no context on");
    }
  }
  for (std::size_t f = 0; f < program.functions.size(); ++f) {
    const bpf::Function& function = program.functions[f];
    copy.functions.push_back(function.name);
    const bool is_first = f == 0;
    if (!is_first && may_take_r5(slots, function)) {
      return no_copy(fmt::format("{} may take an r5", function.name));
    }
    const std::int16_t context = below_its_stack(slots, function);
    const bool walks = !is_first && !calls_functions(slots, function);
    inserted[function.begin].on_entry = {{.opcode = kStore64,
                                          .dst = kFrame,
                                          .src = is_first ? std::uint8_t{1} : kHandedOn,
                                          .offset = context}};
    for (bpf::SlotIndex i = function.begin; i < function.end; ++i) {
      if (is_pseudo_call(slots[i])) {
        inserted[i].before = {
            {.opcode = kLoad64, .dst = kHandedOn, .src = kFrame, .offset = context}};
      } else if (walks && slots[i].opcode == kExitOpcode) {
        inserted[i].before = walk(region, context);
      }
      i += slots[i].opcode == bpf::kLoadImmediate64 ? 1U : 0U;
    }
  }
  copy.question.slots = with_inserted(slots, inserted);
  if (copy.question.slots.empty()) {
    return no_copy("a jump would be too long");
  }
  copy.question.regions.push_back({.bytes = std::vector<std::byte>(kWalkRegionBytes)});
  copy.question.types = {};
  copy.question.type = wire::KernelProgramType::raw_tracepoint;
  return copy;
}

StackWalk stack_walk(const WalkingCopy& copy, const kernel::Answered& answered,
                     const kernel::KernelFacts& facts) {
  if (!answered && answered.error().code == ErrorCode::jit_crashed) {
    return {.findings = {{ErrorCode::jit_crashed, "",
                          fmt::format("{}: {}", kWalkingCopy, answered.error().message)}},
            .unseen = {}};
  }
  if (std::string why = why_unseen(copy, answered, facts.order()); !why.empty()) {
    return {.findings = {}, .unseen = fmt::format("{}{}", kNoWalk, why)};
  }
  return {.findings = walk_findings(copy, answered.value(), facts), .unseen = {}};
}

}  // namespace farcall::stock
