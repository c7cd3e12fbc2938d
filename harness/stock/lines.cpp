#include "stock/lines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <span>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "check/kernel_dump_findings.hpp"
#include "decode/call_sites.hpp"
#include "ppc64/abi.hpp"
#include "stock/document.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {
namespace {

constexpr std::uint64_t kEarlyByTheDescriptor = ppc64::kElfv1.descriptor_bytes;

constexpr std::uint32_t kResultToR3 = 0x7d034378;  // mr r3,r8

// Whether the word writes that register and reads none: li, lis.
bool begins_load(std::uint32_t word, std::uint8_t gpr) {
  const std::uint32_t opcode = word >> 26U;
  return (opcode == 14 || opcode == 15) && (word >> 21U & 31U) == gpr && (word >> 16U & 31U) == 0;
}

// Whether the word gives back what the prologue has kept or made: ld …,D(r1); addi r1,r1,…; mtlr r0.
// BPF's own stack is got at by r31.
bool ends_frame(std::uint32_t word) {
  constexpr std::uint32_t kLoadByR1 = 0xe8010000;
  constexpr std::uint32_t kAddToR1 = 0x38210000;
  constexpr std::uint32_t kToLink = 0x7c0803a6;
  return (word & 0xfc1f0003U) == kLoadByR1 || (word & 0xffff0000U) == kAddToR1 || word == kToLink;
}

// Where code of the function begins, in words, by the slot of the dump.
using Begins = std::map<bpf::SlotIndex, std::uint32_t>;

class FunctionLines {
 public:
  FunctionLines(const bpf::Program& dumped, const bpf::Function& function,
                const model::CodeFunction& code, std::span<const std::uint8_t> registers)
      : dumped_(dumped), function_(function), code_(code), registers_(registers) {}

  // A row of the kernel's.
  void take(const kernel::LineRow& row, LineRows rows) {
    const bool is_early = rows == LineRows::one_early || rows == LineRows::from_the_descriptor;
    const std::uint64_t offset =
        row.address.value - code_.address.value +
        (rows == LineRows::from_the_descriptor ? kEarlyByTheDescriptor : 0);
    if (rows == LineRows::not_told || row.slot < function_.begin || row.slot >= function_.end ||
        offset % 4 != 0 || offset / 4 < code_.descriptor_words ||
        offset / 4 >= code_.words.size()) {
      return;
    }
    const auto word = static_cast<std::uint32_t>(offset / 4);
    if (rows == LineRows::exact && row.slot != function_.begin) {
      begins_[row.slot] = word;
    } else if (is_early && row.slot != function_.begin) {
      const bpf::SlotIndex before = row.slot - 1;
      const bool after_load = before > function_.begin && is_load(before - 1);
      begins_[after_load ? row.slot : before] = word;
    }
  }

  // What only the bytes say: where loads begin, whose ends are told, and where the epilogue does.
  void look_at_code() {
    for (const bpf::SlotIndex at : instructions(dumped_, function_)) {
      const auto end = begins_.find(at + 2);
      if (is_load(at) && !begins_.contains(at) && end != begins_.end()) {
        if (const auto word = begin_of_load(dumped_.slots[at].dst, end->second)) {
          begins_[at] = *word;
        }
      }
    }
    const auto words = std::span(code_.words).first(code_.code_end());
    const auto last = std::find(words.rbegin(), words.rend(), kResultToR3);
    if (last != words.rend()) {
      epilogue_ = static_cast<std::uint32_t>(words.rend() - last - 1);
      while (*epilogue_ > 0 && ends_frame(words[*epilogue_ - 1])) {
        --*epilogue_;
      }
    }
    constexpr std::uint8_t kExit = 0x95;
    if (epilogue_ && dumped_.slots[function_.end - 1].opcode == kExit) {
      begins_.try_emplace(function_.end - 1, *epilogue_);
    }
  }

