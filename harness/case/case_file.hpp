// Case: a `.case` file as it was written, names resolved, before its matrix is multiplied out.
//
// The grammar is in cases/README.md. Whatever is not in it is refused with line and column: an
// unknown word is never taken for a comment.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "bpf/btf.hpp"
#include "bpf/object.hpp"
#include "bpf/program.hpp"
#include "case/expression.hpp"
#include "case/selector.hpp"
#include "case/text.hpp"
#include "model/axes.hpp"
#include "model/cell.hpp"

namespace farcall::cases {

inline constexpr std::size_t kMaxCaseBytes = std::size_t{1024} * 1024;

// One axis of the matrix and its values, as indices into value_names(), in the file's order.
struct AxisChoice {
  model::Axis axis = {};
  std::vector<std::size_t> values;
  Position where;
};

// A line of a section, read; `where` is its first word.
template <typename T>
struct Located {
  T value;
  Position where;
};

// A section that is about the cells that `selector` selects; `where` is the section's word.
template <typename T>
struct Selected {
  Selector selector;
  Position where;
  T value;
};

// A number, or `addr(NAME)`: where something is placed.
using Value = std::variant<std::uint64_t, Item>;

// `-- result`: a value, and where in the file it stands; or `any`; or `none`.
struct ResultLine {
  std::optional<Value> value = {};
  Extent text = {};
  bool any = false;
};

// Eight bytes of data, or the 64-bit load of a slot, that hold where `target` is placed, and
// `addend` bytes on.
struct HeldAddress {
  std::optional<std::uint32_t> data;  // number in Case::data; empty: in the program
  std::uint64_t offset = 0;           // in the data, in bytes; in the program, the slot
  Item target = {};
  std::uint64_t addend = 0;
};

// `NAME = EXPR`.
struct PlacedItem {
  Item item = {};
  Expression address;
};

struct PlaceSection {
  std::optional<std::uint32_t> placement;  // index into Case::placements; none: common to all
  std::vector<Located<PlacedItem>> items;
};

// Eight bytes of data that hold a value.
struct HeldValue {
  std::size_t data = 0;    // number in Case::data
  std::size_t offset = 0;  // in bytes
  Value value;
};

// A line of `-- calls`; `call` is an index into Case::calls_of_program.
struct CallLine {
  bool any_other = false;  // `rest *any`: of all calls that have no line; nothing else counts
  std::uint32_t call = 0;
  std::uint32_t callee = 0;
  std::uint64_t count = 1;
  Extent text;  // `SITE CALLEE [*COUNT]`
};

// A program of an array of programs.
struct ProgramElement {
  std::uint64_t index = 0;
  std::uint32_t function = 0;
};

// `-- array`. Its region holds what bpf::kArrayHeaderBytes says; header and programs depend on the
// cell and are filled in there.
struct Array {
  std::size_t region = 0;  // index into Case::data
  std::uint32_t elements = 0;
  std::uint32_t element_bytes = 0;
  // Of a hash table, which has no elements: external/map_elem.cpp.
  std::uint32_t slots = 0;
  std::uint32_t key_bytes = 0;
  bool is_table = false;
  std::vector<ProgramElement> programs;
};

struct Case {
  std::string path;     // as given
  std::string name;     // the file's name without folders and extension
  std::string summary;  // the file's first comment

  std::vector<AxisChoice> axes;         // declared ones, in the order of model::Axis
  std::vector<std::string> placements;  // named ones, in the file's order

  std::shared_ptr<const bpf::Program> program;
  std::vector<bpf::CallInstruction> calls_of_program;
  Position program_where;

  std::optional<std::vector<std::byte>> mem;
  std::optional<std::size_t> context;  // number in `data` of what r1 points to
  // `-- data`, `-- array`, and an object's; where they are is for placements to say.
  std::vector<bpf::MemoryRegion> data;
  std::vector<Array> arrays;
  std::vector<HeldAddress> addresses;
  std::vector<HeldValue> values;
  std::optional<std::endian> data_order;  // of an object's data
  std::optional<std::endian> object_order;
  std::size_t core_relocations = 0;               // of an object
  std::optional<bpf::Pointee> entry_context;      // of an object's entry
  bool entry_has_result = true;                   // the same
  std::array<std::optional<Value>, 5> registers;  // r1 … r5

  std::vector<Selected<PlaceSection>> places;
  std::vector<Selected<ResultLine>> results;
  std::vector<Selected<std::vector<Located<CallLine>>>> calls;
  std::vector<Selected<std::vector<Located<model::ExpectedMemory>>>> memory;
  std::vector<Selected<model::ExpectedFailure>> failures;
  std::vector<Selected<std::vector<model::KnownFailure>>> known;
  std::vector<Selected<std::vector<model::Control>>> spoiled;
  std::optional<model::ExpectedRejection> rejection;  // `-- verifier`
  std::string error;  // `-- error`: the program is to be refused, or to fault, in these words
  // What the program is refused for, in a case that expects an error. There is no program then, and
  // nothing that is said of one has been read.
  std::optional<Error> refusal;

  Named named() const { return {.program = *program, .calls = calls_of_program, .data = data}; }
};

// What a program may use that the case does not declare: added to it only if it is refused without.
struct Undeclared {
  std::vector<bpf::External> externals;
  bpf::Callx callx = bpf::Callx::none;
};

// The types of kernels that the cases of a run name: each file is read once, whoever asks first.
class KernelFiles {
 public:
  // What KernelTypes::read() fails with.
  Result<std::shared_ptr<const bpf::KernelTypes>> types(const std::string& path);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const bpf::KernelTypes>> read_;
};

// What is in the file `path`, at most one byte more than a case may have. file.unreadable.
Result<std::string> read_text(const std::string& path);

// Reads the file `path`. file.unreadable, and what parse_case() fails with.
Result<Case> read_case(const std::string& path, KernelFiles* kernels = nullptr);

// `path` is for messages and names, and files that the case names are relative to its folder; with
// the extension `.data` the text is in the suite's dialect.
// `kernels`, if it is not null, keeps the types of kernels for other cases.
// file.empty, file.too-large, case.*, and what assembler, object reader and validator fail with.
Result<Case> parse_case(std::string_view text, const std::string& path,
                        const Undeclared& undeclared = {}, KernelFiles* kernels = nullptr);

// The case of a program that no file says anything of: what is expected of it is for its user to
// judge. `name` stands in messages. What validator and object reader fail with.
Result<Case> case_of(const std::string& name, bpf::Program program,
                     std::optional<std::vector<std::byte>> mem, const Undeclared& undeclared = {});
Result<Case> case_of(const std::string& name, bpf::Object object,
                     std::optional<std::vector<std::byte>> mem, const Undeclared& undeclared = {});

}  // namespace farcall::cases
