// What a JIT does wrong where code calls, and where it branches.
#include <algorithm>

#include "base/bits.hpp"
#include "bpf/instruction.hpp"
#include "faults/fault.hpp"
#include "faults/words.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::faults {
namespace {

using bpf::Operation;
using model::CodeCall;
using model::CodeImage;
using model::Document;
using ppc64::Gpr;
using ppc64::Op;
using ppc64::Operand;

Misemits absolute(const Address& change) {
  return {[change](const Document& right, CodeImage& image) {
    return each_absolute_call(right, image, change);
  }};
}

// Words of code that are `op`, in a call of the program.
template <typename Edit>
Misemits in_calls(Op op, Edit edit) {
  return {[op, edit](const Document& right, CodeImage& image) {
    return each_word(right, image, [&](const Word& word) {
      if (word.place != Place::body || !word.is(op) || !word.info().is_call()) {
        return false;
      }
      const std::uint32_t before = word.word();
      edit(word);
      return word.word() != before;
    });
  }};
}

// The external function that a word's instruction calls by its id; null if it does no such thing.
const bpf::External* external_of(const Word& word) {
  const bpf::Program& program = *word.right.cell.program;
  const bpf::Form form = word.info().form;
  if (form != bpf::Form::helper && form != bpf::Form::kfunc) {
    return nullptr;
  }
  const auto kind = form == bpf::Form::kfunc ? bpf::ExternalKind::kfunc : bpf::ExternalKind::helper;
  const auto number = external_with_id(program, kind, word.slot->imm);
  return number ? &program.externals[*number - program.functions.size()] : nullptr;
}

// The direct branches of BPF jumps, as the word and where it leads, in words from itself.
template <typename Edit>
Misemits branches(Edit edit) {
  return {[edit](const Document& right, CodeImage& image) {
    return each_word(right, image, [&](const Word& word) {
      const bool conditional = word.is(Op::bc);
      if (word.place != Place::body || (!conditional && !word.is(Op::b)) ||
          (!word.info().is_jump() && word.info().operation != Operation::exit)) {
        return false;
      }
      const Operand field = conditional ? Operand::bd : Operand::li;
      const std::int64_t before = word.get(field);
      const std::int64_t after = edit(word, before);
      if (after != before && ppc64::fits(ppc64::operand_info(field), after)) {
        word.set(field, after);
        return true;
      }
      return false;
    });
  }};
}

// Whether the word is the first of the two that a far conditional branch takes.
bool skips_branch(const Word& word) {
  const ppc64::Instruction* const next = ppc64::find(word.word(1));
  return word.is(Op::bc) && word.get(Operand::bd) == 8 && next != nullptr && next->op == Op::b;
}

}  // namespace

