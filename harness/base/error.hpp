// Expected failure as a value: a stable code, a place, a message, and what to do about it.
//
// Codes are part of farcall's interface: case files expect them by name (`-- fail`), JSON carries
// them, and they never change their meaning. Message texts may change at any time.
#pragma once

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>
#include <boost/outcome/success_failure.hpp>
#include <boost/outcome/try.hpp>
#include <boost/version.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace farcall {

// One row for each code: its C++ name and its stable name, grouped by the stage that reports it.
// clang-format off
#define FARCALL_ERROR_CODES(X)                                                  \
  /* command line and files */                                                  \
  X(usage_bad_argument,            "usage.bad-argument")                        \
  X(usage_nothing_selected,        "usage.nothing-selected")                    \
  X(file_unreadable,               "file.unreadable")                           \
  X(file_unwritable,               "file.unwritable")                           \
  X(file_too_large,                "file.too-large")                            \
  X(file_empty,                    "file.empty")                                \
  X(json_malformed,                "json.malformed")                            \
  X(json_version,                  "json.version")                              \
  /* case files */                                                              \
  X(case_syntax,                   "case.syntax")                               \
  X(case_unknown_section,          "case.unknown-section")                      \
  X(case_duplicate_section,        "case.duplicate-section")                    \
  X(case_missing_section,          "case.missing-section")                      \
  X(case_unknown_axis,             "case.unknown-axis")                         \
  X(case_unknown_value,            "case.unknown-value")                        \
  X(case_unsupported,              "case.unsupported")                          \
  X(case_unknown_name,             "case.unknown-name")                         \
  X(case_bad_number,               "case.bad-number")                           \
  X(case_selects_nothing,          "case.selects-nothing")                      \
  X(case_two_outcomes,             "case.two-outcomes")                         \
  X(case_no_outcome,               "case.no-outcome")                           \
  X(case_unknown_site,             "case.unknown-site")                         \
  X(case_unknown_code,             "case.unknown-code")                         \
  X(case_contradicts_interpreter,  "case.contradicts-interpreter")              \
  X(case_site_not_reached,         "case.site-not-reached")                     \
  X(case_undefined_value,          "case.undefined-value")                      \
  X(place_unknown_region,          "place.unknown-region")                      \
  X(place_misaligned,              "place.misaligned")                          \
  X(place_overlap,                 "place.overlap")                             \
  X(place_unmappable,              "place.unmappable")                          \
  X(place_duplicate,               "place.duplicate")                           \
  X(place_cycle,                   "place.cycle")                               \
  /* BPF assembly, objects, programs */                                         \
  X(asm_syntax,                    "asm.syntax")                                \
  X(asm_unknown_mnemonic,          "asm.unknown-mnemonic")                      \
  X(asm_unknown_label,             "asm.unknown-label")                         \
  X(asm_unknown_map,               "asm.unknown-map")                           \
  X(asm_duplicate_label,           "asm.duplicate-label")                       \
  X(asm_out_of_range,              "asm.out-of-range")                          \
  X(elf_malformed,                 "elf.malformed")                             \
  X(elf_unsupported,               "elf.unsupported")                           \
  X(elf_unknown_entry,             "elf.unknown-entry")                         \
  X(elf_unrelocated_call,          "elf.unrelocated-call")                      \
  X(elf_undefined_symbol,          "elf.undefined-symbol")                      \
  X(bpf_truncated_slot,            "bpf.truncated-slot")                        \
  X(bpf_bad_functions,             "bpf.bad-functions")                         \
  X(bpf_unknown_opcode,            "bpf.unknown-opcode")                        \
  X(bpf_reserved_field,            "bpf.reserved-field")                        \
  X(bpf_bad_register,              "bpf.bad-register")                          \
  X(bpf_jump_target,               "bpf.jump-target")                           \
  X(bpf_call_target,               "bpf.call-target")                           \
  X(bpf_unknown_function,          "bpf.unknown-function")                      \
  X(bpf_unknown_map,               "bpf.unknown-map")                           \
  X(bpf_map_value,                 "bpf.map-value")                             \
  X(bpf_falls_off_end,             "bpf.falls-off-end")                         \
  X(bpf_empty,                     "bpf.empty")                                 \
  X(interpreter_bad_access,        "interpreter.bad-access")                    \
  X(interpreter_bad_call,          "interpreter.bad-call")                      \
  X(interpreter_budget,            "interpreter.budget")                        \
  X(interpreter_call_depth,        "interpreter.call-depth")                    \
  /* linking and JIT */                                                         \
  X(call_out_of_range,             "call.out-of-range")                         \
  X(link_branch_out_of_range,      "link.branch-out-of-range")                   \
  X(jit_unsupported,               "jit.unsupported")                           \
  X(jit_size_changed,              "jit.size-changed")                          \
  /* what a cell can fail by */                                                 \
  X(result_mismatch,               "result.mismatch")                           \
  X(memory_mismatch,               "memory.mismatch")                           \
  X(memory_stray_write,            "memory.stray-write")                        \
  X(call_unresolved,               "call.unresolved")                           \
  X(call_decoded_elsewhere,        "call.decoded-elsewhere")                    \
  X(call_low_bits,                 "call.low-bits")                             \
  X(call_not_decoded,              "call.not-decoded")                          \
  X(call_unexpected_site,          "call.unexpected-site")                      \
  X(call_reached_elsewhere,        "call.reached-elsewhere")                    \
  X(call_count,                    "call.count")                                \
  X(call_order,                    "call.order")                                \
  X(call_argument_mismatch,        "call.argument-mismatch")                    \
  X(call_returned_elsewhere,       "call.returned-elsewhere")                   \
  X(stack_return_address,          "stack.return-address")                      \
  X(stack_mismatch,                "stack.mismatch")                            \
  X(trace_overflow,                "trace.overflow")                            \
  X(abi_register,                  "abi.register")                              \
  X(abi_toc,                       "abi.toc")                                   \
  X(guest_fault,                   "guest.fault")                               \
  X(guest_budget,                  "guest.budget")                              \
  X(guest_unwritten_value,         "guest.unwritten-value")                     \
  X(linked_differs,                "linked.differs")                            \
  X(expected_failure_missing,      "expected-failure.missing")                  \
  /* the harness and its machines */                                            \
  X(machine_no_qemu,               "machine.no-qemu")                           \
  X(machine_no_gdb,                "machine.no-gdb")                            \
  X(machine_no_image,              "machine.no-image")                          \
  X(machine_start,                 "machine.start")                             \
  X(machine_libvirt,               "machine.libvirt")                           \
  X(machine_lost,                  "machine.lost")                              \
  X(machine_timeout,               "machine.timeout")                           \
  X(machine_bad_answer,            "machine.bad-answer")                        \
  X(machine_runner_fault,          "machine.runner-fault")                      \
  X(machine_job_too_large,         "machine.job-too-large")
