// What a JIT tells of its code: sizes, lines, calls, where functions lie.
#include <utility>

#include "faults/fault.hpp"
#include "faults/words.hpp"

namespace farcall::faults {
namespace {

using model::CodeFunction;
using model::CodeImage;
using model::CodeLine;
using model::Document;

template <typename Edit>
Misemits each_function(Edit edit) {
  return {[edit](const Document& right, CodeImage& image) {
    bool changed = false;
    for (std::size_t i = 0; i < right.cell.program->functions.size(); ++i) {
      changed = edit(image.functions[i]) || changed;
    }
    return changed;
  }};
}

// Of programs that jump through tables, the lines say what is in these: a line that is wrong is
// another address there, and no mere word about the code.
template <typename Edit>
Misemits each_line_table(Edit edit) {
  const Misemits each = each_function(edit);
  return {[each](const Document& right, CodeImage& image) {
    return right.cell.program->code_pointers.empty() && each.change(right, image);
  }};
}

}  // namespace

std::vector<Fault> dump_faults() {
  const auto dump = Part::dump;
  return {
      {"size-of-another-pass", dump, "the last pass of the JIT had another size than its code",
       "c56fb2aab235", each_function([](CodeFunction& code) {
         if (code.pass_words.empty()) {
           return false;
         }
         ++code.pass_words.back();
         return true;
       })},
      {"size-of-the-sizing-run", dump, "the length of the code is that of an earlier, longer pass",
       "6.12: jited_len", each_function([](CodeFunction& code) {
         if (code.lines.empty()) {
           return false;  // then where code ends is not known either
         }
         code.words.push_back(ppc64::encode<ppc64::Op::ori>(ppc64::Gpr::r3, ppc64::Gpr::r3, 0));
         code.pass_words.clear();
         return true;
       })},
      {"lines-in-instructions", dump, "the line table counts in instructions, not words",
       "dda7596c109f", each_line_table([](CodeFunction& code) {
         bool changed = false;
         for (CodeLine& line : code.lines) {
           const std::uint32_t word =
               code.descriptor_words + (line.word - code.descriptor_words) / 4;
           changed = std::exchange(line.word, word) != word || changed;
         }
         return changed;
       })},
      {"lines-one-instruction-early", dump,
       "the line table has each instruction at the beginning of the one before",
       "open: 6.1, 6.12, 7.2 arch/powerpc/net/bpf_jit_comp.c",
       each_line_table([](CodeFunction& code) {
         for (std::size_t i = code.lines.size(); i-- > 1;) {
           code.lines[i].word = code.lines[i - 1].word;
         }
         return code.lines.size() > 1;
       })},
      {"call-told-one-word-early", dump, "calls are told to be one word before where they are",
       "ours", Misemits{[](const Document&, CodeImage& image) {
         for (model::CodeCall& call : image.calls) {
           call.at.value -= 4;
         }
         return !image.calls.empty();
       }}},
      {"symbol-off-by-4", dump,
       "functions are told to lie one word later than the cell places them", "ours",
       each_function([](CodeFunction& code) {
         code.address = code.address + 4;
         return true;
       })},
      {"frame-told-too-low", dump, "r10 is told to be 8 bytes lower than it is", "ours",
       each_function([](CodeFunction& code) {
         const bool is_told = code.frame_top_bytes != 0;
         code.frame_top_bytes += is_told ? 8 : 0;
         return is_told;
       })},
      {"stub-data-misaligned", dump,
       "the data of a stub after the code is aligned for the buffer, not for where it lies",
       "04001e8ddb97, 6652b9941a6c", each_function([](CodeFunction& code) {
         using ppc64::Gpr;
         using ppc64::Op;
         constexpr ppc64::CrBit kNone{0};
         const auto before = static_cast<std::uint32_t>(code.words.size());
         const bool odd = (code.address.value / 4 + before) % 2 != 0;  // of the stub's first word
         const std::int64_t data = odd ? 20 : 16;                      // from `mflr`: not 8-aligned
         for (const std::uint32_t word :
              {ppc64::kReadOwnAddress, ppc64::encode<Op::mflr>(Gpr::r11),
               ppc64::encode<Op::ld>(Gpr::r12, data, Gpr::r11), ppc64::encode<Op::mtctr>(Gpr::r12),
               ppc64::encode<Op::bcctr>(ppc64::kBranchAlways, kNone, 0)}) {
           code.words.push_back(word);
         }
         code.words.resize(code.words.size() + 3);
         code.stub_words += static_cast<std::uint32_t>(code.words.size()) - before;
         code.pass_words.clear();
         return true;
       })},
  };
}

}  // namespace farcall::faults
