#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "model/json.hpp"

namespace farcall::model {
namespace {

std::string hex(std::uint64_t value) {
  return fmt::format("{:#x}", value);
}
std::string hex(GuestAddress address) {
  return hex(address.value);
}

std::string hex(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text += kDigits[value >> 4U];
    text += kDigits[value & 0xfU];
  }
  return text;
}

// A JSON array of what `one` makes of each element.
template <typename Range, typename One>
Json array_of(const Range& range, One one) {
  Json array = Json::array();
  for (const auto& element : range) {
    array.push_back(one(element));
  }
  return array;
}

template <typename Value, typename One>
Json or_null(const std::optional<Value>& value, One one) {
  return value ? Json(one(*value)) : Json(nullptr);
}

Json hex_array(const auto& values) {
  return array_of(values, [](const auto& value) { return hex(value); });
}

Json to_json(const AxisValues& axes) {
  Json json = Json::object();
  for (std::size_t i = 0; i < kAxisCount; ++i) {
    const auto axis = static_cast<Axis>(i);
    json[std::string(name(axis))] = value_name(axes, axis);
  }
  return json;
}

Json to_json(const GuestHardware& hardware) {
  const auto value = [](Axis axis, auto of) {
    return or_null(
        of, [axis](auto known) { return value_names(axis)[static_cast<std::size_t>(known)]; });
  };
  return {{"processor", hex(hardware.processor)},
          {"cpu", value(Axis::cpu, hardware.cpu)},
          {"mmu", value(Axis::mmu, hardware.mmu)},
          {"endian", value(Axis::endian, hardware.endian)}};
}

Json to_json(const Placement& placement) {
  return {{"functions", hex_array(placement.functions)},
          {"stack", hex(placement.stack)},
          {"call_base", hex(placement.call_base)},
          {"toc", hex(placement.toc)}};
}

Json to_json(bpf::CallSite site) {
  return {{"function", site.function}, {"ordinal", site.ordinal}};
}

// A line of the case file, where there is one that says what `json` says.
Json with_line(Json json, unsigned line, const char* key = "line") {
  if (line != 0) {
    json[key] = line;
  }
  return json;
}

Json to_json(const bpf::Stub& stub) {
  Json json{
      {"log", stub.log}, {"number", stub.number}, {"block", stub.block}, {"values", stub.values}};
  if (stub.fills) {
    Json& fills = json["fills"];
    fills["pointer"] = stub.fills->pointer;
    if (stub.fills->length) {
      fills["length"] = *stub.fills->length;
    } else {
      fills["bytes"] = stub.fills->bytes;
    }
  }
  return json;
}

// The arguments, and after them the result: bits, negative for a signed type.
Json to_json(const bpf::Signature& signature) {
  const auto bits = [](bpf::ValueType type) { return type.is_signed ? -type.bits : +type.bits; };
  Json json = Json::array();
  for (std::size_t i = 0; i < signature.argument_count; ++i) {
    json.push_back(bits(signature.arguments[i]));
  }
  json.push_back(bits(signature.result));
  return json;
}

Json to_json(const Expectation& expected) {
  Json json = with_line(Json::object(), expected.result_line, "result_line");
  json["result"] = or_null(expected.result, [](std::uint64_t value) { return hex(value); });
  if (expected.no_result) {
    json["result"] = "none";
  }
  json["calls"] = array_of(expected.calls, [](const ExpectedCall& call) {
    return with_line(
        Json{{"site", to_json(call.site)}, {"callee", call.callee}, {"count", call.count}},
        call.line);
  });
  if (expected.any_other_call) {
    json["any_other_call"] = true;
  }
  json["memory"] = array_of(expected.memory, [](const ExpectedMemory& memory) {
    return with_line(
        Json{{"region", memory.region}, {"offset", memory.offset}, {"bytes", hex(memory.bytes)}},
        memory.line);
  });
  json["failure"] = or_null(expected.failure, [](const ExpectedFailure& failure) {
    return with_line(Json{{"code", name(failure.code)}, {"site", failure.site}}, failure.line);
  });
  if (!expected.known.empty()) {
    json["known"] = array_of(expected.known, [](const KnownFailure& known) {
      return with_line(Json{{"jit", known.jit}, {"code", name(known.code)}}, known.line);
    });
  }
  if (expected.rejection) {
    json["rejection"] =
        with_line(Json{{"text", expected.rejection->text}}, expected.rejection->line);
  }
  return json;
}

Json to_json(const TakenBranch& branch) {
  return {{"from", hex(branch.from)}, {"to", hex(branch.to)}, {"link", hex(branch.link)}};
}

Json to_json(const ppc64::Registers& registers) {
  Json json = Json::object();
  json["gpr"] = hex_array(registers.gpr);
  json["lr"] = hex(registers.lr);
  json["ctr"] = hex(registers.ctr);
  json["xer"] = hex(registers.xer);
  json["cr"] = hex(std::uint64_t{registers.cr});
  json["fpr"] = hex_array(registers.fpr);
  json["vr"] = array_of(registers.vr, [](const auto& value) {
    return fmt::format("0x{:016x}{:016x}", value[0], value[1]);
  });
  return json;
}

Json to_json(const Fault& fault) {
  return {{"vector", hex(std::uint64_t{fault.vector})},
          {"address", hex(fault.address)},
          {"status", hex(fault.status)},
          {"data_address", or_null(fault.data_address, [](GuestAddress at) { return hex(at); })},
          {"data_status",
           or_null(fault.data_status, [](std::uint32_t bits) { return hex(std::uint64_t{bits}); })},
          {"came_from", hex(fault.came_from)}};
}

std::string_view name(Ending ending) {
  using namespace std::string_view_literals;
  static constexpr std::array kNames = {"returned"sv, "faulted"sv, "out-of-budget"sv};
  return kNames[static_cast<std::size_t>(ending)];
}

Json to_json(const SiteStory& story) {
  const auto address = [](GuestAddress at) { return hex(at); };
  const auto number = [](std::uint64_t count) { return count; };
  return {{"site", story.name},
          {"callee", story.callee},
          {"at", or_null(story.at, address)},
          {"expected", hex(story.expected)},
          {"decoded", or_null(story.decoded, address)},
          {"through_register", story.through_register},
          {"reached", hex_array(story.reached)},
          {"interpreted", or_null(story.interpreted, number)},
          {"executed", or_null(story.executed, number)}};
}

}  // namespace

