#include "campaign/sketch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/byte_order.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/helpers.hpp"
#include "bpf/instruction.hpp"
#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "external/stub.hpp"
#include "model/region.hpp"

namespace farcall::campaign {
namespace {

constexpr std::string_view kOpenOutcome = "-- result\nany\n-- calls\nrest *any\n";
constexpr std::string_view kLog = ".stubs";  // the region that a case file makes for stubs
constexpr std::string_view kTable = ".table ";
constexpr std::size_t kBytesInLine = 16;

std::string bytes_text(std::span<const std::byte> bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    text += fmt::format("{:02x}{}", std::to_integer<unsigned>(bytes[i]),
                        (i + 1) % kBytesInLine == 0 || i + 1 == bytes.size() ? "\n" : " ");
  }
  return text;
}

// How many bytes come before zeros that go on to the end.
std::size_t without_zeros(std::span<const std::byte> bytes) {
  std::size_t count = bytes.size();
  while (count > 0 && bytes[count - 1] == std::byte{0}) {
    --count;
  }
  return count;
}

std::string external_text(const SketchExternal& external) {
  const std::string_view kind = external.kind == bpf::ExternalKind::helper ? "helper" : "kfunc";
  if (!external.native.empty()) {
    return fmt::format("-- {} {} {}\n", kind, external.id, external.native);
  }
  std::string text = fmt::format("-- stub {} {}\ntakes {}\n", kind, external.id, external.takes);
  if (!external.returns.empty()) {
    text += fmt::format("returns {:#x}\n", fmt::join(external.returns, ", "));
  }
  if (external.fills) {
    const bpf::Filling& fills = *external.fills;
    text += fmt::format(
        "fills r{} {}\n", fills.pointer + 1,
        fills.length ? fmt::format("r{}", *fills.length + 1) : std::to_string(fills.bytes));
  }
  return text;
}

std::string matrix_text(const model::AxisValues& axes) {
  std::string text;
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    const auto axis = static_cast<model::Axis>(i);
    if (value_of(axes, axis) != value_of(model::AxisValues{}, axis)) {
      text += fmt::format("{} {}\n", name(axis), value_name(axes, axis));
    }
  }
  return text.empty() ? text : "-- matrix\n" + text;
}

std::string array_text(const SketchArray& array) {
  if (array.element_bytes != 0) {
    return fmt::format("-- array {} size={} value={}\n{}", array.name, array.elements,
                       array.element_bytes,
                       bytes_text(std::span(array.bytes).first(without_zeros(array.bytes))));
  }
  std::string text = fmt::format("-- array {} size={}\n", array.name, array.elements);
  for (const auto& [index, program] : array.programs) {
    text += fmt::format("{} = {}\n", index, program);
  }
  return text;
}

// The labels of a table.
std::vector<std::string_view> labels_of(std::string_view table) {
  std::vector<std::string_view> labels;
  std::string_view rest = table.substr(kTable.size());
  rest = rest.substr(std::min(rest.size(), rest.find(' ')));
  while (!rest.empty()) {
    rest = rest.substr(std::min(rest.size(), rest.find_first_not_of(", ")));
    const std::string_view label = rest.substr(0, rest.find(','));
    rest = rest.substr(label.size());
    if (!label.empty()) {
      labels.push_back(label);
    }
  }
  return labels;
}

// Tables come last in the text; here they stand in the function whose instructions they name.
void put_tables(SketchProgram& program) {
  std::vector<std::string> tables;
  auto& last = program.functions.back().lines;
  std::ranges::copy_if(last, std::back_inserter(tables), is_table);
  std::erase_if(last, is_table);
  for (std::string& table : tables) {
    const std::vector<std::string_view> labels = labels_of(table);
    const auto owner = std::ranges::find_if(program.functions, [&](const SketchFunction& one) {
      return one.name == labels.front() ||
             std::ranges::any_of(one.lines, [&](const std::string& line) {
               return is_label(line) && line.substr(0, line.size() - 1) == labels.front();
             });
    });
    owner->lines.insert(owner->lines.begin(), std::move(table));
  }
}

