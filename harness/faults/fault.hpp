// Faults: what if the linker, the JIT, the guest, or what a JIT tells of its code were wrong in
// this way? Each is a transform of a stage value of a cell that passes; the witnesses must see it.
//
// A fault never sits in a witness: interpreter, decoder and checks are those of every other run.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bpf/program.hpp"
#include "model/document.hpp"
#include "model/job.hpp"
#include "vm/batch.hpp"

namespace farcall::faults {

enum class Part : std::uint8_t { linker, jit, both, guest, dump };  // both: JIT and interpreter
std::string_view name(Part part);

// The JIT makes the code of other instructions: those in place of one, of one or two slots;
// nothing: of itself. Jumps among them go over their own slots; where a jump is replaced, the last
// of them goes where it went.
struct Mistranslates {
  std::function<std::optional<std::vector<bpf::Slot>>(std::span<const bpf::Slot>)> instead;
};

// JIT and interpreter both take instructions for others: what the case states must say so.
struct Misunderstands {
  std::function<std::optional<std::vector<bpf::Slot>>(std::span<const bpf::Slot>)> instead;
};

// Each of the following changes a value, and says whether it did. `right` has all stages.

// The linker writes another program, which the JIT and the interpreter of linked programs are
// given.
struct Mislinks {
  std::function<bool(const model::Document& right, model::LinkedProgram& linked)> change;
};
// The JIT reads the linked program as if it were another one.
struct Misreads {
  std::function<bool(const model::Document& right, model::LinkedProgram& linked)> change;
};
// The JIT emits other words, or tells something else of them.
struct Misemits {
  std::function<bool(const model::Document& right, model::CodeImage& image)> change;
};
// The guest says that it saw something else.
struct Missays {
  std::function<bool(const model::Document& right, model::Observations& seen)> change;
};
// Linker or JIT make code of what they must refuse, for cells that expect that failure; nothing if
// there is none that they could make.
struct Accepts {
  std::function<std::optional<model::Document>(const model::Cell& cell)> make;
};

// The guest answers a batch otherwise than it should: `area` is that of a batch of two jobs that
// both returned, `layout` says where they are, `earlier` is the area of the batch before, answered
// alike.
struct Misanswers {
  std::function<void(std::span<std::byte> area, const vm::BatchLayout& layout,
                     std::span<const std::byte> earlier)>
      change;
};

using Transform = std::variant<Mistranslates, Misunderstands, Mislinks, Misreads, Misemits, Missays,
                               Accepts, Misanswers>;

struct Fault {
  std::string name;  // `truncated-address`
  Part part{};
  std::string_view what;    // one line
  std::string_view source;  // the upstream commit or report; `ours`
  Transform transform;
};

// All of them, by part. A fault of the JIT that is about single instructions is there once more as
// one of JIT and interpreter alike, `both-NAME`.
const std::vector<Fault>& all_faults();

// The one of that name; null: there is none.
const Fault* fault_named(std::string_view name);

// The parts of that table.
std::vector<Fault> link_faults();
std::vector<Fault> instruction_faults();
std::vector<Fault> call_faults();
std::vector<Fault> frame_faults();
std::vector<Fault> guest_faults();
std::vector<Fault> answer_faults();
std::vector<Fault> dump_faults();

// Why the fault cannot be put into the JIT of that name, as the command line has it; empty: it can,
// wherever its code has a place for it.
std::string_view not_applicable(const Fault& fault, std::string_view jit);

// Links the document's cell and compiles it with our JIT: without any fault, all stages. What does
// not come to code, as its case expects, stays without.
void compile(model::Document& document);

// The code that the JIT under test makes of a cell; nothing if it makes none. From any thread.
using CodeOf = std::function<std::optional<model::CodeImage>(const model::Cell& cell)>;
std::optional<model::CodeImage> our_code(const model::Cell& cell);

// `right` with the fault, ready to be run; nothing if the fault does not touch it. What the guest
// says is altered later: then it is `right` itself. How a batch is answered is about no cell.
// `right` has the image that the JIT under test made, which makes those of other programs, too; and
// the linked program, if that JIT is ours.
std::optional<model::Document> with_fault(const Fault& fault, const model::Document& right,
                                          const CodeOf& code_of = our_code);

// What is made of the answer to a batch that has this fault: the error, or nothing if it is taken.
std::optional<Error> refused_answer(const Misanswers& fault);

}  // namespace farcall::faults
