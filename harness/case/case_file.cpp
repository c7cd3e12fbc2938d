#include "case/case_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/files.hpp"
#include "case/read_section.hpp"

namespace farcall::cases {
namespace {

using model::Axis;

using ReadSection = Result<void> (*)(Reader&, const Section&);

Result<void> read_nothing(Reader& /*reader*/, const Section& /*section*/) {
  return success();
}

// In the order of SectionKind.
constexpr std::array<ReadSection, kSectionKindCount> kReaders = {
    read_error,     read_extension, read_matrix, read_helper, read_kfunc,   read_stub,
    read_btf,       read_assembly,  read_elf,    read_raw,    read_program, read_context,
    read_mem,       read_data,      read_array,  read_regs,   read_place,   read_result,
    read_mem_after, read_calls,     read_fail,   read_known,  read_spoiled, read_verifier,
    read_nothing,   read_nothing};

// Sections that take neither a name nor a selector.
Result<void> check_arguments(const Section& section) {
  switch (section.kind) {
    case SectionKind::matrix:
    case SectionKind::assembly:
    case SectionKind::raw:
    case SectionKind::mem:
    case SectionKind::regs:
    case SectionKind::error:
    case SectionKind::verifier:
    case SectionKind::source:
      return expect_end(section.arguments, word_of(section.kind));
    case SectionKind::extension:
    case SectionKind::helper:
    case SectionKind::kfunc:
    case SectionKind::stub:
    case SectionKind::btf:
    case SectionKind::elf:
    case SectionKind::program:
    case SectionKind::context:
    case SectionKind::data:
    case SectionKind::array:
    case SectionKind::place:
    case SectionKind::result:
    case SectionKind::mem_after:
    case SectionKind::calls:
    case SectionKind::fail:
    case SectionKind::known:
    case SectionKind::spoiled:
    case SectionKind::no_register_offset:
      break;
  }
  return success();
}

// What selectors may name, once the matrix and the names of placements are read.
void set_scope(Reader& reader) {
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    reader.scope.axes[i] =
        static_cast<ValueSet>(1U << value_of(model::AxisValues{}, static_cast<Axis>(i)));
  }
  for (const AxisChoice& choice : reader.result.axes) {
    unsigned set = 0;
    for (const std::size_t value : choice.values) {
      set |= 1U << value;
    }
    reader.scope.axes[static_cast<std::size_t>(choice.axis)] = static_cast<ValueSet>(set);
  }
  reader.scope.placements = reader.result.placements;
}

Result<void> read_sections(Reader& reader, std::span<const Section> sections) {
  FARCALL_TRYV(collect_placements(reader, sections));
  FARCALL_TRYV(collect_maps(reader, sections));
  for (std::size_t kind = 0; kind < kSectionKindCount; ++kind) {
    for (const Section& section : sections) {
      if (section.kind == static_cast<SectionKind>(kind)) {
        FARCALL_TRYV(check_arguments(section));
        FARCALL_TRYV(kReaders[kind](reader, section));
      }
    }
    if (reader.result.refusal) {
      return success();
    }
    if (kind == static_cast<std::size_t>(SectionKind::matrix)) {
      set_scope(reader);
    }
    if (kind == static_cast<std::size_t>(SectionKind::program)) {
      FARCALL_TRYV(finish_program(reader));
      if (reader.result.refusal) {
        return success();
      }
    }
    if (kind == static_cast<std::size_t>(SectionKind::array)) {
      FARCALL_TRYV(read_stub_values(reader));
    }
  }
  return success();
}

// Line and column of an offset.
Position position_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_begin = before.rfind('\n') + 1;
  return {.line = static_cast<unsigned>(std::ranges::count(before, '\n')) + 1,
          .column = static_cast<unsigned>(offset - line_begin) + 1};
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < 0x20 || c == '\x7f') && c != '\n' && c != '\t' &&
         c != '\r';
}

