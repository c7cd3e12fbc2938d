#include "bpf/assembler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bpf/assembly_line.hpp"
#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::bpf {
namespace {

// Rows of the instruction table in the order of their mnemonics.
constexpr auto kByMnemonic = [] {
  std::array<const InstructionInfo*, kInstructions.size()> rows{};
  std::ranges::transform(kInstructions, rows.begin(),
                         [](const InstructionInfo& row) { return &row; });
  // Those of one mnemonic stay in the table's order.
  std::ranges::sort(rows, {},
                    [](const InstructionInfo* row) { return std::pair(row->mnemonic, row); });
  return rows;
}();

// Other ways in which the dialect writes a mnemonic.
struct Alias {
  std::string_view written;
  std::string_view mnemonic;
};
constexpr std::array kAliases = {
    Alias{"bswap16", "swap16"},
    Alias{"bswap32", "swap32"},
    Alias{"bswap64", "swap64"},
    Alias{"lock fetch xchg", "lock xchg"},
    Alias{"lock fetch xchg32", "lock xchg32"},
    Alias{"lock fetch cmpxchg", "lock cmpxchg"},
    Alias{"lock fetch cmpxchg32", "lock cmpxchg32"},
};

using Rows = std::span<const InstructionInfo* const>;

Rows rows_named(std::string_view mnemonic) {
  const auto mnemonic_of = [](const InstructionInfo* row) { return row->mnemonic; };
  const auto* const begin = std::ranges::lower_bound(kByMnemonic, mnemonic, {}, mnemonic_of);
  const auto* const end = std::find_if(begin, kByMnemonic.end(), [&](const InstructionInfo* row) {
    return row->mnemonic != mnemonic;
  });
  if (begin != end) {
    return {begin, end};
  }
  const auto* const alias = std::ranges::find(kAliases, mnemonic, &Alias::written);
  return alias == kAliases.end() ? Rows() : rows_named(alias->mnemonic);
}

struct Label {
  std::string_view name;
  Place place;
  SlotIndex slot = 0;
  bool is_function = false;
};

// A use of a label that is filled in at the end.
struct Reference {
  std::string_view label;
  Place place;
  SlotIndex slot = 0;        // of the instruction
  bool to_function = false;  // else a jump
};

struct Instruction {
  const InstructionInfo* info = nullptr;
  Slot slot = {};
  Slot second = {};  // of an instruction that takes two
};

// A label in a `.table`, which is filled in at the end.
struct Element {
  std::string_view table;
  std::uint64_t offset = 0;
  Reference label = {};
};

constexpr std::string_view kTable = ".table";
constexpr std::string_view kRepeat = ".rept";
constexpr std::string_view kEndRepeat = ".endr";

// As many as Linux's verifier looks at.
constexpr std::size_t kMostInstructions = 1'000'000;

class Assembler {
 public:
  Assembler(const SourceLocation& start, std::span<const Map> maps) : start_(start) {
    program_.maps.assign(maps.begin(), maps.end());
  }

  Result<Program> run(std::string_view text) {
    const auto lines = static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1;
    program_.slots.reserve(lines);
    FARCALL_TRYV(read_lines({.text = text, .number = start_.line}));
    if (program_.slots.empty()) {
      return Error{.code = ErrorCode::bpf_empty,
                   .message = "expected at least one instruction",
                   .where = start_};
    }
    if (!labels_.empty() && labels_.back().slot == program_.slots.size()) {
      return error(ErrorCode::asm_syntax, labels_.back().place,
                   fmt::format("no instruction follows label '{}'", labels_.back().name));
    }
    FARCALL_TRYV(resolve_functions());
    FARCALL_TRYV(divide_into_functions());
    FARCALL_TRYV(resolve_jumps());
    FARCALL_TRYV(resolve_tables());
    return std::move(program_);
  }

 private:
  // Lines of the text, and the number of the first.
  struct Lines {
    std::string_view text;
    unsigned number;

    std::optional<AssemblyLine> next() {
      if (text.empty()) {
        return std::nullopt;
      }
      const std::size_t end = text.find('\n');
      const AssemblyLine line(text.substr(0, end), number++);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      return line;
    }
  };

  Result<void> read_lines(Lines lines) {
    while (auto line = lines.next()) {
      if (line->peek() != '.') {
        FARCALL_TRYV(read_line(*line));
        continue;
      }
      const Place place = line->place();
      AssemblyLine directive = *line;
      const std::string_view word = directive.take_name();
      if (word == kRepeat) {
        FARCALL_TRYV(repeat(directive, lines));
      } else if (word == kTable) {
        FARCALL_TRYV(read_table(directive));
      } else if (word == kEndRepeat) {
        return error(ErrorCode::asm_syntax, place, "there is no .rept before this .endr");
      } else {
        FARCALL_TRYV(read_line(*line));
      }
    }
    return success();
  }

