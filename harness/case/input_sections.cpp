#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "bpf/assembler.hpp"
#include "bpf/codec.hpp"
#include "bpf/divide.hpp"
#include "bpf/instruction.hpp"
#include "bpf/object.hpp"
#include "bpf/validator.hpp"
#include "case/hardware.hpp"
#include "case/read_section.hpp"

namespace farcall::cases {
namespace {

Result<AxisChoice> read_axis(Cursor cursor) {
  const Word word = cursor.word();
  FARCALL_TRY(axis, parse_axis(word));
  if (!axis) {
    return error_at(word.where, ErrorCode::case_unknown_axis,
                    "placements are not declared in the matrix: each '-- place NAME' is one");
  }
  AxisChoice choice{.axis = *axis, .values = {}, .where = word.where};
  while (!cursor.at_end()) {
    const Word value_word = cursor.word();
    FARCALL_TRY(value, parse_axis_value(*axis, value_word));
    if (std::ranges::find(choice.values, value) != choice.values.end()) {
      return error_at(value_word.where, ErrorCode::case_syntax,
                      fmt::format("{} is there twice", value_word.text));
    }
    choice.values.push_back(value);
  }
  if (choice.values.empty()) {
    return error_at(cursor.here(), ErrorCode::case_syntax,
                    fmt::format("expected values for {}: {}", word.text, supported_values(*axis)));
  }
  return choice;
}

void keep_program(Reader& reader, const Section& section, bpf::Program program) {
  reader.program = std::move(program);
  reader.result.program_where = section.where;
}

Result<void> refuse_second_program(const Reader& reader, const Section& section) {
  if (reader.program) {
    return error_at(section.where, ErrorCode::case_duplicate_section,
                    fmt::format("there is a program in line {} already: expected one",
                                reader.result.program_where.line));
  }
  return success();
}

// Adds the words of a line to `program`.
Result<void> append_words(Cursor cursor, const std::string& file, bpf::Program& program) {
  while (!cursor.at_end()) {
    const Word word = cursor.word();
    FARCALL_TRY(value, unsigned_number(word));
    program.slots.push_back(bpf::slot_of_word(value, std::endian::little));
    program.origins.add({.file = file, .line = word.where.line, .column = word.where.column});
  }
  return success();
}

// An object's global variables become data like that of `-- data`.
Result<void> keep_data(Reader& reader, Word file, bpf::Object& object) {
  reader.object_data = reader.result.data.size();
  for (bpf::MemoryRegion& region : object.data) {
    auto& known = reader.result.data;
    if (std::ranges::find(known, region.name, &bpf::MemoryRegion::name) != known.end() ||
        bpf::function_named(object.program, region.name)) {
      return error_at(file.where, ErrorCode::elf_unsupported,
                      fmt::format("{}: two things are called {}", file.text, region.name));
    }
    known.push_back(std::move(region));
  }
  if (!object.data.empty()) {
    reader.result.data_order = object.order;
  }
  reader.object_addresses = std::move(object.addresses);
  return success();
}

constexpr std::string_view kAddressOf = "addr(";

}  // namespace

Result<Value> parse_value(const Reader& reader, Word word) {
  if (!word.text.starts_with(kAddressOf)) {
    FARCALL_TRY(value, number(word));
    return Value{value};
  }
  if (!word.text.ends_with(')')) {
    return error_at(word.where, ErrorCode::case_syntax,
                    fmt::format("expected an integer or addr(NAME), not '{}'", word.text));
  }
  const Word name = {
      .text = word.text.substr(kAddressOf.size(), word.text.size() - kAddressOf.size() - 1),
      .where = {word.where.line, word.where.column + static_cast<unsigned>(kAddressOf.size())}};
  FARCALL_TRY(item, parse_item(name, reader.result.named()));
  FARCALL_TRYV(check_item(reader, item, name.where));
  return Value{item};
}

Result<void> read_extension(Reader& reader, const Section& section) {
  Cursor cursor = section.arguments;
  const Word word = cursor.word();
  const auto callx = bpf::extension_named(word.text);
  if (!callx) {
    return error_at(word.where, ErrorCode::case_unknown_value,
                    fmt::format("expected '-- extension {}' or '-- extension {}', not '{}'",
                                extension_name(bpf::Callx::address),
                                extension_name(bpf::Callx::helper), word.text));
  }
  FARCALL_TRYV(expect_end(cursor, "the extension"));
  reader.callx = *callx;
  return success();
}

Result<void> read_matrix(Reader& reader, const Section& section) {
  std::vector<AxisChoice>& axes = reader.result.axes;
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    FARCALL_TRY(choice, read_axis(Cursor{*line}));
    const auto place = std::ranges::lower_bound(axes, choice.axis, {}, &AxisChoice::axis);
    if (place != axes.end() && place->axis == choice.axis) {
      return error_at(choice.where, ErrorCode::case_syntax,
                      fmt::format("{} is there twice", name(choice.axis)));
    }
    axes.insert(place, std::move(choice));
  }
  return success();
}