std::vector<Fault> call_faults() {
  const auto jit = Part::jit;
  return {
      {"truncated-address", jit, "the top of a callee's address is lost: it lies in the linear map",
       "2162fed49fa8", absolute([](const CodeCall&, std::uint64_t address) {
         return address & ~(std::uint64_t{0xff} << 48);
       })},
      {"top-bits-taken-for-granted", jit, "the top bits of a callee are taken for the kernel's",
       "a552e2ef5fd1", absolute([](const CodeCall&, std::uint64_t address) {
         return address | std::uint64_t{0xc} << 60;
       })},
      {"ori-for-oris", jit, "one halfword of an address is put into the place of another",
       "openj9 10942", absolute([](const CodeCall&, std::uint64_t address) {
         return (address & ~std::uint64_t{0xffffffff}) |
                ((address >> 16 & 0xffff) | (address & 0xffff));
       })},
      {"low-bits-set", jit, "low bits of a callee's address are set; the CPU drops them",
       "RVVM 257", Misemits{[](const Document& right, CodeImage& image) {
         // Of a descriptor they would matter, and to a module's function that makes its r2 of r12.
         const std::size_t functions = right.cell.program->functions.size();
         return right.cell.axes.abi == model::Abi::elfv2 &&
                each_absolute_call(right, image, [&](const CodeCall& call, std::uint64_t address) {
                  return call.callee->function < functions ? address | 1 : address;
                });
       }}},
      {"call-through-another-register", jit,
       "a call goes through a register that its address was not loaded into", "ours",
       in_calls(Op::mtctr, [](const Word& word) { word.set(Operand::rs, 20); })},
      {"call-left-out", jit, "a call has all that leads to it, and no branch", "ours",
       Misemits{[](const Document& right, CodeImage& image) {
         const std::vector<CodeCall> all = calls_of(right);
         return each_word(right, image, [&all](const Word& word) {
           const bool calls = std::ranges::find(all, word.address(), &CodeCall::at) != all.end();
           word.word() = calls ? kNop : word.word();
           return calls;
         });
       }}},
      {"branch-not-filled-in", jit, "the offset of a jump is never filled in: it leads to itself",
       "ours", branches([](const Word&, std::int64_t) { return std::int64_t{0}; })},
      {"stale-target", jit, "calls go to where their callee was before it moved by a page", "ours",
       absolute([](const CodeCall&, std::uint64_t address) { return address - 4096; })},
      {"halfwords-swapped", jit, "the two low halfwords of an address are exchanged on big endian",
       "ours", Misemits{[](const Document& right, CodeImage& image) {
         return right.cell.axes.endian == model::Endian::big &&
                each_absolute_call(right, image, [](const CodeCall&, std::uint64_t address) {
                  return (address & ~std::uint64_t{0xffffffff}) | (address & 0xffff) << 16 |
                         (address >> 16 & 0xffff);
                });
       }}},
      {"lost-top-nibble", jit, "the top nibble of a callee's address is lost", "ours",
       absolute([](const CodeCall&, std::uint64_t address) {
         return address & ~(std::uint64_t{0xf} << 60);
       })},
      {"carry-forgotten", jit,
       "the high half of a distance from the TOC lacks the carry of the low one", "ours",
       in_calls(Op::addis,
                [](const Word& word) {
                  const ppc64::Instruction* const next = ppc64::find(word.word(1));
                  if (word.get(Operand::ra0) == 2 && next != nullptr && next->op == Op::addi &&
                      ppc64::extract(Operand::si, word.word(1)) < 0) {
                    word.set(Operand::si, word.get(Operand::si) - 1);
                  }
                })},
      {"one-bl-astray", jit, "one of several `bl` to a callee is off by a power of two",
       "PCRE2 276", Misemits{[](const Document& right, CodeImage& image) {
         return first_word(right, image, [](const Word& word) {
           if (!word.is(Op::bl) ||
               !ppc64::fits(ppc64::operand_info(Operand::li), word.get(Operand::li) ^ 0x10000)) {
             return false;
           }
           word.set(Operand::li, word.get(Operand::li) ^ 0x10000);
           return true;
         });
       }}},
      {"origin-one-word-early", jit,
       "the distance of a call counts from what was before a word was put in front of it",
       "9d98aa088386, 6a537453000a", Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (!word.is(Op::bl) ||
               !ppc64::fits(ppc64::operand_info(Operand::li), word.get(Operand::li) + 4)) {
             return false;
           }
           word.set(Operand::li, word.get(Operand::li) + 4);
           return true;
         });
       }}},
      {"prefixed-across-64-bytes", jit, "an 8-byte instruction crosses a 64-byte boundary", "ours",
       Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           // The nop that keeps the `pla` after it from crossing.
           if (word.word() != kNop || !ppc64::crosses_boundary(word.address()) ||
               !ppc64::is_prefix(word.word(1))) {
             return false;
           }
           const std::uint32_t suffix = word.word(2);
           word.word() = word.word(1);
           word.word(1) = suffix + 4;
           word.word(2) = kNop;
           return true;
         });
       }}},
      {"address-loads-not-padded", jit,
       "loads of functions' addresses are shorter in the last pass than where branches were sized",
       "2018, before 2162fed49fa8", Misemits{[](const Document& right, CodeImage& image) {
         return first_word(right, image, [](const Word& word) {
           if (word.place != Place::body || word.info().operation != Operation::load_function ||
               !word.is(Op::ori) || word.get(Operand::ui) != 0) {
             return false;
           }
           erase(word.code(), word.at);
           return true;
         });
       }}},
      {"call-length-varies", jit, "a call is shorter if a halfword of its callee's address is zero",
       "fab07611fb2e", Misemits{[](const Document& right, CodeImage& image) {
         return first_word(right, image, [](const Word& word) {
           if (word.place != Place::body || !word.info().is_call() || !word.is(Op::ori) ||
               word.get(Operand::ui) != 0 || word.word() == kNop) {
             return false;
           }
           erase(word.code(), word.at);
           return true;
         });
       }}},
      {"call-longer-than-planned", jit,
       "a call takes a word more with its real address than with the placeholder", "64f50f657572",
       Misemits{[](const Document& right, CodeImage& image) {
         return first_word(right, image, [](const Word& word) {
           if (word.place != Place::body || !word.info().is_call() || !word.is(Op::mtctr)) {
             return false;
           }
           insert(word.code(), word.at, kNop);
           return true;
         });
       }}},
      {"pointer-one-word-late", jit, "a call through a register enters its callee one word late",
       "3727d6ec1366",
       in_calls(Op::or_,
                [](const Word& word) {
                  if (word.info().operation == Operation::call_register &&
                      word.get(Operand::ra_dest) == 12) {
                    const auto pointer = static_cast<Gpr>(word.get(Operand::rs));
                    word.word() = ppc64::encode<Op::addi>(Gpr::r12, pointer, 4);
                  }
                })},
      {"toc-not-reloaded", jit, "r2 is not brought back after a call that changes it", "ours",
       in_calls(Op::ld,
                [](const Word& word) {
                  if (word.get(Operand::rt) == 2 && word.get(Operand::ra0) == 1) {
                    word.word() = kNop;
                  }
                })},
      {"toc-not-saved", jit, "r2 is not saved before a call that changes it", "ours",
       in_calls(Op::std_,
                [](const Word& word) {
                  if (word.get(Operand::rs) == 2) {
                    word.word() = kNop;
                  }
                })},
      {"result-sign-extended", jit,
       "a subprogram's result is overwritten by its sign-extended half", "60f3caff1492",
       in_calls(Op::or_,
                [](const Word& word) {
                  if (word.info().operation == Operation::call && word.get(Operand::rs) == 3) {
                    word.word() = ppc64::encode<Op::extsw>(Gpr::r8, Gpr::r3);
                  }
                })},
      {"result-32-bits", jit, "the result of an external function is cut to 32 bits",
       "2f1b0d3d7331, 443574b03387",
       in_calls(Op::or_,
                [](const Word& word) {
                  if (word.info().operation == Operation::call_external &&
                      word.get(Operand::rs) == 3) {
                    word.word() = ppc64::encode<Op::rldicl>(Gpr::r8, Gpr::r3, 0, 32);
                  }
                })},
      {"kfunc-arguments-not-extended", jit, "narrow arguments of kfuncs are passed as they are",
       "01b6ac727296", Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           const bool extends = word.is(Op::extsb) || word.is(Op::extsh) || word.is(Op::extsw) ||
                                word.is(Op::rldicl);
           if (word.place != Place::body || word.info().form != bpf::Form::kfunc || !extends) {
             return false;
           }
           word.word() = kNop;
           return true;
         });
       }}},
      {"kfunc-argument-sign-forgotten", jit, "signed arguments of kfuncs are extended with zeros",
       "ours", Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           const unsigned bits = word.is(Op::extsb)   ? 8
                                 : word.is(Op::extsh) ? 16
                                 : word.is(Op::extsw) ? 32
                                                      : 0;
           if (word.place != Place::body || word.info().form != bpf::Form::kfunc || bits == 0) {
             return false;
           }
           const auto gpr = static_cast<Gpr>(word.get(Operand::ra_dest));
           word.word() = ppc64::encode<Op::rldicl>(gpr, gpr, 0, 64 - bits);
           return true;
         });
       }}},
      {"argument-of-stub-changed", jit, "a stub is called with another fifth argument", "ours",
       Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           // The first word of the address becomes one that also changes r7: it is made by `pla`,
           // by an offset or by halfwords, of which the second is zero in most regions.
           if (word.place != Place::body || !word.is(Op::ori) || word.get(Operand::ui) != 0 ||
               word.word() == kNop) {
             return false;
           }
           const bpf::External* const external = external_of(word);
           if (external == nullptr || !external->stub) {
             return false;
           }
           word.word() = ppc64::encode<Op::addi>(Gpr::r7, Gpr::r7, 1);
           return true;
         });
       }}},
      {"branch-off-by-one", jit, "branches lead one word past their target", "32f6865c7aa3",
       branches([](const Word& word, std::int64_t distance) {
         return skips_branch(word) ? distance : distance + 4;
       })},
      {"exit-one-word-late", jit,
       "`exit` in the middle of a function enters the epilogue one word late", "ours",
       branches([](const Word& word, std::int64_t distance) {
         return word.info().operation == Operation::exit ? distance + 4 : distance;
       })},
      {"branch-offset-truncated", jit,
       "a conditional branch beyond 32 KiB has its offset cut to 16 bits", "3832ba4e283d",
       Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::body || !word.info().is_jump() || !skips_branch(word)) {
             return false;
           }
           const std::int64_t distance = ppc64::extract(Operand::li, word.word(1)) + 4;
           word.set(Operand::bo, word.get(Operand::bo) ^ 8);
           word.set(Operand::bd, sign_extend(static_cast<std::uint64_t>(distance), 16));
           word.word(1) = kNop;
           return true;
         });
       }}},
      {"branch-not-inverted", jit,
       "the branch that goes over a far one goes where that one should be taken", "37cb28ec7d3a",
       Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::body || !word.info().is_jump() || !skips_branch(word)) {
             return false;
           }
           word.set(Operand::bo, word.get(Operand::bo) ^ 8);
           return true;
         });
       }}},
      {"offsets-stale-after-exit", jit,
       "an early exit shrinks after sizing: branches over it are as long as before",
       "0ffdbce6f4a8, fix 78ce55b7913a", Misemits{[](const Document& right, CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::body || !word.is(Op::bc) || !word.info().is_jump() ||
               word.get(Operand::bd) <= 0) {
             return false;
           }
           const auto over = static_cast<std::size_t>(word.get(Operand::bd) / 4);
           const auto last = word.right.cell.program->functions[word.function].end - 1;
           const bool has_exit =
               std::any_of(word.slot, &word.right.cell.program->slots[last],
                           [](const bpf::Slot& slot) { return slot.opcode == 0x95; });
           if (!has_exit || over < 3) {
             return false;
           }
           word.set(Operand::bd, word.get(Operand::bd) + 8);
           return true;
         });
       }}},
  };
}

}  // namespace farcall::faults
