// What stands for callees and maps of which a case does not say what they are.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "base/bits.hpp"
#include "bpf/helpers.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "bpf/map_layout.hpp"
#include "case/read_section.hpp"
#include "external/external.hpp"
#include "external/stub.hpp"

namespace farcall::cases {
namespace {

constexpr std::string_view kLogName = ".stubs";
constexpr std::string_view kStubGrammar =
    "expected '-- stub helper NUMBER', '-- stub kfunc NAME' or '-- stub extern NAME'";

// Of the maps of Linux, those whose values lie one after the other.
constexpr std::uint32_t kArrayMap = 2;
constexpr std::uint32_t kProgramArrayMap = 3;
constexpr std::uint32_t kPerCpuArrayMap = 6;

// Those whose values are each CPU's own, or that drop elements when they are full.
constexpr std::array<std::uint32_t, 4> kSimplifiedMaps = {5, 6, 9, 10};

// Those that look up keys.
constexpr std::array<std::uint32_t, 4> kHashMaps = {1, 5, 9, 10};  // hash, LRU, per CPU or not

// Helpers that are native functions where nothing else is said.
constexpr std::array<std::string_view, 3> kMapHelpers = {"map_lookup_elem", "map_update_elem",
                                                         "map_delete_elem"};

// A map that nobody described has as many elements as fit, one at least.
constexpr std::uint32_t kMostMapBytes = 64 * 1024;
constexpr std::uint32_t kMostTableBytes = 16 * 1024 * 1024;
constexpr std::uint32_t kMostSlots = 16;  // of a hash table
constexpr std::uint32_t kLargestKey = 64 * 1024;
constexpr std::uint32_t kLargestValue = 16 * 1024 * 1024;

Result<std::vector<Word>> read_values(Cursor cursor) {
  std::vector<Word> values;
  do {
    values.push_back(cursor.until(','));
    if (values.back().text.empty()) {
      return error_at(values.back().where, ErrorCode::case_syntax,
                      "expected `returns VALUE, VALUE, ...`");
    }
  } while (cursor.take(','));
  if (values.size() > external::kMostValues) {
    return error_at(values.front().where, ErrorCode::case_bad_number,
                    fmt::format("expected {} values at most", external::kMostValues));
  }
  FARCALL_TRYV(expect_end(cursor, "the values"));
  return values;
}

// The number of an argument, from 0.
Result<std::uint8_t> read_argument(Word word) {
  const bool known =
      word.text.size() == 2 && word.text[0] == 'r' && word.text[1] >= '1' && word.text[1] <= '5';
  if (!known) {
    return error_at(word.where, ErrorCode::case_unknown_name,
                    "expected `fills r1 r2`, a pointer and a length among r1 to r5, or `fills r1 "
                    "BYTES`");
  }
  return static_cast<std::uint8_t>(word.text[1] - '1');
}

Result<bpf::Filling> read_filling(Cursor cursor) {
  FARCALL_TRY(pointer, read_argument(cursor.word()));
  bpf::Filling filling{.pointer = pointer};
  const Word length = cursor.word();
  if (!length.text.empty() && length.text.front() >= '0' && length.text.front() <= '9') {
    FARCALL_TRY(bytes, unsigned_number(length));
    if (bytes == 0 || bytes > external::kMostFilledBytes) {
      return error_at(length.where, ErrorCode::case_bad_number,
                      fmt::format("expected 1 to {} bytes", external::kMostFilledBytes));
    }
    filling.bytes = static_cast<std::uint32_t>(bytes);
  } else {
    FARCALL_TRY(argument, read_argument(length));
    filling.length = argument;
  }
  FARCALL_TRYV(expect_end(cursor, "the length"));
  return filling;
}

Result<void> read_stub_body(StubSection& stub, const Section& section) {
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    const Word word = cursor.word();
    if (word.text == "returns" && stub.returns.empty()) {
      FARCALL_TRY(values, read_values(cursor));
      stub.returns = std::move(values);
    } else if (word.text == "takes" && !stub.takes) {
      const Word count_word = cursor.word();
      FARCALL_TRY(count, unsigned_number(count_word));
      if (count > 5) {
        return error_at(count_word.where, ErrorCode::case_bad_number,
                        "expected 0 to 5 arguments, in r1 to r5");
      }
      FARCALL_TRYV(expect_end(cursor, "the number of arguments"));
      stub.takes = static_cast<std::uint8_t>(count);
    } else if (word.text == "fills" && !stub.fills) {
      FARCALL_TRY(filling, read_filling(cursor));
      stub.fills = filling;
    } else {
      return error_at(word.where, ErrorCode::case_syntax,
                      "expected one line each of `returns VALUE, ...`, `takes N` and `fills r1 r2` "
                      "at most");
    }
  }
  return success();
}

StubSection* find_stub(Reader& reader, bpf::ExternalKind kind, std::string_view name,
                       std::int32_t id) {
  const auto found = std::ranges::find_if(reader.stubs, [&](const StubSection& stub) {
    return stub.kind == kind && stub.name == name && (!name.empty() || stub.id == id);
  });
  return found == reader.stubs.end() ? nullptr : &*found;
}

// Adds a stub to the externals; `section` is what the case says of it, or null.
void add_stub(Reader& reader, std::string name, bpf::ExternalKind kind, std::int32_t id,
              bpf::Signature signature, StubSection* section) {
  std::vector<Word> returns;
  std::optional<bpf::Filling> fills;
  const bpf::HelperInfo* const helper =
      kind == bpf::ExternalKind::helper ? bpf::linux_helper(id) : nullptr;
  if (helper != nullptr) {
    fills = helper->fills;
  }
  if (section != nullptr) {
    section->used = true;
    returns = section->returns;
    fills = section->fills ? section->fills : fills;
    signature.argument_count = section->takes.value_or(signature.argument_count);
  }
  bpf::Stub how{.number = static_cast<std::uint32_t>(reader.stub_values.size()),
                .values = static_cast<std::uint32_t>(std::max<std::size_t>(returns.size(), 1)),
                .fills = fills};
  reader.stub_values.push_back({.external = reader.externals.size(), .returns = returns});
  reader.externals.push_back(external::stub(std::move(name), kind, id, signature, how));
}

bool is_called(const Reader& reader, const bpf::Program& program, std::string_view name) {
  return bpf::function_named(program, name) ||
         std::ranges::find(reader.externals, name, &bpf::External::name) != reader.externals.end();
}

std::string free_name(const Reader& reader, const bpf::Program& program, std::string name) {
  while (is_called(reader, program, name)) {
    name += '_';
  }
  return name;
}

bpf::Signature helper_signature(std::int32_t id) {
  const bpf::HelperInfo* const helper = bpf::linux_helper(id);
  return {.arguments = {},
          .argument_count = helper != nullptr ? helper->arguments : std::uint8_t{5},
          .result = {}};
}

const bpf::External* with_id(const Reader& reader, bpf::ExternalKind kind, std::int32_t id) {
  const auto found = std::ranges::find_if(
      reader.externals, [&](const bpf::External& one) { return one.kind == kind && one.id == id; });
  return found == reader.externals.end() ? nullptr : &*found;
}

void declare_helper(Reader& reader, const bpf::Program& program, std::int32_t id) {
  if (id == bpf::kTailCall || with_id(reader, bpf::ExternalKind::helper, id) != nullptr) {
    return;
  }
  constexpr std::string_view kRefused = "unrelocated";
  if (id == bpf::kUnrelocated && !is_called(reader, program, kRefused)) {
    reader.externals.push_back(
        external::external(*external::find(kRefused), bpf::ExternalKind::helper, id));
    return;
  }
  const bpf::HelperInfo* const helper = bpf::linux_helper(id);
  const bool is_native =
      helper != nullptr && std::ranges::find(kMapHelpers, helper->name) != kMapHelpers.end();
  if (is_native && !is_called(reader, program, helper->name)) {
    reader.externals.push_back(
        external::external(*external::find(helper->name), bpf::ExternalKind::helper, id));
    return;
  }
  add_stub(reader, free_name(reader, program, bpf::helper_name(id)), bpf::ExternalKind::helper, id,
           helper_signature(id), nullptr);
}

// The index of the external that stands for a function that the object declares.
std::size_t declare_extern(Reader& reader, const bpf::Program& program,
                           const bpf::ObjectExtern& declared) {
  const auto known = std::ranges::find_if(reader.externals, [&](const bpf::External& one) {
    return one.kind == bpf::ExternalKind::kfunc && one.name == declared.name;
  });
  if (known != reader.externals.end()) {
    return static_cast<std::size_t>(known - reader.externals.begin());
  }
  std::int32_t id = 1;
  while (with_id(reader, bpf::ExternalKind::kfunc, id) != nullptr) {
    ++id;
  }
  add_stub(reader, free_name(reader, program, declared.name), bpf::ExternalKind::kfunc, id,
           declared.signature, find_stub(reader, bpf::ExternalKind::kfunc, declared.name, 0));
  return reader.externals.size() - 1;
}

template <typename Visit>
void each_instruction(bpf::Program& program, Visit visit) {
  for (const bpf::SlotIndex at : instructions(program)) {
    if (const bpf::InstructionInfo* const info = bpf::find(program.slots[at])) {
      visit(program.slots[at], *info);
    }
  }
}

// A name for a map's region that nothing else has.
std::string region_name(const Reader& reader, const bpf::Object& object, std::string name) {
  const auto is_taken = [&](const std::string& text) {
    return is_reserved(text) || is_called(reader, object.program, text) ||
           std::ranges::find(object.data, text, &bpf::MemoryRegion::name) != object.data.end();
  };
  while (is_taken(name)) {
    name.insert(0, "map_");
  }
  return name;
}

// As many of `most` as the definition admits. Without a number there the program's loader sets it.
std::uint32_t entries(const bpf::MapDefinition& definition, std::uint32_t most) {
  const std::uint32_t at_least_one = std::max(most, 1U);
  return definition.max_entries == 0 ? at_least_one
                                     : std::min(definition.max_entries, at_least_one);
}

// Makes the region of a map.
Result<void> add_map(Reader& reader, const std::string& name,
                     const bpf::MapDefinition& definition) {
  if (definition.value_bytes > kLargestValue || definition.key_bytes > kLargestKey) {
    return error_at(reader.result.program_where, ErrorCode::case_unsupported,
                    fmt::format("map '{}' has keys of {} bytes and values of {}: expected {} and "
                                "{} at most",
                                name, definition.key_bytes, definition.value_bytes, kLargestKey,
                                kLargestValue));
  }
  const bool holds_programs = definition.type == kProgramArrayMap;
  const bool is_array =
      holds_programs || definition.type == kArrayMap || definition.type == kPerCpuArrayMap;
  const bool is_table = std::ranges::find(kHashMaps, definition.type) != kHashMaps.end();
  const std::uint32_t value_bytes = holds_programs ? 8 : std::max(definition.value_bytes, 1U);
  const std::uint32_t elements = is_array ? entries(definition, kMostMapBytes / value_bytes) : 0;
  const std::uint32_t key_bytes = std::max(definition.key_bytes, 1U);
  const auto slot_bytes = static_cast<std::uint32_t>(
      bpf::MapLayout{.value_bytes = value_bytes, .key_bytes = key_bytes}.slot_bytes());
  const std::uint32_t slots =
      is_table ? entries(definition, std::min(kMostSlots, kMostTableBytes / slot_bytes)) : 0;
  const std::size_t bytes = is_array ? bpf::kArrayHeaderBytes + std::size_t{elements} * value_bytes
                                     : bpf::kTableHeaderBytes + std::size_t{slots} * slot_bytes;
  const std::size_t region = reader.result.data.size();
  reader.maps.push_back(
      {.name = name,
       .value_bytes = holds_programs ? 0 : elements * value_bytes,
       .simplified = std::ranges::find(kSimplifiedMaps, definition.type) != kSimplifiedMaps.end()});
  reader.result.arrays.push_back({.region = region,
                                  .elements = elements,
                                  .element_bytes = value_bytes,
                                  .slots = slots,
                                  .key_bytes = key_bytes,
                                  .is_table = !is_array,
                                  .programs = {}});
  reader.result.data.push_back({.name = name,
                                .address = {},
                                .bytes = std::vector<std::byte>(bytes),
                                .writable = !holds_programs});
  return success();
}

}  // namespace

