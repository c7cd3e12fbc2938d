// The words of an image's functions, by what they are for: where faults of code are put.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "bpf/instruction.hpp"
#include "model/document.hpp"
#include "ppc64/encoder.hpp"

namespace farcall::faults {

// Nowhere: in code without a line table.
enum class Place : std::uint8_t { nowhere, prologue, body, epilogue };

inline constexpr std::uint32_t kNop =
    ppc64::encode<ppc64::Op::ori>(ppc64::Gpr::r0, ppc64::Gpr::r0, 0);

// A word of the code of a function of the program: no descriptor's, no second half, one that the
// table has.
struct Word {
  const model::Document& right;
  model::CodeImage& image;
  std::uint32_t function = 0;
  std::size_t at = 0;  // among the function's words
  Place place{};
  const bpf::Slot* slot = nullptr;  // in a body: the BPF instruction that it is of
  const ppc64::Instruction& row;

  model::CodeFunction& code() const { return image.functions[function]; }
  std::uint32_t& word() const { return code().words[at]; }
  std::uint32_t& word(std::size_t after) const { return code().words[at + after]; }
  bool is(ppc64::Op op) const { return row.op == op; }
  std::int64_t get(ppc64::Operand operand) const { return ppc64::extract(operand, word()); }
  void set(ppc64::Operand operand, std::int64_t value) const;
  bool is_entry() const { return image.entry == code().address; }
  // Of the instruction it is of; call for bodies only.
  const bpf::InstructionInfo& info() const { return *bpf::find(*slot); }
  GuestAddress address() const { return code().address + std::uint64_t{at} * 4; }
};

using Change = std::function<bool(const Word&)>;

// Whether `change` changed any, of all or up to the first that it does change.
bool each_word(const model::Document& right, model::CodeImage& image, const Change& change);
bool first_word(const model::Document& right, model::CodeImage& image, const Change& change);

// Whether `holds` does for any word of the image of `right`.
bool any_word(const model::Document& right, const Change& holds);

// An address that five words load, `lis` to `ori`, which the word at `lis` of `code` begins.
std::optional<std::uint64_t> fixed_at(const model::CodeFunction& code, std::size_t lis);
void set_fixed(model::CodeFunction& code, std::size_t lis, std::uint64_t value);

// Calls of which immediates load the callee's address, or that of its descriptor: `change` is given
// that and returns another one, or the same.
using Address = std::function<std::uint64_t(const model::CodeCall& call, std::uint64_t address)>;
bool each_absolute_call(const model::Document& right, model::CodeImage& image,
                        const Address& change);

// The calls of the image of `right`, found in its bytes if its JIT does not say where they are.
std::vector<model::CodeCall> calls_of(const model::Document& right);

// Puts `word` in front of the word at `at`, or removes the word at `at`, and adjusts nothing else:
// branches, lines and calls stay as they were, as if code had been laid out for another size.
void insert(model::CodeFunction& code, std::size_t at, std::uint32_t word);
void erase(model::CodeFunction& code, std::size_t at);

}  // namespace farcall::faults