Json to_json(const bpf::Program& program) {
  Json json = Json::object();
  json["functions"] = array_of(program.functions, [](const bpf::Function& function) {
    Json one{{"name", function.name}, {"begin", function.begin}, {"end", function.end}};
    if (function.begins_program) {
      one["begins_program"] = true;
    }
    if (function.anonymous) {
      one["anonymous"] = true;
    }
    return one;
  });
  if (!program.externals.empty()) {
    json["externals"] = array_of(program.externals, [](const bpf::External& external) {
      Json one{{"name", external.name},
               {"kind", external.kind == bpf::ExternalKind::kfunc ? "kfunc" : "helper"},
               {"id", external.id}};
      if (external.stub) {
        one["stub"] = to_json(*external.stub);
        one["signature"] = to_json(external.signature);
      }
      return one;
    });
  }
  if (!program.maps.empty()) {
    json["maps"] = array_of(program.maps, [](const bpf::Map& map) {
      Json one{{"name", map.name}, {"value_bytes", map.value_bytes}};
      if (map.simplified) {
        one["simplified"] = true;
      }
      return one;
    });
  }
  if (!program.code_pointers.empty()) {
    json["code_pointers"] = array_of(program.code_pointers, [](const bpf::CodePointer& pointer) {
      return Json{{"region", pointer.region}, {"offset", pointer.offset}, {"slot", pointer.slot}};
    });
  }
  json["slots"] = array_of(program.slots, [](const bpf::Slot& slot) {
    return Json::array({slot.opcode, slot.dst, slot.src, slot.offset, slot.imm});
  });
  if (program.callx != bpf::Callx::none) {
    json["extension"] = extension_name(program.callx);
  }
  return json;
}

Json to_json(const Cell& cell) {
  Json json = Json::object();
  json["case"] = cell.case_path;
  json["name"] = cell.name;
  json["axes"] = to_json(cell.axes);
  json["placement"] = to_json(cell.placement);
  json["memory"] = array_of(cell.memory, [](const bpf::MemoryRegion& region) {
    return Json{{"name", region.name},
                {"address", hex(region.address)},
                {"writable", region.writable},
                {"bytes", hex(region.bytes)}};
  });
  json["arguments"] = hex_array(cell.arguments);
  json["expected"] = to_json(cell.expected);
  if (cell.control) {
    json["control"] =
        with_line(Json{{"fault", cell.control->fault}, {"code", name(cell.control->code)}},
                  cell.control->line);
  }
  if (cell.budget != bpf::kDefaultBudget) {
    json["budget"] = cell.budget;
  }
  json["program"] = cell.program ? to_json(*cell.program) : Json(nullptr);
  return json;
}

Json to_json(const LinkedProgram& linked) {
  Json json = Json::object();
  json["scheme"] = value_names(Axis::call)[static_cast<std::size_t>(linked.scheme)];
  json["addresses"] = hex_array(linked.addresses);
  if (!linked.maps.empty()) {
    json["maps"] = hex_array(linked.maps);
  }
  json["call_base"] = hex(linked.call_base);
  json["toc"] = hex(linked.toc);
  json["calls"] = array_of(linked.calls, [](const LinkedCall& call) {
    return Json{{"site", to_json(call.site)},
                {"slot", call.slot},
                {"callee", call.callee},
                {"target", hex(call.target)}};
  });
  json["side_table"] = hex_array(linked.side_table);
  json["program"] = to_json(linked.program);
  return json;
}

