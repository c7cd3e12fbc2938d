#include "campaign/generator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bits.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/instruction.hpp"
#include "campaign/setting.hpp"

namespace farcall::campaign {
namespace {

using bpf::InstructionInfo;
using bpf::Slot;

constexpr std::uint8_t kMemoryRegister = 6;  // points at `mem` in every function
constexpr std::array<std::uint8_t, 9> kFreeRegisters = {0, 1, 2, 3, 4, 5, 7, 8, 9};
constexpr std::uint64_t kStackBytes = 64;  // below the frame pointer that are used freely
constexpr std::string_view kReload;        // stands in a function for what it loads there
constexpr std::int16_t kCounter = -72;     // of a loop, in the frame
constexpr std::int16_t kKey = -80;         // of a map's element
constexpr std::int16_t kTables = -88;      // in main's frame, addresses of tables, downwards
constexpr std::uint64_t kMostTables = 3;   // main gets them in r3, r4, r5
constexpr std::uint64_t kTargets = 3;      // of a jump through a table
constexpr std::uint8_t kTarget = 9;        // the register that it is made by
constexpr std::uint8_t kTargetIndex = 8;

constexpr auto kEdgeNumbers = std::to_array<std::int64_t>(
    {0,          1,        -1,        2,         31,          32,
     33,         63,       64,        65,        0x7fff,      0x8000,
     -0x8000,    -0x8001,  0xffff,    0x10000,   0x7fffffff,  -0x80000000LL,
     0x7fff0000, -0x10000, INT64_MIN, INT64_MAX, 0x100000000, 0xffffffff});

struct Native {
  bpf::ExternalKind kind;
  std::int32_t id;
  std::string_view name;
};
constexpr std::array kNatives = {
    Native{bpf::ExternalKind::helper, 7, "weighted_sum"},
    Native{bpf::ExternalKind::helper, 8, "clobber"},
    Native{bpf::ExternalKind::kfunc, 3, "mix"},
};
constexpr std::int32_t kLookUp = 1;  // map_lookup_elem
constexpr std::int32_t kLoop = 181;  // loop
constexpr std::int32_t kStubHelper = 1001;
constexpr std::int32_t kFiller = 1003;  // a stub that sets memory to zeros
constexpr std::uint32_t kElements = 4;
constexpr std::uint64_t kLongestJump = 4;  // in pieces

bool divides(const InstructionInfo& info) {
  using enum bpf::Operation;
  return info.operation == div || info.operation == signed_div || info.operation == mod ||
         info.operation == signed_mod;
}

// A function, as far as its callers care.
struct Made {
  std::string name;
  bool uses_memory = false;  // it takes the address of `mem` in r1
  unsigned arguments = 0;    // of r2 … r5: bits by their numbers
};

class Generator {
 public:
  Generator(Choices& choices, const model::AxisValues& axes, const GeneratorOptions& options)
      : choices_(choices), options_(options) {
    sketch_.axes = axes;
  }

  Sketch make() {
    const std::uint64_t kind = choices_.below(8);
    beyond_rfc_ = options_.is_beyond_rfc && choices_.one_in(8);
    tail_calls_ = options_.has_externals && kind == 7;
    leaf_ = tail_calls_ && !choices_.one_in(16);
    if (beyond_rfc_ && options_.has_externals && choices_.below(2) != 0) {
      sketch_.callx = bpf::Callx::address;
    }
    sketch_.programs.push_back(program());
    if (tail_calls_ && uses_jumps_) {
      tail_calls_ = false;
      leaf_ = true;
      for (const char* const name : {"leap", "bound"}) {
        made_.clear();
        SketchProgram target;
        target.functions.push_back(function(name));
        sketch_.programs.push_back(std::move(target));
      }
      sketch_.arrays.push_back(
          {.name = "jumps", .elements = 3, .programs = {{0, "leap"}, {2, "bound"}}});
    }
    if (uses_values_) {
      SketchArray values{.name = "values", .elements = kElements, .element_bytes = 8};
      values.bytes.resize(std::size_t{kElements} * 8, std::byte{0x5a});
      sketch_.arrays.push_back(std::move(values));
    }
    if (options_.memory_bytes != 0) {
      std::vector<std::byte> memory(options_.memory_bytes);
      for (std::size_t i = 0; i < memory.size(); i += 8) {
        const std::uint64_t word = choices_.any();
        for (std::size_t k = i; k < std::min(i + 8, memory.size()); ++k) {
          memory[k] = static_cast<std::byte>(word >> (8 * (k - i)));
        }
      }
      sketch_.mem = std::move(memory);
    }
    choose_places(choices_, sketch_);
    return tidied(std::move(sketch_));
  }

