// What tells findings apart, wherever their programs lie: code, kind of site, shape of the code at
// fault. The shape of a wrong call is its machine code; of what only a run shows, it is the
// instruction that is wrong alone (culprit.hpp), or the instructions that are wrong together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"
#include "model/code_map.hpp"
#include "model/verdict.hpp"

namespace farcall::campaign {

// What a finding is about.
enum class SiteKind : std::uint8_t { none, local, helper, kfunc, through_register, tail, callback };
std::string_view name(SiteKind kind);

SiteKind site_kind(const bpf::Program& program, const bpf::CallInstruction& call);

// The kind of the call instruction at `site`, `main[0]`; none: there is no such call.
SiteKind site_kind(const bpf::Program& program, std::string_view site);

struct FindingKind {
  ErrorCode code{};
  SiteKind site = SiteKind::none;

  friend auto operator<=>(const FindingKind&, const FindingKind&) = default;
};
// `call.decoded-elsewhere of a local call`.
std::string to_string(const FindingKind& kind);

// The finding that explains the others: the first, but for those about layout, which explain nothing
// that a run shows. The verdict has at least one.
const model::Finding& most_telling(const model::Verdict& verdict);

// Its kind.
FindingKind kind_of(const model::Cell& cell, const model::Verdict& verdict);

// Whether only a run shows it: its code says what the program came to, and not what is wrong.
bool is_seen_by_running(ErrorCode code);

// Whether it is about what surrounds the code of instructions, so that it does not matter of which.
bool is_about_layout(ErrorCode code);

// Whether what is found as `of_program` may come of an instruction that is found alone as `alone`.
bool may_come_of(ErrorCode of_program, ErrorCode alone);

// What a program is made of: instruction and class of its operands, as `arsh32 %, 32…63`; sorted,
// each once. What every program has (mov, exit) is left out.
std::vector<std::string> traits(const bpf::Program& program);

// `arsh32 %, 32…63` of the instruction at `at`.
std::string trait(const bpf::Program& program, bpf::SlotIndex at);

// A number that is the same for instructions of one trait, within one process.
std::uint64_t trait_key(const bpf::Program& program, bpf::SlotIndex at);

// The mnemonic in the word's row of the instruction table, whatever its operands: `or` also for
// `mr`; `.long` if there is no such row.
std::string_view row_mnemonic(std::uint32_t word);

// The mnemonics of an instruction's code; `nothing` if it has none.
std::string code_shape(const model::CodeImage& image, const model::PlacedInstruction& placed);

// What stands for the trait of an instruction and the shape of its code, without making their texts.
std::uint64_t code_key(const bpf::Program& program, const model::CodeImage& image,
                       const model::PlacedInstruction& placed);

// The mnemonics of the code that loads where a branch goes, and of the branch.
std::string call_shape(const model::CodeImage& image, GuestAddress branch);

}  // namespace farcall::campaign
