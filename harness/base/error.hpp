// Expected failure as a value: a stable code, a place, a message, and what to do about it.
//
// Codes are part of farcall's interface: case files expect them by name (`-- fail`), JSON carries
// them, and they never change their meaning. Message texts may change at any time.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace farcall {

// Who is to blame for an error, and so what comes of it.
enum class Blame : std::uint8_t {
  input,    // arguments, or a file that cannot be understood or carried out: an error, exit code 2
  test,     // the case, which is at odds with its own program: a failure, exit code 1
  code,     // the code under test: a failure, exit code 1
  machine,  // a guest or its host: an error, exit code 3
  harness,  // farcall itself has a defect: an error, exit code 3
};

// One row for each code: its C++ name, its stable name and its Blame, grouped by the stage that
// reports it.
// clang-format off
#define FARCALL_ERROR_CODES(X)                                                  \
  /* command line and files */                                                  \
  X(usage_bad_argument,             "usage.bad-argument",           input)      \
  X(usage_nothing_selected,         "usage.nothing-selected",       input)      \
  X(file_unreadable,                "file.unreadable",              input)      \
  X(file_unwritable,                "file.unwritable",              input)      \
  X(file_too_large,                 "file.too-large",               input)      \
  X(file_empty,                     "file.empty",                   input)      \
  X(json_malformed,                 "json.malformed",               input)      \
  X(document_invalid,               "document.invalid",             input)      \
  /* case files */                                                              \
  X(case_syntax,                    "case.syntax",                  input)      \
  X(case_unknown_section,           "case.unknown-section",         input)      \
  X(case_duplicate_section,         "case.duplicate-section",       input)      \
  X(case_missing_section,           "case.missing-section",         input)      \
  X(case_unknown_axis,              "case.unknown-axis",            input)      \
  X(case_unknown_value,             "case.unknown-value",           input)      \
  X(case_unsupported,               "case.unsupported",             input)      \
  X(case_unknown_name,              "case.unknown-name",            input)      \
  X(case_bad_number,                "case.bad-number",              input)      \
  X(case_selects_nothing,           "case.selects-nothing",         input)      \
  X(case_two_outcomes,              "case.two-outcomes",            input)      \
  X(case_no_outcome,                "case.no-outcome",              input)      \
  X(case_unknown_site,              "case.unknown-site",            input)      \
  X(case_unknown_code,              "case.unknown-code",            input)      \
  X(case_contradicts_interpreter,   "case.contradicts-interpreter", test)       \
  X(case_site_not_reached,          "case.site-not-reached",        test)       \
  X(case_undefined_value,           "case.undefined-value",         test)      \
  X(place_unknown_region,           "place.unknown-region",         input)      \
  X(place_misaligned,               "place.misaligned",             input)      \
  X(place_overlap,                  "place.overlap",                input)      \
  X(place_unmappable,               "place.unmappable",             input)      \
  X(place_duplicate,                "place.duplicate",              input)      \
  X(place_cycle,                    "place.cycle",                  input)      \
  /* BPF assembly, objects, programs */                                         \
  X(asm_syntax,                     "asm.syntax",                   input)      \
  X(asm_unknown_mnemonic,           "asm.unknown-mnemonic",         input)      \
  X(asm_unknown_label,              "asm.unknown-label",            input)      \
  X(asm_unknown_map,                "asm.unknown-map",              input)      \
  X(asm_duplicate_label,            "asm.duplicate-label",          input)      \
  X(asm_out_of_range,               "asm.out-of-range",             input)      \
  X(elf_malformed,                  "elf.malformed",                input)      \
  X(elf_unsupported,                "elf.unsupported",              input)      \
  X(elf_unknown_entry,              "elf.unknown-entry",            input)      \
  X(elf_unrelocated_call,           "elf.unrelocated-call",         input)      \
  X(elf_undefined_symbol,           "elf.undefined-symbol",         input)      \
  X(bpf_truncated_slot,             "bpf.truncated-slot",           input)      \
  X(bpf_bad_functions,              "bpf.bad-functions",            input)      \
  X(bpf_unknown_opcode,             "bpf.unknown-opcode",           input)      \
  X(bpf_reserved_field,             "bpf.reserved-field",           input)      \
  X(bpf_bad_register,               "bpf.bad-register",             input)      \
  X(bpf_jump_target,                "bpf.jump-target",              input)      \
  X(bpf_call_target,                "bpf.call-target",              input)      \
  X(bpf_unknown_function,           "bpf.unknown-function",         input)      \
  X(bpf_unknown_map,                "bpf.unknown-map",              input)      \
  X(bpf_map_value,                  "bpf.map-value",                input)      \
  X(bpf_falls_off_end,              "bpf.falls-off-end",            input)      \
  X(bpf_empty,                      "bpf.empty",                    input)      \
  X(interpreter_bad_access,         "interpreter.bad-access",       test)       \
  X(interpreter_bad_call,           "interpreter.bad-call",         test)       \
  X(interpreter_budget,             "interpreter.budget",           test)       \
  X(interpreter_call_depth,         "interpreter.call-depth",       test)       \
  /* linking and JIT */                                                         \
  X(call_out_of_range,              "call.out-of-range",            code)       \
  X(link_branch_out_of_range,       "link.branch-out-of-range",     code)       \
  X(jit_unsupported,                "jit.unsupported",              code)       \
  X(jit_size_changed,               "jit.size-changed",             harness)    \
  X(jit_internal,                   "jit.internal",                 harness)    \
  /* JITs under test */                                                        \
  X(jit_declined,                     "jit.declined",                  input)       \
  X(jit_refused,                      "jit.refused",                   code)        \
  X(jit_crashed,                      "jit.crashed",                   code)        \
  X(jit_timeout,                      "jit.timeout",                   code)        \
  X(jit_bad_answer,                   "jit.bad-answer",                code)        \
  X(jit_warned,                       "jit.warned",                    code)        \
  X(jit_not_started,                  "jit.not-started",               input)       \
  X(jit_not_built,                    "jit.not-built",                 input)       \
  /* kernels */                                                                 \
  X(kernel_unknown,                 "kernel.unknown",               input)      \
  X(kernel_not_fetched,             "kernel.not-fetched",           input)      \
  X(kernel_fetch_failed,            "kernel.fetch-failed",          machine)    \
  /* what a cell can fail by */                                                 \
  X(code_branch_elsewhere,            "code.branch-elsewhere",         code)        \
  X(code_size,                        "code.size",                     code)        \
  X(code_data_misaligned,           "code.data-misaligned",         code)       \
  X(result_mismatch,                "result.mismatch",              code)       \
  X(memory_mismatch,                "memory.mismatch",              code)       \
  X(memory_stray_write,             "memory.stray-write",           code)       \
  X(place_elsewhere,                "place.elsewhere",              code)       \
  X(call_unresolved,                "call.unresolved",              code)       \
  X(call_decoded_elsewhere,         "call.decoded-elsewhere",       code)       \
  X(call_low_bits,                  "call.low-bits",                code)      \
  X(call_not_decoded,               "call.not-decoded",             code)       \
  X(call_unexpected_site,           "call.unexpected-site",         code)       \
  X(call_reached_elsewhere,         "call.reached-elsewhere",       code)       \
  X(call_count,                     "call.count",                   code)       \
  X(call_order,                     "call.order",                   code)       \
  X(call_argument_mismatch,          "call.argument-mismatch",        code)       \
  X(call_returned_elsewhere,        "call.returned-elsewhere",      code)       \
  X(stack_return_address,           "stack.return-address",         code)       \
  X(stack_mismatch,                 "stack.mismatch",               code)      \
  X(trace_overflow,                 "trace.overflow",               code)       \
  X(abi_register,                   "abi.register",                 code)       \
  X(abi_toc,                        "abi.toc",                      code)      \
  X(guest_fault,                    "guest.fault",                  code)       \
  X(guest_budget,                   "guest.budget",                 code)       \
  X(guest_unwritten_value,          "guest.unwritten-value",        code)      \
  X(linked_differs,                 "linked.differs",               code)       \
  X(symbol_mismatch,                "symbol.mismatch",              code)       \
  X(dump_mismatch,                  "dump.mismatch",                code)       \
  X(line_mismatch,                  "line.mismatch",                code)       \
  X(verifier_mismatch,              "verifier.mismatch",            code)       \
  X(kernel_test_failed,             "kernel.test-failed",           code)       \
  X(kernel_test_missing,            "kernel.test-missing",          code)       \
  X(expected_failure_missing,       "expected-failure.missing",     code)       \
  X(control_missed,                 "control.missed",               harness)    \
  /* the harness and its machines */                                            \
  X(machine_no_qemu,                "machine.no-qemu",              machine)    \
  X(machine_no_gdb,                 "machine.no-gdb",               machine)    \
  X(machine_no_image,               "machine.no-image",             machine)    \
  X(machine_start,                  "machine.start",                machine)    \
  X(machine_libvirt,                "machine.libvirt",              machine)    \
  X(machine_lost,                   "machine.lost",                 machine)    \
  X(machine_timeout,                "machine.timeout",              machine)    \
  X(machine_bad_answer,             "machine.bad-answer",           machine)    \
  X(machine_other_hardware,         "machine.other-hardware",       machine)    \
  X(machine_runner_fault,           "machine.runner-fault",         machine)    \
  X(machine_job_too_large,          "machine.job-too-large",        input)
