#include "decode/call_sites.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>

#include "base/byte_order.hpp"
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
  return GuestAddress{*value};
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

// The addresses that branches of the image go to, directly or through a table, sorted.
std::vector<GuestAddress> joins(const model::CodeImage& image) {
  std::vector<GuestAddress> found;
  for (const model::CodeFunction& function : image.functions) {
    for (std::size_t i = function.descriptor_words; i < function.code_end(); ++i) {
      const std::uint32_t word = function.words[i];
      const Instruction* const row = ppc64::find(word);
      if (row == nullptr || word == ppc64::kReadOwnAddress) {
        continue;
      }
      if (const auto to = direct_target(*row, word, function.address + i * 4)) {
        found.push_back(*to);
      }
    }
  }
  std::ranges::transform(image.code_pointers, std::back_inserter(found),
                         &model::PlacedPointer::address);
  std::ranges::sort(found);
  return found;
}

constexpr RegisterNumber kToc = static_cast<RegisterNumber>(ppc64::kElfv2.toc);

constexpr RegisterNumber kThread = static_cast<RegisterNumber>(ppc64::kElfv2.thread);

constexpr RegisterNumber kStackPointer = static_cast<RegisterNumber>(ppc64::kElfv2.stack);

bool writes(const Instruction& row, std::uint32_t word, RegisterNumber gpr) {
  for (std::size_t i = 0; i < row.operand_count; ++i) {
    const ppc64::OperandInfo info = ppc64::operand_info(row.operands[i]);
    if (info.writes && info.kind == ppc64::OperandKind::gpr &&
        static_cast<RegisterNumber>(ppc64::extract(info, word)) == gpr) {
      return true;
    }
  }
  return false;
}

// Whether some word of the image, as an instruction, writes that register.
bool writes(const model::CodeImage& image, RegisterNumber gpr) {
  return std::ranges::any_of(image.functions, [gpr](const model::CodeFunction& function) {
    return std::ranges::any_of(function.words, [gpr](std::uint32_t word) {
      const Instruction* const row = ppc64::find(word);
      return row != nullptr && writes(*row, word, gpr);
    });
  });
}

// The doubleword at `at` of the thread area.
std::optional<std::uint64_t> doubleword(const model::ThreadArea& area, model::Endian endian,
                                        GuestAddress at) {
  const std::uint64_t offset = at.value - area.address.value;
  if (offset + 8 > area.bytes.size() || offset + 8 < 8) {
    return std::nullopt;
  }
  return load<std::uint64_t>(area.bytes.data() + offset, byte_order(endian));
}

// The doubleword at `at`, if all of it is in one function of the image.
std::optional<std::uint64_t> doubleword(const model::CodeImage& image, model::Endian endian,
                                        GuestAddress at) {
  for (const model::CodeFunction& function : image.functions) {
    const std::uint64_t offset = at.value - function.address.value;
    if (offset % 4 == 0 && offset / 4 + 1 < function.words.size()) {
      const std::uint64_t first = function.words[offset / 4];
      const std::uint64_t second = function.words[offset / 4 + 1];
      return endian == model::Endian::big ? first << 32 | second : second << 32 | first;
    }
  }
  return image.thread_area ? doubleword(*image.thread_area, endian, at) : std::nullopt;
}

class Sweep {
 public:
  // `pointers`: where to put what made_pointers() is asked for; null: nobody asks.
  Sweep(const model::CodeImage& image, const Surroundings& surroundings,
        const std::vector<GuestAddress>& joins, std::vector<model::DecodedCall>& found,
        std::vector<MadePointer>* pointers = nullptr)
      : image_(image),
        surroundings_(surroundings),
        joins_(joins),
        found_(found),
        pointers_(pointers) {
    if (image.thread_area && !writes(image, kThread)) {
      thread_ = image.thread_area->address;
    }
  }

  void function(const model::CodeFunction& function, std::uint32_t number) {
    const auto descriptor = descriptor_at(image_, function.address);
    const auto toc = descriptor ? std::optional(descriptor->toc) : surroundings_.toc;
    const std::size_t found_before = found_.size();
    const std::size_t pointers_before = pointers_ == nullptr ? 0 : pointers_->size();
    lasting_toc_ = toc;
    words(function, number, toc);
    if (toc && !lasting_toc_) {
      found_.resize(found_before);
      if (pointers_ != nullptr) {
        pointers_->resize(pointers_before);
      }
      words(function, number, toc);
    }
  }

