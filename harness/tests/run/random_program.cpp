#include "tests/run/random_program.hpp"

#include <fmt/format.h>

#include <array>
#include <functional>

#include "base/bits.hpp"
#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"

namespace farcall::run {
namespace {

using bpf::Slot;

constexpr std::uint8_t kMove = 0xbf;         // mov dst, src
constexpr std::uint8_t kShiftLeft = 0x67;    // lsh dst, imm
constexpr std::uint8_t kXor = 0xaf;          // xor dst, src
constexpr std::uint8_t kStoreDouble = 0x7b;  // stxdw [dst+off], src
constexpr std::uint8_t kCall = 0x85;
constexpr std::uint8_t kExit = 0x95;
constexpr std::uint8_t kMemoryRegister = 6;  // points at the scratch memory in every function
constexpr std::array<std::uint8_t, 9> kFreeRegisters = {0, 1, 2, 3, 4, 5, 7, 8, 9};

constexpr auto kEdges = std::to_array<std::int64_t>(
    {0,         1,        -1,     2,       31,      32,     33,      63,         64,
     65,        0x7fff,   0x8000, -0x8000, -0x8001, 0xffff, 0x10000, 0x7fffffff, -0x80000000LL,
     INT64_MIN, INT64_MAX});

class Generator {
 public:
  explicit Generator(std::mt19937_64& random) : random_(random) {}