// Words of the text come back in messages, and nothing in them may drive a terminal. Comments do
// not come back; files of the suite have such characters there.
Result<void> check_characters(std::string_view text, Dialect dialect) {
  const auto in_comment = [text](std::size_t at) {
    const std::string_view before = text.substr(0, at);
    return before.find('#', before.rfind('\n') + 1) != std::string_view::npos;
  };
  auto found = std::ranges::find_if(text, is_control);
  while (found != text.end()) {
    const auto at = static_cast<std::size_t>(found - text.begin());
    if (dialect != Dialect::suite || !in_comment(at)) {
      return error_at(position_of(text, at), ErrorCode::case_syntax,
                      fmt::format("a case file is text: expected no control character, not {:#04x}",
                                  static_cast<unsigned char>(*found)));
    }
    const auto line_end = std::find(found, text.end(), '\n');
    found = std::find_if(line_end, text.end(), is_control);
  }
  for (std::size_t at = text.find('\r'); at != std::string_view::npos;
       at = text.find('\r', at + 1)) {
    if (at + 1 == text.size() || text[at + 1] != '\n') {
      return error_at(position_of(text, at), ErrorCode::case_syntax,
                      "expected a line feed after the carriage return");
    }
  }
  return success();
}

// The path without folders and the last extension.
std::string_view stem(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? path : path.substr(0, dot);
}

Result<Case> parse_text(std::string_view text, const std::string& path,
                        const Undeclared& undeclared, KernelFiles& kernels) {
  if (text.size() > kMaxCaseBytes) {
    return error_at({}, ErrorCode::file_too_large,
                    fmt::format("expected at most {} bytes", kMaxCaseBytes));
  }
  if (text.empty()) {
    return error_at({}, ErrorCode::file_empty, "the file is empty: expected a case");
  }
  Reader reader{.dialect = dialect_of(path), .undeclared = &undeclared, .kernels = &kernels};
  reader.result.path = path;
  reader.result.name = path == "-" ? "stdin" : stem(path);
  if (!is_plain_name(reader.result.name)) {
    return error_at({}, ErrorCode::case_syntax,
                    fmt::format("'{}' cannot stand in the name of a cell: expected a file name of "
                                "letters, digits, -, _ and .",
                                reader.result.name));
  }
  FARCALL_TRYV(check_characters(text, reader.dialect));
  std::string without_returns;
  if (text.find('\r') != std::string_view::npos) {
    std::ranges::copy_if(text, std::back_inserter(without_returns),
                         [](char c) { return c != '\r'; });
    text = without_returns;
  }
  FARCALL_TRY(file, split_sections(text, reader.dialect));
  reader.result.summary = file.summary;
  std::ranges::replace_if(reader.result.summary, is_control, ' ');
  FARCALL_TRYV(read_sections(reader, file.sections));
  return std::move(reader.result);
}

}  // namespace

Result<Case> parse_case(std::string_view text, const std::string& path,
                        const Undeclared& undeclared, KernelFiles* kernels) {
  KernelFiles own;
  Result<Case> parsed = parse_text(text, path, undeclared, kernels == nullptr ? own : *kernels);
  if (!parsed && parsed.error().where.file.empty()) {
    parsed.error().where.file = path;
  }
  return parsed;
}

Result<Case> case_of(const std::string& name, bpf::Program program,
                     std::optional<std::vector<std::byte>> mem, const Undeclared& undeclared) {
  return case_of(name, bpf::Object{.program = std::move(program), .data = {}, .addresses = {}},
                 std::move(mem), undeclared);
}

Result<Case> case_of(const std::string& name, bpf::Object object,
                     std::optional<std::vector<std::byte>> mem, const Undeclared& undeclared) {
  Reader reader{.undeclared = &undeclared};
  reader.result.path = name;
  reader.result.name = name;
  if (!object.data.empty()) {
    reader.result.data_order = object.order;
  }
  reader.result.data = std::move(object.data);
  reader.object_addresses = std::move(object.addresses);
  reader.program = std::move(object.program);
  FARCALL_TRYV(finish_program(reader));
  reader.result.mem = std::move(mem);
  reader.result.results.push_back({.selector = {}, .where = {}, .value = {}});
  return std::move(reader.result);
}

Result<std::shared_ptr<const bpf::KernelTypes>> KernelFiles::types(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const bpf::KernelTypes>& known = read_[path];
  if (known == nullptr) {
    FARCALL_TRY(types, bpf::KernelTypes::read(path));
    known = std::make_shared<const bpf::KernelTypes>(std::move(types));
  }
  return known;
}

Result<std::string> read_text(const std::string& path) {
  return read_file(path, "", kMaxCaseBytes);
}

Result<Case> read_case(const std::string& path, KernelFiles* kernels) {
  FARCALL_TRY(text, read_text(path));
  return parse_case(text, path, {}, kernels);
}

}  // namespace farcall::cases