// clang-format on

enum class ErrorCode : std::uint8_t {
#define FARCALL_ERROR_CODE_NAME(name, text, blame) name,
  FARCALL_ERROR_CODES(FARCALL_ERROR_CODE_NAME)
#undef FARCALL_ERROR_CODE_NAME
};

// The stable name, such as `call.out-of-range`.
std::string_view name(ErrorCode code);
Blame blame(ErrorCode code);
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

// An Error, or none. Nearly always there is none, so that is all but free: a null pointer. What is
// done with an Error is compiled once, in error.cpp. (Boost.Outcome keeps an Error beside each value:
// to make and to destroy it was 8 % of the instructions of a run, and its templates 7 % of the time
// that a folder takes to compile. std::expected comes with C++23.)
class MaybeError {
 public:
  MaybeError() = default;
  MaybeError(Error error);  // NOLINT(*-explicit-*)
  MaybeError(const MaybeError& other) : error_(other ? copy(*other) : nullptr) {}
  MaybeError(MaybeError&& other) noexcept : error_(std::exchange(other.error_, nullptr)) {}
  MaybeError& operator=(MaybeError other) noexcept {
    std::swap(error_, other.error_);
    return *this;
  }
  ~MaybeError() {
    if (error_ != nullptr) {
      destroy(error_);
    }
  }

