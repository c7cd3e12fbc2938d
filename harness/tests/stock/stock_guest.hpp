// What tests share that run cells in a stock kernel.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "model/json.hpp"

namespace farcall::tests {

// ci/test has fetched it.
inline constexpr const char* kKernel = "6.1";

inline constexpr const char* kThreeFunctions =
    "# main, f, g: r0 = 1 + 10 + 100.\n"
    "-- asm\n"
    "mov %r6, 1\n"
    "call local f\n"
    "add %r0, %r6\n"
    "exit\n"
    "f:\n"
    "call local g\n"
    "add %r0, 10\n"
    "exit\n"
    "g:\n"
    "mov %r0, 100\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "-- result\n"
    "111\n";

// What each cell came to, by its name.
inline std::map<std::string, std::string> outcomes(const model::Json& report) {
  std::map<std::string, std::string> all;
  for (const model::Json& cell : report.at("cells")) {
    all[cell.at("cell").get<std::string>()] = cell.at("outcome").get<std::string>();
  }
  return all;
}

}  // namespace farcall::tests