  // The case's own program: main, what it calls, and what that calls. The last to be made is main.
  SketchProgram program() {
    std::vector<SketchFunction> others;
    while (!leaf_ && others.size() + 1 < options_.most_functions && choices_.below(4) != 0) {
      others.push_back(function(fmt::format("f{}", others.size() + 1)));
    }
    SketchProgram whole;
    may_have_tables_ = beyond_rfc_ && options_.has_externals;
    whole.functions.push_back(function("main"));
    may_have_tables_ = false;
    std::ranges::move(others, std::back_inserter(whole.functions));
    if (callback_) {
      whole.functions.push_back(callback());
    }
    if (recursion_) {
      whole.functions.push_back(recursion());
    }
    return whole;
  }

 private:
  std::uint8_t used(std::uint8_t reg) {
    used_ |= 1U << reg;
    return reg;
  }
  std::uint8_t any_register() {
    const std::uint8_t reg = choices_.of(kFreeRegisters);
    return used(reg == kTarget && holds_target_ ? kTargetIndex : reg);
  }
  void use_arguments(unsigned count) {
    for (unsigned reg = 1; reg <= count; ++reg) {
      used(static_cast<std::uint8_t>(reg));
    }
  }
  std::int64_t operand() {
    return choices_.below(3) != 2 ? choices_.of(kEdgeNumbers)
                                  : static_cast<std::int64_t>(choices_.any());
  }
  void add(std::string text) { lines_.push_back(std::move(text)); }
  void add(const Slot& slot) {
    add(bpf::disassemble_instruction({.slots = {slot}, .functions = {}}, 0));
  }
  std::string constant(unsigned into) {
    const std::int64_t value = operand();
    return value == static_cast<std::int32_t>(value)
               ? fmt::format("mov %r{}, {}", into, value)
               : fmt::format("lddw %r{}, {:#x}", into, static_cast<std::uint64_t>(value));
  }
  void load_constant(unsigned into) { add(constant(into)); }
  // After a call r1 … r5 are undefined: those that the function uses are loaded anew, which is known
  // at its end.
  void load_arguments() { add(std::string(kReload)); }

  bool is_plain(const InstructionInfo& row) const {
    const bool extra =
        row.orders() || row.operation == bpf::Operation::may_goto ||
        (row.operation == bpf::Operation::mov && row.opcode == 0xbf && row.offset.value != 0);
    return beyond_rfc_ || !extra;
  }
  const InstructionInfo& any_instruction(bool (*wanted)(const InstructionInfo&)) {
    std::vector<const InstructionInfo*> rows;
    for (const InstructionInfo& row : bpf::kInstructions) {
      if (wanted(row) && is_plain(row)) {
        rows.push_back(&row);
      }
    }
    return *choices_.of(rows);
  }

  Slot with_operands(const InstructionInfo& info) {
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
    const InstructionInfo& info = any_instruction([](const InstructionInfo& row) {
      return row.form == bpf::Form::dst_source || row.form == bpf::Form::dst;
    });
    Slot slot = with_operands(info);
    const bool shifts = info.operation == bpf::Operation::lsh ||
                        info.operation == bpf::Operation::rsh ||
                        info.operation == bpf::Operation::arsh;
    // What a shift by more than the width is, JITs leave open: it is rare here.
    if (shifts && info.source == bpf::Source::src_register && !choices_.one_in(64)) {
      add(fmt::format("and %r{}, {}", slot.src, info.width - 1));
    } else if (divides(info) && info.source == bpf::Source::src_register && !choices_.one_in(64)) {
      add(fmt::format("or %r{}, 1", slot.src));  // Linux looks for 0 in front of the instruction
    } else if (shifts && info.source == bpf::Source::immediate) {
      slot.imm = static_cast<std::int32_t>(choices_.below(info.width));
    }
    add(slot);
  }