Result<void> read_assembly(Reader& reader, const Section& section) {
  auto program = bpf::assemble(section.body,
                               {.file = reader.result.path, .line = section.body_line, .column = 1},
                               reader.maps);
  if (!program) {
    return reader.refuse(std::move(program).error());
  }
  keep_program(reader, section, std::move(program).value());
  return success();
}

namespace {

// A file that a case names, relative to the case's own.
std::string path_of(const Reader& reader, Word file) {
  std::string path{file.text};
  if (!path.starts_with('/')) {
    path.insert(0, reader.result.path, 0, reader.result.path.rfind('/') + 1);
  }
  return path;
}

}  // namespace

Result<void> read_btf(Reader& reader, const Section& section) {
  Cursor cursor = section.arguments;
  const Word file = cursor.quoted();
  if (file.text.empty()) {
    return error_at(file.where, ErrorCode::case_syntax,
                    "expected '-- btf FILE'; a name with blanks stands in quotes");
  }
  FARCALL_TRYV(expect_end(cursor, "the file"));
  auto types = reader.kernels->types(path_of(reader, file));
  if (!types) {
    return error_at(file.where, types.error().code,
                    fmt::format("{}: {}", path_of(reader, file), types.error().message));
  }
  reader.kernel_types = std::move(types).value();
  return success();
}

Result<void> read_elf(Reader& reader, const Section& section) {
  FARCALL_TRYV(refuse_second_program(reader, section));
  Cursor cursor = section.arguments;
  const Word file = cursor.quoted();
  const Word entry = cursor.word();
  if (file.text.empty()) {
    return error_at(file.where, ErrorCode::case_syntax,
                    "expected '-- elf FILE [ENTRY...]'; a name with blanks stands in quotes");
  }
  std::vector<std::string_view> more;
  while (!cursor.at_end()) {
    more.push_back(cursor.word().text);
  }
  const std::string path = path_of(reader, file);
  Result<bpf::Object> object =
      bpf::read_object_file(path, entry.text.empty() ? std::nullopt : std::optional{entry.text},
                            more, reader.kernel_types.get());
  if (!object) {
    // What is wrong in an object is told where it is; what is wrong with the file, where it is
    // named.
    Error& error = object.error();
    const bool in_object = error.where.file != path;
    return in_object ? std::move(error)
                     : error_at(file.where, error.code, fmt::format("{}: {}", path, error.message),
                                std::move(error.hint));
  }
  reader.result.object_order = object.value().order;
  reader.result.core_relocations = object.value().core_relocations;
  reader.result.entry_context = object.value().context;
  reader.result.entry_has_result = object.value().has_result;
  reader.structures = std::move(object.value().structures);
  FARCALL_TRYV(declare_callees(reader, object.value()));
  FARCALL_TRYV(declare_maps(reader, object.value()));
  FARCALL_TRYV(keep_data(reader, file, object.value()));
  keep_program(reader, section, std::move(object.value().program));
  return success();
}

