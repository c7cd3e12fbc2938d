#include "case/matrix.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/byte_order.hpp"
#include "bpf/codec.hpp"
#include "bpf/map_layout.hpp"
#include "case/hardware.hpp"

namespace farcall::cases {
namespace {

// A cell in the making: its coordinates.
struct Point {
  model::AxisValues axes;
  std::optional<std::uint32_t> placement;
  std::optional<std::int64_t> sweep;  // the value, in a placement that sweeps
};

// What is known of the size of the program's code.
class Sizing {
 public:
  Sizing(const bpf::Program& program, const CodeLayout& layout)
      : program_(program), layout_(layout) {
    if (layout.at_most) {
      at_most_ = layout.at_most(program);
    }
  }

  // Where the items are for these axes. How long the code is matters only to functions that may be
  // so long that the next one has to move, or that lie close to something else.
  Result<ResolvedPlacement> placement(const Case& parsed, const model::AxisValues& axes,
                                      const PlaceLines& lines, std::int64_t sweep) {
    if (!at_most_.empty() && !moves_the_next(lines)) {
      if (auto found = resolve_placement(parsed, axes, layout_, at_most_, lines, sweep)) {
        return found;
      }
    }
    if (axes != of_) {
      of_ = axes;
      // A program that the scheme or the JIT refuses has no size, and its cells fail for that.
      sizes_.clear();
      if (auto sizes = layout_.sizes ? layout_.sizes(program_, axes) : sizes_) {
        sizes_ = std::move(sizes).value();
      }
    }
    return resolve_placement(parsed, axes, layout_, sizes_, lines, sweep);
  }

 private:
  // Whether a function may be so long that the one after it lies elsewhere by default.
  bool moves_the_next(const PlaceLines& lines) const {
    for (std::size_t i = 0; i + 1 < program_.functions.size(); ++i) {
      if (at_most_[i] > kFunctionGap && lines[i + 1] == nullptr) {
        return true;
      }
    }
    return false;
  }