  // A load, store or atomic of any width within `mem`, the bytes below the frame pointer, or the
  // values of a map.
  void memory() {
    const InstructionInfo& info =
        any_instruction([](const InstructionInfo& row) { return row.memory_bytes != 0; });
    Slot slot = with_operands(info);
    const std::uint64_t where = choices_.below(8);
    const bool is_value = where == 7 && options_.has_externals;
    const bool is_stack = !is_value && (where >= 4 || options_.memory_bytes < info.memory_bytes);
    std::uint64_t bytes = options_.memory_bytes;
    std::uint8_t base = kMemoryRegister;
    if (is_stack) {
      base = bpf::kFramePointer;
      bytes = kStackBytes;
    } else if (is_value) {
      // Through a register that the instruction does not use otherwise.
      base = slot.dst == 7 || slot.src == 7 ? 8 : 7;
      base = used(slot.dst == base || slot.src == base ? 9 : base);
      uses_values_ = true;
      add(fmt::format("lddw %r{}, value values+0", base));
      bytes = std::uint64_t{kElements} * 8;
    } else {
      uses_memory_ = true;
    }
    (info.form == bpf::Form::load ? slot.src : slot.dst) = base;
    std::uint64_t at = choices_.below(bytes + 1 - info.memory_bytes);
    if (info.form == bpf::Form::atomic || info.orders()) {  // these must be aligned
      at = align_down(at, info.memory_bytes);
    }
    if (is_stack) {
      stack_words_ |= 1U << at / 8 | 1U << (at + info.memory_bytes - 1) / 8;
    }
    slot.offset = static_cast<std::int16_t>(at - (is_stack ? kStackBytes : 0));
    add(slot);
    if (is_value) {
      load_constant(base);  // an address is nothing that a result may depend on
    }
  }

  // Over the next pieces, as many as there are of up to three.
  void jump(std::size_t index) {
    const InstructionInfo& info =
        any_instruction([](const InstructionInfo& row) { return row.is_jump(); });
    const Slot slot =
        info.form == bpf::Form::branch ? with_operands(info) : Slot{.opcode = info.opcode};
    std::string text = bpf::disassemble_instruction({.slots = {slot}, .functions = {}}, 0);
    text.resize(text.rfind('+'));
    add(text + label(index + 1 + choices_.below(kLongestJump)));
  }
  std::string label(std::size_t index) const { return fmt::format("p{}_{}", made_.size(), index); }

  // Some straight code, a few times.
  void loop() {
    const std::uint64_t times = 1 + choices_.below(4);
    add(fmt::format("stdw [%r10{}], {}", kCounter, times));
    add(fmt::format("loop{}:", pieces_));
    const std::size_t count = 1 + choices_.below(3);
    for (std::size_t i = 0; i < count; ++i) {
      choices_.below(2) == 0 ? arithmetic() : memory();
    }
    const unsigned counter = any_register();
    add(fmt::format("ldxdw %r{}, [%r10{}]", counter, kCounter));
    add(fmt::format("sub %r{}, 1", counter));
    add(fmt::format("stxdw [%r10{}], %r{}", kCounter, counter));
    add(fmt::format("jne %r{}, 0, loop{}", counter, pieces_));
  }

