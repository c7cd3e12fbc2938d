// Sketch: a case of one cell in pieces that can be taken away or changed, and its text.
//
// The generator makes sketches, the reducer takes them apart. Whether a sketch is valid is decided
// by the reader of case files alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "bpf/external.hpp"
#include "bpf/program.hpp"
#include "model/axes.hpp"
#include "model/cell.hpp"

namespace farcall::campaign {

// A function: lines of assembly, each an instruction, a label with its colon, or a table.
struct SketchFunction {
  std::string name;
  std::vector<std::string> lines;

  friend bool operator==(const SketchFunction&, const SketchFunction&) = default;
};

// A program: the first is the case's own, named main; the others are sections `-- program NAME`.
// The first function has the program's name, and the text has no label for it.
struct SketchProgram {
  std::vector<SketchFunction> functions;

  friend bool operator==(const SketchProgram&, const SketchProgram&) = default;
};

// What the program calls and does not have.
struct SketchExternal {
  bpf::ExternalKind kind = bpf::ExternalKind::helper;
  std::int32_t id = 0;
  std::string native;  // name of a native function; empty: a stub
  std::vector<std::uint64_t> returns = {};
  std::uint8_t takes = 5;
  std::optional<bpf::Filling> fills = {};

  friend bool operator==(const SketchExternal&, const SketchExternal&) = default;
};

struct SketchData {
  std::string name;
  std::vector<std::byte> bytes;
  bool writable = true;

  friend bool operator==(const SketchData&, const SketchData&) = default;
};

struct SketchArray {
  std::string name;
  std::uint32_t elements = 0;
  std::uint32_t element_bytes = 0;  // 0: an array of programs
  std::vector<std::byte> bytes = {};
  std::vector<std::pair<std::uint32_t, std::string>> programs = {};

  friend bool operator==(const SketchArray&, const SketchArray&) = default;
};

struct Sketch {
  model::AxisValues axes = {};
  bpf::Callx callx = bpf::Callx::none;
  std::vector<SketchExternal> externals = {};
  std::optional<std::vector<std::byte>> mem = {};
  std::vector<SketchData> data = {};
  std::vector<SketchArray> arrays = {};
  std::array<std::optional<std::string>, 5> registers = {};  // `-- regs`: r1 … r5
  std::vector<SketchProgram> programs = {};
  std::vector<std::pair<std::string, std::string>> places = {};  // name and address

  friend bool operator==(const Sketch&, const Sketch&) = default;
};

// What stands in a case beside the sketch.
struct Words {
  std::vector<std::string> comments = {};  // lines
  // What comes of it, sections; empty: whatever interpreter and CPU agree on, call by call.
  std::string outcome = {};
};

std::string case_text(const Sketch& sketch, const Words& words = {});

// Its functions as assembly.
std::string assembly(const SketchProgram& program);

// The one cell of its text. `name` is the case's. What parse_case() and cells() fail with.
Result<model::Cell> cell_of(const Sketch& sketch, const std::string& name = "sketch");

// The sketch of a cell that has a program: everything stands where the cell has it.
// case.unsupported for what no case file can say: a hash table of an object, a function to which
// only data points.
Result<Sketch> sketch_of(const model::Cell& cell);

// An address as `-- place` has it: `vmalloc+0x12a468`.
std::string place_text(model::Mmu mmu, GuestAddress address);

// Whether a line of assembly is a label, and no instruction.
bool is_label(std::string_view line);

// Whether it is a table that jumps go through: `.table NAME LABEL, LABEL…`.
bool is_table(std::string_view line);

// How many instructions it has, labels and tables left out.
std::size_t instruction_count(const Sketch& sketch);

// Without what nothing names any more: labels, functions, externals, arrays, places.
Sketch tidied(Sketch sketch);

}  // namespace farcall::campaign
