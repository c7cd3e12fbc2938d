// What several JITs made of the same cells, side by side.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "run/runner.hpp"

namespace farcall::command {

class Comparison {
 public:
  explicit Comparison(std::span<const engine::Jit> jits);

  // Nothing for one JIT.
  void add(const run::FinishedCell& finished);

  // Which cells differ in verdict, and of the cells that all JITs made code of, how much code that
  // is and how many words lead up to a call and through it. Nothing for one JIT.
  std::string text() const;

 private:
  struct Cell {
    std::string verdict;  // the outcome, and the code of the first finding
    std::uint64_t words = 0;
    std::uint64_t call_words = 0;
    std::uint64_t calls = 0;
  };

  std::vector<std::string> jits_;
  std::map<std::string, std::map<std::string, Cell, std::less<>>> cells_;  // by cell name, by JIT
};

}  // namespace farcall::command