  // To one of a few places ahead. The register then has an address of code, which nothing may depend
  // on, so that nobody else uses it until it is loaded anew.
  void table_jump() {
    const std::size_t number = tables_++;
    const auto target = [this](std::uint64_t which) {
      return fmt::format("t{}_{}", pieces_, which);
    };
    constexpr std::array<std::uint64_t, 3> kSizes = {2, 4, 8};
    const std::uint64_t elements = choices_.of(kSizes);
    std::string table = fmt::format(".table table{}", number);
    for (std::uint64_t i = 0; i < elements; ++i) {
      table += fmt::format("{} {}", i == 0 ? "" : ",", target(choices_.below(kTargets)));
    }
    add(std::move(table));
    used(kTarget);
    const auto frame = kTables - 8 * static_cast<int>(number);
    add(fmt::format("ldxdw %r{}, [%r10{}]", kTarget, frame));
    std::uint64_t offset = 0;
    if (choices_.below(2) == 0) {
      offset = 8 * choices_.below(elements);
    } else {
      used(kTargetIndex);
      add(fmt::format("and %r{}, {}", kTargetIndex, elements - 1));
      add(fmt::format("lsh %r{}, 3", kTargetIndex));
      add(fmt::format("add %r{}, %r{}", kTarget, kTargetIndex));
    }
    add(fmt::format("ldxdw %r{0}, [%r{0}+{1}]", kTarget, offset));
    add(fmt::format("gotox %r{}", kTarget));
    holds_target_ = true;
    for (std::uint64_t i = 0; i < kTargets; ++i) {
      add(target(i) + ":");
      if (i + 1 < kTargets) {
        arithmetic();
      }
    }
    holds_target_ = false;
    load_constant(kTarget);
  }

  void need(const SketchExternal& external) {
    if (std::ranges::find(sketch_.externals, external) == sketch_.externals.end()) {
      sketch_.externals.push_back(external);
    }
  }