// The functions of a program of which `first` is the first, as a program of its own.
SketchProgram program_of(const bpf::Program& whole, std::size_t first, std::size_t end) {
  const bpf::SlotIndex begin = whole.functions[first].begin;
  const std::string prefix = first == 0 ? "" : whole.functions[first].name + ".";
  bpf::Program part{.callx = whole.callx, .externals = whole.externals, .maps = whole.maps};
  part.slots.assign(whole.slots.begin() + begin,
                    whole.slots.begin() + whole.functions[end - 1].end);
  std::map<std::string, std::string> labels;
  for (std::size_t i = first; i < end; ++i) {
    bpf::Function function = whole.functions[i];
    if (i != first && function.name.starts_with(prefix)) {
      function.name.erase(0, prefix.size());
    }
    function.begin -= begin;
    function.end -= begin;
    part.functions.push_back(std::move(function));
  }
  for (const bpf::CodePointer& pointer : whole.code_pointers) {
    if (pointer.slot >= begin && pointer.slot - begin < part.slots.size()) {
      part.code_pointers.push_back(pointer);
      part.code_pointers.back().slot -= begin;
    }
  }
  SketchProgram program;
  const std::string text = bpf::disassemble(part);
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t line_end = rest.find('\n');
    const std::string_view line = rest.substr(0, line_end);
    rest = rest.substr(line_end + 1);
    const std::size_t next = program.functions.size();
    if (next < part.functions.size() && is_label(line) &&
        line.substr(0, line.size() - 1) == part.functions[next].name) {
      program.functions.push_back({.name = part.functions[next].name, .lines = {}});
    } else {
      program.functions.back().lines.emplace_back(line);
    }
  }
  put_tables(program);
  return program;
}

// The first function is called main in a case, whatever it was called.
void name_main(SketchProgram& program) {
  const std::string old = std::exchange(program.functions.front().name, "main");
  for (SketchFunction& function : program.functions) {
    for (std::string& line : function.lines) {
      if (line.ends_with(" local " + old)) {
        line.replace(line.size() - old.size(), old.size(), "main");
      }
    }
  }
}

// In a text, a label is a function if something names it. What only data points to is none there.
Result<void> refuse_hidden(const SketchProgram& program) {
  for (std::size_t i = 1; i < program.functions.size(); ++i) {
    const std::string name = " local " + program.functions[i].name;
    const bool is_named = std::ranges::any_of(program.functions, [&](const auto& function) {
      return std::ranges::any_of(function.lines,
                                 [&](const std::string& line) { return line.ends_with(name); });
    });
    if (!is_named) {
      return Error{
          .code = ErrorCode::case_unsupported,
          .message = fmt::format("no instruction names the function {}: as assembly, it is "
                                 "no function",
                                 program.functions[i].name)};
    }
  }
  return success();
}

bool is_table_of(const bpf::Program& program, std::string_view region) {
  return std::ranges::find(program.code_pointers, region, &bpf::CodePointer::region) !=
         program.code_pointers.end();
}

const bpf::MemoryRegion* region_named(const model::Cell& cell, std::string_view name) {
  const auto found = std::ranges::find(cell.memory, name, &bpf::MemoryRegion::name);
  return found == cell.memory.end() ? nullptr : &*found;
}

Result<std::vector<SketchExternal>> externals_of(const model::Cell& cell, std::endian order) {
  std::vector<SketchExternal> externals;
  for (const bpf::External& external : cell.program->externals) {
    SketchExternal sketched{.kind = external.kind, .id = external.id, .native = external.name};
    if (external.stub) {
      sketched.native.clear();
      sketched.takes = external.signature.argument_count;
      sketched.fills = external.stub->fills;
      const bpf::MemoryRegion* const log = region_named(cell, kLog);
      for (std::uint32_t i = 0; log != nullptr && i < external.stub->values; ++i) {
        const std::size_t at = external.stub->block + std::size_t{8} * (1 + i);
        if (at + 8 <= log->bytes.size()) {
          sketched.returns.push_back(load<std::uint64_t>(log->bytes.data() + at, order));
        }
      }
    }
    externals.push_back(std::move(sketched));
  }
  return externals;
}

