#include "bpf/validator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpf/helpers.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "bpf/source_line.hpp"
#include "bpf/stack_argument.hpp"

namespace farcall::bpf {
namespace {

// One instruction under examination.
struct Examined {
  const Program& program;
  std::uint32_t function;  // its number
  SlotIndex at;
  std::uint32_t calls_before;   // in the same function
  const InstructionInfo* info;  // null: it is none

  const Slot& slot() const { return program.slots[at]; }
};

Error error_at(const Examined& examined, SlotIndex slot, ErrorCode code, std::string_view message) {
  const Function& function = examined.program.functions[examined.function];
  return {.code = code,
          .message = fmt::format("{}+{}{}: {}", function.name, slot - function.begin,
                                 source_line(examined.program, slot), message),
          .where = examined.program.origins.at(slot)};
}

Error error_at(const Examined& examined, ErrorCode code, std::string_view message) {
  return error_at(examined, examined.at, code, message);
}

// Functions lie back to back from slot 0 to the end, none is empty, names are distinct.
MaybeError check_functions(const Program& program) {
  const auto bad = [](std::string message) {
    return Error{.code = ErrorCode::bpf_bad_functions, .message = std::move(message)};
  };
  SlotIndex expected = 0;
  for (const Function& function : program.functions) {
    if (function.begin != expected || function.end <= function.begin) {
      return bad(
          fmt::format("function {} is slots {} to {}: expected it to begin at slot {} and "
                      "not to be empty",
                      function.name, function.begin, function.end, expected));
    }
    expected = function.end;
  }
  if (expected != program.slots.size()) {
    return bad(fmt::format("functions end at slot {}: expected the program's end, {}", expected,
                           program.slots.size()));
  }
  std::vector<std::string_view> names(program.functions.size());
  std::ranges::transform(program.functions, names.begin(), &Function::name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) {
    return bad(fmt::format("two functions are called {}", *twice));
  }
  return {};
}

struct NamedField {
  std::string_view name;
  FieldRule rule;
  std::int32_t value;
};

std::array<NamedField, 4> fields_of(const Slot& slot, const InstructionInfo& info) {
  return {{{"dst", info.dst, slot.dst},
           {"src", info.src, slot.src},
           {"offset", info.offset, slot.offset},
           {"imm", info.imm, slot.imm}}};
}

// Why an opcode that is in the table has no row for this slot: `src is 0, expected 1`.
Error unknown_variant(const Examined& examined, const InstructionInfo& first) {
  const std::array<NamedField, 4> fields = fields_of(examined.slot(), first);
  const auto* const field = std::ranges::find(fields, FieldRule::Kind::selector,
                                              [](const NamedField& f) { return f.rule.kind; });
  const auto index = static_cast<std::size_t>(field - fields.begin());
  std::vector<std::int32_t> expected;  // each once, in the table's order
  for (const InstructionInfo& row : kInstructions) {
    const std::int32_t value = fields_of(examined.slot(), row)[index].rule.value;
    if (row.opcode == first.opcode && std::ranges::find(expected, value) == expected.end()) {
      expected.push_back(value);
    }
  }
  return error_at(
      examined, ErrorCode::bpf_reserved_field,
      fmt::format("{} of opcode {:#04x} ({}) is {}: expected {}", field->name, first.opcode,
                  first.mnemonic, field->value, fmt::join(expected, " or ")));
}

// RFC 9669 section 5.5: class LD, modes ABS and IND.
bool is_legacy_packet_access(std::uint8_t opcode) {
  const unsigned mode = opcode >> 5;
  return static_cast<InstructionClass>(opcode & 7) == InstructionClass::ld &&
         (mode == 1 || mode == 2);
}

MaybeError check_opcode(const Examined& examined) {
  const Slot& slot = examined.slot();
  if (const InstructionInfo* const info = examined.info) {
    if (info->operation == Operation::call_register && examined.program.callx == Callx::none) {
      Error error = error_at(examined, ErrorCode::bpf_unknown_opcode,
                             fmt::format("{} is an extension of the instruction set that this "
                                         "program does not have",
                                         info->mnemonic));
      error.hint = fmt::format(
          "'-- extension {}' in a case file: the register holds the address of a function; "
          "'-- extension {}': the number of a helper",
          extension_name(Callx::address), extension_name(Callx::helper));
      return error;
    }
    return {};
  }
  const InstructionInfo* first = find(slot.opcode);
  if (first != nullptr) {
    return unknown_variant(examined, *first);
  }
  return error_at(examined, ErrorCode::bpf_unknown_opcode,
                  fmt::format("opcode {:#04x}{} is not supported", slot.opcode,
                              is_legacy_packet_access(slot.opcode)
                                  ? ", legacy packet access, which RFC 9669 deprecates,"
                                  : ""));
}

MaybeError check_fields(const Examined& examined, const InstructionInfo& info) {
  const Slot& slot = examined.slot();
  const auto is_good = [](const FieldRule& rule, std::int32_t value) {
    return rule.kind != FieldRule::Kind::zero || value == 0;
  };
  if (is_good(info.dst, slot.dst) && is_good(info.src, slot.src) &&
      is_good(info.offset, slot.offset) && is_good(info.imm, slot.imm)) {
    return {};
  }
  for (const NamedField& field : fields_of(examined.slot(), info)) {
    if (field.rule.kind == FieldRule::Kind::zero && field.value != 0) {
      return error_at(examined, ErrorCode::bpf_reserved_field,
                      fmt::format("{} of {} is {}: expected 0, as it is not used", field.name,
                                  info.mnemonic, field.value));
    }
  }
  return {};
}

MaybeError check_registers(const Examined& examined, const InstructionInfo& info) {
  const Slot& slot = examined.slot();
  const auto argument = stack_argument(slot, info);
  const std::array<std::uint8_t, 2> named = {argument && !argument->is_own ? slot.src : slot.dst,
                                             argument && argument->is_own ? slot.dst : slot.src};
  for (const std::uint8_t number : named) {
    if (number >= kRegisterCount) {
      Error error =
          error_at(examined, ErrorCode::bpf_bad_register,
                   fmt::format("{} names register r{}: expected r0 to r10", info.mnemonic, number));
      if (number == kArgumentBase) {
        error.hint = fmt::format(
            "r11 is there for arguments six and more: 'stxdw [%r11-8], %r1' passes the sixth, "
            "'ldxdw %r1, [%r11+8]' loads it, and so on in steps of 8 up to {}",
            8 * kMostStackArguments);
      }
      return error;
    }
  }
  if ((info.writes_dst() && slot.dst == kFramePointer) ||
      (info.writes_src() && slot.src == kFramePointer)) {
    return error_at(
        examined, ErrorCode::bpf_bad_register,
        fmt::format("{} writes r10, the frame pointer, which is read-only", info.mnemonic));
  }
  return {};
}

MaybeError check_second_slot(const Examined& examined, const InstructionInfo& info) {
  if (examined.at + 1 >= examined.program.functions[examined.function].end) {
    return error_at(examined, ErrorCode::bpf_falls_off_end,
                    fmt::format("{} takes two slots: the second is missing", info.mnemonic));
  }
  const Slot& second = examined.program.slots[examined.at + 1];
  const bool has_upper_half = info.form == Form::dst_imm64 || info.form == Form::dst_value;
  if (second != Slot{.imm = has_upper_half ? second.imm : 0}) {
    return error_at(examined, examined.at + 1, ErrorCode::bpf_reserved_field,
                    fmt::format("second slot of {}: expected all fields{} to be 0", info.mnemonic,
                                has_upper_half ? " but imm" : ""));
  }
  return {};
}

// Targets are checked in 64 bits: a displacement may lead anywhere.
std::int64_t target_of(const Examined& examined, std::int32_t displacement) {
  return std::int64_t{examined.at} + 1 + displacement;
}

// `begins[i]`: an instruction begins at slot i.
MaybeError check_jump(const Examined& examined, const InstructionInfo& info,
                      const std::vector<bool>& begins) {
  const std::int64_t target = target_of(examined, displacement(examined.slot(), info));
  const Function& function = examined.program.functions[examined.function];
  if (target < function.begin || target >= function.end) {
    return error_at(examined, ErrorCode::bpf_jump_target,
                    fmt::format("{} leads to slot {}, outside its function ({} to {})",
                                info.mnemonic, target, function.begin, function.end - 1));
  }
  if (!begins[static_cast<std::size_t>(target)]) {
    return error_at(examined, ErrorCode::bpf_jump_target,
                    fmt::format("{} leads to slot {}, the second half of an instruction",
                                info.mnemonic, target));
  }
  return {};
}

// A call, or a load of a function's address.
MaybeError check_function(const Examined& examined, const InstructionInfo& info) {
  const std::int64_t target = target_of(examined, examined.slot().imm);
  const bool inside = target >= 0 && target < std::ssize(examined.program.slots);
  if (inside) {
    const auto slot = static_cast<SlotIndex>(target);
    const auto callee = function_at(examined.program, slot);
    if (callee && examined.program.functions[*callee].begin == slot) {
      return {};
    }
  }
  Error error =
      error_at(examined, ErrorCode::bpf_call_target,
               fmt::format("{} leads to slot {}, where no function begins", info.mnemonic, target));
  if (info.is_call()) {
    error.site = to_string(examined.program,
                           {.function = examined.function, .ordinal = examined.calls_before});
  }
  return error;
}

// A load of a map's address, or of that of a byte of its values.
MaybeError check_map(const Examined& examined, const InstructionInfo& info) {
  const std::vector<Map>& maps = examined.program.maps;
  const std::int32_t number = examined.slot().imm;
  if (number < 0 || number >= std::ssize(maps)) {
    Error error =
        error_at(examined, ErrorCode::bpf_unknown_map, fmt::format("there is no map {}", number));
    error.hint = "'-- array NAME size=N value=BYTES' in a case file makes one; the first is map 0";
    return error;
  }
  const Map& map = maps[static_cast<std::size_t>(number)];
  const auto offset = static_cast<std::uint32_t>(examined.program.slots[examined.at + 1].imm);
  if (info.form == Form::dst_value && offset >= map.value_bytes) {
    return error_at(examined, ErrorCode::bpf_map_value,
                    fmt::format("the values of {} have {} bytes: there is no byte {}", map.name,
                                map.value_bytes, offset));
  }
  return {};
}

// A helper or a kfunc: it must be there. The helper of tail calls always is.
MaybeError check_external(const Examined& examined, const InstructionInfo& info) {
  const std::int32_t id = examined.slot().imm;
  const ExternalKind kind = info.form == Form::kfunc ? ExternalKind::kfunc : ExternalKind::helper;
  const auto& externals = examined.program.externals;
  const bool known = (kind == ExternalKind::helper && id == kTailCall) ||
                     std::ranges::any_of(externals, [&](const External& external) {
                       return external.kind == kind && external.id == id;
                     });
  if (known) {
    return {};
  }
  const std::string_view word = kind == ExternalKind::kfunc ? "kfunc" : "helper";
  Error error = error_at(examined, ErrorCode::bpf_unknown_function,
                         fmt::format("there is no {} {}{}", word, id,
                                     kind == ExternalKind::helper && linux_helper(id) != nullptr
                                         ? fmt::format(" ({} in Linux)", helper_name(id))
                                         : ""));
  error.site = to_string(examined.program,
                         {.function = examined.function, .ordinal = examined.calls_before});
  error.hint = fmt::format(
      "'-- {0} {1} NAME' in a case file declares one, '-- stub {0} {1}' a stub", word, id);
  return error;
}

// All that can be said of an instruction without knowing where others begin.
MaybeError check_alone(const Examined& examined) {
  MaybeError problem = check_opcode(examined);
  if (problem) {
    return problem;
  }
  const InstructionInfo& info = *examined.info;
  problem = check_fields(examined, info);
  if (!problem) {
    problem = check_registers(examined, info);
  }
  if (!problem && slots_of(info.opcode) == 2) {
    problem = check_second_slot(examined, info);
  }
  return problem;
}

bool is_last(const Examined& examined) {
  return examined.at + slots_of(examined.info->opcode) ==
         examined.program.functions[examined.function].end;
}

// Whether check_targets() has anything to say of an instruction: of most it has not.
bool may_lead_elsewhere(const Examined& examined) {
  const InstructionInfo& info = *examined.info;
  return info.is_jump() || info.names_function() || info.names_map() ||
         info.operation == Operation::call_external || is_last(examined);
}

MaybeError check_targets(const Examined& examined, const std::vector<bool>& begins) {
  const InstructionInfo& info = *examined.info;
  MaybeError problem;
  if (info.is_jump()) {
    problem = check_jump(examined, info, begins);
  } else if (info.names_function()) {
    problem = check_function(examined, info);
  } else if (info.names_map()) {
    problem = check_map(examined, info);
  } else if (info.operation == Operation::call_external) {
    problem = check_external(examined, info);
  }
  if (problem) {
    return problem;
  }
  if (is_last(examined) && info.operation != Operation::exit && info.operation != Operation::jump &&
      info.operation != Operation::jump_register) {
    return error_at(examined, ErrorCode::bpf_falls_off_end,
                    fmt::format("{} is the last instruction of {}: expected exit or ja",
                                info.mnemonic, examined.program.functions[examined.function].name));
  }
  return {};
}

// Elements of jump tables: of eight bytes each, and of instructions. `begins` as above.
MaybeError check_code_pointers(const Program& program, const std::vector<bool>& begins) {
  const CodePointer* before = nullptr;
  for (const CodePointer& pointer : program.code_pointers) {
    const auto bad = [&](std::string_view what) {
      return Error{.code = ErrorCode::bpf_jump_target,
                   .message = fmt::format("{}+{} is the address of slot {}: {}", pointer.region,
                                          pointer.offset, pointer.slot, what)};
    };
    if (pointer.slot >= begins.size() || !begins[pointer.slot]) {
      return bad("no instruction begins there");
    }
    if (before != nullptr &&
        (before->region > pointer.region ||
         (before->region == pointer.region && before->offset + 8 > pointer.offset))) {
      return bad("expected such addresses in the order of their places, eight bytes each");
    }
    before = &pointer;
  }
  return {};
}

}  // namespace

Result<void> validate(const Program& program) {
  if (program.slots.empty()) {
    return Error{.code = ErrorCode::bpf_empty, .message = "the program has no instruction"};
  }
  MaybeError problem = check_functions(program);
  std::vector<bool> begins(program.slots.size(), false);
  std::vector<Examined> leading;  // where they may lead can be said when all `begins` are known
  for (std::uint32_t number = 0; number < program.functions.size() && !problem; ++number) {
    std::uint32_t calls = 0;
    for (const SlotIndex at : instructions(program, program.functions[number])) {
      const Examined examined{program, number, at, calls, find(program.slots[at])};
      begins[at] = true;
      problem = check_alone(examined);
      if (problem) {
        break;
      }
      if (may_lead_elsewhere(examined)) {
        leading.push_back(examined);
      }
      calls += examined.info->is_site() ? 1U : 0U;
    }
  }
  for (std::size_t i = 0; i < leading.size() && !problem; ++i) {
    problem = check_targets(leading[i], begins);
  }
  if (!problem) {
    problem = check_code_pointers(program, begins);
  }
  if (problem) {
    return problem;
  }
  return success();
}

}  // namespace farcall::bpf
