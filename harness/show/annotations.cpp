#include "show/annotations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "ppc64/instruction.hpp"
#include "ppc64/prefixed.hpp"
#include "show/llvm_syntax.hpp"

namespace farcall::show {
namespace {

using ppc64::extract;
using ppc64::Instruction;
using ppc64::Op;
using ppc64::Operand;

constexpr std::string_view kAnything = "{{.*}}";
constexpr std::uint32_t kNop = 0x60000000;
constexpr std::int64_t kToc = 2;
constexpr std::int64_t kPaca = 13;

// How much of an instruction's text is the same from load to load.
enum class Fixed : std::uint8_t {
  all,
  not_its_number,
  first_of_address,  // not its number, and those after it may be more or fewer
  nothing,           // the others of an address
};

// What is known of a register's value: the instructions that made it of immediates, or that it is
// relative to r2 or r13.
struct Origin {
  std::vector<std::size_t> words;
  std::uint64_t value = 0;
  bool is_relative = false;
};

// Reads the code of one function and finds in it what depends on addresses. It takes the code as a
// straight line: JITs make each address in one.
class AddressFinder {
 public:
  AddressFinder(const model::CodeImage& image, const model::CodeFunction& function,
                std::span<const bpf::MemoryRegion> memory)
      : image_(image), function_(function), memory_(memory), fixed_(function.words.size()) {}

  std::vector<Fixed> find() {
    for (std::size_t at = function_.descriptor_words; at < function_.code_end();) {
      const auto rest = std::span(function_.words).subspan(at);
      if (const std::size_t count = ppc64::instruction_words(rest); count == 2) {
        look_at_prefixed(at, {rest[0], rest[1]});
        at += count;
      } else {
        if (const Instruction* const row = ppc64::find(rest[0])) {
          look_at(at, *row, rest[0]);
        }
        ++at;
      }
    }
    std::ranges::for_each(registers_, [this](std::optional<Origin>& origin) { forget(origin); });
    return std::move(fixed_);
  }

 private:
  GuestAddress target(std::size_t at, const Instruction& row) const {
    const Operand last = row.operands[row.operand_count - 1];
    return function_.address + at * 4 +
           static_cast<Displacement>(extract(last, function_.words[at]));
  }

  bool is_within(GuestAddress address) const {
    return address >= function_.code() && address < function_.end();
  }

  bool is_address(std::uint64_t value) const {
    return std::ranges::any_of(image_.functions,
                               [&](const model::CodeFunction& function) {
                                 return value >= function.address.value &&
                                        value < function.end().value;
                               }) ||
           std::ranges::any_of(memory_, [&](const bpf::MemoryRegion& region) {
             return value - region.address.value < region.bytes.size();
           });
  }

  // The value is complete: what comes next is another one.
  void forget(std::optional<Origin>& origin) {
    if (origin && !origin->is_relative && is_address(origin->value)) {
      for (const std::size_t at : origin->words) {
        fixed_[at] = at == origin->words.front() ? Fixed::first_of_address : Fixed::nothing;
      }
    }
    origin.reset();
  }

  std::optional<Origin>& in(std::int64_t gpr) { return registers_[static_cast<std::size_t>(gpr)]; }

  // Register `to` gets what `change` makes of `from`'s value, if that is known.
  template <typename Change>
  void extend(std::size_t at, std::int64_t to, std::int64_t from, Change change) {
    std::optional<Origin> origin = in(from);
    if (origin) {
      origin->words.push_back(at);
      origin->value = change(origin->value);
      if (origin->is_relative) {
        fixed_[at] = Fixed::not_its_number;
      }
    }
    if (to != from) {
      forget(in(to));
    }
    in(to) = std::move(origin);
  }

  void add(std::size_t at, std::uint32_t word, std::uint64_t number) {
    const std::int64_t to = extract(Operand::rt, word);
    const std::int64_t from = extract(Operand::ra0, word);
    if (from == 0) {
      forget(in(to));
      in(to) = Origin{.words = {at}, .value = number};
    } else if (from == kToc || from == kPaca) {
      forget(in(to));
      in(to) = Origin{.is_relative = true};
      fixed_[at] = Fixed::not_its_number;
    } else if (in(from) && in(from)->is_relative) {
      extend(at, to, from, [number](std::uint64_t value) { return value + number; });
    } else {
      forget(in(to));  // an addition of the program's: no JIT makes addresses of immediates so
    }
  }

