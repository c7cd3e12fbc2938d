#include "stock/selftest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

namespace farcall::stock {
namespace {

using kernel::KernelTest;

// Letters, digits and underscores, and a dash for whatever else there is between them.
std::string name_part(const std::string& words) {
  std::string name;
  for (const char letter : words) {
    if (std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '_') {
      name += letter;
    } else if (!name.ends_with('-')) {
      name += '-';
    }
  }
  return name.substr(0, name.find_last_not_of('-') + 1);
}

model::Verdict verdict_of(std::vector<model::Finding> findings) {
  if (findings.empty()) {
    return {.outcome = model::Outcome::pass};
  }
  const model::Outcome outcome = findings.front().code == ErrorCode::jit_declined
                                     ? model::Outcome::skip
                                     : outcome_of(findings.front());
  return {.outcome = outcome, .findings = std::move(findings)};
}

std::optional<model::Finding> finding_of(const KernelTest& test, wire::KernelMode mode) {
  const bool jit = mode == wire::KernelMode::jit;
  switch (test.said) {
    case KernelTest::Said::nothing:
      return model::Finding{ErrorCode::kernel_test_missing, "",
                            "the kernel's log does not say what became of it: " + test.words};
    case KernelTest::Said::fail:
      return model::Finding{ErrorCode::kernel_test_failed, "", "the kernel says: " + test.words};
    case KernelTest::Said::pass:
      break;
  }
  if (test.jited && *test.jited != jit) {
    return jit ? model::Finding{ErrorCode::jit_declined, "",
                                "the kernel interpreted it: its JIT made no code"}
               : model::Finding{ErrorCode::jit_refused, "",
                                "the kernel's JIT made code, and it is off"};
  }
  return std::nullopt;
}

// What is to be said of the suite as a whole.
std::vector<model::Finding> findings_of(const kernel::SuiteRun& run) {
  std::vector<model::Finding> findings;
  const auto add = [&](ErrorCode code, const std::string& text) {
    findings.push_back({code, "", text + "; the end of its log:\n" + run.last_lines});
  };
  if (!run.has_ended) {
    add(run.trouble.empty() ? ErrorCode::kernel_test_missing : ErrorCode::jit_crashed,
        run.trouble.empty() ? "the module did not end"
                            : "the kernel did not survive its module: " + run.trouble);
    return findings;
  }
  if (!run.trouble.empty()) {
    findings.push_back({ErrorCode::jit_warned, "", "the kernel's log says: " + run.trouble});
  }
  const auto count = [&](KernelTest::Said said) {
    return static_cast<unsigned>(std::ranges::count(run.log.tests, said, &KernelTest::said));
  };
  const unsigned passed = count(KernelTest::Said::pass);
  const unsigned failed = count(KernelTest::Said::fail);
  if (!run.log.summary) {
    add(ErrorCode::kernel_test_missing,
        fmt::format("the module ended ({}) without a summary of its tests",
                    run.error == 0 ? "and the kernel took it"
                                   : std::strerror(static_cast<int>(run.error))));
  } else if (run.log.summary->passed != passed || run.log.summary->failed > failed) {
    add(ErrorCode::kernel_test_missing,
        fmt::format("the module counts {} passed, {} failed; its log has {} and {}",
                    run.log.summary->passed, run.log.summary->failed, passed, failed));
  } else if (passed + failed == 0) {
    add(ErrorCode::kernel_test_missing, "the module ended and ran no test");
  } else if ((run.error != 0) != (run.log.summary->failed != 0)) {
    add(ErrorCode::kernel_test_missing,
        fmt::format("the module ended with errno {}, and counts {} failed", run.error,
                    run.log.summary->failed));
  }
  return findings;
}

}  // namespace

std::vector<SelftestCell> selftest_cells(const std::string& suite, wire::KernelMode mode,
                                         const Result<kernel::SuiteRun>& ran) {
  std::vector<SelftestCell> cells;
  const auto add = [&](const std::string& name, std::vector<model::Finding> findings) {
    model::Cell cell;
    cell.case_path = "test_bpf.ko:" + suite;
    cell.name =
        fmt::format("{}@linux-{}", name, mode == wire::KernelMode::jit ? "jit" : "interpreter");
    cell.axes.guest = model::GuestKind::linux;
    cells.push_back({.cell = std::move(cell), .verdict = verdict_of(std::move(findings))});
  };
  if (!ran) {
    add(suite, {model::as_finding(ran.error())});
    return cells;
  }
  const kernel::SuiteRun& run = ran.value();
  std::map<unsigned, std::vector<const KernelTest*>> by_number;
  for (const KernelTest& test : run.log.tests) {
    by_number[test.number].push_back(&test);
  }
  unsigned next = 0;
  for (const auto& [number, tests] : by_number) {
    for (; next < number; ++next) {
      add(fmt::format("{}-{}", suite, next),
          {{ErrorCode::kernel_test_missing, "",
            fmt::format("the kernel's log has no line of test {}, and one of test {}", next,
                        number)}});
    }
    next = number + 1;
    std::vector<model::Finding> findings;
    for (const KernelTest* const test : tests) {
      if (auto finding = finding_of(*test, mode)) {
        findings.push_back(std::move(*finding));
      }
    }
    if (tests.size() > 1) {
      findings.push_back({ErrorCode::kernel_test_missing, "",
                          fmt::format("the kernel's log has {} lines of it", tests.size())});
    }
    add(fmt::format("{}-{}-{}", suite, number, name_part(tests.front()->description)),
        std::move(findings));
  }
  add(suite, findings_of(run));
  return cells;
}

}  // namespace farcall::stock
