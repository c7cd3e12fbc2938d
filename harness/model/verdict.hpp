// Verdict: what the witnesses say about a cell, and whether they agree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"

namespace farcall::model {

enum class Outcome : std::uint8_t { pass, fail, skip, error };
std::string_view name(Outcome outcome);

// One thing that is not as it should be: code and site are stable, the text is for people.
struct Finding {
  ErrorCode code{};
  std::string site;           // `main[0]`, or empty
  std::string text;           // what was expected and what was seen
  SourceLocation where = {};  // in the case or in the program's source; empty file: nowhere there
  std::string hint = {};      // what to do about it; may be empty
};

Finding as_finding(const Error& error);
Error as_error(const Finding& finding);

// `cases/far.case:13: main[0]: expected …`, and with its code after it: ` [call.count]`.
std::string text_without_code(const Finding& finding);
std::string to_string(const Finding& finding);

// What each witness says of one call site; of a call through a register, one for each callee.
struct SiteStory {
  bpf::CallSite site;
  std::string name;                          // `main[0]`
  std::string callee;                        // the callee's name
  std::optional<GuestAddress> at;            // the branch-and-link, as the decoder found it
  GuestAddress expected;                     // where the callee was placed
  bool through_register = false;             // the bytes need not say where it goes
  std::optional<GuestAddress> decoded;       // where the emitted bytes go
  std::vector<GuestAddress> reached;         // distinct addresses that the CPU reached from here
  std::optional<std::uint64_t> interpreted;  // how often the interpreter called; none: no program
  std::optional<std::uint64_t> executed;     // how often the CPU called; none: it was never run
};

struct Verdict {
  Outcome outcome = Outcome::error;
  std::vector<Finding> findings;   // why it is not a pass; most telling first
  std::vector<std::string> notes;  // what is worth knowing, and changes nothing
  std::vector<Finding> allowed;    // what was found as well, and does not count, see check::Terms
  std::optional<ErrorCode> known;  // the failure that this JIT is known for, if it came so
  std::vector<SiteStory> sites;    // in program order
  std::optional<std::uint64_t> result;  // r0 as the guest returned it
};

// What a cell comes to of which something was found; the first finding explains the others.
Outcome outcome_of(const Finding& first);

// Whether a machine or farcall failed, and not the cell.
bool is_harness_failure(const Verdict& verdict);

}  // namespace farcall::model