  // `.table jumps zero, one`: the addresses of these instructions, in a region of that name.
  Result<void> read_table(AssemblyLine& directive) {
    const Place place = directive.place();
    const std::string_view table = directive.take_name();
    if (table.empty()) {
      return expected(directive, "the name of a table");
    }
    if (std::ranges::find(elements_, table, &Element::table) != elements_.end()) {
      return error(ErrorCode::asm_duplicate_label, place,
                   fmt::format("there is a table '{}' already", table));
    }
    std::uint64_t offset = 0;
    do {
      const Place at = directive.place();
      const std::string_view label = directive.take_name();
      if (label.empty()) {
        return expected(directive, "a label");
      }
      elements_.push_back(
          {.table = table, .offset = offset, .label = {.label = label, .place = at}});
      offset += 8;
    } while (directive.take(','));
    return directive.at_end() ? Result<void>(success())
                              : expected(directive, "',' or the line's end");
  }

  // `.rept 3`, as in the GNU assembler; `lines` go on after the `.endr`.
  Result<void> repeat(AssemblyLine& directive, Lines& lines) {
    const Place place = directive.place();
    FARCALL_TRY(count, read_count(directive));
    if (!directive.at_end()) {
      return expected(directive, "the line's end");
    }
    Lines body = lines;
    const std::string_view all = lines.text;
    for (;;) {
      const std::size_t before = all.size() - lines.text.size();
      auto line = lines.next();
      if (!line) {
        return error(ErrorCode::asm_syntax, place, "expected .endr after this .rept");
      }
      const Place at = line->place();
      const std::string_view word = line->take_name();
      if (word == kRepeat) {
        return error(ErrorCode::asm_syntax, at, "a .rept in another: expected .endr first");
      }
      if (word == kEndRepeat) {
        body.text = all.substr(0, before);
        break;
      }
    }
    for (std::int32_t i = 0; i < count; ++i) {
      FARCALL_TRYV(read_lines(body));
      if (program_.slots.size() > kMostInstructions) {
        return error(ErrorCode::asm_out_of_range, place,
                     fmt::format("more than {} instructions", kMostInstructions));
      }
    }
    return success();
  }

  SourceLocation location(Place place) const {
    return {.file = start_.file, .line = place.line, .column = place.column};
  }
  Error error(ErrorCode code, Place place, std::string message) const {
    return {.code = code, .message = std::move(message), .where = location(place)};
  }
  Error expected(AssemblyLine& line, std::string_view what) const {
    return error(ErrorCode::asm_syntax, line.place(),
                 fmt::format("expected {}, found {}", what, line.found()));
  }

  Result<void> read_line(AssemblyLine line) {
    while (!line.at_end()) {
      const Place place = line.place();
      if (line.peek() == '*') {
        return kernel_syntax(place);
      }
      const std::string_view word = line.take_name();
      if (word.empty()) {
        return expected(line, "an instruction or a label");
      }
      if (line.take(':')) {
        FARCALL_TRYV(define(word, place));
        continue;
      }
      FARCALL_TRYV(read_instruction(word, place, line));
      if (!line.at_end()) {
        return expected(line, "the line's end");
      }
    }
    return success();
  }

  Result<void> define(std::string_view name, Place place) {
    const auto [known, is_new] = label_numbers_.try_emplace(name, labels_.size());
    if (!is_new) {
      return error(ErrorCode::asm_duplicate_label, place,
                   fmt::format("label '{}' is defined in line {} already", name,
                               labels_[known->second].place.line));
    }
    labels_.push_back({.name = name, .place = place, .slot = next_slot()});
    return success();
  }

  // What a line of Linux's syntax begins with: `r0 = 1`, `w1 += w2`, `if r1 > 2 goto +3`.
  static bool is_kernel_word(std::string_view word) {
    const bool is_register =
        word.size() >= 2 && (word.front() == 'r' || word.front() == 'w') &&
        std::ranges::all_of(word.substr(1), [](char c) { return c >= '0' && c <= '9'; });
    return is_register || word == "if" || word == "goto" || word == "gotol";
  }
  Error kernel_syntax(Place place) const {
    return error(ErrorCode::asm_syntax, place,
                 "this is the syntax of Linux and LLVM, `r0 = 1`: expected that of the conformance "
                 "suite, `mov %r0, 1`, `ldxdw %r0, [%r1+8]`, `jgt %r0, 1, +3`");
  }