  explicit operator bool() const { return error_ != nullptr; }
  Error& operator*() const {
    if (error_ == nullptr) {
      std::abort();
    }
    return *error_;
  }

 private:
  static Error* copy(const Error& error);
  static void destroy(Error* error) noexcept;

  Error* error_ = nullptr;
};

// The value of a Result that has none.
struct Success {};
constexpr Success success() {
  return {};
}

// Either a T or an Error. Looking at the one that is not there ends the program: that is a bug.
// Propagate with FARCALL_TRY(value, expression), which declares `value`, or with
// FARCALL_TRYV(expression), where there is no value.
//
//   Result<Cell> read(const std::string& path) {
//     FARCALL_TRY(text, read_file(path, "write one"));  // returns the error of read_file()
//     FARCALL_TRYV(check(text));
//     return parse(text);
//   }
template <typename T>
class [[nodiscard]] Result {
 public:
  template <typename Value = T>
    requires std::is_convertible_v<Value, T>
  Result(Value&& value) : value_(std::forward<Value>(value)) {}  // NOLINT(*-explicit-*)
  Result(Error error) : error_(std::move(error)) {}              // NOLINT(*-explicit-*)
  Result(MaybeError error) : error_(std::move(error)) {}         // NOLINT(*-explicit-*)

  bool has_value() const { return value_.has_value(); }
  bool has_error() const { return !has_value(); }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    check();
    return *value_;
  }
  const T& value() const& {
    check();
    return *value_;
  }
  T&& value() && { return std::move(value()); }

  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

  // For a Result of another type.
  MaybeError failure() const& { return error_; }
  MaybeError failure() && { return std::move(error_); }

 private:
  void check() const {
    if (!has_value()) {
      std::abort();
    }
  }

  std::optional<T> value_;
  MaybeError error_;
};

template <>
class [[nodiscard]] Result<void> : public Result<Success> {
 public:
  using Result<Success>::Result;
};

#define FARCALL_TRYV(...) FARCALL_TRY_RESULT(FARCALL_TRY_NAME(__LINE__), __VA_ARGS__)
#define FARCALL_TRY(value, ...) FARCALL_TRY_VALUE(FARCALL_TRY_NAME(__LINE__), value, __VA_ARGS__)

#define FARCALL_TRY_NAME(line) FARCALL_TRY_NAME_OF(line)
#define FARCALL_TRY_NAME_OF(line) result_in_line_##line
#define FARCALL_TRY_RESULT(result, ...)                     \
  auto&& result = (__VA_ARGS__);                            \
  if (!result.has_value()) {                                \
    return static_cast<decltype(result)>(result).failure(); \
  }
#define FARCALL_TRY_VALUE(result, name, ...) \
  FARCALL_TRY_RESULT(result, __VA_ARGS__)    \
  auto&& name = static_cast<decltype(result)>(result).value()

}  // namespace farcall