  const bpf::Program& program_;
  const CodeLayout& layout_;
  std::vector<std::uint64_t> at_most_;
  std::optional<model::AxisValues> of_;  // the axes that `sizes_` is for
  std::vector<std::uint64_t> sizes_;     // of the functions, or none
};

// Sections of one kind that had a say in some cell.
using Used = std::vector<bool>;

struct Usage {
  Used places;
  Used results;
  Used calls;
  Used memory;
  Used failures;
  Used known;
  Used spoiled;
};

Usage unused(const Case& parsed) {
  return {.places = Used(parsed.places.size()),
          .results = Used(parsed.results.size()),
          .calls = Used(parsed.calls.size()),
          .memory = Used(parsed.memory.size()),
          .failures = Used(parsed.failures.size()),
          .known = Used(parsed.known.size()),
          .spoiled = Used(parsed.spoiled.size())};
}

std::string cell_name(const Case& parsed, const Point& point) {
  std::string name = parsed.name;
  char separator = '@';
  for (const AxisChoice& choice : parsed.axes) {
    name += separator;
    name += value_name(point.axes, choice.axis);
    separator = '-';
  }
  if (point.placement) {
    name += separator;
    name += parsed.placements[*point.placement];
    separator = '.';
  }
  if (point.sweep) {
    const auto value = static_cast<std::uint64_t>(*point.sweep);
    name += fmt::format("{}{}{}", separator, *point.sweep < 0 ? 'm' : 'p',
                        *point.sweep < 0 ? 0 - value : value);
  }
  return name;
}

// All combinations that hardware has, the last axis fastest.
Result<std::vector<model::AxisValues>> combinations(const Case& parsed) {
  std::vector<model::AxisValues> all(1);
  for (const AxisChoice& choice : parsed.axes) {
    std::vector<model::AxisValues> next;
    next.reserve(all.size() * choice.values.size());
    for (const model::AxisValues& values : all) {
      for (const std::size_t value : choice.values) {
        next.push_back(values);
        set_value(next.back(), choice.axis, value);
      }
    }
    all = std::move(next);
  }
  std::erase_if(all, [](const model::AxisValues& values) { return !is_possible(values); });
  if (all.empty()) {
    return error_at(parsed.axes.front().where, ErrorCode::case_selects_nothing,
                    "no hardware combines values of this matrix");
  }
  return all;
}

// Whether the point's placement is there at all for these values of the axes.
bool exists(const Case& parsed, const Point& point) {
  return !point.placement || std::ranges::any_of(parsed.places, [&](const auto& section) {
    return section.value.placement == point.placement &&
           selects(section.selector, point.axes, point.placement);
  });
}

// The lines of `-- place` that apply, each item's at its number.
Result<PlaceLines> place_lines(const Case& parsed, const Point& point, Used& used) {
  PlaceLines lines(item_count(parsed.named()));
  for (std::size_t i = 0; i < parsed.places.size(); ++i) {
    const auto& [selector, where, section] = parsed.places[i];
    if ((section.placement && section.placement != point.placement) ||
        !selects(selector, point.axes, point.placement)) {
      continue;
    }
    used[i] = true;
    for (const Located<PlacedItem>& line : section.items) {
      const Located<PlacedItem>*& slot = lines[index(line.value.item)];
      if (slot != nullptr) {
        return error_at(line.where, ErrorCode::place_duplicate,
                        fmt::format("{} is placed in line {} already",
                                    item_name(parsed.named(), line.value.item), slot->where.line));
      }
      slot = &line;
    }
  }
  return lines;
}

// The values of the sweep that these lines have, or one that stands for none.
Result<std::vector<std::optional<std::int64_t>>> sweep_values(const PlaceLines& lines) {
  const Located<PlacedItem>* swept = nullptr;
  for (const Located<PlacedItem>* const line : lines) {
    if (line == nullptr || !line->value.address.sweep) {
      continue;
    }
    if (swept != nullptr) {
      const auto& [first, second] = std::minmax(
          *swept, *line, [](const auto& a, const auto& b) { return a.where.line < b.where.line; });
      return error_at(second.where, ErrorCode::case_syntax,
                      fmt::format("the placement has a sweep in line {} already: expected one",
                                  first.where.line));
    }
    swept = line;
  }
  std::vector<std::optional<std::int64_t>> values;
  if (swept == nullptr) {
    values.emplace_back();
    return values;
  }
  const Sweep& sweep = *swept->value.address.sweep;
  for (std::int64_t i = 0; i <= (sweep.last - sweep.first) / sweep.step; ++i) {
    values.emplace_back(sweep.first + i * sweep.step);
  }
  return values;
}

// The one section that selects the point, if there is one; two are an error.
template <typename T>
Result<const Selected<T>*> only_section(const std::vector<Selected<T>>& sections,
                                        const Point& point, Used& used) {
  const Selected<T>* found = nullptr;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    if (!selects(sections[i].selector, point.axes, point.placement)) {
      continue;
    }
    if (found != nullptr) {
      return error_at(sections[i].where, ErrorCode::case_two_outcomes,
                      fmt::format("the section in line {} is for the same cell: expected one",
                                  found->where.line));
    }
    used[i] = true;
    found = &sections[i];
  }
  return found;
}

Result<void> expect_calls(const Case& parsed, const Point& point, Used& used,
                          model::Expectation& expected) {
  std::map<std::pair<bpf::CallSite, std::uint32_t>, unsigned> lines;  // by site and callee
  for (std::size_t i = 0; i < parsed.calls.size(); ++i) {
    if (!selects(parsed.calls[i].selector, point.axes, point.placement)) {
      continue;
    }
    used[i] = true;
    for (const Located<CallLine>& line : parsed.calls[i].value) {
      if (line.value.any_other) {
        expected.any_other_call = true;
        continue;
      }
      const bpf::CallInstruction& call = parsed.calls_of_program[line.value.call];
      unsigned& earlier = lines[{call.site, line.value.callee}];
      if (earlier != 0) {
        return error_at(line.where, ErrorCode::case_two_outcomes,
                        fmt::format("{} is in line {} already",
                                    to_string(*parsed.program, call.site), earlier));
      }
      earlier = line.where.line;
      expected.calls.push_back({.site = call.site,
                                .callee = line.value.callee,
                                .count = line.value.count,
                                .line = line.where.line});
    }
  }
  return success();
}

Result<std::vector<model::ExpectedMemory>> expected_memory(const Case& parsed, const Point& point,
                                                           Used& used) {
  std::vector<model::ExpectedMemory> expected;
  if (parsed.memory.empty()) {
    return expected;
  }
  // Of each region, where the pieces begin, and where they end.
  std::map<std::string_view, std::map<std::uint64_t, std::uint64_t>> named;
  for (std::size_t i = 0; i < parsed.memory.size(); ++i) {
    if (!selects(parsed.memory[i].selector, point.axes, point.placement)) {
      continue;
    }
    used[i] = true;
    for (const auto& [piece, where] : parsed.memory[i].value) {
      std::map<std::uint64_t, std::uint64_t>& pieces = named[piece.region];
      const std::uint64_t end = piece.offset + piece.bytes.size();
      const auto after = pieces.upper_bound(piece.offset);
      const bool begins_in_one = after != pieces.begin() && std::prev(after)->second > piece.offset;
      if (begins_in_one || (after != pieces.end() && after->first < end)) {
        return error_at(where, ErrorCode::case_two_outcomes,
                        fmt::format("the byte at {} is there twice",
                                    begins_in_one ? piece.offset : after->first));
      }
      pieces.emplace(piece.offset, end);
      expected.push_back(piece);
      expected.back().line = where.line;
    }
  }
  return expected;
}

std::uint64_t value_in(const ResolvedPlacement& resolved, const Value& value) {
  const Item* const item = std::get_if<Item>(&value);
  return item != nullptr ? resolved.of(*item).value : std::get<std::uint64_t>(value);
}

Result<model::Expectation> expectation(const Case& parsed, const Point& point,
                                       const ResolvedPlacement& resolved, Usage& usage) {
  model::Expectation expected;
  for (std::size_t i = 0; i < parsed.known.size(); ++i) {
    if (selects(parsed.known[i].selector, point.axes, point.placement)) {
      usage.known[i] = true;
      std::ranges::copy(parsed.known[i].value, std::back_inserter(expected.known));
    }
  }
  expected.rejection = parsed.rejection;
  FARCALL_TRY(failure, only_section(parsed.failures, point, usage.failures));
  if (failure != nullptr) {
    expected.failure = failure->value;
    expected.failure->line = failure->where.line;
    return expected;
  }
  FARCALL_TRY(result, only_section(parsed.results, point, usage.results));
  if (result == nullptr) {
    return error_at(parsed.program_where, ErrorCode::case_no_outcome,
                    "expected a section '-- result' or '-- fail' for every cell");
  }
  if (result->value.value) {
    expected.result = value_in(resolved, *result->value.value);
    expected.result_line = result->where.line;
  }
  expected.no_result = !result->value.value && !result->value.any;
  FARCALL_TRYV(expect_calls(parsed, point, usage.calls, expected));
  FARCALL_TRY(memory, expected_memory(parsed, point, usage.memory));
  expected.memory = std::move(memory);
  return expected;
}

// Addresses that the program and its data hold, as they are in this cell. In the program they are
// loads of 64-bit numbers.
void fill_in_addresses(const Case& parsed, const ResolvedPlacement& resolved, model::Cell& cell) {
  std::shared_ptr<bpf::Program> program;
  const std::size_t first_data = cell.memory.size() - parsed.data.size();
  for (const HeldAddress& held : parsed.addresses) {
    const std::uint64_t value = resolved.of(held.target).value + held.addend;
    if (held.data) {
      const std::span<std::byte> bytes = cell.memory[first_data + *held.data].bytes.own();
      store(bytes.data() + held.offset, value, byte_order(cell.axes.endian));
      continue;
    }
    if (!program) {
      program = std::make_shared<bpf::Program>(*parsed.program);
    }
    bpf::Slot* const load = &program->slots[held.offset];
    std::tie(load[0], load[1]) = bpf::load_immediate64_slots(load[0].dst, value);
  }
  if (program) {
    cell.program = std::move(program);
  }
}

// What of data depends on the cell: the order of bytes, the addresses of programs.
void fill_data(const Case& parsed, const ResolvedPlacement& resolved, model::Cell& cell) {
  const std::endian order = byte_order(cell.axes.endian);
  const std::size_t before_data = parsed.mem ? 1 : 0;
  for (const Array& array : parsed.arrays) {
    std::byte* const bytes = cell.memory[before_data + array.region].bytes.own().data();
    store(bytes + bpf::kMapElements, array.elements, order);
    store(bytes + bpf::kMapValueBytes, array.element_bytes, order);
    if (array.is_table) {
      store(bytes + bpf::kMapSlots, array.slots, order);
      store(bytes + bpf::kMapKeyBytes, array.key_bytes, order);
    }
    for (const ProgramElement& element : array.programs) {
      store(bytes + bpf::kArrayHeaderBytes + element.index * 8,
            cell.placement.functions[element.function].value, order);
    }
  }
  for (const HeldValue& held : parsed.values) {
    store(cell.memory[before_data + held.data].bytes.own().data() + held.offset,
          value_in(resolved, held.value), order);
  }
}

// What is in the cell's memory, and the addresses in its program.
void fill_in(const Case& parsed, const ResolvedPlacement& resolved, model::Cell& cell) {
  const std::size_t before_data = parsed.mem ? 1 : 0;
  if (parsed.mem) {
    cell.memory.front().bytes = *parsed.mem;
  }
  for (std::size_t i = 0; i < parsed.data.size(); ++i) {
    cell.memory[before_data + i].bytes = parsed.data[i].bytes;
  }
  fill_in_addresses(parsed, resolved, cell);
  fill_data(parsed, resolved, cell);
}

// All of a cell but its name, and what fill_in() says.
Result<model::Cell> make_cell(const Case& parsed, const Point& point,
                              const ResolvedPlacement& resolved, Usage& usage) {
  if (parsed.data_order && *parsed.data_order != byte_order(point.axes.endian)) {
    return error_at(parsed.program_where, ErrorCode::elf_unsupported,
                    "the object's data is in the other byte order than this cell",
                    "NAME.bpf.o is little-endian, NAME.bpfeb.o big-endian");
  }
  FARCALL_TRY(expected, expectation(parsed, point, resolved, usage));
  model::Cell cell{.case_path = parsed.path,
                   .name = {},
                   .axes = point.axes,
                   .program = parsed.program,
                   .placement = resolved.placement,
                   .memory = {},
                   .arguments = {},
                   .expected = std::move(expected)};
  cell.memory.reserve(parsed.data.size() + 1);
  if (parsed.mem) {
    const GuestAddress mem = resolved.of(mem_item(callee_count(*parsed.program)));
    cell.memory.push_back({.name = "mem", .address = mem, .writable = true});
    cell.arguments[0] = mem.value;
    cell.arguments[1] = parsed.mem->size();
  }
  for (std::size_t i = 0; i < parsed.data.size(); ++i) {
    cell.memory.push_back({.name = parsed.data[i].name,
                           .address = resolved.of(data_item(callee_count(*parsed.program), i)),
                           .writable = parsed.data[i].writable});
  }
  if (parsed.context) {
    cell.arguments[0] =
        resolved.of(data_item(callee_count(*parsed.program), *parsed.context)).value;
  }
  for (std::size_t i = 0; i < cell.arguments.size(); ++i) {
    if (parsed.registers[i]) {
      cell.arguments[i] = value_in(resolved, *parsed.registers[i]);
    }
  }
  return cell;
}

template <typename T>
Result<void> refuse_unused(const std::vector<Selected<T>>& sections, const Used& used,
                           std::string_view why) {
  const auto unused = std::ranges::find(used, false);
  if (unused == used.end()) {
    return success();
  }
  return error_at(sections[static_cast<std::size_t>(unused - used.begin())].where,
                  ErrorCode::case_selects_nothing, std::string{why});
}

Result<void> refuse_unused_sections(const Case& parsed, const Usage& usage) {
  constexpr std::string_view kNoCell = "this section is for no cell";
  constexpr std::string_view kNoCellOrFail =
      "this section is for no cell, or only for cells that '-- fail' is for";
  FARCALL_TRYV(refuse_unused(parsed.places, usage.places, kNoCell));
  FARCALL_TRYV(refuse_unused(parsed.failures, usage.failures, kNoCell));
  FARCALL_TRYV(refuse_unused(parsed.known, usage.known, kNoCell));
  FARCALL_TRYV(refuse_unused(parsed.spoiled, usage.spoiled, kNoCell));
  FARCALL_TRYV(refuse_unused(parsed.results, usage.results, kNoCellOrFail));
  FARCALL_TRYV(refuse_unused(parsed.calls, usage.calls, kNoCellOrFail));
  return refuse_unused(parsed.memory, usage.memory, kNoCellOrFail);
}

Error with_cell(Error error, const std::string& name) {
  error.hint += fmt::format("{}in the cell {}", error.hint.empty() ? "" : "; ", name);
  return error;
}

Error too_many_cells(const Case& parsed, std::size_t count) {
  return error_at(parsed.program_where, ErrorCode::case_unsupported,
                  fmt::format("this case has {} cells: expected at most {}", count, kMaxCells));
}

// A placement `a` that sweeps and another one called `a.p4` could meet.
Result<void> refuse_equal_names(const Case& parsed, const std::vector<PlacedCell>& made) {
  std::vector<std::string_view> names(made.size());
  std::ranges::transform(made, names.begin(),
                         [](const PlacedCell& one) -> std::string_view { return one.cell.name; });
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice == names.end()) {
    return success();
  }
  return error_at(
      parsed.places.empty() ? parsed.spoiled.front().where : parsed.places.front().where,
      ErrorCode::case_syntax,
      fmt::format("two cells are called {}: expected other names of placements{}", *twice,
                  parsed.spoiled.empty() ? "" : ", and a fault once"));
}

