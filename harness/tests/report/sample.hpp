// A cell that passes, or fails at its call, and what reports write of it.
#pragma once

#include <stdlib.h>

#include <functional>
#include <string>

#include "report/report.hpp"

namespace farcall::report {

inline constexpr GuestAddress kMain = {0xc000'0000'0001'0000};
inline constexpr GuestAddress kCallee = {0xc008'0000'0012'a468};
inline constexpr GuestAddress kTruncated = {0xc000'0000'0012'a468};

// What `use` writes to the stream that it gets.
inline std::string written(const std::function<void(std::FILE*)>& use) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* const stream = open_memstream(&text, &size);
  use(stream);
  std::fclose(stream);
  std::string result(text, size);
  free(text);  // NOLINT(cppcoreguidelines-no-malloc): open_memstream's contract
  return result;
}

struct Sample {
  model::Cell cell{.case_path = "far.case", .name = "far@aux64"};
  model::CodeImage image{
      .functions = {{.name = "main",
                     .address = kMain,
                     .words = {0x3d80c008, 0x4e800421, 0x4e800020}},
                    {.name = "callee", .address = kCallee, .words = {0x4e800020}}},
      .entry = kMain,
      .calls = {{.site = {0, 0}, .at = kMain + 4, .callee = model::CodeCallee{1, kCallee}}}};
  model::Verdict verdict{.outcome = model::Outcome::pass,
                         .sites = {{.site = {0, 0},
                                    .name = "main[0]",
                                    .callee = "callee",
                                    .at = kMain + 4,
                                    .expected = kCallee,
                                    .decoded = kCallee,
                                    .reached = {kCallee},
                                    .interpreted = 1,
                                    .executed = 1}},
                         .result = 42};

  void fail() {
    verdict.outcome = model::Outcome::fail;
    verdict.sites[0].decoded = kTruncated;
    verdict.sites[0].reached = {kTruncated};
    verdict.findings = {{ErrorCode::call_decoded_elsewhere, "main[0]", "it goes astray"}};
  }

  std::string text(TextStyle style = {}) const {
    return written([&](std::FILE* out) {
      text_report(out, style)
          ->cell({.cell = cell, .verdict = verdict, .image = &image, .replay = "farcall run it"});
    });
  }
};

}  // namespace farcall::report
