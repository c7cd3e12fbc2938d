#include "check/kernel_findings.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "check/findings.hpp"

namespace farcall::check {
namespace {

// Where the stack lies is nobody's business, and so is a pointer into it.
bool is_of_stack_pointer(const bpf::InterpreterRun& run, GuestAddress address) {
  return std::ranges::any_of(run.stack_pointers, [&](const bpf::StoredPointer& pointer) {
    return address.value - pointer.at.value < 8;
  });
}

Findings kernel_memory_findings(const Interpretation& source, const KernelRun& run) {
  Findings findings;
  for (const bpf::MemoryRegion& expected : source.memory) {
    const auto seen = std::ranges::find(run.memory, expected.address, &bpf::MemoryRegion::address);
    if (seen == run.memory.end() || seen->bytes.size() != expected.bytes.size()) {
      findings.push_back({ErrorCode::memory_mismatch, "",
                          fmt::format("{} did not report {}", run.engine, expected.name)});
      continue;
    }
    for (std::size_t i = 0; i < expected.bytes.size(); ++i) {
      if (expected.bytes[i] != seen->bytes[i] &&
          !is_of_stack_pointer(source.run, expected.address + i)) {
        findings.push_back(
            {ErrorCode::memory_mismatch, "",
             fmt::format("at offset {} of {} the interpreter leaves {:02x}; {} left {:02x}", i,
                         expected.name, std::to_integer<unsigned>(expected.bytes[i]), run.engine,
                         std::to_integer<unsigned>(seen->bytes[i]))});
        break;
      }
    }
  }
  return findings;
}

}  // namespace

std::vector<model::Finding> kernel_findings(const model::Cell& cell, const Interpretation& source,
                                            const KernelRun& run) {
  Findings findings;
  if (!run.trouble.empty()) {
    findings.push_back(
        {ErrorCode::jit_warned, "", fmt::format("the kernel's log says: {}", run.trouble)});
  }
  const auto expected = static_cast<std::uint32_t>(source.run.r0);
  const bool has_result = !cell.expected.no_result && !source.run.undefined_result &&
                          source.run.r0_frame == 0;  // that one is a pointer into the stack
  if (has_result && expected != run.result) {
    findings.push_back(
        {ErrorCode::result_mismatch, "",
         fmt::format("expected the lower half of r0 = {:#x}, as the interpreter says; {} "
                     "returned {:#x}",
                     expected, run.engine, run.result)});
  }
  const Findings memory = kernel_memory_findings(source, run);
  findings.insert(findings.end(), memory.begin(), memory.end());
  for (const SymbolStory& symbol : run.symbols) {
    if (symbol.expected != symbol.seen) {
      findings.push_back({ErrorCode::symbol_mismatch, "",
                          fmt::format("expected the kernel to call {} {}; it calls it {}",
                                      symbol.function, symbol.expected, symbol.seen)});
    }
  }
  return findings;
}

std::vector<model::Finding> verifier_findings(const model::Cell& cell, const VerifierRun& run) {
  const model::ExpectedRejection& expected = *cell.expected.rejection;
  const std::string wanted =
      expected.text.empty() ? "" : fmt::format(" with '{}' in its log", expected.text);
  if (!run.rejected) {
    return {{ErrorCode::verifier_mismatch, "",
             fmt::format("expected the kernel's verifier to reject the program{}; it accepts it",
                         wanted),
             in_case(cell, expected.line)}};
  }
  if (run.log.empty() || run.log.find(expected.text) == std::string::npos) {
    return {{ErrorCode::verifier_mismatch, "",
             fmt::format("expected the kernel's verifier to reject the program{}; {}: {}", wanted,
                         run.log.empty() ? "without its words the kernel refuses it"
                                         : "it rejects it otherwise",
                         run.reason),
             in_case(cell, expected.line)}};
  }
  return {};
}

}  // namespace farcall::check