// Adds to `made` its last cell once more for each fault that must be found in it. What a JIT under
// test is known for has no part in it: the code is ours.
void add_spoiled_cells(const Case& parsed, const Point& point, Usage& usage,
                       std::vector<PlacedCell>& made) {
  const std::size_t right = made.size() - 1;
  for (std::size_t i = 0; i < parsed.spoiled.size(); ++i) {
    if (!selects(parsed.spoiled[i].selector, point.axes, point.placement)) {
      continue;
    }
    usage.spoiled[i] = true;
    for (const model::Control& control : parsed.spoiled[i].value) {
      PlacedCell wrong = made[right];
      const bool has_axes = wrong.cell.name.size() > parsed.name.size();
      wrong.cell.name += (has_axes ? '-' : '@') + control.fault;
      wrong.cell.expected.known.clear();
      wrong.cell.control = control;
      made.push_back(std::move(wrong));
    }
  }
}

// Adds to `made` the cells for one placement, one for each value of its sweep.
Result<void> add_swept_cells(const Case& parsed, Point point, Sizing& sizing, Contents contents,
                             Usage& usage, std::vector<PlacedCell>& made) {
  const auto in_cell = [&](Error error) {
    return with_cell(std::move(error), cell_name(parsed, point));
  };
  Result<PlaceLines> lines = place_lines(parsed, point, usage.places);
  if (!lines) {
    return in_cell(std::move(lines).error());
  }
  Result<std::vector<std::optional<std::int64_t>>> values = sweep_values(lines.value());
  if (!values) {
    return in_cell(std::move(values).error());
  }
  for (const std::optional<std::int64_t>& value : values.value()) {
    point.sweep = value;
    Result<ResolvedPlacement> resolved =
        sizing.placement(parsed, point.axes, lines.value(), point.sweep.value_or(0));
    if (!resolved) {
      return in_cell(std::move(resolved).error());
    }
    Result<model::Cell> cell = make_cell(parsed, point, resolved.value(), usage);
    if (!cell) {
      return in_cell(std::move(cell).error());
    }
    if (contents == Contents::all) {
      fill_in(parsed, resolved.value(), cell.value());
    }
    cell.value().name = cell_name(parsed, point);
    made.push_back({.cell = std::move(cell).value(),
                    .placement = point.placement,
                    .sweep = point.sweep,
                    .items = std::move(resolved.value().items)});
    add_spoiled_cells(parsed, point, usage, made);
  }
  return made.size() > kMaxCells ? too_many_cells(parsed, made.size()) : Result<void>(success());
}