  bpf::Program program() {
    const auto functions = static_cast<std::uint32_t>(1 + below(3));
    for (std::uint32_t i = 0; i < functions; ++i) {
      function(i, functions);
    }
    // Calls hold their callee's number so far.
    for (bpf::SlotIndex at = 0; at < program_.slots.size(); ++at) {
      Slot& slot = program_.slots[at];
      if (slot.opcode == kCall) {
        const bpf::SlotIndex callee = program_.functions[static_cast<std::size_t>(slot.imm)].begin;
        slot.imm = static_cast<std::int32_t>(callee) - static_cast<std::int32_t>(at) - 1;
      }
    }
    return std::move(program_);
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  std::uint8_t any_register() { return kFreeRegisters[below(kFreeRegisters.size())]; }
  std::int64_t operand() {
    return below(3) != 0 ? kEdges[below(kEdges.size())] : static_cast<std::int64_t>(random_());
  }
  void add(const Slot& slot) { program_.slots.push_back(slot); }
  void load_constant(std::uint8_t into) {
    const auto [low, high] =
        bpf::load_immediate64_slots(into, static_cast<std::uint64_t>(operand()));
    add(low);
    add(high);
  }

  const bpf::InstructionInfo& any_instruction(
      const std::function<bool(const bpf::InstructionInfo&)>& wanted) {
    while (true) {
      const bpf::InstructionInfo& info = bpf::kInstructions[below(bpf::kInstructions.size())];
      if (wanted(info)) {
        return info;
      }
    }
  }

  Slot with_operands(const bpf::InstructionInfo& info) {
    Slot slot{.opcode = info.opcode, .dst = any_register()};
    if (info.source == bpf::Source::src_register) {
      slot.src = any_register();
    } else if (info.source == bpf::Source::immediate) {
      slot.imm = static_cast<std::int32_t>(operand());
    }
    bpf::select(info, slot);
    return slot;
  }

  void arithmetic() {
    const bpf::InstructionInfo& info = any_instruction([](const auto& row) {
      return row.form == bpf::Form::dst_source || row.form == bpf::Form::dst;
    });
    add(with_operands(info));
  }

  // A load, store or atomic of any width within the scratch memory or the 64 bytes below the frame
  // pointer.
  void memory() {
    const bpf::InstructionInfo& info =
        any_instruction([](const auto& row) { return row.memory_bytes != 0; });
    Slot slot = with_operands(info);
    const bool stack = below(2) != 0;
    const std::uint8_t base = stack ? bpf::kFramePointer : kMemoryRegister;
    (info.form == bpf::Form::load ? slot.src : slot.dst) = base;
    auto at = static_cast<std::int16_t>(below(kScratchBytes + 1 - info.memory_bytes));
    if (info.form == bpf::Form::atomic || info.orders()) {  // these must be aligned
      at = static_cast<std::int16_t>(align_down(static_cast<std::uint64_t>(at), info.memory_bytes));
    }
    slot.offset = static_cast<std::int16_t>(stack ? at - 64 : at);
    add(slot);
  }

  // `target` counts the pieces of the function; it becomes a displacement when they have places.
  void jump(std::size_t target) {
    const bpf::InstructionInfo& info =
        any_instruction([](const auto& row) { return row.is_jump(); });
    jumps_.push_back({program_.slots.size(), target});
    add(info.form == bpf::Form::branch ? with_operands(info) : Slot{.opcode = info.opcode});
  }

  void call(std::uint32_t callee) {
    add({.opcode = kMove, .dst = 1, .src = kMemoryRegister});
    add({.opcode = kCall, .src = bpf::kPseudoCall, .imm = static_cast<std::int32_t>(callee)});
    for (std::uint8_t reg = 1; reg <= 5; ++reg) {
      load_constant(reg);  // what a call leaves in them is undefined
    }
  }

  void piece(std::uint32_t number, std::uint32_t functions, std::size_t index, std::size_t pieces) {
    const std::uint64_t kind = below(10);
    if (kind < 5) {
      arithmetic();
    } else if (kind < 7) {
      memory();
    } else if (kind < 9) {
      jump(index + 1 + below(pieces - index));
    } else if (number + 1 < functions) {
      call(static_cast<std::uint32_t>(number + 1 + below(functions - number - 1)));
    } else {
      add({.opcode = kExit});
    }
  }

  void function(std::uint32_t number, std::uint32_t functions) {
    const auto begin = static_cast<bpf::SlotIndex>(program_.slots.size());
    add({.opcode = kMove, .dst = kMemoryRegister, .src = 1});
    for (const std::uint8_t reg : kFreeRegisters) {
      load_constant(reg);
    }
    for (int i = 1; i <= 8; ++i) {
      add({.opcode = kStoreDouble,
           .dst = bpf::kFramePointer,
           .src = any_register(),
           .offset = static_cast<std::int16_t>(-8 * i)});
    }
    jumps_.clear();
    std::vector<std::size_t> begins;
    const std::size_t pieces = 10 + below(40);
    for (std::size_t i = 0; i < pieces; ++i) {
      begins.push_back(program_.slots.size());
      piece(number, functions, i, pieces);
    }
    begins.push_back(program_.slots.size());
    for (const auto& [at, target] : jumps_) {
      const std::size_t distance = begins[target] - at - 1;
      Slot& slot = program_.slots[at];
      if (bpf::find(slot)->form == bpf::Form::target32) {
        slot.imm = static_cast<std::int32_t>(distance);
      } else {
        slot.offset = static_cast<std::int16_t>(distance);
      }
    }
    for (const std::uint8_t reg : kFreeRegisters) {
      if (reg != 0) {
        add({.opcode = kShiftLeft, .dst = 0, .imm = 1});
        add({.opcode = kXor, .dst = 0, .src = reg});
      }
    }
    add({.opcode = kExit});
    program_.functions.push_back({.name = number == 0 ? "main" : fmt::format("f{}", number),
                                  .begin = begin,
                                  .end = static_cast<bpf::SlotIndex>(program_.slots.size())});
  }

  struct Jump {
    std::size_t at;
    std::size_t target;
  };

  std::mt19937_64& random_;
  bpf::Program program_;
  std::vector<Jump> jumps_;
};

}  // namespace

bpf::Program random_program(std::mt19937_64& random) {
  return Generator(random).program();
}

}  // namespace farcall::run
