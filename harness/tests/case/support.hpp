// What the tests of case/ share.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "case/case_file.hpp"
#include "case/matrix.hpp"

namespace farcall::cases {

// From text to cells, as a file called `folder/test.case`.
inline Result<std::vector<model::Cell>> load(std::string_view text) {
  FARCALL_TRY(parsed, parse_case(text, "folder/test.case"));
  return cells(parsed);
}

// The cells of a text that is right.
inline std::vector<model::Cell> good(std::string_view text) {
  auto made = load(text);
  if (!made) {
    ADD_FAILURE() << to_string(made.error());
    return {};
  }
  return std::move(made).value();
}

inline std::vector<std::string> names(const std::vector<model::Cell>& made) {
  std::vector<std::string> all;
  all.reserve(made.size());
  for (const model::Cell& cell : made) {
    all.push_back(cell.name);
  }
  return all;
}

// main calls callee, which returns 1.
inline constexpr std::string_view kTwoFunctions =
    "-- asm\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 1\n"
    "exit\n";

inline std::string two_functions(std::string_view rest) {
  return std::string{kTwoFunctions} + std::string{rest};
}

}  // namespace farcall::cases