  // Mnemonics of atomics go on after their first word.
  static std::string whole_mnemonic(std::string_view first, AssemblyLine& line) {
    std::string mnemonic(first);
    if (first == "lock") {
      if (line.take_word("fetch")) {
        mnemonic += " fetch";
      }
    }
    if (first == "lock" || first == "acquire" || first == "release") {
      const std::string_view operation = line.take_name();
      if (!operation.empty()) {
        mnemonic += fmt::format(" {}", operation);
      }
    }
    return mnemonic;
  }

  Result<void> read_instruction(std::string_view word, Place place, AssemblyLine& line) {
    const std::string mnemonic = whole_mnemonic(word, line);
    const Rows rows = rows_named(mnemonic);
    if (rows.empty()) {
      if (is_kernel_word(word) || (word == "lock" && line.peek() == '*')) {
        return kernel_syntax(place);
      }
      return error(ErrorCode::asm_unknown_mnemonic, place,
                   fmt::format("there is no instruction '{}'", mnemonic));
    }
    Instruction read{.info = rows.front()};
    bool first = true;
    for (const Operand operand : operands_of(read.info->form)) {
      if (operand == Operand::none) {
        break;
      }
      if (!first && !line.take(',')) {
        return expected(line, "','");
      }
      first = false;
      FARCALL_TRYV(read_operand(operand, line, rows, read));
    }
    select(*read.info, read.slot);
    append(read.slot, place);
    if (slots_of(read.info->opcode) == 2) {
      append(read.second, place);
    }
    return success();
  }

  Result<void> read_operand(Operand operand, AssemblyLine& line, Rows rows, Instruction& read) {
    Slot& slot = read.slot;
    switch (operand) {
      case Operand::none:
        break;
      case Operand::dst:
        return read_register(line, slot.dst);
      case Operand::source:
        return read_source(line, rows, read);
      case Operand::imm64:
      case Operand::map:
      case Operand::map_value:
        return read_imm64(line, rows, read);
      case Operand::memory_dst:
        return read_memory(line, slot.dst, slot.offset);
      case Operand::memory_src:
        return read_memory(line, slot.src, slot.offset);
      case Operand::target:
        return read_target(line, slot);
      case Operand::target32:
        return read_target32(line, slot);
      case Operand::local_callee:
      case Operand::helper:
      case Operand::kfunc:
        return read_callee(line, rows, read);
    }
    return success();
  }

  SlotIndex next_slot() const { return static_cast<SlotIndex>(program_.slots.size()); }

  void append(const Slot& slot, Place place) {
    program_.slots.push_back(slot);
    program_.origins.add(location(place));
  }

  Result<void> read_register(AssemblyLine& line, std::uint8_t& number) const {
    const auto found = line.take_register();
    if (!found) {
      return expected(line, "a register, %r0 to %r10");
    }
    number = *found;
    return success();
  }

  // The second operand, which says which of a mnemonic's rows is meant.
  Result<void> read_source(AssemblyLine& line, Rows rows, Instruction& read) const {
    const Source source = line.at_register() ? Source::src_register : Source::immediate;
    const auto row = std::ranges::find(rows, source, &InstructionInfo::source);
    if (row == rows.end()) {
      return expected(line, source == Source::immediate ? "a register, %r0 to %r10" : "a number");
    }
    read.info = *row;
    if (source == Source::src_register) {
      return read_register(line, read.slot.src);
    }
    FARCALL_TRY(value, read_number(line, 32));
    read.slot.imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(value));
    return success();
  }

  // A number, or the function or map whose address it is: which of a mnemonic's rows is meant.
  Result<void> read_imm64(AssemblyLine& line, Rows rows, Instruction& read) {
    const auto take_word_of = [&](std::string_view word, Form form) {
      const bool taken = line.take_word(word);
      read.info = taken ? *std::ranges::find(rows, form, &InstructionInfo::form) : read.info;
      return taken;
    };
    if (take_word_of(kLocal, Form::dst_function)) {
      return read_label(line, "a label", true);
    }
    if (take_word_of("map", Form::dst_map)) {
      return read_map(line, read);
    }
    if (take_word_of("value", Form::dst_value)) {
      FARCALL_TRYV(read_map(line, read));
      if (line.peek() == '+') {
        FARCALL_TRY(at, read_count(line));
        read.second.imm = at;
      }
      return success();
    }
    FARCALL_TRY(value, read_number(line, 64));
    std::tie(read.slot, read.second) = load_immediate64_slots(read.slot.dst, value);
    return success();
  }