Result<void> read_raw(Reader& reader, const Section& section) {
  FARCALL_TRYV(refuse_second_program(reader, section));
  bpf::Program program;
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    FARCALL_TRYV(append_words(Cursor{*line}, reader.result.path, program));
  }
  if (auto divided = bpf::divide_into_functions(program); !divided) {
    return reader.refuse(std::move(divided).error());
  }
  keep_program(reader, section, std::move(program));
  return success();
}

namespace {

// Adds what the program may use without declaring it. What it declares itself comes first.
void add_undeclared(bpf::Program& program, const Undeclared& undeclared) {
  if (program.callx == bpf::Callx::none) {
    program.callx = undeclared.callx;
  }
  for (const bpf::External& external : undeclared.externals) {
    if (!bpf::external_with_id(program, external.kind, external.id) &&
        !bpf::callee_named(program, external.name)) {
      program.externals.push_back(external);
    }
  }
}

// Whether a program that is refused so may be one that uses what it does not declare.
bool may_want_more(const Error& error) {
  return error.code == ErrorCode::bpf_unknown_function ||
         error.code == ErrorCode::bpf_unknown_opcode;
}

Result<void> validate(bpf::Program& program, const Undeclared& undeclared) {
  Result<void> valid = bpf::validate(program);
  if (valid || !may_want_more(valid.error())) {
    return valid;
  }
  bpf::Program with_more = program;
  add_undeclared(with_more, undeclared);
  if (with_more == program) {
    return valid;
  }
  if (auto again = bpf::validate(with_more); !again) {
    return again;  // what it lacks even so
  }
  program = std::move(with_more);
  return success();
}

}  // namespace

namespace {

// A region for each jump table that has none yet: those of assembly.
Result<void> add_tables(Reader& reader, const bpf::Program& program) {
  auto& regions = reader.result.data;
  for (const bpf::CodePointer& pointer : program.code_pointers) {
    const auto known = std::ranges::find(regions, pointer.region, &bpf::MemoryRegion::name);
    if (known == regions.end()) {
      if (is_reserved(pointer.region) || bpf::callee_named(program, pointer.region)) {
        return error_at(reader.result.program_where, ErrorCode::case_syntax,
                        fmt::format("the table '{}' is called like a function or a word of the "
                                    "grammar: expected another name",
                                    pointer.region));
      }
      std::uint64_t bytes = 0;
      for (const bpf::CodePointer& one : program.code_pointers) {
        bytes = one.region == pointer.region ? std::max(bytes, one.offset + 8) : bytes;
      }
      regions.push_back({.name = pointer.region,
                         .address = {},
                         .bytes = SharedBytes::of({}, bytes),
                         .writable = false});
    }
  }
  return success();
}

}  // namespace

Result<void> Reader::refuse(Error error) {
  if (result.error.empty()) {
    return error;
  }
  result.refusal = std::move(error);
  return success();
}

Result<void> finish_program(Reader& reader) {
  if (!reader.program) {
    return error_at({}, ErrorCode::case_missing_section,
                    "there is no program: expected a section '-- asm', '-- elf FILE' or '-- raw'");
  }
  if (reader.kernel_types && !reader.result.object_order) {
    return error_at(reader.result.program_where, ErrorCode::case_unsupported,
                    "'-- btf' is for the types of an object: expected '-- elf FILE'");
  }
  FARCALL_TRYV(add_stub_log(reader));
  bpf::Program& program = *reader.program;
  program.callx = reader.callx;
  program.maps = std::move(reader.maps);
  program.externals = std::move(reader.externals);
  for (const bpf::External& external : program.externals) {
    if (bpf::function_named(program, external.name)) {
      return error_at(
          reader.result.program_where, ErrorCode::case_syntax,
          fmt::format("'{}' is a function of the program and one that it calls", external.name),
          "give the program's function another name");
    }
  }
  if (auto valid = validate(program, *reader.undeclared); !valid) {
    return reader.refuse(std::move(valid).error());
  }
  FARCALL_TRYV(add_tables(reader, program));
  const std::size_t callees = callee_count(program);
  for (const bpf::ObjectAddress& address : reader.object_addresses) {
    const auto item = [&] {
      switch (address.kind) {
        case bpf::ObjectTarget::function:
          return function_item(address.target);
        case bpf::ObjectTarget::external:
          return function_item(program.functions.size() + reader.object_externs[address.target]);
        case bpf::ObjectTarget::region:
          break;
      }
      return data_item(callees, reader.object_data + address.target);
    };
    const auto region =
        address.region
            ? std::optional(static_cast<std::uint32_t>(reader.object_data) + *address.region)
            : std::nullopt;
    reader.result.addresses.push_back(
        {.data = region, .offset = address.offset, .target = item(), .addend = address.addend});
  }
  reader.result.calls_of_program = bpf::call_instructions(program);
  reader.result.program = std::make_shared<const bpf::Program>(std::move(program));
  return success();
}

