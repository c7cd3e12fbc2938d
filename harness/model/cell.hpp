// Cell: one point of a case's matrix, with everything resolved that later stages need.
//
// A cell is self-contained: program, placement, memory and expectation are all in it, so it can be
// written as JSON, carried elsewhere and run from there.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/address_space.hpp"
#include "bpf/program.hpp"
#include "model/axes.hpp"

namespace farcall::model {

// The guest's page, in bytes. Code and data of a cell are mapped in whole pages.
inline constexpr std::uint64_t kPageBytes = 4096;
inline constexpr std::uint64_t kStackAlignment = 16;  // ELFv2 ABI section 2.2.3

// Where everything of a cell lies in the guest.
struct Placement {
  std::vector<GuestAddress> functions;  // one for each function of the program and each external
  GuestAddress stack;      // lowest byte; kStackBytes long, a multiple of kStackAlignment
  GuestAddress call_base;  // __bpf_call_base, the origin of imm32
  GuestAddress toc;        // r2

  friend bool operator==(const Placement&, const Placement&) = default;
};

// Room for as many frames as the interpreter admits, of the largest size that the JIT makes.
inline constexpr std::uint64_t kStackBytes = std::uint64_t{24} << 10;

// `-- calls`: the call at `site` goes to function `callee` and is made exactly `count` times.
struct ExpectedCall {
  bpf::CallSite site;
  std::uint32_t callee = 0;
  std::uint64_t count = 1;
  unsigned line = 0;

  friend bool operator==(const ExpectedCall&, const ExpectedCall&) = default;
};

// `-- mem-after`: the bytes at `offset` of the region `region` after the run.
struct ExpectedMemory {
  std::string region;
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;
  unsigned line = 0;

  friend bool operator==(const ExpectedMemory&, const ExpectedMemory&) = default;
};

// `-- fail`: the cell must fail with this code at this site (empty: the failure is about no site).
struct ExpectedFailure {
  ErrorCode code{};
  std::string site;
  unsigned line = 0;

  friend bool operator==(const ExpectedFailure&, const ExpectedFailure&) = default;
};

// `-- known`: JITs whose names match `jit`, a shell pattern, as `kernel:6.12*`, are known to fail
// with `code`. Then that failure is expected, and no other.
struct KnownFailure {
  std::string jit;
  ErrorCode code{};
  unsigned line = 0;

  friend bool operator==(const KnownFailure&, const KnownFailure&) = default;
};

// `-- verifier`: Linux's verifier rejects the program, and its log has `text` (empty: any words
// will do). Other guests have no verifier.
struct ExpectedRejection {
  std::string text;
  unsigned line = 0;

  friend bool operator==(const ExpectedRejection&, const ExpectedRejection&) = default;
};

// What the case says. Either `failure`, or `result` with what else is said. Each has the line of
// the case file that says it, counted from 1; 0: no line does.
struct Expectation {
  std::optional<std::uint64_t> result;
  unsigned result_line = 0;
  bool no_result = false;              // `-- result none`: what r0 is does not matter
  std::vector<ExpectedCall> calls;     // sites not named here: as often as the interpreter calls
  bool any_other_call = false;         // sites not named here need not be reached
  std::vector<ExpectedMemory> memory;  // regions that are named keep their other bytes
  std::optional<ExpectedFailure> failure;
  std::vector<KnownFailure> known;  // the first that matches counts
  std::optional<ExpectedRejection> rejection = {};

  friend bool operator==(const Expectation&, const Expectation&) = default;
};

// `-- spoiled`: there is a fault in this cell, and it must be found with this code. `fault` is one
// of faults/.
struct Control {
  std::string fault;
  ErrorCode code{};
  unsigned line = 0;

  friend bool operator==(const Control&, const Control&) = default;
};

struct Cell {
  std::string case_path;  // as it was given on the command line
  std::string name;       // `far-2g@imm32`: the case's name, `@`, the values of its declared axes
  AxisValues axes;
  std::shared_ptr<const bpf::Program> program;
  Placement placement;
  std::vector<bpf::MemoryRegion> memory;        // initial contents; `mem` is one of them
  std::array<std::uint64_t, 5> arguments = {};  // r1 … r5
  Expectation expected;
  std::optional<Control> control = {};
  // How many instructions the interpreter may take; the guest's budget grows with it.
  std::uint64_t budget = bpf::kDefaultBudget;
};

// The largest budget of a cell.
inline constexpr std::uint64_t kMostBudget = 1'000'000'000;

}  // namespace farcall::model