  void look_at(std::size_t at, const Instruction& row, std::uint32_t word) {
    const auto immediate = [word](Operand operand) {
      return static_cast<std::uint64_t>(extract(operand, word));
    };
    const auto change = [&](auto what) {
      extend(at, extract(Operand::ra_dest, word), extract(Operand::rs, word), what);
    };
    switch (row.op) {
      case Op::addi:
        return add(at, word, immediate(Operand::si));
      case Op::addis:
        return add(at, word, immediate(Operand::si) << 16);
      case Op::ori:
        if (word != kNop) {
          change([&](std::uint64_t value) { return value | immediate(Operand::ui); });
        }
        return;
      case Op::oris:
        return change([&](std::uint64_t value) { return value | immediate(Operand::ui) << 16; });
      case Op::rldicr:
        return change([&](std::uint64_t value) {
          return std::rotl(value, static_cast<int>(immediate(Operand::sh6))) &
                 ~std::uint64_t{0} << (63 - immediate(Operand::mb6));
        });
      case Op::rldicl:
        return change([&](std::uint64_t value) {
          return std::rotl(value, static_cast<int>(immediate(Operand::sh6))) &
                 ~std::uint64_t{0} >> immediate(Operand::mb6);
        });
      default:
        break;
    }
    if (row.target == ppc64::BranchTarget::relative && !is_within(target(at, row))) {
      fixed_[at] = Fixed::not_its_number;
    }
    const auto operands = std::span(row.operands).first(row.operand_count);
    const bool has_offset = std::ranges::any_of(operands, [](Operand operand) {
      return ppc64::operand_info(operand).kind == ppc64::OperandKind::memory;
    });
    if (has_offset) {
      const std::int64_t base = extract(Operand::ra0, word);
      if (base == kToc || base == kPaca || (in(base) && in(base)->is_relative)) {
        fixed_[at] = Fixed::not_its_number;
      }
    }
    for (const Operand operand : operands) {
      const ppc64::OperandInfo info = ppc64::operand_info(operand);
      if (info.writes && info.kind == ppc64::OperandKind::gpr) {
        forget(in(extract(operand, word)));
      }
    }
  }

  void look_at_prefixed(std::size_t at, ppc64::PrefixedWords words) {
    const ppc64::PrefixedOperands operands = ppc64::operands_of(words);
    if (ppc64::find(words) != nullptr) {
      forget(in(static_cast<std::int64_t>(operands.rt)));
      if (operands.pc_relative) {
        fixed_[at] = Fixed::not_its_number;
      } else if (operands.ra == ppc64::Gpr::r0) {
        in(static_cast<std::int64_t>(operands.rt)) =
            Origin{.words = {at}, .value = static_cast<std::uint64_t>(operands.displacement)};
      }
    }
  }

  const model::CodeImage& image_;
  const model::CodeFunction& function_;
  std::span<const bpf::MemoryRegion> memory_;
  std::vector<Fixed> fixed_;
  std::array<std::optional<Origin>, 32> registers_;
};

// Annotations, with one `...` where several would follow each other.
class Block {
 public:
  void line(std::string_view text) {
    text_ += fmt::format("__jited(\"{}\")\n", text);
    skips_ = false;
  }
  void skip() {
    if (!skips_) {
      line("...");
    }
    skips_ = true;
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_ = "__arch_powerpc64\n";
  bool skips_ = false;
};

void add(Block& block, const model::CodeFunction& function, std::span<const Fixed> fixed) {
  if (function.descriptor_words != 0) {
    block.skip();
  }
  bool after_address = false;
  for (std::size_t at = function.descriptor_words; at < function.code_end();) {
    const auto rest = std::span(function.words).subspan(at);
    const std::size_t count = ppc64::instruction_words(rest);
    const bool is_open = fixed[at] == Fixed::nothing || (after_address && rest[0] == kNop);
    const auto text = llvm_syntax(rest, fixed[at] == Fixed::all ? "" : kAnything);
    if (is_open || !text) {
      block.skip();
    } else {
      block.line('\t' + *text);
      after_address = false;
    }
    if (fixed[at] == Fixed::first_of_address) {
      block.skip();
      after_address = true;
    }
    at += count;
  }
  if (function.stub_words != 0) {
    block.skip();
  }
}

}  // namespace

std::string jited_annotations(const model::CodeImage& image, std::size_t functions,
                              std::span<const bpf::MemoryRegion> memory) {
  Block block;
  for (std::size_t i = 0; i < std::min(functions, image.functions.size()); ++i) {
    if (i != 0) {
      block.skip();
    }
    block.line(fmt::format("func #{}:", i));
    const model::CodeFunction& function = image.functions[i];
    add(block, function, AddressFinder(image, function, memory).find());
  }
  return std::move(block).text();
}

}  // namespace farcall::show