Result<void> check_region_name(const Reader& reader, const Section& section, Word name) {
  const bool is_number = name.text.front() >= '0' && name.text.front() <= '9';
  if (is_number || is_reserved(name.text) || bpf::callee_named(*reader.result.program, name.text)) {
    return error_at(name.where, ErrorCode::case_syntax,
                    fmt::format("'{}' is a number, a word of the grammar or a function: expected "
                                "another name",
                                name.text));
  }
  const auto& regions = reader.result.data;
  if (std::ranges::find(regions, name.text, &bpf::MemoryRegion::name) != regions.end()) {
    return error_at(name.where, ErrorCode::case_duplicate_section,
                    fmt::format("there is a section '-- {} {}' already, or another region of that "
                                "name: expected one",
                                word_of(section.kind), name.text));
  }
  return success();
}

Result<void> read_context(Reader& reader, const Section& section) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20;
  constexpr std::string_view kName = "context";
  Cursor cursor = section.arguments;
  Word word = cursor.word();
  if (word.text == "struct" || word.text == "union") {
    word = cursor.word();
  }
  if (word.text.empty()) {
    return error_at(word.where, ErrorCode::case_syntax, "expected '-- context TYPE' or a size");
  }
  FARCALL_TRYV(expect_end(cursor, "the type"));
  std::uint64_t bytes = 0;
  const auto of_kernel = reader.kernel_types ? reader.kernel_types->structure_bytes(word.text)
                                             : std::optional<std::uint32_t>();
  if (word.text.front() >= '0' && word.text.front() <= '9') {
    FARCALL_TRY(size, unsigned_number(word));
    bytes = size;
  } else if (of_kernel) {
    bytes = *of_kernel;
  } else if (const auto known = reader.structures.find(std::string{word.text});
             known != reader.structures.end()) {
    bytes = known->second;
  } else {
    return error_at(word.where, ErrorCode::case_unknown_name,
                    fmt::format("the BTF of the program has no structure '{}'", word.text),
                    "only '-- elf' has types; '-- context BYTES' says how large it is");
  }
  if (bytes == 0 || bytes > kMostBytes) {
    return error_at(word.where, ErrorCode::case_bad_number,
                    fmt::format("expected a context of 1 to {} bytes", kMostBytes));
  }
  FARCALL_TRYV(check_region_name(reader, section, {.text = kName, .where = word.where}));
  reader.result.context = reader.result.data.size();
  reader.result.data.push_back({.name = std::string{kName},
                                .address = {},
                                .bytes = std::vector<std::byte>(bytes),
                                .writable = true});
  return success();
}

Result<void> read_mem(Reader& reader, const Section& section) {
  LineReader lines{section.body, section.body_line};
  if (!reader.result.mem) {
    reader.result.mem.emplace();
  }
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    FARCALL_TRYV(append_bytes(cursor, *reader.result.mem, reader.dialect));
  }
  return success();
}