  void external_call() {
    const std::uint64_t which = choices_.below(kNatives.size() + 3);
    if (which < kNatives.size()) {
      const Native& native = kNatives[which];
      need({.kind = native.kind, .id = native.id, .native = std::string(native.name)});
      const bool is_kfunc = native.kind == bpf::ExternalKind::kfunc;
      if (is_kfunc) {  // its arguments have types: small numbers are of each
        for (unsigned reg = 1; reg <= 5; ++reg) {
          add(fmt::format("mov %r{}, {}", reg, choices_.below(128)));
        }
      } else {
        use_arguments(5);
      }
      add(fmt::format("call {}{}", is_kfunc ? "kfunc " : "", native.id));
    } else if (which == kNatives.size() + 2) {
      uses_memory_ = true;
      need({.kind = bpf::ExternalKind::helper,
            .id = kFiller,
            .returns = {1},
            .takes = 2,
            .fills = bpf::Filling{.pointer = 0, .length = 1}});
      add("mov %r1, %r6");
      add(fmt::format("mov %r2, {}", 1 + choices_.below(options_.memory_bytes)));
      add(fmt::format("call {}", kFiller));
    } else {
      const bool is_helper = which == kNatives.size();
      std::optional<std::uint8_t>& takes = is_helper ? helper_takes_ : kfunc_takes_;
      if (!takes) {
        takes = static_cast<std::uint8_t>(choices_.below(6));
      }
      use_arguments(*takes);
      SketchExternal stub{.kind = is_helper ? bpf::ExternalKind::helper : bpf::ExternalKind::kfunc,
                          .id = is_helper ? kStubHelper : kStubKfunc,
                          .returns = {0x1234, 0xffff'ffff'8000'0001},
                          .takes = *takes};
      need(stub);
      add(fmt::format("call {}{}", is_helper ? "" : "kfunc ", stub.id));
    }
    load_arguments();
  }

  void look_up() {
    uses_values_ = true;
    need({.kind = bpf::ExternalKind::helper, .id = kLookUp, .native = "map_lookup_elem"});
    add("lddw %r1, map values");
    add("mov %r2, %r10");
    add(fmt::format("add %r2, {}", kKey));
    add(fmt::format("stw [%r10{}], {}", kKey, choices_.below(kElements + 1)));
    add(fmt::format("call {}", kLookUp));
    add(fmt::format("jeq %r0, 0, miss{}", pieces_));
    add("ldxdw %r0, [%r0+0]");
    add(fmt::format("miss{}:", pieces_));
    load_arguments();
  }

  // Of a function that is there, and otherwise of what there is.
  void local_call() {
    const std::uint64_t kind = choices_.below(8);
    if (leaf_) {
      external_call();
      return;
    }
    if (kind == 6 && options_.has_externals) {  // a callback
      callback_ = true;
      uses_memory_ = true;
      need({.kind = bpf::ExternalKind::helper, .id = kLoop, .native = "loop"});
      add(fmt::format("mov %r1, {}", choices_.below(4)));
      add("lddw %r2, local each");
      add("mov %r3, %r6");
      add("mov %r4, 0");
      add(fmt::format("call {}", kLoop));
    } else if (kind == 7) {
      recursion_ = true;
      add(fmt::format("mov %r1, {}", choices_.below(6)));
      add(fmt::format("mov %r2, %r{}", any_register()));
      add("call local again");
    } else if (!made_.empty()) {
      const Made& callee = choices_.of(made_);
      if (callee.uses_memory) {
        uses_memory_ = true;
        add("mov %r1, %r6");
      }
      for (std::uint8_t reg = 2; reg <= 5; ++reg) {
        if ((callee.arguments >> reg & 1) != 0) {
          used(reg);
        }
      }
      if (kind == 5 && sketch_.callx == bpf::Callx::address) {
        add("lddw %r0, local " + callee.name);
        add("callx %r0");
      } else {
        add("call local " + callee.name);
      }
    } else if (options_.has_externals) {
      external_call();
      return;
    } else {
      arithmetic();
      return;
    }
    load_arguments();
  }

  void tail_call() {
    uses_jumps_ = true;
    uses_memory_ = true;
    add("mov %r1, %r6");
    add("lddw %r2, map jumps");
    add(fmt::format("mov %r3, {}", choices_.below(5)));
    add("call 12");
    load_constant(0);
    load_arguments();
  }

  void piece(std::size_t index) {
    if (may_have_tables_ && tables_ < kMostTables && choices_.one_in(8)) {
      table_jump();
      return;
    }
    const std::uint64_t kind = choices_.below(16);
    if (kind < 3) {  // the simplest: what the project is about
      local_call();
      // NOLINTNEXTLINE(bugprone-branch-clone): in place of what a program cannot have, too
    } else if (kind < 8) {
      arithmetic();
    } else if (kind < 11) {
      memory();
    } else if (kind < 13) {
      jump(index);
    } else if (kind == 13) {
      loop();
    } else if (kind == 14 && options_.has_externals) {
      external_call();
    } else if (kind == 15 && tail_calls_) {
      tail_call();
    } else if (kind == 15 && options_.has_externals) {
      look_up();
    } else if (choices_.one_in(16)) {
      add("exit");
    } else {
      arithmetic();
    }
  }

  // What is in use gets a value, from a constant, or for all but main from an argument.
  void prologue(Made& made, bool is_main) {
    if (uses_memory_) {
      add("mov %r6, %r1");
    }
    for (std::size_t i = 0; made.name == "main" && i < tables_; ++i) {
      add(fmt::format("stxdw [%r10{}], %r{}", kTables - 8 * static_cast<int>(i), 3 + i));
      sketch_.registers[2 + i] = fmt::format("addr(table{})", i);
    }
    for (const std::uint8_t reg : kFreeRegisters) {
      if ((used_ >> reg & 1) == 0) {
        continue;
      }
      if (!is_main && reg >= 2 && reg <= 5 && choices_.one_in(4)) {
        made.arguments |= 1U << reg;
      } else {
        load_constant(reg);
      }
    }
    for (unsigned word = 0; word < kStackBytes / 8; ++word) {
      if ((stack_words_ >> word & 1) != 0) {
        add(fmt::format("stxdw [%r10-{}], %r{}", kStackBytes - 8 * word, any_of(used_)));
      }
    }
  }
  // One of the registers in the set, which r0 is always in.
  unsigned any_of(unsigned set) {
    std::vector<unsigned> list;
    for (const std::uint8_t reg : kFreeRegisters) {
      if ((set >> reg & 1) != 0) {
        list.push_back(reg);
      }
    }
    return choices_.of(list);
  }
  void epilogue() {
    for (const std::uint8_t reg : kFreeRegisters) {
      if (reg != 0 && (used_ >> reg & 1) != 0) {
        add("lsh %r0, 1");
        add(fmt::format("xor %r0, %r{}", reg));
      }
    }
    add("exit");
  }

  SketchFunction function(const std::string& name) {
    lines_.clear();
    used_ = 1U << 0;
    stack_words_ = 0;
    uses_memory_ = false;
    std::size_t count = 0;
    for (; count < options_.most_pieces && choices_.below(16) != 0; ++count, ++pieces_) {
      add(label(count) + ":");
      piece(count);
    }
    for (std::size_t i = 0; i < kLongestJump; ++i) {
      add(label(count + i) + ":");
    }
    const std::vector<std::string> body = std::exchange(lines_, {});
    Made made{.name = name, .uses_memory = uses_memory_};
    prologue(made, name == "main" || leaf_);
    for (const std::string& line : body) {
      if (line != kReload) {
        add(line);
        continue;
      }
      for (unsigned reg = 1; reg <= 5; ++reg) {
        if ((used_ >> reg & 1) != 0) {
          load_constant(reg);
        }
      }
    }
    epilogue();
    made_.push_back(std::move(made));
    return {.name = name, .lines = std::exchange(lines_, {})};
  }

  // Called with an index and the address of `mem`; 0 goes on.
  SketchFunction callback() {
    return {.name = "each",
            .lines = {"ldxdw %r3, [%r2+8]", "add %r3, %r1", "stxdw [%r2+8], %r3", "mov %r0, 0",
                      choices_.one_in(4) ? "mov %r0, %r1" : "mov %r0, 0", "exit"}};
  }
  // Calls itself r1 times.
  static SketchFunction recursion() {
    return {.name = "again",
            .lines = {"mov %r0, %r2", "jeq %r1, 0, done", "mov %r7, %r2", "sub %r1, 1",
                      "add %r2, 3", "call local again", "xor %r0, %r7", "done:", "exit"}};
  }

  Choices& choices_;
  GeneratorOptions options_;
  Sketch sketch_;
  std::vector<Made> made_;          // the functions that may be called
  std::vector<std::string> lines_;  // of the function that is being made, as all up to uses_memory_
  unsigned used_ = 0;               // its registers, bits by their numbers; r0 is among them
  unsigned stack_words_ = 0;        // words of its stack, bits from the lowest
  bool uses_memory_ = false;        // `mem`, at r6
  std::size_t pieces_ = 0;          // so many were made: for names of labels
  std::optional<std::uint8_t> helper_takes_;
  std::optional<std::uint8_t> kfunc_takes_;
  std::size_t tables_ = 0;        // of main
  bool may_have_tables_ = false;  // main is being made, and a case tells it where they are
  bool holds_target_ = false;     // kTarget is nobody else's
  bool leaf_ = false;             // it calls no function of its own program
  bool beyond_rfc_ = false;
  bool tail_calls_ = false;
  bool uses_jumps_ = false;
  bool uses_values_ = false;
  bool callback_ = false;
  bool recursion_ = false;
};

}  // namespace

Sketch generate(Choices& choices, const model::AxisValues& axes, const GeneratorOptions& options) {
  return Generator(choices, axes, options).make();
}

SketchProgram generate_program(Choices& choices, const GeneratorOptions& options) {
  GeneratorOptions local = options;
  local.has_externals = false;
  Sketch sketch;
  sketch.programs.push_back(Generator(choices, {}, local).program());
  return tidied(std::move(sketch)).programs.front();
}

}  // namespace farcall::campaign
