// Files of the public conformance suite, each run by interpreter and JIT in both byte orders.
//
// A file is a case (case/case_file.hpp) that says nothing of machines or places: a program, memory,
// and what comes of it; the helpers that it may call are the suite's (suite_case.hpp). Many of the
// suite's expectations are those of a little-endian machine; for a big-endian one they hold only
// where the overlay (overlay.cpp) or luck says so.
//
// A file with `-- error` expects that its program is refused, by assembler or validator, or that it
// faults: that it touches memory which is not its own, calls what is not there, or calls too deep.
// The words are compared. A program that runs to its end has not been refused, whatever the engines
// make of it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "conformance/suite_case.hpp"
#include "model/axes.hpp"
#include "model/verdict.hpp"
#include "run/runner.hpp"

namespace farcall::conformance {

enum class Standing : std::uint8_t {
  pass,            // as the file, or the overlay, expects
  refused,         // as the file expects, before it came to this engine, which ran nothing
  consistent,      // not as a little-endian expectation says, but interpreter and CPU agree
  fail,            // neither
  not_applicable,  // the file asks for what is not part of farcall; the text says what
  error,           // the file is malformed, or a machine failed: nothing is known
};
inline constexpr std::size_t kStandingCount = 6;
std::string_view name(Standing standing);

enum class Engine : std::uint8_t { interpreter, jit };

// The four ways in which a file is run, and in which standings are given.
struct Way {
  model::Endian endian{};
  Engine engine{};
};
inline constexpr std::array kWays = {
    Way{model::Endian::little, Engine::interpreter}, Way{model::Endian::little, Engine::jit},
    Way{model::Endian::big, Engine::interpreter}, Way{model::Endian::big, Engine::jit}};

struct Judgement {
  Standing standing = Standing::error;
  std::string text;     // why it is not a pass
  ErrorCode code = {};  // of that, where it is one
};

// What is wanted of files: which names, and which machine.
struct Wanted {
  Target target;                   // its byte order counts for nothing: both are run
  std::string filter;              // shell pattern over names of ways; empty: all
  std::vector<std::string> where;  // as selection::Selection's
};

struct WayReport {
  Way way;
  std::string name;  // `be16-high@be-jit`
  Judgement judgement;
  std::vector<model::SiteStory> sites = {};  // of the JIT, where it came to code
};

struct FileReport {
  std::string path;
  std::vector<WayReport> ways;  // those that are wanted, in the order of kWays; at least one
  bool harness_failed = false;  // a machine did, or farcall: ways are errors
};

// Runs those of `paths`, files that exist, of which a way is wanted, and calls `sink` for each in
// their order; `begin` is called before that with the number of ways.
// usage.bad-argument for a condition that is none, usage.nothing-selected if no way is wanted.
Result<void> run_conformance(std::span<const std::string> paths, const Wanted& wanted,
                             const run::RunnerOptions& options,
                             const std::function<void(std::size_t)>& begin,
                             const std::function<void(const FileReport&)>& sink);

// What a file of the suite comes to on a big-endian machine, worked out by hand.
struct OverlayRow {
  std::string_view file;  // without folder and extension
  std::uint64_t little;   // what the file expects: this row is about no other file of that name
  std::uint64_t big;
  std::string_view reason;
};
std::span<const OverlayRow> overlay();

}  // namespace farcall::conformance