  Result<void> read_map(AssemblyLine& line, Instruction& read) const {
    const Place place = line.place();
    const std::string_view name = line.take_name();
    if (name.empty()) {
      return expected(line, "the name of a map");
    }
    const auto map = std::ranges::find(program_.maps, name, &Map::name);
    if (map == program_.maps.end()) {
      return error(ErrorCode::asm_unknown_map, place, fmt::format("there is no map '{}'", name));
    }
    read.slot.imm = static_cast<std::int32_t>(map - program_.maps.begin());
    return success();
  }

  // `[%r1+12]`
  Result<void> read_memory(AssemblyLine& line, std::uint8_t& base, std::int16_t& offset) const {
    if (!line.take('[')) {
      return expected(line, "'['");
    }
    FARCALL_TRYV(read_register(line, base));
    if (line.peek() == '+' || line.peek() == '-') {
      FARCALL_TRYV(read_offset(line, offset));
    }
    if (!line.take(']')) {
      return expected(line, "']'");
    }
    return success();
  }

  Result<void> read_target(AssemblyLine& line, Slot& slot) {
    if (line.peek() == '+' || line.peek() == '-') {
      return read_offset(line, slot.offset);
    }
    return read_label(line, "a label, or a number of slots with its sign", false);
  }

  Result<void> read_target32(AssemblyLine& line, Slot& slot) {
    if (line.peek() != '+' && line.peek() != '-') {
      return read_label(line, "a label, or a number of slots with its sign", false);
    }
    const Place place = line.place();
    FARCALL_TRY(value, read_number(line, 32));
    slot.imm = static_cast<std::int32_t>(value);
    if ((static_cast<std::int64_t>(value) < 0) != (slot.imm < 0)) {
      return error(ErrorCode::asm_out_of_range, place,
                   "expected an offset of -2147483648 to 2147483647");
    }
    return success();
  }

  // A label, a helper, a kfunc or a register: which of a mnemonic's rows is meant.
  Result<void> read_callee(AssemblyLine& line, Rows rows, Instruction& read) {
    const auto row_of = [rows](Form form) {
      return *std::ranges::find(rows, form, &InstructionInfo::form);
    };
    if (line.at_register()) {
      read.info = std::ranges::find(kInstructions, Form::callee, &InstructionInfo::form);
      return read_register(line, read.slot.dst);
    }
    if (line.take_word(kLocal)) {
      read.info = row_of(Form::local_callee);
      return read_label(line, "a label", true);
    }
    read.info = row_of(line.take_word("kfunc") ? Form::kfunc : Form::helper);
    FARCALL_TRY(number, read_count(line, read.info->form == Form::kfunc
                                             ? "a number"
                                             : "'local' and a label, 'kfunc' and a number, a "
                                               "number, or a register"));
    read.slot.imm = number;
    return success();
  }

  // A number of 31 bits.
  Result<std::int32_t> read_count(AssemblyLine& line, std::string_view what = "a number") const {
    const Place place = line.place();
    const auto number = line.take_number();
    if (!number) {
      return expected(line, what);
    }
    constexpr std::uint64_t kMost = std::numeric_limits<std::int32_t>::max();
    if (number->overflow || number->negative || number->magnitude > kMost) {
      return error(ErrorCode::asm_out_of_range, place, "expected a number of 0 to 2147483647");
    }
    return static_cast<std::int32_t>(number->magnitude);
  }

  Result<void> read_label(AssemblyLine& line, std::string_view what, bool to_function) {
    const Place place = line.place();
    const std::string_view label = line.take_name();
    if (label.empty()) {
      return expected(line, what);
    }
    references_.push_back(
        {.label = label, .place = place, .slot = next_slot(), .to_function = to_function});
    return success();
  }

  // A signed 16-bit number with its sign.
  Result<void> read_offset(AssemblyLine& line, std::int16_t& offset) const {
    const Place place = line.place();
    const auto number = line.take_number();
    if (!number) {
      return expected(line, "a number");
    }
    if (number->overflow || number->magnitude > (number->negative ? 0x8000U : 0x7fffU)) {
      return error(ErrorCode::asm_out_of_range, place, "expected an offset of -32768 to 32767");
    }
    offset = static_cast<std::int16_t>(number->bits());
    return success();
  }