Result<void> read_stub(Reader& reader, const Section& section) {
  Cursor cursor = section.arguments;
  const Word kind = cursor.word();
  const Word name = cursor.word();
  const bool is_helper = kind.text == "helper";
  if ((!is_helper && kind.text != "kfunc" && kind.text != "extern") || name.text.empty()) {
    return error_at(kind.where, ErrorCode::case_syntax, std::string{kStubGrammar});
  }
  FARCALL_TRYV(expect_end(cursor, "the function"));
  StubSection stub{.kind = is_helper ? bpf::ExternalKind::helper : bpf::ExternalKind::kfunc,
                   .where = name.where};
  const bool is_number = name.text.front() >= '0' && name.text.front() <= '9';
  if (is_number) {
    FARCALL_TRY(id, unsigned_number(name));
    if (id > std::numeric_limits<std::int32_t>::max() || (is_helper && id == bpf::kTailCall)) {
      return error_at(name.where, ErrorCode::case_bad_number,
                      "expected a number of 0 to 2147483647 that is not that of the tail call, 12");
    }
    stub.id = static_cast<std::int32_t>(id);
  } else if (is_helper) {
    const auto id = bpf::helper_number(name.text);
    if (!id) {
      return error_at(
          name.where, ErrorCode::case_unknown_name,
          fmt::format("Linux has no helper '{}'", name.text),
          "a helper is named as in bpf_helper_defs.h, `bpf_ktime_get_ns`, or by number");
    }
    stub.id = *id;
  } else {
    stub.name = name.text;
  }
  if (find_stub(reader, stub.kind, stub.name, stub.id) != nullptr ||
      (stub.name.empty() && with_id(reader, stub.kind, stub.id) != nullptr)) {
    return error_at(name.where, ErrorCode::case_duplicate_section,
                    fmt::format("{} {} is declared already: expected one", kind.text, name.text));
  }
  FARCALL_TRYV(read_stub_body(stub, section));
  reader.stubs.push_back(stub);
  if (stub.name.empty()) {
    add_stub(reader, is_helper ? bpf::helper_name(stub.id) : fmt::format("kfunc_{}", stub.id),
             stub.kind, stub.id, is_helper ? helper_signature(stub.id) : bpf::Signature{},
             &reader.stubs.back());
  }
  return success();
}

