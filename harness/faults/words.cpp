#include "faults/words.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "bpf/instruction_range.hpp"
#include "decode/call_sites.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::faults {
namespace {

using ppc64::Op;
using ppc64::Operand;

std::vector<const bpf::Slot*> first_slots(const bpf::Program& program,
                                          const bpf::Function& function) {
  std::vector<const bpf::Slot*> all;
  for (const bpf::SlotIndex at : instructions(program, function)) {
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
    const auto slots = first_slots(program, program.functions[i]);
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
      const std::size_t number = line == 0 ? 0 : code.lines[line - 1].instruction;
      const Place place = code.lines.empty()       ? Place::nowhere
                          : line == 0              ? Place::prologue
                          : number >= slots.size() ? Place::epilogue
                                                   : Place::body;
      if (!visit({.right = right,
                  .image = image,
                  .function = i,
                  .at = at,
                  .place = place,
                  .slot = place == Place::body ? slots[number] : nullptr,
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

bool any_word(const model::Document& right, const Change& holds) {
  model::CodeImage image = *right.image;
  return first_word(right, image, holds);
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

namespace {

// The words up to the `mtctr` of a call that load its callee's address, with what is left out where
// a halfword of it is zero: `lis`, `ori`, `sldi`, `oris`, `ori`, and nops that pad them.
struct Load {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::uint64_t value = 0;
};

std::optional<Load> shorter_load(const model::CodeFunction& code, std::size_t branch) {
  const auto op_at = [&](std::size_t at) {
    const ppc64::Instruction* const row = ppc64::find(code.words[at]);
    return row == nullptr ? std::nullopt : std::optional(row->op);
  };
  if (branch == 0 || op_at(branch - 1) != Op::mtctr) {
    return std::nullopt;
  }
  const std::size_t end = branch - 1;
  constexpr std::size_t kMostWords = 5;
  for (std::size_t begin = end; begin-- > 0 && end - begin <= kMostWords;) {
    const std::uint32_t first = code.words[begin];
    if (op_at(begin) != Op::addis || ppc64::extract(Operand::ra0, first) != 0) {
      continue;
    }
    if (fixed_at(code, begin)) {
      return std::nullopt;  // all five
    }
    const std::int64_t gpr = ppc64::extract(Operand::rt, first);
    Load load{.begin = begin,
              .end = end,
              .value = static_cast<std::uint64_t>(ppc64::extract(Operand::si, first)) << 16};
    for (std::size_t at = begin + 1; at < end; ++at) {
      const std::uint32_t word = code.words[at];
      const bool is_own =
          ppc64::extract(Operand::ra_dest, word) == gpr && ppc64::extract(Operand::rs, word) == gpr;
      if (word == kNop) {
        continue;
      }
      if (!is_own || (op_at(at) != Op::ori && op_at(at) != Op::oris && op_at(at) != Op::rldicr)) {
        return std::nullopt;
      }
      load.value = op_at(at) == Op::rldicr ? load.value << 32
                   : op_at(at) == Op::oris ? load.value | std::uint64_t{word & 0xffff} << 16
                                           : load.value | (word & 0xffff);
    }
    return load;
  }
  return std::nullopt;
}

// Loads another value in the same words; false if it is the same one, or has no room there.
bool set_shorter(model::CodeFunction& code, const Load& load, std::uint64_t value) {
  const auto gpr = static_cast<ppc64::Gpr>(ppc64::extract(Operand::rt, code.words[load.begin]));
  const auto half = [value](unsigned shift) {
    return static_cast<std::int64_t>(value >> shift & 0xffff);
  };
  std::vector<std::uint32_t> words = {
      ppc64::encode<Op::addis>(gpr, ppc64::kZero, static_cast<std::int16_t>(half(48)))};
  const auto add_nonzero = [&](std::int64_t part, auto encoded) {
    if (part != 0) {
      words.push_back(encoded);
    }
  };
  add_nonzero(half(32), ppc64::encode<Op::ori>(gpr, gpr, half(32)));
  words.push_back(ppc64::encode<Op::rldicr>(gpr, gpr, 32, 31));
  add_nonzero(half(16), ppc64::encode<Op::oris>(gpr, gpr, half(16)));
  add_nonzero(half(0), ppc64::encode<Op::ori>(gpr, gpr, half(0)));
  if (value == load.value || words.size() > load.end - load.begin) {
    return false;
  }
  words.resize(load.end - load.begin, kNop);
  std::ranges::copy(words, code.words.begin() + static_cast<std::ptrdiff_t>(load.begin));
  return true;
}

}  // namespace

std::vector<model::CodeCall> calls_of(const model::Document& right) {
  model::CodeImage image = *right.image;
  const model::Cell& cell = right.cell;
  decode::find_calls(
      *cell.program,
      decode::call_sites(image, {.endian = cell.axes.endian, .toc = cell.placement.toc}), image);
  return std::move(image.calls);
}

bool each_absolute_call(const model::Document& right, model::CodeImage& image,
                        const Address& change) {
  constexpr std::size_t kMostWords = 9;  // with a descriptor
  const bool is_told = !image.calls.empty() &&
                       image.calls.front().site.function < right.cell.program->functions.size();
  bool changed = false;
  for (const model::CodeCall& call : is_told ? image.calls : calls_of(right)) {
    model::CodeFunction& code = image.functions[call.site.function];
    const std::size_t at = (call.at.value - code.address.value) / 4;
    if (const auto load = call.callee ? shorter_load(code, at) : std::nullopt) {
      changed = set_shorter(code, *load, change(call, load->value)) || changed;
      continue;
    }
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
