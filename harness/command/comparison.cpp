#include "command/comparison.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::command {
namespace {

// As many differing cells are named.
constexpr std::size_t kMostNamed = 20;

std::string per(std::uint64_t amount, std::uint64_t count) {
  return count == 0
             ? "not told"
             : fmt::format("{:.2f}", static_cast<double>(amount) / static_cast<double>(count));
}

}  // namespace

Comparison::Comparison(std::span<const engine::Jit> jits) {
  for (const engine::Jit& jit : jits) {
    jits_.push_back(jit.name);
  }
}

void Comparison::add(const run::FinishedCell& finished) {
  if (jits_.size() < 2) {
    return;
  }
  const model::Cell& cell = finished.document->cell;
  Cell& told = cells_[cell.name][finished.jit];
  told.verdict = name(finished.verdict.outcome);
  if (!finished.verdict.findings.empty()) {
    told.verdict += fmt::format(" [{}]", name(finished.verdict.findings.front().code));
  }
  if (!finished.testimony.image || !cell.program) {
    return;
  }
  const bpf::Program& program = *cell.program;
  for (std::size_t i = 0; i < program.functions.size(); ++i) {
    const model::CodeFunction& code = finished.testimony.image->functions[i];
    told.words += code.words.size();
    std::uint32_t number = 0;
    for (const bpf::SlotIndex at : instructions(program, program.functions[i])) {
      const bpf::InstructionInfo* const info = bpf::find(program.slots[at]);
      if (number + 1 < code.lines.size() && info != nullptr && info->is_call()) {
        told.call_words += code.lines[number + 1].word - code.lines[number].word;
        ++told.calls;
      }
      ++number;
    }
  }
}

std::string Comparison::text() const {
  if (jits_.size() < 2) {
    return {};
  }
  std::map<std::string, Cell> sums;
  std::size_t common = 0;
  std::size_t differing = 0;
  std::string named;
  for (const auto& [cell, by_jit] : cells_) {
    if (by_jit.size() < jits_.size()) {
      continue;
    }
    const auto same = [&first = by_jit.begin()->second](const auto& one) {
      return one.second.verdict == first.verdict;
    };
    if (!std::ranges::all_of(by_jit, same) && differing++ < kMostNamed) {
      named += fmt::format("  {}\n", cell);
      for (const std::string& jit : jits_) {
        named += fmt::format("    {:<40} {}\n", by_jit.at(jit).verdict, jit);
      }
    }
    if (std::ranges::all_of(by_jit, [](const auto& one) { return one.second.words != 0; })) {
      ++common;
      for (const auto& [jit, told] : by_jit) {
        sums[jit].words += told.words;
        sums[jit].call_words += told.call_words;
        sums[jit].calls += told.calls;
      }
    }
  }
  std::string text =
      fmt::format("\n{} of {} cells differ in verdict{}\n{}", differing, cells_.size(),
                  differing > kMostNamed ? "; the first are" : "", named);
  text +=
      fmt::format("words of code, and words a call, of {} cells that all made code of\n", common);
  for (const std::string& jit : jits_) {
    const Cell& sum = sums[jit];
    text += fmt::format("  {:>10}  {:>8}  {}\n", sum.words, per(sum.call_words, sum.calls), jit);
  }
  return text;
}

}  // namespace farcall::command