Result<void> declare_callees(Reader& reader, bpf::Object& object) {
  bpf::Program& program = object.program;
  for (const bpf::ObjectExtern& declared : object.externs) {
    reader.object_externs.push_back(declare_extern(reader, program, declared));
  }
  each_instruction(program, [&](bpf::Slot& slot, const bpf::InstructionInfo& info) {
    const auto number = static_cast<std::size_t>(slot.imm);
    if (info.form == bpf::Form::kfunc && number < reader.object_externs.size()) {
      slot.imm = reader.externals[reader.object_externs[number]].id;
    } else if (info.form == bpf::Form::helper) {
      declare_helper(reader, program, slot.imm);
    }
  });
  return success();
}

Result<void> declare_maps(Reader& reader, bpf::Object& object) {
  std::vector<std::int32_t> numbers;
  for (const bpf::ObjectMap& map : object.maps) {
    const auto known = std::ranges::find(reader.maps, map.name, &bpf::Map::name);
    numbers.push_back(static_cast<std::int32_t>(known - reader.maps.begin()));
    if (known != reader.maps.end()) {
      continue;  // `-- array`
    }
    const std::string name = region_name(reader, object, map.name);
    FARCALL_TRYV(add_map(reader, name, map.definition));
  }
  each_instruction(object.program, [&](bpf::Slot& slot, const bpf::InstructionInfo& info) {
    // One that is beyond is in the code as a number: nobody relocated it.
    const auto number = static_cast<std::size_t>(slot.imm);
    if (info.names_map() && number < numbers.size()) {
      slot.imm = numbers[number];
    }
  });
  return success();
}