// clang-format on

enum class ErrorCode : std::uint8_t {
#define FARCALL_ERROR_CODE_NAME(name, text) name,
  FARCALL_ERROR_CODES(FARCALL_ERROR_CODE_NAME)
#undef FARCALL_ERROR_CODE_NAME
};

// The stable name, such as `call.out-of-range`.
std::string_view name(ErrorCode code);
std::optional<ErrorCode> error_code_named(std::string_view text);

// A std::string whose copies, moves and destruction are compiled once, in error.cpp. Each function
// that can fail moves and destroys an Error: inlined, that was a fifth of the whole compile time.
class ErrorText : public std::string {
 public:
  ErrorText() noexcept;
  ErrorText(std::string text) noexcept;  // NOLINT(*-explicit-*)
  ErrorText(std::string_view text);      // NOLINT(*-explicit-*)
  ErrorText(const char* text);           // NOLINT(*-explicit-*)
  ErrorText(const ErrorText& other);
  ErrorText(ErrorText&& other) noexcept;
  ErrorText& operator=(const ErrorText& other);
  ErrorText& operator=(ErrorText&& other) noexcept;
  ~ErrorText();
};

// A place in an input file. Lines and columns count from 1, columns in bytes; 0 means unknown.
struct SourceLocation {
  ErrorText file;
  unsigned line = 0;
  unsigned column = 0;

  friend bool operator==(const SourceLocation&, const SourceLocation&) = default;
};

struct Error {
  ErrorCode code{};
  ErrorText message;          // what is wrong and what was expected, one line
  SourceLocation where = {};  // empty file: not in an input file
  ErrorText site = {};        // the call site, as `main[0]`, if it is about one
  ErrorText hint = {};        // what to do about it, one line; may be empty
};

// `FILE:LINE:COLUMN: error: MESSAGE [CODE]`, and the hint on a second line, indented by two.
std::string to_string(const SourceLocation& where);
std::string to_string(const Error& error);

// Either a T or an Error. Looking at the one that is not there ends the program: that is a bug.
// Propagate with FARCALL_TRY(value, expression), which declares `value`, or with
// FARCALL_TRYV(expression), where there is no value.
template <typename T>
using Result =
    BOOST_OUTCOME_V2_NAMESPACE::basic_result<T, Error,
                                             BOOST_OUTCOME_V2_NAMESPACE::policy::terminate>;

using BOOST_OUTCOME_V2_NAMESPACE::success;

// Since Boost 1.76 its macro takes a declaration; before, it made one of the name.
#if BOOST_VERSION >= 107600
#define FARCALL_TRY(value, ...) BOOST_OUTCOME_TRY(auto&& value, __VA_ARGS__)
#else
#define FARCALL_TRY(value, ...) BOOST_OUTCOME_TRY(value, __VA_ARGS__)
#endif
#define FARCALL_TRYV(...) BOOST_OUTCOME_TRYV(__VA_ARGS__)

}  // namespace farcall