Json to_json(const CodeImage& image) {
  Json json = Json::object();
  json["placement"] = image.placed_by == PlacedBy::image ? "image" : "cell";
  json["entry"] = hex(image.entry);
  json["functions"] = array_of(image.functions, [](const CodeFunction& function) {
    Json one = Json::object();
    one["name"] = function.name;
    one["address"] = hex(function.address);
    one["descriptor_words"] = function.descriptor_words;
    if (function.local_entry_words != 0) {
      one["local_entry_words"] = function.local_entry_words;
    }
    if (function.tail_entry_words != 0) {
      one["tail_entry_words"] = function.tail_entry_words;
    }
    if (function.stub_words != 0) {
      one["stub_words"] = function.stub_words;
    }
    if (function.frame_top_bytes != 0) {
      one["frame_top_bytes"] = function.frame_top_bytes;
      one["frame_bytes"] = function.frame_bytes;
    }
    one["pass_words"] = function.pass_words;
    one["words"] =
        array_of(function.words, [](std::uint32_t word) { return fmt::format("0x{:08x}", word); });
    one["lines"] = array_of(function.lines, [](const CodeLine& line) {
      return Json::array({line.instruction, line.word});
    });
    return one;
  });
  json["calls"] = array_of(image.calls, [](const CodeCall& call) {
    Json one{
        {"site", to_json(call.site)},
        {"at", hex(call.at)},
        {"callee", or_null(call.callee, [](CodeCallee callee) { return callee.function; })},
        {"target", or_null(call.callee, [](CodeCallee callee) { return hex(callee.target); })}};
    if (call.is_tail) {
      one["is_tail"] = true;
    }
    if (call.is_jump) {
      one["is_jump"] = true;
    }
    return one;
  });
  json["bpf_registers"] = image.bpf_registers;
  if (image.thread_area) {
    json["thread_area"] = {{"address", hex(image.thread_area->address)},
                           {"bytes", hex(image.thread_area->bytes)}};
  }
  if (!image.code_pointers.empty()) {
    json["code_pointers"] = array_of(image.code_pointers, [](const PlacedPointer& pointer) {
      return Json{{"region", pointer.region},
                  {"offset", pointer.offset},
                  {"address", hex(pointer.address)}};
    });
  }
  if (!image.kernel_memory.empty()) {
    json["program_arrays"] = array_of(image.kernel_memory, [](const KernelMemory& array) {
      return Json{{"address", hex(array.address)}, {"bytes", hex(array.bytes)}};
    });
  }
  return json;
}

Json to_json(const std::vector<DecodedCall>& calls, const CodeImage& image) {
  return array_of(calls, [&image](const DecodedCall& call) {
    return Json{{"site", site_name(image, call.site)},
                {"at", hex(call.at)},
                {"target", or_null(call.target, [](GuestAddress at) { return hex(at); })}};
  });
}

Json to_json(const Observations& observations) {
  const auto branch = [](const TakenBranch& taken) { return to_json(taken); };
  const auto address = [](GuestAddress at) { return hex(at); };
  Json json = Json::object();
  json["hardware"] = to_json(observations.hardware);
  json["ending"] = name(observations.ending);
  json["fault"] = or_null(observations.fault, [](const Fault& fault) { return to_json(fault); });
  json["trace"] = array_of(observations.trace, branch);
  json["trace_events"] = observations.trace_events;
  json["taken_branches"] = observations.taken_branches;
  json["last"] = array_of(observations.last, branch);
  json["memory"] = array_of(observations.memory, [](const JobRegion& region) {
    return Json{{"address", hex(region.address)}, {"bytes", hex(region.bytes)}};
  });
  json["stray_writes"] = array_of(observations.stray_writes, address);
  json["registers"] = to_json(observations.registers);
  return json;
}

Json to_json(const Verdict& verdict) {
  Json json = Json::object();
  json["outcome"] = name(verdict.outcome);
  json["result"] = or_null(verdict.result, [](std::uint64_t value) { return hex(value); });
  const auto finding_to_json = [](const Finding& finding) {
    Json one{{"code", name(finding.code)}, {"site", finding.site}, {"text", finding.text}};
    if (!finding.where.file.empty()) {
      one["file"] = finding.where.file;
      one["line"] = finding.where.line;
      one["column"] = finding.where.column;
    }
    if (!finding.hint.empty()) {
      one["hint"] = finding.hint;
    }
    return one;
  };
  json["findings"] = array_of(verdict.findings, finding_to_json);
  if (!verdict.allowed.empty()) {
    json["allowed"] = array_of(verdict.allowed, finding_to_json);
  }
  if (!verdict.notes.empty()) {
    json["notes"] = verdict.notes;
  }
  if (verdict.known) {
    json["known"] = name(*verdict.known);
  }
  json["sites"] = array_of(verdict.sites, [](const SiteStory& story) { return to_json(story); });
  return json;
}

Json document_header() {
  return {{"farcall", {{"format", kJsonFormat}, {"version", FARCALL_VERSION}}}};
}

Json to_json(const Document& document, std::string_view stage) {
  Json json = document_header();
  json["stage"] = stage;
  json["cell"] = to_json(document.cell);
  if (document.linked) {
    json["linked"] = to_json(*document.linked);
  }
  if (document.image) {
    json["image"] = to_json(*document.image);
  }
  return json;
}

}  // namespace farcall::model
