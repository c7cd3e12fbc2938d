// What a JIT does wrong where functions begin and end: frames, saved registers, tail calls.
#include "faults/fault.hpp"
#include "faults/words.hpp"

namespace farcall::faults {
namespace {

using model::CodeImage;
using model::Document;
using ppc64::Gpr;
using ppc64::Op;
using ppc64::Operand;

constexpr std::int64_t kStack = 1;      // r1
constexpr std::int64_t kTailCount = 9;  // within a tail call, in our code and in Linux's

bool is_load_of_saved(const Word& word) {
  return word.is(Op::ld) && word.get(Operand::ra0) == kStack && word.get(Operand::rt) >= 14;
}

bool is_store_of_saved(const Word& word) {
  return word.is(Op::std_) && word.get(Operand::ra0) == kStack && word.get(Operand::rs) >= 14;
}

template <typename Edit>
Misemits each(Edit edit) {
  return {[edit](const Document& right, CodeImage& image) {
    return each_word(right, image, [&](const Word& word) {
      const std::uint32_t before = word.word();
      edit(word);
      return word.word() != before;
    });
  }};
}

bool is_tail_call(const Word& word) {
  return word.place == Place::body && bpf::is_tail_call(*word.slot);
}

// What a tail call adds to its target's address: right before it goes to CTR, in any register, or
// to r12.
bool leaves_out_words(const Word& word) {
  if (!is_tail_call(word) || !word.is(Op::addi)) {
    return false;
  }
  const std::int64_t gpr = word.get(Operand::rt);
  const ppc64::Instruction* const next = ppc64::find(word.word(1));
  return gpr == 12 || (word.get(Operand::ra0) == gpr && next != nullptr && next->op == Op::mtctr &&
                       ppc64::extract(Operand::rs, word.word(1)) == gpr);
}

}  // namespace

std::vector<Fault> frame_faults() {
  const auto jit = Part::jit;
  return {
      {"register-not-restored", jit, "a callee-saved register is not restored", "uBPF 529",
       Misemits{[](const Document& right, CodeImage& image) {
         return first_word(right, image, [](const Word& word) {
           if (word.place != Place::epilogue || !word.is_entry() || !is_load_of_saved(word)) {
             return false;
           }
           word.word() = kNop;
           return true;
         });
       }}},
      {"restored-in-another-order", jit, "registers are restored in another order than saved",
       "uBPF 609", Misemits{[](const Document& right, CodeImage& image) {
         return first_word(right, image, [](const Word& word) {
           const ppc64::Instruction* const next = ppc64::find(word.word(1));
           if (word.place != Place::epilogue || !is_load_of_saved(word) || next == nullptr ||
               next->op != Op::ld || ppc64::extract(Operand::rt, word.word(1)) < 14) {
             return false;
           }
           const std::int64_t here = word.get(Operand::rt);
           word.set(Operand::rt, ppc64::extract(Operand::rt, word.word(1)));
           word.word(1) = (word.word(1) & ~(31U << 21)) | static_cast<std::uint32_t>(here) << 21;
           return true;
         });
       }}},
      {"register-missed-in-subprogram", jit,
       "a callee-saved register that only a subprogram uses is not saved there", "ours",
       each([](const Word& word) {
         if (!word.is_entry() && ((word.place == Place::prologue && is_store_of_saved(word)) ||
                                  (word.place == Place::epilogue && is_load_of_saved(word)))) {
           word.word() = kNop;
         }
       })},
      {"lr-in-the-wrong-slot", jit, "LR is saved where the ABI has CR", "ours",
       each([](const Word& word) {
         if (word.place == Place::prologue && word.is(Op::std_) && word.get(Operand::rs) == 0 &&
             word.get(Operand::ds) == 16) {
           word.set(Operand::ds, 8);
         }
       })},
      {"lr-kept-elsewhere", jit, "LR is saved and restored where the ABI has CR", "ours",
       each([](const Word& word) {
         const bool saves = word.place == Place::prologue && word.is(Op::std_);
         const bool restores = word.place == Place::epilogue && word.is(Op::ld);
         if ((saves || restores) && word.get(Operand::rt) == 0 && word.get(Operand::ds) == 16) {
           word.set(Operand::ds, 8);
         }
       })},
      {"lr-not-restored", jit, "a subprogram returns to where it called last", "ours",
       each([](const Word& word) {
         if (word.place == Place::epilogue && word.is(Op::mtlr)) {
           word.word() = kNop;
         }
       })},
      {"frame-too-large", jit, "frames are larger than the stack has room for", "2d347d10f8e2",
       each([](const Word& word) {
         constexpr std::int64_t kMore = 4096;
         if (word.place == Place::prologue && word.is(Op::stdu)) {
           word.set(Operand::ds, word.get(Operand::ds) - kMore);
         } else if (word.place != Place::prologue && word.is(Op::addi) &&
                    word.get(Operand::rt) == kStack && word.get(Operand::ra0) == kStack) {
           word.set(Operand::si, word.get(Operand::si) + kMore);
         }
       })},
      {"frame-left-by-another-size", jit,
       "a function leaves its frame by another size than it made", "51b8de4b3d27",
       each([](const Word& word) {
         if (word.place == Place::epilogue && word.is(Op::addi) &&
             word.get(Operand::rt) == kStack && !word.is_entry()) {
           word.set(Operand::si, word.get(Operand::si) + 16);
         }
       })},
      {"frame-pointer-too-low", jit, "r10 is 8 bytes below the end of the frame", "ours",
       each([](const Word& word) {
         // Of code that does not say where r10 lies, nobody knows that it is wrong: the frame has
         // room for it.
         if (word.place == Place::prologue && word.is(Op::addi) && word.get(Operand::rt) == 31 &&
             word.code().frame_top_bytes != 0) {
           word.set(Operand::si, word.get(Operand::si) - 8);
         }
       })},
      {"value-in-the-wrong-half", jit, "the result is returned with its halves exchanged", "ours",
       each([](const Word& word) {
         if (word.place == Place::epilogue && word.is(Op::or_) && word.get(Operand::ra_dest) == 3) {
           word.word() = ppc64::encode<Op::rldicl>(Gpr::r3, Gpr::r8, 32, 0);
         }
       })},
      {"result-from-nowhere", jit, "the result is that of a register which nobody has written",
       "ours", each([](const Word& word) {
         if (word.place == Place::epilogue && word.is(Op::or_) && word.get(Operand::ra_dest) == 3) {
           word.word() = ppc64::encode<Op::or_>(Gpr::r3, Gpr::r20, Gpr::r20);
         }
       })},
      {"descriptor-skewed", jit, "a descriptor names the word after the function's first", "ours",
       Misemits{[](const Document&, CodeImage& image) {
         bool changed = false;
         for (model::CodeFunction& code : image.functions) {
           if (code.descriptor_words != 0) {
             code.words[1] += 4;
             changed = true;
           }
         }
         return changed;
       }}},
      {"descriptor-without-toc", jit, "a descriptor holds no TOC pointer", "ours",
       Misemits{[](const Document& right, CodeImage& image) {
         // Code that does not look at r2 has no use for it.
         bool changed = false;
         const bool needs_toc = any_word(right, [](const Word& word) {
           return (word.is(Op::addis) || word.is(Op::addi) || word.is(Op::ld)) &&
                  word.get(Operand::ra0) == 2;
         });
         for (std::size_t i = 0; needs_toc && i < right.cell.program->functions.size(); ++i) {
           model::CodeFunction& code = image.functions[i];
           if (code.descriptor_words != 0) {
             code.words[2] = 0;
             code.words[3] = 0;
             changed = true;
           }
         }
         return changed;
       }}},

      // Tail calls.
      {"tail-call-skips-too-much", jit, "a tail call leaves out one word too many", "2ecfe59cd7de",
       each([](const Word& word) {
         if (leaves_out_words(word)) {
           word.set(Operand::si, word.get(Operand::si) + 4);
         }
       })},
      {"tail-call-begins-anew", jit, "a tail call leaves out nothing, and the count begins anew",
       "ours", each([](const Word& word) {
         if (leaves_out_words(word)) {
           word.set(Operand::si, 0);
         }
       })},
      {"tail-index-64-bits", jit, "the index of a tail call is not cut to 32 bits", "d269176e766c",
       each([](const Word& word) {
         if (is_tail_call(word) && word.is(Op::rldicl)) {
           word.word() = ppc64::encode<Op::or_>(Gpr::r10, Gpr::r5, Gpr::r5);
         } else if (is_tail_call(word) && word.is(Op::rlwinm)) {
           word.word() = kNop;
         }
       })},
      {"tail-count-of-empty-slots", jit, "a tail call to an empty slot counts", "521bd39d9d28",
       Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           // ld r12; cmpdi; beq; addi; std: the last two come first.
           if (!is_tail_call(word) || !word.is(Op::ld) || word.get(Operand::rt) != 12 ||
               word.get(Operand::ds) != 8) {
             return false;
           }
           const std::uint32_t load = word.word(0);
           const std::uint32_t compare = word.word(1);
           const std::uint32_t branch = word.word(2);
           word.word(0) = word.word(3);
           word.word(1) = word.word(4);
           word.word(2) = load;
           word.word(3) = compare;
           word.word(4) = branch - 8;
           return true;
         });
       }}},
      {"tail-counter-moves-the-stack", jit,
       "a tail call leaves a frame by another size than it has", "89d21e259a94",
       each([](const Word& word) {
         if (is_tail_call(word) && word.is(Op::addi) && word.get(Operand::rt) == kStack) {
           word.set(Operand::si, word.get(Operand::si) + 16);
         }
       })},
      {"tail-count-lost-in-subprogram", jit, "a subprogram counts tail calls from 0",
       "2b5dcb31a19a, 116e04ba1459", each([](const Word& word) {
         if (is_tail_call(word) && !word.is_entry() && word.is(Op::ld) &&
             word.get(Operand::rt) == kTailCount) {
           word.word() = ppc64::encode<Op::addi>(Gpr::r9, ppc64::kZero, 0);
         }
       })},
      {"tail-count-not-written-back", jit, "the count of tail calls is not written back",
       "c861a6b14713", each([](const Word& word) {
         if (is_tail_call(word) && word.is(Op::std_) && word.get(Operand::rs) == kTailCount) {
           word.word() = kNop;
         }
       })},
      {"tail-limit-32", jit, "a run may make 32 tail calls, not 33", "ebf7f6f0a6cd",
       each([](const Word& word) {
         if (is_tail_call(word) && word.is(Op::cmpldi)) {
           word.set(Operand::ui, 32);
         }
       })},
  };
}

}  // namespace farcall::faults
