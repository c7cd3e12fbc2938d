#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/bits.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "show/kernel_syntax.hpp"
#include "show/listing.hpp"
#include "show/paint.hpp"

namespace farcall::show {
namespace {

// How much stack the function uses, in bytes, as far as it is seen in accesses by r10. The verifier
// also follows copies of r10.
std::uint32_t stack_bytes(const bpf::Program& program, const bpf::Function& function) {
  std::int32_t lowest = 0;
  for (const bpf::SlotIndex at : instructions(program, function)) {
    const bpf::Slot& slot = program.slots[at];
    const bpf::InstructionInfo* const info = bpf::find(slot);
    if (info == nullptr || info->memory_bytes == 0) {
      continue;
    }
    const std::uint8_t base = info->form == bpf::Form::load ? slot.src : slot.dst;
    if (base == bpf::kFramePointer) {
      lowest = std::min(lowest, std::int32_t{slot.offset});
    }
  }
  return static_cast<std::uint32_t>(-lowest);
}

// Each interpreter of the kernel is for programs of so much stack, in steps of 32 bytes.
std::string interpreter_name(const bpf::Program& source, std::uint32_t callee) {
  const std::uint32_t used = std::max(1U, stack_bytes(source, source.functions[callee]));
  return fmt::format("__bpf_prog_run_args{}", align_up(used, 32));
}

// Of the helper or kfunc that is called at `slot`; empty where none is.
std::string external_name(const bpf::Program& source,
                          std::span<const bpf::CallInstruction> source_calls, bpf::SlotIndex slot) {
  const auto call = std::ranges::find(source_calls, slot, &bpf::CallInstruction::slot);
  return call == source_calls.end() || !call->callee ? "" : callee_name(source, *call->callee);
}

// Without its indentation, as bpftool has it.
std::string source_line(const bpf::Program& source, bpf::SlotIndex slot) {
  const auto found = std::ranges::lower_bound(source.lines, slot, {}, &bpf::SourceLine::slot);
  if (found == source.lines.end() || found->slot != slot) {
    return "";
  }
  return found->text.substr(std::min(found->text.find_first_not_of(" \t"), found->text.size()));
}

class Names {
 public:
  Names(const ProgramDump& dump, const bpf::Program& source, Tag program, JitMode mode,
        CallNames form)
      : dump_(dump), source_(source), program_(program), mode_(mode), form_(form) {}

  std::string of(const RecoveredCall& call) const {
    if (!call.callee) {
      return "?";
    }
    if (form_ == CallNames::tag_offset) {
      return by_offset(*call.callee);
    }
    if (form_ == CallNames::kernel && mode_ == JitMode::restricted) {
      return "0x0";
    }
    if (form_ == CallNames::kernel && mode_ == JitMode::off) {
      return interpreter_name(source_, *call.callee);
    }
    return dump_.names[*call.callee];
  }

  // Of a load of a function's address at `at`; empty for what is none, and where the kernel has no
  // name for it.
  std::string of_load(bpf::SlotIndex at) const {
    const bpf::InstructionInfo* const info = bpf::find(dump_.slots[at]);
    if (info == nullptr || info->form != bpf::Form::dst_function || form_ == CallNames::kernel) {
      return "";
    }
    const auto begin = bpf::local_target(at, dump_.slots[at]);
    const auto found = std::ranges::find(dump_.functions, begin, &bpf::Function::begin);
    if (found == dump_.functions.end()) {
      return "?";
    }
    const auto number = static_cast<std::uint32_t>(found - dump_.functions.begin());
    return form_ == CallNames::tag_offset ? by_offset(number) : dump_.names[number];
  }

 private:
  std::string by_offset(std::uint32_t function) const {
    return fmt::format("bpf_prog_{}+{}", to_string(program_), dump_.functions[function].begin);
  }

  const ProgramDump& dump_;
  const bpf::Program& source_;
  Tag program_;
  JitMode mode_;
  CallNames form_;
};

}  // namespace

std::vector<XlatedFunction> xlated(const model::LinkedProgram& linked, const bpf::Program& source,
                                   JitMode mode, CallNames names, TagHash hash) {
  const ProgramTags all = tags(source, byte_order(linked.endian), hash);
  const ProgramDump dump = dump_program(linked, all, mode);
  const Names naming(dump, source, all.program, mode, names);
  const std::vector<RecoveredCall> calls = recover(dump);
  const std::vector<bpf::CallInstruction> source_calls = bpf::call_instructions(source);
  std::vector<XlatedFunction> functions;
  for (std::size_t i = 0; i < dump.functions.size(); ++i) {
    XlatedFunction function{.name = dump.names[i]};
    bpf::SlotIndex source_at = source.functions[i].begin;  // the same instruction before linking
    for (bpf::SlotIndex at = dump.functions[i].begin; at < dump.functions[i].end;
         at += slots_at(dump, at)) {
      XlatedLine line{.slot = at, .source = source_line(source, source_at)};
      const std::string external = external_name(source, source_calls, source_at);
      source_at += bpf::slots_of(source.slots[source_at].opcode);
      const auto call = std::ranges::lower_bound(calls, at, {}, &RecoveredCall::slot);
      if (call != calls.end() && call->slot == at) {
        line.call = *call;
        line.text = kernel_syntax(dump.slots, at, call->distance, naming.of(*call));
      } else {
        line.text =
            kernel_syntax(dump.slots, at, 0, external.empty() ? naming.of_load(at) : external);
      }
      function.lines.push_back(std::move(line));
    }
    functions.push_back(std::move(function));
  }
  return functions;
}

std::string xlated_text(std::span<const XlatedFunction> functions, ListingStyle style) {
  std::string text;
  for (const XlatedFunction& function : functions) {
    text += fmt::format("{}{}:\n", text.empty() ? "" : "\n",
                        paint(function.name, Colour::name, style.colour));
    for (const XlatedLine& line : function.lines) {
      if (!line.source.empty()) {
        text += fmt::format("{}\n", paint("; " + line.source, Colour::dim, style.colour));
      }
      text += fmt::format("{:>5}: {}\n", line.slot,
                          paint(line.text, line.call ? Colour::call : Colour::plain, style.colour));
    }
  }
  return text;
}

model::Json xlated_json(std::span<const XlatedFunction> functions) {
  model::Json json = model::Json::array();
  for (const XlatedFunction& function : functions) {
    model::Json lines = model::Json::array();
    for (const XlatedLine& line : function.lines) {
      model::Json one = {{"slot", line.slot}, {"text", line.text}};
      if (!line.source.empty()) {
        one["source"] = line.source;
      }
      if (line.call) {
        one["distance"] = line.call->distance;
        one["callee"] = line.call->callee ? model::Json(functions[*line.call->callee].name)
                                          : model::Json(nullptr);
        one["address"] = line.call->address
                             ? model::Json(fmt::format("{:#x}", line.call->address->value))
                             : model::Json(nullptr);
      }
      lines.push_back(std::move(one));
    }
    json.push_back({{"symbol", function.name}, {"instructions", std::move(lines)}});
  }
  return json;
}

}  // namespace farcall::show
