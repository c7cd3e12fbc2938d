#include "decode/call_sites.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "decode/evaluate.hpp"
#include "decode/registers.hpp"
#include "ppc64/abi.hpp"
#include "ppc64/instruction.hpp"

namespace farcall::decode {
namespace {

using ppc64::BranchTarget;
using ppc64::Instruction;
using ppc64::Operand;

// Where the branch `word` at `at` goes by what is in the word itself.
std::optional<GuestAddress> direct_target(const Instruction& row, std::uint32_t word,
                                          GuestAddress at) {
  const auto last = [&] {
    return static_cast<Displacement>(ppc64::extract(row.operands[row.operand_count - 1U], word));
  };
  switch (row.target) {
    case BranchTarget::relative:
      return at + last();
    case BranchTarget::absolute:
      return GuestAddress{} + last();
    default:
      return std::nullopt;
  }
}

std::optional<GuestAddress> target(const Instruction& row, std::uint32_t word, GuestAddress at,
                                   const KnownRegisters& registers) {
  if (row.target == BranchTarget::relative || row.target == BranchTarget::absolute) {
    return direct_target(row, word, at);
  }
  const auto value =
      registers.get(row.target == BranchTarget::link_register ? kLinkRegister : kCountRegister);
  if (!value) {
    return std::nullopt;
  }
  return GuestAddress{align_down(*value, 4)};  // the CPU ignores the two lowest bits
}

struct Condition {
  bool always = false;
  bool changes_ctr = false;
};

Condition condition(const Instruction& row, std::uint32_t word) {
  if (row.operands[0] != Operand::bo) {
    return {.always = true};
  }
  const auto bo = static_cast<std::uint32_t>(ppc64::extract(Operand::bo, word));
  return {.always = (bo & ppc64::kBranchAlways) == ppc64::kBranchAlways,
          .changes_ctr = (bo & ppc64::kBoKeepsCtr) == 0};
}

// `bcl 20,31,$+4`.
constexpr std::uint32_t kReadOwnAddress = 0x429f0005;

// The addresses that direct branches of the image go to, sorted.
std::vector<GuestAddress> joins(const model::CodeImage& image) {
  std::vector<GuestAddress> found;
  for (const model::CodeFunction& function : image.functions) {
    for (std::size_t i = 0; i < function.words.size(); ++i) {
      const std::uint32_t word = function.words[i];
      const Instruction* const row = ppc64::find(word);
      if (row == nullptr || word == kReadOwnAddress) {
        continue;
      }
      if (const auto to = direct_target(*row, word, function.address + i * 4)) {
        found.push_back(*to);
      }
    }
  }
  std::ranges::sort(found);
  return found;
}

class Sweep {
 public:
  Sweep(const std::vector<GuestAddress>& joins, std::vector<model::DecodedCall>& found)
      : joins_(joins), found_(found) {}

  void function(const model::CodeFunction& function, std::uint32_t number) {
    registers_.forget_all();
    site_ = {number, 0};
    for (std::size_t i = 0; i < function.words.size(); ++i) {
      const GuestAddress at = function.address + i * 4;
      if (is_join(at)) {
        registers_.forget_all();
      }
      const std::uint32_t word = function.words[i];
      const Instruction* const row = ppc64::find(word);
      if (row == nullptr) {
        registers_.forget_all();
        // The second half of a prefixed instruction is no instruction, unless it is jumped to.
        if (ppc64::is_prefix(word) && !is_join(at + 4)) {
          ++i;
        }
      } else if (row->is_branch()) {
        branch(*row, word, at);
      } else {
        evaluate(*row, word, registers_);
      }
    }
  }

 private:
  bool is_join(GuestAddress at) const { return std::ranges::binary_search(joins_, at); }

  void branch(const Instruction& row, std::uint32_t word, GuestAddress at) {
    if (word == kReadOwnAddress) {
      registers_.set(kLinkRegister, (at + 4).value);
      return;
    }
    if (row.links) {
      found_.push_back({site_, at, target(row, word, at, registers_)});
      ++site_.ordinal;
      registers_.forget_all_but(ppc64::kElfv2.preserved_gpr);
      return;
    }
    const Condition taken = condition(row, word);
    if (taken.always) {
      registers_.forget_all();
    } else if (taken.changes_ctr) {
      registers_.forget(kCountRegister);
    }
  }

  const std::vector<GuestAddress>& joins_;
  std::vector<model::DecodedCall>& found_;
  KnownRegisters registers_;
  bpf::CallSite site_;
};

}  // namespace

std::vector<model::DecodedCall> call_sites(const model::CodeImage& image) {
  const std::vector<GuestAddress> targets = joins(image);
  std::vector<model::DecodedCall> found;
  Sweep sweep(targets, found);
  for (std::size_t i = 0; i < image.functions.size(); ++i) {
    sweep.function(image.functions[i], static_cast<std::uint32_t>(i));
  }
  return found;
}

}  // namespace farcall::decode