  // A number that fits in `bits` bits, either as a signed one or as an unsigned one.
  Result<std::uint64_t> read_number(AssemblyLine& line, unsigned bits) const {
    const Place place = line.place();
    const auto number = line.take_number();
    if (!number) {
      return expected(line, "a number");
    }
    const std::uint64_t most = number->negative
                                   ? std::uint64_t{1} << (bits - 1)
                                   : std::numeric_limits<std::uint64_t>::max() >> (64 - bits);
    if (number->overflow || number->magnitude > most) {
      return error(ErrorCode::asm_out_of_range, place,
                   fmt::format("the number does not fit in {} bits", bits));
    }
    return number->bits();
  }

  // Where a label is, the function of `exit` aside. `main` may go without a definition.
  Result<SlotIndex> slot_of(const Reference& reference) {
    const auto known = label_numbers_.find(reference.label);
    if (known != label_numbers_.end()) {
      Label& label = labels_[known->second];
      label.is_function = label.is_function || reference.to_function;
      return label.slot;
    }
    if (reference.label == kMain) {
      return 0;
    }
    return error(ErrorCode::asm_unknown_label, reference.place,
                 fmt::format("label '{}' is not defined", reference.label));
  }

  Result<void> resolve_functions() {
    for (const Reference& reference : references_) {
      if (reference.to_function) {
        FARCALL_TRY(target, slot_of(reference));
        program_.slots[reference.slot].imm = static_cast<std::int32_t>(target - reference.slot - 1);
      }
    }
    return success();
  }

  // Labels are in the order of their slots; of several at one slot the first that is named as one
  // counts.
  Result<void> divide_into_functions() {
    std::vector<Function>& functions = program_.functions;
    functions.push_back({.name = std::string(kMain)});
    for (const Label& label : labels_) {
      if (!label.is_function || label.slot == functions.back().begin) {
        continue;
      }
      if (label.name == kMain) {
        return error(ErrorCode::asm_duplicate_label, label.place,
                     "the first function is called main: expected another label for this one");
      }
      functions.back().end = label.slot;
      functions.push_back({.name = std::string(label.name), .begin = label.slot});
    }
    functions.back().end = next_slot();
    return success();
  }

  Result<void> resolve_jumps() {
    for (const Reference& reference : references_) {
      if (reference.to_function) {
        continue;
      }
      const auto exit = implicit_exit(reference);
      FARCALL_TRY(target, exit ? Result<SlotIndex>(*exit) : slot_of(reference));
      const std::int64_t offset = std::int64_t{target} - reference.slot - 1;
      Slot& slot = program_.slots[reference.slot];
      if (find(slot)->form == Form::target32) {
        slot.imm = static_cast<std::int32_t>(offset);
        continue;
      }
      if (offset < std::numeric_limits<std::int16_t>::min() ||
          offset > std::numeric_limits<std::int16_t>::max()) {
        return error(ErrorCode::asm_out_of_range, reference.place,
                     fmt::format("label '{}' is {} slots away: expected -32768 to 32767",
                                 reference.label, offset));
      }
      slot.offset = static_cast<std::int16_t>(offset);
    }
    return success();
  }

  Result<void> resolve_tables() {
    for (const Element& element : elements_) {
      FARCALL_TRY(slot, slot_of(element.label));
      program_.code_pointers.push_back(
          {.region = std::string(element.table), .offset = element.offset, .slot = slot});
    }
    std::ranges::stable_sort(program_.code_pointers, {}, &CodePointer::region);
    return success();
  }

  std::optional<SlotIndex> implicit_exit(const Reference& reference) const {
    if (reference.label != "exit" || label_numbers_.contains(reference.label)) {
      return std::nullopt;
    }
    const Function& function = program_.functions[*function_at(program_, reference.slot)];
    for (const SlotIndex at : instructions(program_, function)) {
      if (find(program_.slots[at].opcode)->operation == Operation::exit) {
        return at;
      }
    }
    return std::nullopt;
  }

  static constexpr std::string_view kMain = "main";
  static constexpr std::string_view kLocal = "local";

  const SourceLocation& start_;
  Program program_;
  std::vector<Label> labels_;
  std::unordered_map<std::string_view, std::size_t> label_numbers_;
  std::vector<Reference> references_;
  std::vector<Element> elements_;  // of tables, one after the other
};

}  // namespace

Result<Program> assemble(std::string_view text, const SourceLocation& start,
                         std::span<const Map> maps) {
  return Assembler(start, maps).run(text);
}

}  // namespace farcall::bpf
