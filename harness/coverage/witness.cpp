#include "coverage/witness.hpp"

#include <algorithm>

namespace farcall::coverage {
namespace {

struct Speaks {
  ErrorCode code;
  Witness witness;
};

constexpr std::array kSpeaks = {
    Speaks{ErrorCode::result_mismatch, Witness::value},
    Speaks{ErrorCode::memory_mismatch, Witness::memory},
    Speaks{ErrorCode::memory_stray_write, Witness::memory},
    Speaks{ErrorCode::stack_mismatch, Witness::stack},
    Speaks{ErrorCode::stack_return_address, Witness::stack},
    Speaks{ErrorCode::abi_register, Witness::registers},
    Speaks{ErrorCode::abi_toc, Witness::registers},
    Speaks{ErrorCode::call_argument_mismatch, Witness::arguments},
    Speaks{ErrorCode::call_decoded_elsewhere, Witness::decoder},
    Speaks{ErrorCode::call_low_bits, Witness::decoder},
    Speaks{ErrorCode::call_not_decoded, Witness::decoder},
    Speaks{ErrorCode::call_unresolved, Witness::decoder},
    Speaks{ErrorCode::call_unexpected_site, Witness::decoder},
    Speaks{ErrorCode::call_reached_elsewhere, Witness::trace},
    Speaks{ErrorCode::call_returned_elsewhere, Witness::trace},
    Speaks{ErrorCode::call_count, Witness::trace},
    Speaks{ErrorCode::call_order, Witness::trace},
    Speaks{ErrorCode::trace_overflow, Witness::trace},
    Speaks{ErrorCode::code_branch_elsewhere, Witness::flow},
    Speaks{ErrorCode::code_size, Witness::layout},
    Speaks{ErrorCode::code_data_misaligned, Witness::layout},
    Speaks{ErrorCode::place_elsewhere, Witness::layout},
    Speaks{ErrorCode::guest_fault, Witness::ending},
    Speaks{ErrorCode::guest_budget, Witness::ending},
    Speaks{ErrorCode::guest_unwritten_value, Witness::unwritten},
    Speaks{ErrorCode::linked_differs, Witness::linked},
    Speaks{ErrorCode::expected_failure_missing, Witness::refusal},
    Speaks{ErrorCode::case_contradicts_interpreter, Witness::stated},
    Speaks{ErrorCode::case_site_not_reached, Witness::stated},
    Speaks{ErrorCode::case_undefined_value, Witness::stated},
    Speaks{ErrorCode::interpreter_bad_access, Witness::stated},
    Speaks{ErrorCode::interpreter_bad_call, Witness::stated},
    Speaks{ErrorCode::interpreter_budget, Witness::stated},
    Speaks{ErrorCode::interpreter_call_depth, Witness::stated},
    Speaks{ErrorCode::machine_bad_answer, Witness::protocol},
    Speaks{ErrorCode::machine_other_hardware, Witness::protocol},
};

}  // namespace

std::string_view name(Witness witness) {
  constexpr std::array<std::string_view, kWitnessCount> kNames = {
      "value",  "memory", "stack",     "registers", "arguments", "decoder", "trace",    "flow",
      "layout", "ending", "unwritten", "linked",    "refusal",   "stated",  "protocol", "rules"};
  return kNames[static_cast<std::size_t>(witness)];
}

Witness witness_of(ErrorCode code) {
  const auto* const found = std::ranges::find(kSpeaks, code, &Speaks::code);
  return found == kSpeaks.end() ? Witness::rules : found->witness;
}

}  // namespace farcall::coverage
