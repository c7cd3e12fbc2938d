#include "faults/words.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "ppc64/prefixed.hpp"

namespace farcall::faults {
namespace {

using ppc64::Op;
using ppc64::Operand;

std::vector<const bpf::Slot*> instructions(const bpf::Program& program,
                                           const bpf::Function& function) {
  std::vector<const bpf::Slot*> all;
  for (bpf::SlotIndex at = function.begin; at < function.end;
       at += bpf::slots_of(program.slots[at].opcode)) {
    all.push_back(&program.slots[at]);
  }
  return all;
}

// Calls `visit` for each word until it says to stop.
void walk(const model::Document& right, model::CodeImage& image,
          const std::function<bool(const Word&)>& visit) {
  const bpf::Program& program = *right.cell.program;
  for (std::uint32_t i = 0; i < program.functions.size(); ++i) {
    const model::CodeFunction& code = right.image->functions[i];
    const auto slots = instructions(program, program.functions[i]);
    std::size_t line = 0;  // so many have begun
    for (std::size_t at = code.descriptor_words; at < code.code_end();
         at += ppc64::instruction_words(std::span(code.words).subspan(at))) {
      while (line < code.lines.size() && code.lines[line].word <= at) {
        ++line;
      }
      const ppc64::Instruction* const row = ppc64::find(code.words[at]);
      if (row == nullptr) {
        continue;
      }
      const Place place = line == 0             ? Place::prologue
                          : line > slots.size() ? Place::epilogue
                                                : Place::body;
      if (!visit({.right = right,
                  .image = image,
                  .function = i,
                  .at = at,
                  .place = place,
                  .slot = place == Place::body ? slots[line - 1] : nullptr,
                  .row = *row})) {
        return;
      }
    }
  }
}

}  // namespace

void Word::set(ppc64::Operand operand, std::int64_t value) const {
  const ppc64::OperandInfo info = ppc64::operand_info(operand);
  word() = (word() & ~info.mask()) | ppc64::insert(info, value);
}

bool each_word(const model::Document& right, model::CodeImage& image, const Change& change) {
  bool changed = false;
  walk(right, image, [&](const Word& word) {
    changed = change(word) || changed;
    return true;
  });
  return changed;
}

bool first_word(const model::Document& right, model::CodeImage& image, const Change& change) {
  bool changed = false;
  walk(right, image, [&](const Word& word) {
    changed = change(word);
    return !changed;
  });
  return changed;
}

std::optional<std::uint64_t> fixed_at(const model::CodeFunction& code, std::size_t lis) {
  constexpr std::array kOps = {Op::addis, Op::ori, Op::rldicr, Op::oris, Op::ori};
  if (lis + kOps.size() > code.words.size()) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < kOps.size(); ++i) {
    const ppc64::Instruction* const row = ppc64::find(code.words[lis + i]);
    if (row == nullptr || row->op != kOps[i]) {
      return std::nullopt;
    }
  }
  const auto half = [&](std::size_t i) { return std::uint64_t{code.words[lis + i]} & 0xffff; };
  return ppc64::extract(Operand::ra0, code.words[lis]) == 0
             ? std::optional(half(0) << 48 | half(1) << 32 | half(3) << 16 | half(4))
             : std::nullopt;
}

void set_fixed(model::CodeFunction& code, std::size_t lis, std::uint64_t value) {
  const auto put = [&](std::size_t i, unsigned shift) {
    std::uint32_t& word = code.words[lis + i];
    word = (word & 0xffff0000) | static_cast<std::uint32_t>(value >> shift & 0xffff);
  };
  put(0, 48);
  put(1, 32);
  put(3, 16);
  put(4, 0);
}

bool each_absolute_call(model::CodeImage& image, const Address& change) {
  constexpr std::size_t kMostWords = 9;  // with a descriptor
  bool changed = false;
  for (const model::CodeCall& call : image.calls) {
    model::CodeFunction& code = image.functions[call.site.function];
    const std::size_t at = (call.at.value - code.address.value) / 4;
    for (std::size_t back = 6; call.callee && back <= kMostWords && back <= at; ++back) {
      if (const auto address = fixed_at(code, at - back)) {
        const std::uint64_t other = change(call, *address);
        changed = changed || other != *address;
        set_fixed(code, at - back, other);
        break;
      }
    }
  }
  return changed;
}

void insert(model::CodeFunction& code, std::size_t at, std::uint32_t word) {
  code.words.insert(code.words.begin() + static_cast<std::ptrdiff_t>(at), word);
}

void erase(model::CodeFunction& code, std::size_t at) {
  code.words.erase(code.words.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace farcall::faults