  std::optional<std::uint32_t> begin(bpf::SlotIndex slot) const {
    const auto found = begins_.find(slot);
    return found == begins_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<std::uint32_t> epilogue() const { return epilogue_; }

 private:
  bool is_load(bpf::SlotIndex slot) const {
    return dumped_.slots[slot].opcode == bpf::kLoadImmediate64;
  }

  std::optional<std::uint32_t> begin_of_load(std::uint8_t dst, std::uint32_t end) const {
    if (dst >= registers_.size()) {  // of blinding
      return std::nullopt;
    }
    constexpr std::uint32_t kMostWords = 5;
    for (std::uint32_t at = end; at > 0 && end - at < kMostWords;) {
      --at;
      if (begins_load(code_.words[at], registers_[dst])) {
        return at;
      }
    }
    return std::nullopt;
  }

  const bpf::Program& dumped_;
  const bpf::Function& function_;
  const model::CodeFunction& code_;
  std::span<const std::uint8_t> registers_;  // of BPF's r0 … r10
  Begins begins_;
  std::optional<std::uint32_t> epilogue_;
};

struct Parts {
  const bpf::Function& loaded;
  const bpf::Function& dumped;
  const model::CodeFunction& code;
};

FoundLines of_function(const bpf::Program& loaded, const Parts& parts, const kernel::Answer& answer,
                       FunctionLines lines, LineRows rows) {
  // Where the dump has each instruction that the verifier has not removed.
  std::map<bpf::SlotIndex, bpf::SlotIndex> dumped_slots;
  for (const kernel::LineRow& row : answer.lines) {
    lines.take(row, rows);
    dumped_slots[row.loaded_slot] = row.slot;
  }
  lines.look_at_code();
  FoundLines found;
  const auto add = [&](std::uint32_t number, std::optional<std::uint32_t> word) {
    const bool is_after = found.lines.empty() || (word && found.lines.back().word <= *word);
    if (word && is_after) {
      found.lines.push_back({.instruction = number, .word = *word});
    }
    return word && is_after;
  };
  std::uint32_t number = 0;
  for (const bpf::SlotIndex at : instructions(loaded, parts.loaded)) {
    const auto dumped = dumped_slots.find(at);
    const bool is_there = dumped != dumped_slots.end() && dumped->second >= parts.dumped.begin &&
                          dumped->second < parts.dumped.end;
    found.without += add(number, is_there ? lines.begin(dumped->second) : std::nullopt) ? 0U : 1U;
    ++number;
  }
  add(number, lines.epilogue());
  found.instructions = number;
  return found;
}

}  // namespace

LineRows line_rows(const kernel::Answer& answer, const kernel::KernelFacts& facts) {
  const std::array<std::string, 1> names = {"main"};
  if (answer.functions.size() != 1 || answer.lines.empty()) {
    return LineRows::not_told;
  }
  const auto sites = decode::call_sites(kernel_image(answer, names, facts),
                                        {.endian = facts.endian, .toc = facts.toc});
  std::vector<bpf::SlotIndex> slots;
  for (const bpf::SlotIndex at : instructions(answer.program)) {
    if (answer.program[at].opcode == kCallOpcode) {
      slots.push_back(at);
    }
  }
  if (slots.empty() || slots.size() != sites.size()) {
    return LineRows::not_told;
  }
  std::vector<check::CallInCode> calls;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    calls.push_back({.name = "main", .slot = slots[i], .at = sites[i].at});
  }
  std::vector<check::KernelLine> lines;
  for (const kernel::LineRow& row : answer.lines) {
    lines.push_back({.slot = row.slot, .address = row.address});
  }
  if (check::line_findings(lines, calls).empty()) {
    return LineRows::exact;
  }
  // As the rows have them if each is of the slot before.
  std::erase_if(lines, [](const check::KernelLine& line) { return line.slot == 0; });
  std::ranges::for_each(lines, [](check::KernelLine& line) { --line.slot; });
  if (check::line_findings(lines, calls).empty()) {
    return LineRows::one_early;
  }
  std::ranges::for_each(
      lines, [](check::KernelLine& line) { line.address = line.address + kEarlyByTheDescriptor; });
  const bool is_elfv1 = facts.abi == model::Abi::elfv1;
  return is_elfv1 && check::line_findings(lines, calls).empty() ? LineRows::from_the_descriptor
                                                                : LineRows::not_told;
}

std::vector<FoundLines> found_lines(const bpf::Program& loaded, const bpf::Program& dumped,
                                    const kernel::Answer& answer, const model::CodeImage& image,
                                    LineRows rows) {
  std::vector<FoundLines> found;
  for (std::size_t i = 0; i < loaded.functions.size(); ++i) {
    const Parts parts = {
        .loaded = loaded.functions[i], .dumped = dumped.functions[i], .code = image.functions[i]};
    found.push_back(
        of_function(loaded, parts, answer,
                    FunctionLines(dumped, parts.dumped, parts.code, image.bpf_registers), rows));
  }
  return found;
}

std::string without_lines(const std::vector<FoundLines>& found) {
  std::size_t without = 0;
  std::size_t all = 0;
  for (const FoundLines& function : found) {
    without += function.without;
    all += function.instructions;
  }
  return without == 0 ? ""
                      : fmt::format(
                            "control flow is not checked around {} of {} instructions: the "
                            "kernel does not say where their code begins",
                            without, all);
}

}  // namespace farcall::stock
