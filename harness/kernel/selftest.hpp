// The kernel's own tests of its BPF engines, the module test_bpf, in a Linux guest: what it says of
// each test in the kernel's log.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "kernel/guest.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::kernel {

// Those of the module, by its parameter test_suite. A suite that fails ends the module, so each is
// loaded alone.
inline constexpr std::array<const char*, 3> kSelftestSuites = {"test_bpf", "test_tail_calls",
                                                               "test_skb_segment"};

// One test: `test_bpf: #12 ALU_MOV_X: dst = 2 jited:1 13 PASS`.
struct KernelTest {
  enum class Said : std::uint8_t { pass, fail, nothing };

  unsigned number = 0;  // within its suite, from 0
  std::string description;
  std::optional<bool> jited;  // nothing: no code was to be made
  Said said{};
  std::string words;  // all that the log has of it

  friend bool operator==(const KernelTest&, const KernelTest&) = default;
};

struct SuiteLog {
  struct Summary {
    unsigned passed = 0;
    unsigned failed = 0;

    friend bool operator==(const Summary&, const Summary&) = default;
  };
  std::vector<KernelTest> tests;   // as the log has them
  std::optional<Summary> summary;  // nothing: the suite did not come to its end
};

// Of a kernel's log with one run of the module. Times before lines do not matter, nor do other
// records, also between the parts of a line.
SuiteLog read_suite(std::string_view log);

// One run of a suite.
struct SuiteRun {
  SuiteLog log;
  bool has_ended = false;   // the kernel came back from loading the module
  std::uint32_t error = 0;  // its errno
  std::string trouble;      // what its log tells of a defect, with the lines around; or empty
  std::string last_lines;   // the end of its log
};

// Boots, loads `modules` in this order, the last one with that suite. The errors of boot();
// machine.bad-answer.
Result<SuiteRun> run_suite(const GuestSpec& spec, std::span<const std::string> modules,
                           std::string_view suite, wire::KernelMode mode,
                           const std::function<bool()>& stopped);

}  // namespace farcall::kernel
