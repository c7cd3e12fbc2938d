// What was found out about the call schemes by running them, as a value, and how it is shown.
//
// Every entry comes from a cell that was linked, compiled, run in a guest and dumped, and names
// that cell; one that was not run says so instead of saying anything else.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "model/axes.hpp"
#include "model/json.hpp"
#include "show/program_dump.hpp"

namespace farcall::scheme {

enum class TrialOutcome : std::uint8_t {
  holds,    // all witnesses agree, and every call that is made reaches its callee
  refused,  // the linker or the JIT said that it cannot be done, as the case expects
  failed,   // anything else that a run ended with
  not_run,
};
std::string_view name(TrialOutcome outcome);

// One question put to one cell.
struct Trial {
  std::string question;  // `2 PiB`, `callee 32768 slots away`
  std::string cell;      // FILE@CELL
  TrialOutcome outcome = TrialOutcome::not_run;
  std::string reason;  // of anything but `holds`: `call.out-of-range main[0]`
};

// What a dump says about the call, and by which name.
struct DumpedCall {
  show::JitMode mode{};
  show::RecoveredCall call;
  std::string name;
};

struct SchemeFindings {
  model::CallScheme scheme{};
  std::string cell;                              // of everything but the trials
  TrialOutcome outcome = TrialOutcome::not_run;  // of that cell

  GuestAddress placed;                    // where the callee is
  GuestAddress jit_gets;                  // where it is by what the JIT reads
  std::int64_t interpreter_distance = 0;  // in slots, by what the interpreter reads
  std::uint64_t slots_before = 0;         // of the program
  std::uint64_t slots_after = 0;
  std::uint64_t calls = 0;
  std::uint64_t functions = 0;
  std::uint64_t bytes_beside = 0;       // of side table or address array
  std::string call_before;              // the call's bytes in the source program, in hex
  std::vector<std::string> call_after;  // and after linking, one string a slot
  std::vector<std::string> code;        // the ppc64 instructions up to the branch
  std::vector<DumpedCall> dumps;        // one for each of show::kJitModes

  std::vector<Trial> regions;
  std::vector<Trial> limits;

  bool was_run() const { return outcome == TrialOutcome::holds; }
};

struct SchemeStudy {
  std::vector<SchemeFindings> schemes;  // in the order of model::CallScheme
};

// `address, name, pc+1`, or `address not available; name, pc+1`.
std::string what_is_recovered(const DumpedCall& dumped);

std::string scheme_text(const SchemeStudy& study);
model::Json scheme_json(const SchemeStudy& study);
std::string scheme_html(const SchemeStudy& study);

// Ten lines about one scheme, with the instruction's bytes before and after.
std::string scheme_explanation(const SchemeFindings& findings);

}  // namespace farcall::scheme
