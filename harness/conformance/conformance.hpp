// Files of the public conformance suite, each run by interpreter and JIT in both byte orders.
//
// A file is a case (case/case_file.hpp) that says nothing of machines or places: a program, memory,
// and what comes of it; the helpers that it may call are the suite's (suite_case.hpp). Many of the
// suite's expectations are those of a little-endian machine; for a big-endian one they hold only
// where the overlay (conformance_overlay.cpp) or luck says so.
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
#include "model/axes.hpp"
#include "run/runner.hpp"

namespace farcall::conformance {

enum class Standing : std::uint8_t {
  pass,            // as the file, or the overlay, expects
  consistent,      // not as a little-endian expectation says, but interpreter and CPU agree
  fail,            // neither
  not_applicable,  // the file asks for what is no part of farcall; the text says what
  error,           // the file is malformed, or a machine failed: nothing is known
};
inline constexpr std::size_t kStandingCount = 5;
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
  std::string text;  // why it is no pass
};

struct FileReport {
  std::string path;
  std::array<Judgement, kWays.size()> ways;  // in the order of kWays
  bool harness_failed = false;               // a machine did, or farcall: ways are errors
};

// Runs `paths`, files that exist, and calls `sink` for each in their order.
void run_conformance(std::span<const std::string> paths, const run::RunnerOptions& options,
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