Result<std::vector<SketchArray>> arrays_of(const model::Cell& cell, std::endian order) {
  std::vector<SketchArray> arrays;
  const bpf::Program& program = *cell.program;
  for (const bpf::Map& map : program.maps) {
    const bpf::MemoryRegion* const region = region_named(cell, map.name);
    if (map.name == kLog) {
      continue;
    }
    if (region == nullptr || region->bytes.size() < bpf::kArrayHeaderBytes) {
      return Error{.code = ErrorCode::case_unsupported,
                   .message = fmt::format("the map {} has no memory", map.name)};
    }
    const std::byte* const bytes = region->bytes.data();
    SketchArray array{.name = map.name,
                      .elements = load<std::uint32_t>(bytes, order),
                      .element_bytes = load<std::uint32_t>(bytes + 4, order)};
    if (array.elements == 0) {
      return Error{.code = ErrorCode::case_unsupported,
                   .message = fmt::format("{} is a hash table of an object: no section of a case "
                                          "file makes one",
                                          map.name)};
    }
    if (map.value_bytes != 0) {
      array.bytes.assign(region->bytes.begin() + bpf::kArrayHeaderBytes, region->bytes.end());
    } else {
      array.element_bytes = 0;
      for (std::uint32_t i = 0; i < array.elements; ++i) {
        const std::size_t at = bpf::kArrayHeaderBytes + std::size_t{8} * i;
        const auto pointer = at + 8 <= region->bytes.size() ? load<std::uint64_t>(bytes + at, order)
                                                            : std::uint64_t{0};
        for (std::size_t f = 0; f < program.functions.size(); ++f) {
          if (pointer == cell.placement.functions[f].value) {
            array.programs.emplace_back(i, program.functions[f].name);
            break;
          }
        }
      }
    }
    arrays.push_back(std::move(array));
  }
  return arrays;
}

// As the reader of case files names it.
std::string external_name(const SketchExternal& external) {
  if (!external.native.empty()) {
    return external.native;
  }
  return external.kind == bpf::ExternalKind::helper ? bpf::helper_name(external.id)
                                                    : fmt::format("kfunc_{}", external.id);
}

// The name after `marker` in a line, or nothing.
std::string_view word_after(std::string_view line, std::string_view marker) {
  const std::size_t at = line.find(marker);
  if (at == std::string_view::npos) {
    return {};
  }
  const std::string_view rest = line.substr(at + marker.size());
  return rest.substr(0, rest.find_first_of(" +,)"));
}

bool is_called(const Sketch& sketch, const SketchExternal& external) {
  if (sketch.callx == bpf::Callx::helper && external.kind == bpf::ExternalKind::helper) {
    return true;
  }
  const std::string call = fmt::format(
      "call {}{}", external.kind == bpf::ExternalKind::kfunc ? "kfunc " : "", external.id);
  return std::ranges::any_of(sketch.programs, [&](const SketchProgram& program) {
    return std::ranges::any_of(program.functions, [&](const SketchFunction& function) {
      return std::ranges::find(function.lines, call) != function.lines.end();
    });
  });
}

// Tables are for jumps.
void drop_tables(SketchProgram& program) {
  const bool jumps = std::ranges::any_of(program.functions, [](const SketchFunction& function) {
    return std::ranges::any_of(function.lines,
                               [](const std::string& line) { return line.starts_with("gotox "); });
  });
  for (SketchFunction& function : program.functions) {
    std::erase_if(function.lines,
                  [&](const std::string& line) { return is_table(line) && !jumps; });
  }
}

// Drops functions that nothing in the program names, and labels that no jump does.
void tidy_program(SketchProgram& program) {
  std::set<std::string, std::less<>> reached = {program.functions.front().name};
  for (std::size_t before = 0; before != reached.size();) {
    before = reached.size();
    for (const SketchFunction& function : program.functions) {
      if (!reached.contains(function.name)) {
        continue;
      }
      for (const std::string& line : function.lines) {
        if (const std::string_view name = word_after(line, "local "); !name.empty()) {
          reached.emplace(name);
        }
      }
    }
  }
  std::erase_if(program.functions,
                [&](const SketchFunction& function) { return !reached.contains(function.name); });
  for (SketchFunction& function : program.functions) {
    std::unordered_set<std::string_view> words;
    for (const std::string& line : function.lines) {
      if (is_label(line)) {
        continue;
      }
      words.insert(std::string_view(line).substr(line.rfind(' ') + 1));
      if (is_table(line)) {
        const std::vector<std::string_view> labels = labels_of(line);
        words.insert(labels.begin(), labels.end());
      }
    }
    std::vector<std::string*> unnamed;
    for (std::string& line : function.lines) {
      if (is_label(line) && !words.contains(std::string_view(line).substr(0, line.size() - 1))) {
        unnamed.push_back(&line);
      }
    }
    for (std::string* const line : unnamed) {
      line->clear();
    }
    std::erase_if(function.lines, [](const std::string& line) { return line.empty(); });
  }
}

}  // namespace

std::string place_text(model::Mmu mmu, GuestAddress address) {
  const model::Region& region = region_of(mmu, address);
  const std::uint64_t offset = address.value - region.start.value;
  return offset == 0 ? std::string(region.name) : fmt::format("{}+{:#x}", region.name, offset);
}