// Adds to `made` the cells for `axes`, those of each placement.
Result<void> add_cells(const Case& parsed, const model::AxisValues& axes, Sizing& sizing,
                       Contents contents, Usage& usage, std::vector<PlacedCell>& made) {
  const std::size_t before = made.size();
  const std::size_t placements = std::max<std::size_t>(parsed.placements.size(), 1);
  for (std::size_t i = 0; i < placements; ++i) {
    Point point{.axes = axes, .placement = {}, .sweep = {}};
    if (!parsed.placements.empty()) {
      point.placement = static_cast<std::uint32_t>(i);
    }
    if (exists(parsed, point)) {
      FARCALL_TRYV(add_swept_cells(parsed, point, sizing, contents, usage, made));
    }
  }
  if (made.size() == before) {
    return error_at(parsed.places.front().where, ErrorCode::case_selects_nothing,
                    fmt::format("there is no placement for the cell {}",
                                cell_name(parsed, {.axes = axes, .placement = {}, .sweep = {}})));
  }
  return success();
}

Result<std::vector<PlacedCell>> make_cells(const Case& parsed, const CodeLayout& layout,
                                           Contents contents) {
  if (parsed.refusal) {
    return *parsed.refusal;
  }
  FARCALL_TRY(all, combinations(parsed));
  const std::size_t count = all.size() * std::max<std::size_t>(parsed.placements.size(), 1);
  if (count > kMaxCells) {
    return too_many_cells(parsed, count);
  }
  Usage usage = unused(parsed);
  std::vector<PlacedCell> made;
  made.reserve(count);
  Sizing sizing(*parsed.program, layout);
  for (const model::AxisValues& axes : all) {
    FARCALL_TRYV(add_cells(parsed, axes, sizing, contents, usage, made));
  }
  FARCALL_TRYV(refuse_unused_sections(parsed, usage));
  FARCALL_TRYV(refuse_equal_names(parsed, made));
  return made;
}

}  // namespace

