#include "stock/refusal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <string_view>

#include "stock/document.hpp"
#include "stock/programs.hpp"

namespace farcall::stock {
namespace {

// The paragraph after `heading`, as one line; empty: there is none.
std::string paragraph(const std::string& log, std::string_view heading) {
  const std::size_t at = log.rfind(heading);
  if (at == std::string::npos) {
    return {};
  }
  std::istringstream lines(log.substr(at + heading.size()));
  std::string text;
  for (std::string line; std::getline(lines, line) && !line.empty();) {
    text +=
        (text.empty() ? "" : " ") + line.substr(std::min(line.size(), line.find_first_not_of(' ')));
  }
  return text;
}

std::string not_put(const kernel::Answer& answer) {
  return fmt::format(
      "the kernel's array of programs does not take it: {}; no reason of the kernel's is known",
      std::strerror(static_cast<int>(answer.error)));
}

// Whether a line of the verifier's log only tells what it looks at: `12: (95) exit`, `12: safe`,
// `from 3 to 12: R0=0`, a source line.
bool is_of_trace(const std::string& line) {
  const std::size_t after_number = line.find_first_not_of("0123456789");
  const bool is_at_slot = after_number != 0 && after_number != std::string::npos &&
                          line.substr(after_number).starts_with(':');
  return is_at_slot || line.starts_with(';') || line.starts_with("mark_precise: ") ||
         (line.starts_with("from ") && line.find(" to ") != std::string::npos);
}

// Where the JIT has no tail calls in programs with local calls, the verifier says so, in the words that it
// also has of an interpreted one, when it comes to the call. Otherwise it has been through the program.
bool is_about_tail_call(const std::string& log, const std::string& reason) {
  const std::string before = log.substr(0, log.rfind(reason));
  const std::size_t line = before.find_last_of('\n', before.size() - 2);
  return before.substr(line == std::string::npos ? 0 : line).find("call bpf_tail_call") !=
         std::string::npos;
}

// Whether the verifier has nothing against a program that was rejected with the JIT on: then the JIT has
// made no code of it. Its log then ends without a reason, or with one that it has of interpreted programs
// only. EINVAL: an array of programs that has ones with code takes no other, see bpf_check_tail_call() of
// kernel/bpf/core.c.
bool is_refused_by_jit(const LinuxCell& linux_cell, const kernel::Answer& answer) {
  constexpr std::uint32_t kNotSupported = 524;  // ENOTSUPP, which only the kernel knows
  if (answer.outcome != wire::KernelOutcome::rejected) {
    return false;
  }
  const std::string reason = verifier_reason(answer.log, answer.error);
  if (reason.ends_with("not allowed in non-JITed programs with bpf-to-bpf calls")) {
    return !is_about_tail_call(answer.log, reason);
  }
  if (reason.ends_with("not allowed in non-JITed programs")) {
    return true;
  }
  const bool has_programs =
      std::ranges::find(linux_cell.kinds, RegionKind::programs) != linux_cell.kinds.end();
  const bool may_be = answer.error == kNotSupported || (answer.error == EINVAL && has_programs);
  return may_be && (reason == std::strerror(static_cast<int>(answer.error)) || is_of_trace(reason));
}

// Of programs that an array of programs does not take all of: what is wrong. A program without code is
// known to be refused; whatever else is, is a mistake of ours or of the kernel's, and no reason to skip.
std::optional<model::Finding> refused_by_array(const LinuxCell& linux_cell,
                                               const kernel::Answer& answer) {
  const auto name = [&] {
    const bpf::Program& program = *linux_cell.cell.program;
    return program.functions[program_parts(program).at(answer.result).first_function].name;
  };
  switch (answer.outcome) {
    case wire::KernelOutcome::no_code_of_one:
      return model::Finding{
          ErrorCode::jit_refused, name(),
          "the kernel interprets it: its JIT made no code, and an array of programs that have code "
          "does not take it"};
    case wire::KernelOutcome::not_put:
      return model::Finding{ErrorCode::machine_bad_answer, name(), not_put(answer)};
    case wire::KernelOutcome::done:
    case wire::KernelOutcome::rejected:
    case wire::KernelOutcome::not_run:
    case wire::KernelOutcome::not_known:
    case wire::KernelOutcome::no_memory:
      break;
  }
  return std::nullopt;
}

}  // namespace

// The verifier's reason: its last line counts what it did; before it stands why. Since 7.3 advice is
// between them, and the reason has a paragraph of its own.
std::string verifier_reason(std::string log, std::uint32_t error) {
  if (const std::string reason = paragraph(log, "\nReason:\n"); !reason.empty()) {
    return reason;
  }
  log = log.substr(0, log.rfind("processed "));
  log.resize(log.find_last_not_of('\n') + 1);
  const std::size_t line = log.rfind('\n');
  return log.empty() ? std::strerror(static_cast<int>(error))
                     : log.substr(line == std::string::npos ? 0 : line + 1);
}

std::optional<model::Finding> refusal(const LinuxCell& linux_cell, wire::KernelMode mode,
                                      const kernel::Answer& answer) {
  if (mode != wire::KernelMode::interpreter && is_refused_by_jit(linux_cell, answer)) {
    return model::Finding{ErrorCode::jit_refused, "",
                          "the verifier has nothing against it, and its JIT made no code of one of "
                          "the programs"};
  }
  return refused_by_array(linux_cell, answer);
}

std::optional<Error> skipped(const kernel::Answer& answer) {
  const char* const errno_text = std::strerror(static_cast<int>(answer.error));
  switch (answer.outcome) {
    case wire::KernelOutcome::done:
      return std::nullopt;
    case wire::KernelOutcome::rejected:
      return declined(fmt::format("the kernel's verifier rejects it: {}",
                                  verifier_reason(answer.log, answer.error)));
    case wire::KernelOutcome::not_run:
      return declined(fmt::format("the kernel does not run it: {}", errno_text));
    case wire::KernelOutcome::not_known:
      return declined(fmt::format("the kernel does not tell of it: {}", errno_text));
    case wire::KernelOutcome::no_memory:
      return declined(fmt::format("the kernel has no map for its memory: {}", errno_text));
    case wire::KernelOutcome::no_code_of_one:
      return declined("the kernel's JIT made no code of a program that tail calls go to");
    case wire::KernelOutcome::not_put:
      return declined(not_put(answer));
  }
  return declined("an outcome that nobody knows");
}

}  // namespace farcall::stock