namespace {

// A line of bytes and `addr(NAME)` of eight, of the region that is read now.
Result<void> append_data(Reader& reader, Cursor line, std::vector<std::byte>& bytes) {
  while (!line.at_end()) {
    Cursor ahead = line;
    const Word word = ahead.word();
    if (!word.text.starts_with(kAddressOf)) {
      FARCALL_TRY(byte, parse_byte(line.word()));
      bytes.push_back(byte);
      continue;
    }
    FARCALL_TRY(value, parse_value(reader, word));
    reader.result.addresses.push_back(
        {.data = static_cast<std::uint32_t>(reader.result.data.size()),
         .offset = bytes.size(),
         .target = std::get<Item>(value)});
    bytes.resize(bytes.size() + 8);
    line = ahead;
  }
  return success();
}

}  // namespace

Result<void> read_data(Reader& reader, const Section& section) {
  constexpr std::string_view kSize = "size=";
  constexpr std::uint64_t kMostData = std::uint64_t{32} << 20;
  Cursor cursor = section.arguments;
  const Word name = cursor.name();
  if (name.text.empty()) {
    return error_at(name.where, ErrorCode::case_syntax,
                    "expected '-- data NAME [ro] [size=BYTES]'");
  }
  Cursor ahead = cursor;
  Word setting = ahead.word();
  const bool read_only = setting.text == "ro";
  if (read_only) {
    cursor = ahead;
    setting = ahead.word();
  }
  std::uint64_t size = 0;
  if (setting.text.starts_with(kSize)) {
    cursor = ahead;
    const auto skipped = static_cast<unsigned>(kSize.size());
    const Word number{.text = setting.text.substr(skipped),
                      .where = {setting.where.line, setting.where.column + skipped}};
    FARCALL_TRY(value, unsigned_number(number));
    if (value == 0 || value > kMostData) {
      return error_at(number.where, ErrorCode::case_bad_number,
                      fmt::format("expected a size of 1 to {} bytes", kMostData));
    }
    size = value;
  } else if (!read_only && !setting.text.empty()) {
    return error_at(setting.where, ErrorCode::case_syntax,
                    fmt::format("expected size=BYTES, ro or nothing, not '{}'", setting.text));
  }
  FARCALL_TRYV(expect_end(cursor, size != 0 ? "the size" : "ro"));
  FARCALL_TRYV(check_region_name(reader, section, name));
  std::vector<std::byte> bytes;
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    FARCALL_TRYV(append_data(reader, Cursor{*line}, bytes));
  }
  if (bytes.empty() && size == 0) {
    return error_at(section.where, ErrorCode::case_syntax,
                    "the section 'data' is empty: expected bytes of two hex digits each",
                    "'-- data NAME size=BYTES' is of zeros");
  }
  if (size != 0 && bytes.size() > size) {
    return error_at(
        section.where, ErrorCode::case_syntax,
        fmt::format("{} bytes of data: expected {} at most, its size", bytes.size(), size));
  }
  reader.result.data.push_back(
      {.name = std::string{name.text},
       .address = {},
       .bytes = SharedBytes::of(bytes, std::max<std::size_t>(bytes.size(), size)),
       .writable = !read_only});
  return success();
}

Result<void> read_regs(Reader& reader, const Section& section) {
  auto& registers = reader.result.registers;
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    const Word word = cursor.name();
    const bool known =
        word.text.size() == 2 && word.text[0] == 'r' && word.text[1] >= '1' && word.text[1] <= '5';
    if (!known) {
      return error_at(word.where, ErrorCode::case_unknown_name,
                      "expected one of r1, r2, r3, r4, r5");
    }
    if (!cursor.take('=')) {
      return error_at(cursor.here(), ErrorCode::case_syntax,
                      fmt::format("expected = after {}", word.text));
    }
    auto& value = registers[static_cast<std::size_t>(word.text[1] - '1')];
    if (value) {
      return error_at(word.where, ErrorCode::case_syntax,
                      fmt::format("{} is there twice", word.text));
    }
    FARCALL_TRY(initial, parse_value(reader, cursor.word()));
    FARCALL_TRYV(expect_end(cursor, "the number"));
    value = initial;
  }
  return success();
}

}  // namespace farcall::cases