bool is_label(std::string_view line) {
  return line.ends_with(':');
}

bool is_table(std::string_view line) {
  return line.starts_with(kTable);
}

std::string assembly(const SketchProgram& program) {
  std::string text;
  for (std::size_t i = 0; i < program.functions.size(); ++i) {
    if (i != 0) {
      text += program.functions[i].name + ":\n";
    }
    for (const std::string& line : program.functions[i].lines) {
      text += line + '\n';
    }
  }
  return text;
}

std::string case_text(const Sketch& sketch, const Words& words) {
  std::string text;
  for (const std::string& comment : words.comments) {
    text += fmt::format("# {}\n", comment);
  }
  text += matrix_text(sketch.axes);
  if (sketch.callx != bpf::Callx::none) {
    text += fmt::format("-- extension {}\n", extension_name(sketch.callx));
  }
  for (const SketchExternal& external : sketch.externals) {
    text += external_text(external);
  }
  if (sketch.mem) {
    text += "-- mem\n" + bytes_text(*sketch.mem);
  }
  for (const SketchData& data : sketch.data) {
    const std::size_t given = without_zeros(data.bytes);
    text +=
        fmt::format("-- data {}{}{}\n{}", data.name, data.writable ? "" : " ro",
                    given == data.bytes.size() ? "" : fmt::format(" size={}", data.bytes.size()),
                    bytes_text(std::span(data.bytes).first(given)));
  }
  for (std::size_t i = 0; i < sketch.programs.size(); ++i) {
    const SketchProgram& program = sketch.programs[i];
    text += i == 0 ? "-- asm\n" : fmt::format("-- program {}\n", program.functions.front().name);
    text += assembly(program);
  }
  for (const SketchArray& array : sketch.arrays) {
    text += array_text(array);
  }
  std::string registers;
  for (std::size_t i = 0; i < sketch.registers.size(); ++i) {
    if (sketch.registers[i]) {
      registers += fmt::format("r{} = {}\n", i + 1, *sketch.registers[i]);
    }
  }
  text += registers.empty() ? "" : "-- regs\n" + registers;
  if (!sketch.places.empty()) {
    text += "-- place\n";
    for (const auto& [name, address] : sketch.places) {
      text += fmt::format("{} = {}\n", name, address);
    }
  }
  text += words.outcome.empty() ? kOpenOutcome : words.outcome;
  return text;
}

Result<model::Cell> cell_of(const Sketch& sketch, const std::string& name) {
  const std::string path = name + ".case";
  FARCALL_TRY(parsed, cases::parse_case(case_text(sketch), path));
  FARCALL_TRY(cells, cases::cells(parsed));
  return std::move(cells.front());
}

Result<Sketch> sketch_of(const model::Cell& cell) {
  if (!cell.program) {
    return Error{.code = ErrorCode::case_unsupported,
                 .message = fmt::format("{} has code and no program", cell.name)};
  }
  const bpf::Program& program = *cell.program;
  const std::endian order = byte_order(cell.axes.endian);
  Sketch sketch{.axes = cell.axes, .callx = program.callx};
  FARCALL_TRY(externals, externals_of(cell, order));
  sketch.externals = std::move(externals);
  FARCALL_TRY(arrays, arrays_of(cell, order));
  sketch.arrays = std::move(arrays);
  std::array<std::string, 5> defaults = {"0x0", "0x0", "0x0", "0x0", "0x0"};
  for (const bpf::MemoryRegion& region : cell.memory) {
    const bool is_map =
        std::ranges::find(program.maps, region.name, &bpf::Map::name) != program.maps.end();
    if (region.name == "mem") {
      sketch.mem = region.bytes.to_vector();
      defaults[0] = "addr(mem)";
      defaults[1] = fmt::format("{:#x}", region.bytes.size());
    } else if (!is_map && !is_table_of(program, region.name)) {
      // A section of that name is something else.
      const std::string name = region.name == "context" ? "ctx" : region.name;
      sketch.data.push_back(
          {.name = name, .bytes = region.bytes.to_vector(), .writable = region.writable});
    }
    sketch.places.emplace_back(region.name == "context" ? "ctx" : region.name,
                               place_text(cell.axes.mmu, region.address));
  }
  for (std::size_t i = 0; i < cell.arguments.size(); ++i) {
    std::string value = fmt::format("{:#x}", cell.arguments[i]);
    for (const bpf::MemoryRegion& region : cell.memory) {
      if (region.address.value == cell.arguments[i]) {
        value = fmt::format("addr({})", region.name == "context" ? "ctx" : region.name);
      }
    }
    if (value != defaults[i]) {
      sketch.registers[i] = value;
    }
  }
  for (std::size_t first = 0; first < program.functions.size();) {
    std::size_t end = first + 1;
    while (end < program.functions.size() && !program.functions[end].begins_program) {
      ++end;
    }
    sketch.programs.push_back(program_of(program, first, end));
    first = end;
  }
  name_main(sketch.programs.front());
  for (const SketchProgram& one : sketch.programs) {
    FARCALL_TRYV(refuse_hidden(one));
  }
  for (std::uint32_t i = 0; i < cell.placement.functions.size(); ++i) {
    const std::string name = i == 0 ? "main"
                             : i < program.functions.size()
                                 ? program.functions[i].name
                                 : external_name(sketch.externals[i - program.functions.size()]);
    sketch.places.emplace_back(name, place_text(cell.axes.mmu, cell.placement.functions[i]));
  }
  const auto place = [&](const char* name, GuestAddress address) {
    sketch.places.emplace_back(name, place_text(cell.axes.mmu, address));
  };
  place("stack", cell.placement.stack);
  place("callbase", cell.placement.call_base);
  place("toc", cell.placement.toc);
  return sketch;
}