Result<void> add_stub_log(Reader& reader) {
  const auto unused = std::ranges::find(reader.stubs, false, &StubSection::used);
  if (unused != reader.stubs.end()) {
    std::string known;
    for (const std::size_t number : reader.object_externs) {
      known += (known.empty() ? "" : ", ") + reader.externals[number].name;
    }
    return error_at(unused->where, ErrorCode::case_unknown_name,
                    fmt::format("the program calls no '{}'", unused->name),
                    known.empty() ? "it calls no function of that kind by name"
                                  : fmt::format("it calls {}", known));
  }
  if (reader.stub_values.empty()) {
    return success();
  }
  if (reader.stub_values.size() > external::kMostStubs) {
    return error_at(reader.result.program_where, ErrorCode::case_unsupported,
                    fmt::format("{} stubs: expected {} at most", reader.stub_values.size(),
                                external::kMostStubs));
  }
  std::uint32_t bytes = external::kFirstBlock;
  for (const StubValues& values : reader.stub_values) {
    bpf::Stub& stub = *reader.externals[values.external].stub;
    stub.log = static_cast<std::uint32_t>(reader.maps.size());
    stub.block = bytes;
    bytes += external::block_bytes(stub.values);
  }
  const auto in_values = static_cast<std::uint32_t>(bytes - bpf::kArrayHeaderBytes);
  reader.maps.push_back({.name = std::string{kLogName}, .value_bytes = in_values});
  reader.result.arrays.push_back({.region = reader.result.data.size(),
                                  .elements = in_values,
                                  .element_bytes = 1,
                                  .programs = {}});
  reader.result.data.push_back(
      {.name = std::string{kLogName}, .address = {}, .bytes = std::vector<std::byte>(bytes)});
  return success();
}

Result<void> read_stub_values(Reader& reader) {
  const std::vector<bpf::External>& externals = reader.result.program->externals;
  for (const StubValues& values : reader.stub_values) {
    const bpf::External& external = externals[values.external];
    const auto& regions = reader.result.data;
    const auto region = std::ranges::find(regions, kLogName, &bpf::MemoryRegion::name);
    std::size_t offset = external.stub->block;
    for (const Word word : values.returns) {
      FARCALL_TRY(value, parse_value(reader, word));
      if (auto* const number = std::get_if<std::uint64_t>(&value)) {
        *number = bpf::extended(*number, external.signature.result);
      }
      offset += 8;
      reader.result.values.push_back({.data = static_cast<std::size_t>(region - regions.begin()),
                                      .offset = offset,
                                      .value = value});
    }
  }
  return success();
}

}  // namespace farcall::cases
