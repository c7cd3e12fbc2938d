#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "check/branch_target.hpp"
#include "check/findings.hpp"
#include "model/code_map.hpp"
#include "ppc64/instruction.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::check {
namespace {

// One defect displaces all branches after it.
constexpr std::size_t kMostFindings = 3;

// The instructions of one function by their numbers, and where the code of each begins, if the
// JIT's line table has it. One more start than instructions: the epilogue's.
struct Lines {
  std::vector<bpf::SlotIndex> slots;
  std::vector<std::optional<std::uint32_t>> starts;
};

Lines lines_of(const bpf::Program& program, const bpf::Function& function,
               const model::CodeFunction& code) {
  Lines lines;
  lines.slots.reserve(function.end - function.begin);
  for (const bpf::SlotIndex at : instructions(program, function)) {
    lines.slots.push_back(at);
  }
  lines.starts.resize(lines.slots.size() + 1);
  for (const model::CodeLine& line : code.lines) {
    if (line.instruction < lines.starts.size()) {
      lines.starts[line.instruction] = line.word;
    }
  }
  return lines;
}

bool is_return(std::uint32_t word) {
  const ppc64::Instruction* const row = ppc64::find(word);
  return row != nullptr && row->target == ppc64::BranchTarget::link_register && !row->links;
}

class Flow {
 public:
  Flow(const bpf::Program& program, const bpf::Function& function, const model::CodeFunction& code,
       const Lines& lines)
      : program_(program), function_(function), code_(code), lines_(lines) {}

  Findings findings() && {
    for (std::size_t i = 0; i < lines_.slots.size(); ++i) {
      if (is_told(i)) {
        instruction(i);
      }
    }
    return std::move(findings_);
  }

 private:
  // Whether it is known where the code of the instruction begins and ends.
  bool has_extent(std::size_t i) const { return lines_.starts[i] && lines_.starts[i + 1]; }
  // And where it leads.
  bool is_told(std::size_t i) const {
    return has_extent(i) && (info(i).is_jump() ? lines_.starts[jump_target(i)].has_value()
                                               : !is_exit(i) || lines_.starts.back());
  }
  std::uint32_t begin(std::size_t i) const { return *lines_.starts[i]; }
  std::uint32_t end(std::size_t i) const { return *lines_.starts[i + 1]; }
  const bpf::InstructionInfo& info(std::size_t i) const {
    return *bpf::find(program_.slots[lines_.slots[i]]);
  }
  bool is_exit(std::size_t i) const { return info(i).operation == bpf::Operation::exit; }

  // The number of the instruction that the jump `i` goes to.
  std::size_t jump_target(std::size_t i) const {
    const bpf::Slot& slot = program_.slots[lines_.slots[i]];
    const auto to = static_cast<bpf::SlotIndex>(std::int64_t{lines_.slots[i]} + 1 +
                                                bpf::displacement(slot, info(i)));
    return static_cast<std::size_t>(std::ranges::lower_bound(lines_.slots, to) -
                                    lines_.slots.begin());
  }

  // The epilogue, or the code of an exit that has one of its own.
  bool ends_function(std::int64_t word) const {
    if (word == lines_.starts.back()) {
      return true;
    }
    for (std::size_t i = 0; i < lines_.slots.size(); ++i) {
      if (is_exit(i) && has_extent(i) && begin(i) == word && has_return(i)) {
        return true;
      }
    }
    return false;
  }

  bool has_return(std::size_t i) const {
    return std::any_of(code_.words.begin() + begin(i), code_.words.begin() + end(i), is_return);
  }

  void instruction(std::size_t i) {
    const bool jumps = info(i).is_jump();
    const bool exits = is_exit(i);
    const std::int64_t wanted = jumps   ? *lines_.starts[jump_target(i)]
                                : exits ? *lines_.starts.back()
                                        : std::int64_t{end(i)};
    // What follows is reached by going on.
    bool arrives = wanted == end(i) || (exits && has_return(i));
    for (std::uint32_t at = begin(i); at < end(i); ++at) {
      if (ppc64::is_prefix(code_.words[at])) {
        ++at;
        continue;
      }
      const auto target = branch_target(code_, at);
      if (!target) {
        continue;
      }
      const bool right = *target == wanted || (exits && ends_function(*target));
      arrives = arrives || right;
      if (!right && (*target < begin(i) || *target > end(i))) {
        add(
            fmt::format("expected the branch at {}, of instruction {} of {}, to lead to {}, where "
                        "the code of {} begins; it leads to {}",
                        place(at), i, function_.name, place(wanted),
                        jumps   ? fmt::format("instruction {}", jump_target(i))
                        : exits ? "the epilogue"
                                : "the next instruction",
                        place(*target)));
        arrives = true;
      }
    }
    if (!arrives) {
      add(
          fmt::format("expected a branch of instruction {} of {}, at {}, to lead to {}; there is "
                      "none",
                      i, function_.name, place(begin(i)), place(wanted)));
    }
  }

  std::string place(std::int64_t word) const {
    return to_string(code_.address + static_cast<std::uint64_t>(word) * 4);
  }

  void add(std::string text) {
    if (findings_.size() < kMostFindings) {
      findings_.push_back({ErrorCode::code_branch_elsewhere, "", std::move(text)});
    }
  }

  const bpf::Program& program_;
  const bpf::Function& function_;
  const model::CodeFunction& code_;
  const Lines& lines_;
  Findings findings_;
};

}  // namespace

Findings table_findings(const bpf::Program& program, const model::CodeImage& image) {
  Findings findings;
  if (image.code_pointers.empty()) {
    return findings;
  }
  const model::CodeMap map = code_map(program, image);
  for (std::size_t i = 0; i < program.code_pointers.size(); ++i) {
    const bpf::CodePointer& pointer = program.code_pointers[i];
    const model::PlacedInstruction* const placed = map.of(pointer.slot);
    const GuestAddress seen = image.code_pointers[i].address;
    if (placed == nullptr || placed->begin == seen || findings.size() == kMostFindings) {
      continue;
    }
    const bpf::Function& function = program.functions[placed->function];
    findings.push_back(
        {ErrorCode::code_branch_elsewhere, "",
         fmt::format("expected {}+{} to be {}, where the code of {}+{} begins; it is {}, {} off",
                     pointer.region, pointer.offset, to_string(placed->begin), function.name,
                     pointer.slot - function.begin, to_string(seen),
                     to_string(seen - placed->begin))});
  }
  return findings;
}

Findings flow_findings(const bpf::Program& program, const model::CodeImage& image) {
  Findings findings;
  for (std::size_t i = 0; i < program.functions.size() && i < image.functions.size(); ++i) {
    const Lines lines = lines_of(program, program.functions[i], image.functions[i]);
    std::ranges::move(Flow(program, program.functions[i], image.functions[i], lines).findings(),
                      std::back_inserter(findings));
  }
  return findings;
}

}  // namespace farcall::check