Result<std::vector<PlacedCell>> placed_cells(const Case& parsed, const CodeLayout& layout,
                                             Contents contents) {
  Result<std::vector<PlacedCell>> made = make_cells(parsed, layout, contents);
  if (!made && made.error().where.file.empty()) {
    made.error().where.file = parsed.path;
  }
  return made;
}

Result<model::Cell> moved(const Case& parsed, const PlacedCell& placed, model::Placement to) {
  const Point point{.axes = placed.cell.axes, .placement = placed.placement, .sweep = placed.sweep};
  ResolvedPlacement resolved{.placement = std::move(to), .items = placed.items};
  const std::size_t functions = resolved.placement.functions.size();
  std::ranges::copy(resolved.placement.functions, resolved.items.begin());
  resolved.items[index(stack_item(functions))] = resolved.placement.stack;
  resolved.items[index(call_base_item(functions))] = resolved.placement.call_base;
  resolved.items[index(toc_item(functions))] = resolved.placement.toc;
  Usage usage = unused(parsed);
  FARCALL_TRY(cell, make_cell(parsed, point, resolved, usage));
  fill_in(parsed, resolved, cell);
  cell.name = placed.cell.name;
  return std::move(cell);
}

Result<std::vector<model::Cell>> cells(const Case& parsed, const CodeLayout& layout) {
  FARCALL_TRY(placed, placed_cells(parsed, layout));
  std::vector<model::Cell> made;
  made.reserve(placed.size());
  for (PlacedCell& one : placed) {
    made.push_back(std::move(one.cell));
  }
  return made;
}

}  // namespace farcall::cases
