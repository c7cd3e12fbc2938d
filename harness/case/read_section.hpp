// How the sections of a case file are read: what case_file.cpp is made of.
//
// Each function reads one section into a case under construction. They are called in the order of
// SectionKind, so that each finds what it may name: first the matrix, then the program and its
// memory, then all that is said about them. Errors carry no file name, except those of the program.
#pragma once

#include <fmt/format.h>

#include <map>
#include <span>
#include <utility>
#include <vector>

#include "bpf/object.hpp"
#include "case/case_file.hpp"
#include "case/section.hpp"
#include "case/selector.hpp"

namespace farcall::cases {

// `-- stub`: a function that is called, by number or by name, and what it returns.
struct StubSection {
  bpf::ExternalKind kind = bpf::ExternalKind::helper;
  std::string name;  // of a function that an object declares; empty: `id` says which
  std::int32_t id = 0;
  Position where;
  std::vector<Word> returns;
  std::optional<std::uint8_t> takes;
  std::optional<bpf::Filling> fills;
  bool used = false;
};

// A stub among the externals, and the values of its list, which may name what is read later.
struct StubValues {
  std::size_t external = 0;  // index into Reader::externals
  std::vector<Word> returns;
};

// A case under construction, and what is needed only until it is done.
struct Reader {
  Dialect dialect = Dialect::strict;
  const Undeclared* undeclared;    // never null
  KernelFiles* kernels = nullptr;  // null: the case is not of a file
  Case result = {};
  SelectorScope scope = {};
  // The program under construction, and what is said of it elsewhere.
  std::optional<bpf::Program> program = {};
  bpf::Callx callx = bpf::Callx::none;
  std::shared_ptr<const bpf::KernelTypes> kernel_types = {};  // `-- btf`
  std::vector<bpf::External> externals = {};
  std::vector<bpf::Map> maps = {};                        // by `-- array`, in the file's order
  std::vector<bpf::ObjectAddress> object_addresses = {};  // that it and its data hold
  std::map<std::string, std::uint32_t> structures = {};   // of the object, and their bytes
  std::size_t object_data = 0;                            // number of its first region
  std::vector<std::size_t> object_externs = {};           // index into `externals` of each
  std::vector<StubSection> stubs = {};
  std::vector<StubValues> stub_values = {};

  // What the program is refused for: an error of the file, unless the file expects an error.
  Result<void> refuse(Error error);
};

// `mem` can be named only where it exists: case.missing-section.
Result<void> check_item(const Reader& reader, Item item, Position where);

// An integer or `addr(NAME)`.
Result<Value> parse_value(const Reader& reader, Word word);

// input_sections.cpp: what is run, and on which cells.
Result<void> read_extension(Reader& reader, const Section& section);
Result<void> read_matrix(Reader& reader, const Section& section);
Result<void> read_assembly(Reader& reader, const Section& section);
Result<void> read_btf(Reader& reader, const Section& section);
Result<void> read_elf(Reader& reader, const Section& section);
Result<void> read_raw(Reader& reader, const Section& section);
Result<void> read_context(Reader& reader, const Section& section);
Result<void> read_mem(Reader& reader, const Section& section);
Result<void> read_data(Reader& reader, const Section& section);
Result<void> read_regs(Reader& reader, const Section& section);

// Whether a region may be called so; `section` is what makes it.
Result<void> check_region_name(const Reader& reader, const Section& section, Word name);

// The program is complete: validates it, and hands it over to the case.
Result<void> finish_program(Reader& reader);

// callee_sections.cpp: what else is called, and arrays. What a program may say of arrays comes
// before it.
Result<void> collect_maps(Reader& reader, std::span<const Section> sections);
Result<void> read_helper(Reader& reader, const Section& section);
Result<void> read_kfunc(Reader& reader, const Section& section);
Result<void> read_stub(Reader& reader, const Section& section);
Result<void> read_program(Reader& reader, const Section& section);
Result<void> read_array(Reader& reader, const Section& section);

// stub_sections.cpp: what stands for callees and maps that nobody declared. The externals of an
// object that is read get their numbers, and whatever has no declaration becomes a stub.
Result<void> declare_callees(Reader& reader, bpf::Object& object);
// Its maps likewise: those without `-- array` become regions.
Result<void> declare_maps(Reader& reader, bpf::Object& object);
// Makes the log of all stubs, before the program is done.
Result<void> add_stub_log(Reader& reader);
// What stubs return, when all that has a name is known.
Result<void> read_stub_values(Reader& reader);

// place_section.cpp: where everything lies. The names of placements come before everything else.
Result<void> collect_placements(Reader& reader, std::span<const Section> sections);
Result<void> read_place(Reader& reader, const Section& section);

// outcome_sections.cpp: what is expected.
Result<void> read_result(Reader& reader, const Section& section);
Result<void> read_mem_after(Reader& reader, const Section& section);
Result<void> read_calls(Reader& reader, const Section& section);
Result<void> read_fail(Reader& reader, const Section& section);
Result<void> read_known(Reader& reader, const Section& section);
Result<void> read_spoiled(Reader& reader, const Section& section);
Result<void> read_verifier(Reader& reader, const Section& section);
Result<void> read_error(Reader& reader, const Section& section);

// Adds a section to those of its kind; one that looks just like an earlier one is refused.
template <typename T>
Result<void> add_section(std::vector<Selected<T>>& sections, Selected<T> section,
                         bool (*same)(const T&, const T&) = nullptr) {
  for (const Selected<T>& earlier : sections) {
    if (earlier.selector == section.selector &&
        (same == nullptr || same(earlier.value, section.value))) {
      return error_at(section.where, ErrorCode::case_duplicate_section,
                      fmt::format("the section in line {} is for the same cells: expected one",
                                  earlier.where.line));
    }
  }
  sections.push_back(std::move(section));
  return success();
}

}  // namespace farcall::cases