 private:
  void words(const model::CodeFunction& function, std::uint32_t number,
             std::optional<GuestAddress> toc) {
    forget_all();
    // Code with a thread area is given no r2: it loads it from there.
    registers_.set(kToc, toc && !image_.thread_area ? std::optional(toc->value) : std::nullopt);
    site_ = {number, 0};
    for (std::size_t i = function.descriptor_words; i < function.code_end(); ++i) {
      const GuestAddress at = function.address + i * 4;
      if (is_join(at)) {
        check_toc();
        forget_all();
      }
      const std::uint32_t word = function.words[i];
      const Instruction* const row = ppc64::find(word);
      // The second half of a prefixed instruction is not an instruction, unless it is jumped to.
      if (row == nullptr && ppc64::is_prefix(word) && !is_join(at + 4)) {
        if (i + 1 < function.code_end()) {
          prefixed({word, function.words[i + 1]}, at);
        }
        ++i;
      } else if (row == nullptr) {
        forget_all();
      } else if (row->is_branch()) {
        branch(*row, word, at);
      } else if (row->op == ppc64::Op::ld) {
        load(word);
      } else {
        evaluate(*row, word, registers_);
        keep_track_of_saved_toc(*row, word);
        look_for_pointers(*row, word, at);
      }
    }
  }

  void look_for_pointers(const Instruction& row, std::uint32_t word, GuestAddress at) {
    if (pointers_ == nullptr) {
      return;
    }
    for (RegisterNumber gpr = 0; gpr < kLinkRegister; ++gpr) {
      const auto value = registers_.get(gpr);
      if (!value || !writes(row, word, gpr)) {
        continue;
      }
      const auto pointee =
          std::ranges::find(image_.functions, GuestAddress{*value}, &model::CodeFunction::address);
      if (pointee != image_.functions.end()) {
        pointers_->push_back(
            {.function = site_.function,
             .at = at,
             .gpr = static_cast<std::uint8_t>(gpr),
             .pointee = static_cast<std::uint32_t>(pointee - image_.functions.begin())});
      }
    }
  }

  bool is_join(GuestAddress at) const { return std::ranges::binary_search(joins_, at); }

  void forget_all() {
    registers_.forget_all();
    if (thread_) {
      registers_.set(kThread, thread_->value);
    }
    saved_toc_.reset();
    if (lasting_toc_) {
      registers_.set(kToc, lasting_toc_->value);
    }
  }

  // Where this word's r2 is to be that of other words: if it is not, none can be taken for granted.
  void check_toc() {
    if (lasting_toc_ && registers_.get(kToc) != lasting_toc_->value) {
      lasting_toc_.reset();
    }
  }

  void keep_track_of_saved_toc(const Instruction& row, std::uint32_t word) {
    if (row.op == ppc64::Op::std_ && is_on_stack(word)) {
      const std::int64_t offset = ppc64::extract(Operand::ds, word);
      if (static_cast<RegisterNumber>(ppc64::extract(Operand::rs, word)) == kToc) {
        saved_toc_ = {offset, registers_.get(kToc)};
      } else if (saved_toc_ && saved_toc_->offset == offset) {
        saved_toc_.reset();
      }
    } else if (saved_toc_ && writes(row, word, kStackPointer)) {
      saved_toc_.reset();
    }
  }
  static bool is_on_stack(std::uint32_t word) {
    return static_cast<RegisterNumber>(ppc64::extract(Operand::ra0, word)) == kStackPointer;
  }

  void prefixed(ppc64::PrefixedWords words, GuestAddress at) {
    const ppc64::PrefixedInstruction* const row = ppc64::find(words);
    if (row == nullptr || ppc64::crosses_boundary(at)) {
      forget_all();
    } else {
      evaluate(*row, words, at, registers_);
    }
  }

