#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "check/branch_target.hpp"
#include "check/findings.hpp"
#include "ppc64/instruction.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::check {
namespace {

using ppc64::Operand;

constexpr std::uint64_t kDoublewordBytes = 8;

// Whether code goes on at the next word after the branch at `at`.
bool goes_on(const model::CodeFunction& code, std::size_t at, const ppc64::Instruction* row) {
  if (row->links) {
    return true;
  }
  const bool is_conditional =
      row->operands[0] == Operand::bo &&
      (static_cast<std::uint32_t>(ppc64::extract(Operand::bo, code.words[at])) &
       ppc64::kBranchAlways) != ppc64::kBranchAlways;
  return is_conditional;
}

// The words that some BPF instruction's code leads to, the epilogue's among them.
std::vector<bool> reached(const model::CodeFunction& code) {
  const std::size_t end = code.code_end();
  std::vector<bool> reached(end);
  std::vector<std::size_t> from;
  from.reserve(code.lines.size() + 2);  // and where a branch leads: it is taken up first
  from.push_back(code.descriptor_words);
  for (const model::CodeLine& line : code.lines) {
    from.push_back(line.word);
  }
  while (!from.empty()) {
    std::size_t at = from.back();
    from.pop_back();
    while (at < end && !reached[at]) {
      reached[at] = true;
      if (ppc64::is_prefix(code.words[at]) && at + 1 < end) {
        reached[++at] = true;
      } else if (const auto* const row = ppc64::find(code.words[at]);
                 row != nullptr && row->is_branch()) {
        if (const auto target = branch_target(code, at, row); target && *target >= 0) {
          from.push_back(static_cast<std::size_t>(*target));
        }
        if (!goes_on(code, at, row)) {
          break;
        }
      }
      ++at;
    }
  }
  return reached;
}

class Layout {
 public:
  explicit Layout(const model::CodeFunction& code) : code_(code) {}

  Findings findings() && {
    if (!code_.pass_words.empty() && code_.pass_words.back() != code_.words.size()) {
      add(ErrorCode::code_size,
          fmt::format("{} has {} words; expected the {} of the JIT's last pass", code_.name,
                      code_.words.size(), code_.pass_words.back()));
    }
    tail();
    stubs();
    return std::move(findings_);
  }

 private:
  void tail() {
    const std::size_t end = reached_end(code_);
    if (end < code_.code_end()) {
      const std::size_t left = code_.code_end() - end;
      add(ErrorCode::code_size,
          fmt::format(
              "nothing leads to the last {} of {}, from {} on; expected its code to end there",
              left == 1 ? "word" : fmt::format("{} words", left), code_.name, place(end)));
    }
  }

  // Whether a branch of the code leads to a stub. Stubs that none leads to are for what is attached
  // to the function: a call of the stub then takes the place of the function's first word.
  bool stubs_are_called() const {
    for (std::size_t at = 0; at < code_.code_end(); ++at) {
      const auto target = branch_target(code_, at);
      if (target && *target >= static_cast<std::int64_t>(code_.code_end()) &&
          *target < static_cast<std::int64_t>(code_.words.size())) {
        return true;
      }
    }
    return false;
  }

  // A stub that reads its own address finds its data from there.
  void stubs() {
    const std::int64_t second_word = std::int64_t{code_.descriptor_words} + 1;
    const bool called = code_.code_end() < code_.words.size() && stubs_are_called();
    std::optional<std::uint32_t> own;  // the register that holds an address in the stubs
    GuestAddress own_address;
    for (std::size_t at = code_.code_end(); at < code_.words.size(); ++at) {
      const std::uint32_t word = code_.words[at];
      const ppc64::Instruction* const row = ppc64::find(word);
      if (row == nullptr) {
        continue;
      }
      if (row->op == ppc64::Op::mflr && at > 0 && code_.words[at - 1] == ppc64::kReadOwnAddress) {
        own = static_cast<std::uint32_t>(ppc64::extract(Operand::rt, word));
        own_address = code_.address + at * 4;
      } else if (row->op == ppc64::Op::ld && own &&
                 static_cast<std::uint32_t>(ppc64::extract(Operand::ra0, word)) == *own) {
        const GuestAddress data = own_address + Displacement{ppc64::extract(Operand::ds, word)};
        if (data.value % kDoublewordBytes != 0) {
          add(ErrorCode::code_data_misaligned,
              fmt::format(
                  "the stub at {} of {} reads a doubleword at {}; expected a multiple of {}: "
                  "otherwise a change of it is not atomic",
                  place(at), code_.name, to_string(data), kDoublewordBytes));
        }
      } else if (const auto target = branch_target(code_, at);
                 target && (*target < code_.descriptor_words ||
                            *target >= static_cast<std::int64_t>(code_.code_end()))) {
        add(ErrorCode::code_branch_elsewhere,
            fmt::format("expected the branch of the stub at {} to lead into the code of {}; it "
                        "leads to {}",
                        place(at), code_.name,
                        to_string(code_.address + Displacement{*target * 4})));
      } else if (target && !called && *target != second_word) {
        add(ErrorCode::code_branch_elsewhere,
            fmt::format("expected the branch of the stub at {} to lead to {}, after the first word "
                        "of {}, which a call of the stub replaces; it leads to {}",
                        place(at), to_string(code_.address + Displacement{second_word * 4}),
                        code_.name, to_string(code_.address + Displacement{*target * 4})));
      }
    }
  }

  std::string place(std::size_t word) const { return to_string(code_.address + word * 4); }

  void add(ErrorCode code, std::string text) { findings_.push_back({code, "", std::move(text)}); }

  const model::CodeFunction& code_;
  Findings findings_;
};

}  // namespace

std::size_t reached_end(const model::CodeFunction& code) {
  if (code.lines.empty()) {
    return code.code_end();
  }
  const std::vector<bool> is_reached = reached(code);
  std::size_t end = is_reached.size();
  while (end > 0 && !is_reached[end - 1]) {
    --end;
  }
  return end;
}

Findings layout_findings(const bpf::Program& program, const model::CodeImage& image) {
  Findings findings;
  for (std::size_t i = 0; i < program.functions.size() && i < image.functions.size(); ++i) {
    std::ranges::move(Layout(image.functions[i]).findings(), std::back_inserter(findings));
  }
  return findings;
}

}  // namespace farcall::check