std::size_t instruction_count(const Sketch& sketch) {
  std::size_t count = 0;
  for (const SketchProgram& program : sketch.programs) {
    for (const SketchFunction& function : program.functions) {
      count += static_cast<std::size_t>(std::ranges::count_if(
          function.lines,
          [](const std::string& line) { return !is_label(line) && !is_table(line); }));
    }
  }
  return count;
}

Sketch tidied(Sketch sketch) {
  std::string all;
  for (SketchProgram& program : sketch.programs) {
    drop_tables(program);
    tidy_program(program);
    all += assembly(program);
  }
  for (const auto& value : sketch.registers) {
    all += value.value_or("") + '\n';
  }
  std::erase_if(sketch.externals,
                [&](const SketchExternal& external) { return !is_called(sketch, external); });
  const bool has_tail_call = all.find("call 12\n") != std::string::npos;
  std::erase_if(sketch.arrays, [&](const SketchArray& array) {
    return all.find(" " + array.name) == std::string::npos &&
           all.find("(" + array.name + ")") == std::string::npos;
  });
  std::set<std::string> programs;
  for (const SketchArray& array : sketch.arrays) {
    for (const auto& [index, program] : array.programs) {
      programs.insert(program);
    }
  }
  for (std::size_t i = sketch.programs.size(); i-- > 1;) {
    if (!has_tail_call || !programs.contains(sketch.programs[i].functions.front().name)) {
      const std::string name = sketch.programs[i].functions.front().name;
      sketch.programs.erase(sketch.programs.begin() + static_cast<std::ptrdiff_t>(i));
      for (SketchArray& array : sketch.arrays) {
        std::erase_if(array.programs, [&](const auto& element) { return element.second == name; });
      }
    }
  }
  // What can be placed now.
  std::set<std::string> known = {"stack", "callbase", "toc"};
  if (sketch.mem) {
    known.insert("mem");
  }
  for (const SketchData& data : sketch.data) {
    known.insert(data.name);
  }
  for (const SketchArray& array : sketch.arrays) {
    known.insert(array.name);
  }
  for (std::size_t i = 0; i < sketch.programs.size(); ++i) {
    const auto& functions = sketch.programs[i].functions;
    for (std::size_t k = 0; k < functions.size(); ++k) {
      for (const std::string& line : functions[k].lines) {
        if (is_table(line)) {
          known.emplace(word_after(line, kTable));
        }
      }
      known.insert(i != 0 && k != 0 ? functions.front().name + "." + functions[k].name
                                    : functions[k].name);
    }
  }
  for (const SketchExternal& external : sketch.externals) {
    known.insert(external_name(external));
    if (external.native.empty()) {
      known.emplace(kLog);
    }
  }
  std::erase_if(sketch.places, [&](const auto& place) { return !known.contains(place.first); });
  for (auto& value : sketch.registers) {
    const std::string text = value.value_or("");
    const std::string_view name = word_after(text, "addr(");
    if (!name.empty() && !known.contains(std::string(name))) {
      value.reset();
    }
  }
  return sketch;
}

}  // namespace farcall::campaign