  void load(std::uint32_t word) {
    const auto base = static_cast<RegisterNumber>(ppc64::extract(Operand::ra0, word));
    const auto displacement = static_cast<std::uint64_t>(ppc64::extract(Operand::ds, word));
    const auto to = static_cast<RegisterNumber>(ppc64::extract(Operand::rt, word));
    std::optional<std::uint64_t> value = base == 0 ? 0 : registers_.get(base);
    if (value) {
      value = doubleword(image_, surroundings_.endian, {*value + displacement});
    } else if (to == kToc && is_on_stack(word) && saved_toc_ &&
               saved_toc_->offset == static_cast<std::int64_t>(displacement)) {
      value = saved_toc_->value;
    }
    registers_.set(to, value);
    if (to == kStackPointer) {
      saved_toc_.reset();
    }
  }

  void branch(const Instruction& row, std::uint32_t word, GuestAddress at) {
    if (word == ppc64::kReadOwnAddress) {
      registers_.set(kLinkRegister, (at + 4).value);
      return;
    }
    const Condition taken = condition(row, word);
    if (row.links || row.target == BranchTarget::count_register) {
      // A conditional one may also go on after itself: the bytes fix no address.
      found_.push_back(
          {site_, at, taken.always ? target(row, word, at, registers_) : std::nullopt});
      ++site_.ordinal;
    }
    if (row.links) {
      registers_.forget_all_but(ppc64::kElfv2.preserved_gpr | 1U << kToc);
      return;
    }
    check_toc();
    if (taken.always) {
      forget_all();
    } else if (taken.changes_ctr) {
      registers_.forget(kCountRegister);
    }
  }

  const model::CodeImage& image_;
  const Surroundings& surroundings_;
  std::optional<GuestAddress> thread_;  // r13, if no word of the image changes it
  const std::vector<GuestAddress>& joins_;
  std::vector<model::DecodedCall>& found_;
  std::vector<MadePointer>* pointers_;
  KnownRegisters registers_;
  std::optional<GuestAddress> lasting_toc_;  // r2 wherever control flow meets, as far as it seems

  // What the last `std r2,offset(r1)` saved, as long as r1 is the same.
  struct SavedToc {
    std::int64_t offset = 0;
    std::optional<std::uint64_t> value;
  };
  std::optional<SavedToc> saved_toc_;
  bpf::CallSite site_;
};

}  // namespace

std::vector<model::DecodedCall> call_sites(const model::CodeImage& image,
                                           const Surroundings& surroundings) {
  const std::vector<GuestAddress> targets = joins(image);
  std::vector<model::DecodedCall> found;
  Sweep sweep(image, surroundings, targets, found);
  for (std::size_t i = 0; i < image.functions.size(); ++i) {
    sweep.function(image.functions[i], static_cast<std::uint32_t>(i));
  }
  return found;
}

std::vector<MadePointer> made_pointers(const model::CodeImage& image,
                                       const Surroundings& surroundings) {
  const std::vector<GuestAddress> targets = joins(image);
  std::vector<model::DecodedCall> found;
  std::vector<MadePointer> pointers;
  Sweep sweep(image, surroundings, targets, found, &pointers);
  for (std::size_t i = 0; i < image.functions.size(); ++i) {
    sweep.function(image.functions[i], static_cast<std::uint32_t>(i));
  }
  return pointers;
}

void find_calls(const bpf::Program& program, const std::vector<model::DecodedCall>& decoded,
                model::CodeImage& image) {
  const std::size_t functions = program.functions.size();
  const auto is_told = [functions](const model::CodeCall& call) {
    return call.site.function < functions;
  };
  if (std::ranges::any_of(image.calls, is_told)) {
    return;
  }
  std::vector<model::CodeCall> calls;
  for (const bpf::CallInstruction& made : call_instructions(program)) {
    if (made.site.function >= functions) {
      break;
    }
    const auto found = std::ranges::find(decoded, made.site, &model::DecodedCall::site);
    model::CodeCall call{
        .site = made.site,
        .at = found == decoded.end() ? image.functions[made.site.function].code() : found->at,
        .callee = {},
        .is_tail = is_tail_call(program.slots[made.slot]),
        .is_jump = made.is_jump};
    if (made.callee) {
      call.callee = callee(image, call, *made.callee);
    }
    calls.push_back(call);
  }
  image.calls.insert(image.calls.begin(), calls.begin(), calls.end());
}

}  // namespace farcall::decode
