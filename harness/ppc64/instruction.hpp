// The ppc64 instructions that farcall emits, decodes or prints, declared once: one row each.
// Power ISA 2.07, Book I, which every CPU from power8 on has; rows of later versions say so. The
// 8-byte instructions of power10 are in ppc64/prefixed.hpp.
//
// Encoder, decoder and disassembler read this table and share nothing else. A row's mask covers all
// bits that are not operands, reserved bits included: a word with a reserved bit set is not an
// instruction of this table. Where an instruction has a record form (`and.`), its Rc bit is left
// out of the mask, and the row stands for both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "ppc64/operand.hpp"

namespace farcall::ppc64 {

// clang-format off
enum class Op : std::uint8_t {
  // immediate arithmetic and logic
  mulli, subfic, addi, addis, ori, oris, xori, xoris, andi_rc, andis_rc,
  cmplwi, cmpldi, cmpwi, cmpdi,
  // branches, traps, system call
  bc, bca, bcl, bcla, sc, b, ba, bl, bla, bclr, bclrl, bcctr, bcctrl, isync, tw, td,
  // rotates
  rlwimi, rlwinm, rlwnm, rldicl, rldicr, rldic, rldimi, rldcl, rldcr,
  // registers with registers
  cmpw, cmpd, cmplw, cmpld, isel,
  add, subf, neg, mulld, mullw, mulhd, mulhdu, divd, divdu, divw, divwu,
  and_, andc, or_, orc, xor_, nor, nand, eqv,
  slw, sld, srw, srd, sraw, srad, srawi, sradi,
  extsb, extsh, extsw, cntlzw, cntlzd, brh, brw, brd,
  mfcr, mtcrf, mfxer, mflr, mfctr, mtxer, mtlr, mtctr, mtfprd, vspltisw,
  // memory
  lbz, lhz, lha, lwz, lwa, ld, ldu, stb, sth, stw, std_, stdu,
  lbzx, lhzx, lhax, lwzx, lwax, ldx, stbx, sthx, stwx, stdx,
  lhbrx, lwbrx, ldbrx, sthbrx, stwbrx, stdbrx, lwarx, ldarx, stwcx_rc, stdcx_rc, hwsync, lwsync,
};
// clang-format on
inline constexpr std::size_t kOpCount = static_cast<std::size_t>(Op::lwsync) + 1;

// The version of the Power ISA that an instruction came with: power8 has 2.07, power10 has 3.1.
enum class Isa : std::uint8_t { v2_07, v3_1 };

// What of a word is fixed.
struct Encoding {
  std::uint32_t match = 0;
  std::uint32_t mask = 0;
  bool record_bit = false;  // bit 0 is Rc: compares the result with 0 into cr0, written as `.`
};

// Where a branch gets its target from.
enum class BranchTarget : std::uint8_t { none, relative, absolute, link_register, count_register };

struct Instruction {
  Op op{};
  std::string_view mnemonic;
  Encoding encoding;
  std::array<Operand, 5> operands = {};  // in the order of the assembler
  std::uint8_t operand_count = 0;
  BranchTarget target = BranchTarget::none;
  bool links = false;  // sets LR to the address of the next word
  Isa since = Isa::v2_07;

  constexpr Instruction(Op row, std::string_view text, Encoding bits,
                        std::initializer_list<Operand> list = {})
      : op(row), mnemonic(text), encoding(bits) {
    for (const Operand operand : list) {
      operands[operand_count++] = operand;
    }
  }
  constexpr Instruction(Op row, std::string_view text, Encoding bits, BranchTarget to, bool link,
                        std::initializer_list<Operand> list)
      : Instruction(row, text, bits, list) {
    target = to;
    links = link;
  }

  constexpr Instruction from(Isa version) const {
    Instruction row = *this;
    row.since = version;
    return row;
  }

  constexpr bool is_branch() const { return target != BranchTarget::none; }
};

// The instruction formats of the ISA, as far as they are needed.
namespace forms {

constexpr std::uint32_t primary(std::uint32_t opcode) {
  return opcode << 26;
}
inline constexpr std::uint32_t kPrimary = primary(63);

constexpr Encoding d_form(std::uint32_t opcode) {
  return {primary(opcode), kPrimary};
}
constexpr Encoding m_form(std::uint32_t opcode) {
  return {primary(opcode), kPrimary, true};
}
// DS, B and I forms: two more bits at the end.
constexpr Encoding with_low2(std::uint32_t opcode, std::uint32_t low) {
  return {primary(opcode) | low, kPrimary | 3};
}
// Compares: L (bit 21) is 1 for doublewords, the bit above it is reserved.
constexpr Encoding d_compare(std::uint32_t opcode, std::uint32_t l) {
  return {primary(opcode) | l << 21, kPrimary | 3U << 21};
}
constexpr Encoding md_form(std::uint32_t extended) {
  return {primary(30) | extended << 2, kPrimary | 7U << 2, true};
}
constexpr Encoding mds_form(std::uint32_t extended) {
  return {primary(30) | extended << 1, kPrimary | 15U << 1, true};
}
// X and XO forms (the latter with OE = 0), all of bits 0 … 10.
constexpr Encoding x_form(std::uint32_t extended, std::uint32_t low_bit = 0) {
  return {primary(31) | extended << 1 | low_bit, kPrimary | 0x7ff};
}
constexpr Encoding xl_form(std::uint32_t extended, std::uint32_t link = 0) {
  return {primary(19) | extended << 1 | link, kPrimary | 0x7ff | 7U << 13};
}
constexpr Encoding xs_form(std::uint32_t extended) {
  return {primary(31) | extended << 2, kPrimary | 0x1ffU << 2, true};
}
constexpr Encoding a_form(std::uint32_t extended) {
  return {primary(31) | extended << 1, kPrimary | 0x3f};
}
constexpr Encoding recording(Encoding encoding) {
  return {encoding.match, encoding.mask & ~1U, true};
}
// These fields are reserved: zero.
constexpr Encoding without(Encoding encoding, std::uint32_t reserved) {
  encoding.mask |= reserved;
  return encoding;
}
constexpr Encoding no_rb(Encoding encoding) {
  return without(encoding, 31U << 11);
}
constexpr Encoding x_compare(std::uint32_t extended, std::uint32_t l) {
  Encoding encoding = without(x_form(extended), 3U << 21);
  encoding.match |= l << 21;
  return encoding;
}
// mtspr and mfspr of one register. The halves of its number are swapped; all of ours are below 32.
constexpr Encoding spr(std::uint32_t extended, std::uint32_t number) {
  Encoding encoding = without(x_form(extended), 0x3ffU << 11);
  encoding.match |= number << 16;
  return encoding;
}

}  // namespace forms

// clang-format off
inline constexpr auto kInstructions = [] {
  using namespace forms;
  using enum Operand;
  using enum BranchTarget;
  const std::initializer_list<Operand> kArithmetic = {rt, ra, rb};
  const std::initializer_list<Operand> kLogic = {ra_dest, rs, rb};
  return std::array{
      Instruction{Op::mulli,    "mulli",  d_form(7),              {rt, ra, si}},
      Instruction{Op::subfic,   "subfic", d_form(8),              {rt, ra, si}},
      Instruction{Op::addi,     "addi",   d_form(14),             {rt, ra0, si}},
      Instruction{Op::addis,    "addis",  d_form(15),             {rt, ra0, si}},
      Instruction{Op::ori,      "ori",    d_form(24),             {ra_dest, rs, ui}},
      Instruction{Op::oris,     "oris",   d_form(25),             {ra_dest, rs, ui}},
      Instruction{Op::xori,     "xori",   d_form(26),             {ra_dest, rs, ui}},
      Instruction{Op::xoris,    "xoris",  d_form(27),             {ra_dest, rs, ui}},
      Instruction{Op::andi_rc,  "andi.",  d_form(28),             {ra_dest, rs, ui}},
      Instruction{Op::andis_rc, "andis.", d_form(29),             {ra_dest, rs, ui}},
      Instruction{Op::cmplwi,   "cmplwi", d_compare(10, 0),       {bf, ra, ui}},
      Instruction{Op::cmpldi,   "cmpldi", d_compare(10, 1),       {bf, ra, ui}},
      Instruction{Op::cmpwi,    "cmpwi",  d_compare(11, 0),       {bf, ra, si}},
      Instruction{Op::cmpdi,    "cmpdi",  d_compare(11, 1),       {bf, ra, si}},

      Instruction{Op::bc,       "bc",     with_low2(16, 0),  relative, false, {bo, bi, bd}},
      Instruction{Op::bca,      "bca",    with_low2(16, 2),  absolute, false, {bo, bi, bd_abs}},
      Instruction{Op::bcl,      "bcl",    with_low2(16, 1),  relative, true,  {bo, bi, bd}},
      Instruction{Op::bcla,     "bcla",   with_low2(16, 3),  absolute, true,  {bo, bi, bd_abs}},
      Instruction{Op::sc,       "sc",     {primary(17) | 2, kPrimary | 0x3fff01f}, {lev}},
      Instruction{Op::b,        "b",      with_low2(18, 0),  relative, false, {li}},
      Instruction{Op::ba,       "ba",     with_low2(18, 2),  absolute, false, {li_abs}},
      Instruction{Op::bl,       "bl",     with_low2(18, 1),  relative, true,  {li}},
      Instruction{Op::bla,      "bla",    with_low2(18, 3),  absolute, true,  {li_abs}},
      Instruction{Op::bclr,     "bclr",   xl_form(16),     link_register,  false, {bo, bi, bh}},
      Instruction{Op::bclrl,    "bclrl",  xl_form(16, 1),  link_register,  true,  {bo, bi, bh}},
      Instruction{Op::bcctr,    "bcctr",  xl_form(528),    count_register, false, {bo, bi, bh}},
      Instruction{Op::bcctrl,   "bcctrl", xl_form(528, 1), count_register, true,  {bo, bi, bh}},
      Instruction{Op::isync,    "isync",  without(xl_form(150), 0x3fff800)},
      Instruction{Op::tw,       "tw",     x_form(4),              {to, ra, rb}},
      Instruction{Op::td,       "td",     x_form(68),             {to, ra, rb}},

      Instruction{Op::rlwimi,   "rlwimi", m_form(20),             {ra_merged, rs, sh5, mb5, me5}},
      Instruction{Op::rlwinm,   "rlwinm", m_form(21),             {ra_dest, rs, sh5, mb5, me5}},
      Instruction{Op::rlwnm,    "rlwnm",  m_form(23),             {ra_dest, rs, rb, mb5, me5}},
      Instruction{Op::rldicl,   "rldicl", md_form(0),             {ra_dest, rs, sh6, mb6}},
      Instruction{Op::rldicr,   "rldicr", md_form(1),             {ra_dest, rs, sh6, mb6}},
      Instruction{Op::rldic,    "rldic",  md_form(2),             {ra_dest, rs, sh6, mb6}},
      Instruction{Op::rldimi,   "rldimi", md_form(3),             {ra_merged, rs, sh6, mb6}},
      Instruction{Op::rldcl,    "rldcl",  mds_form(8),            {ra_dest, rs, rb, mb6}},
      Instruction{Op::rldcr,    "rldcr",  mds_form(9),            {ra_dest, rs, rb, mb6}},

      Instruction{Op::cmpw,     "cmpw",   x_compare(0, 0),        {bf, ra, rb}},
      Instruction{Op::cmpd,     "cmpd",   x_compare(0, 1),        {bf, ra, rb}},
      Instruction{Op::cmplw,    "cmplw",  x_compare(32, 0),       {bf, ra, rb}},
      Instruction{Op::cmpld,    "cmpld",  x_compare(32, 1),       {bf, ra, rb}},
      Instruction{Op::isel,     "isel",   a_form(15),             {rt, ra0, rb, bc}},
      Instruction{Op::add,      "add",    recording(x_form(266)), kArithmetic},
      Instruction{Op::subf,     "subf",   recording(x_form(40)),  kArithmetic},
      Instruction{Op::neg,      "neg",    no_rb(recording(x_form(104))),{rt, ra}},
      Instruction{Op::mulld,    "mulld",  recording(x_form(233)), kArithmetic},
      Instruction{Op::mullw,    "mullw",  recording(x_form(235)), kArithmetic},
      Instruction{Op::mulhd,    "mulhd",  recording(x_form(73)),  kArithmetic},
      Instruction{Op::mulhdu,   "mulhdu", recording(x_form(9)),   kArithmetic},
      Instruction{Op::divd,     "divd",   recording(x_form(489)), kArithmetic},
      Instruction{Op::divdu,    "divdu",  recording(x_form(457)), kArithmetic},
      Instruction{Op::divw,     "divw",   recording(x_form(491)), kArithmetic},
      Instruction{Op::divwu,    "divwu",  recording(x_form(459)), kArithmetic},
      Instruction{Op::and_,     "and",    recording(x_form(28)),  kLogic},
      Instruction{Op::andc,     "andc",   recording(x_form(60)),  kLogic},
      Instruction{Op::or_,      "or",     recording(x_form(444)), kLogic},
      Instruction{Op::orc,      "orc",    recording(x_form(412)), kLogic},
      Instruction{Op::xor_,     "xor",    recording(x_form(316)), kLogic},
      Instruction{Op::nor,      "nor",    recording(x_form(124)), kLogic},
      Instruction{Op::nand,     "nand",   recording(x_form(476)), kLogic},
      Instruction{Op::eqv,      "eqv",    recording(x_form(284)), kLogic},
      Instruction{Op::slw,      "slw",    recording(x_form(24)),  kLogic},
      Instruction{Op::sld,      "sld",    recording(x_form(27)),  kLogic},
      Instruction{Op::srw,      "srw",    recording(x_form(536)), kLogic},
      Instruction{Op::srd,      "srd",    recording(x_form(539)), kLogic},
      Instruction{Op::sraw,     "sraw",   recording(x_form(792)), kLogic},
      Instruction{Op::srad,     "srad",   recording(x_form(794)), kLogic},
      Instruction{Op::srawi,    "srawi",  recording(x_form(824)), {ra_dest, rs, sh5}},
      Instruction{Op::sradi,    "sradi",  xs_form(413),           {ra_dest, rs, sh6}},
      Instruction{Op::extsb,    "extsb",  no_rb(recording(x_form(954))),{ra_dest, rs}},
      Instruction{Op::extsh,    "extsh",  no_rb(recording(x_form(922))),{ra_dest, rs}},
      Instruction{Op::extsw,    "extsw",  no_rb(recording(x_form(986))),{ra_dest, rs}},
      Instruction{Op::cntlzw,   "cntlzw", no_rb(recording(x_form(26))),{ra_dest, rs}},
      Instruction{Op::cntlzd,   "cntlzd", no_rb(recording(x_form(58))),{ra_dest, rs}},
      Instruction{Op::brh,      "brh",    no_rb(x_form(219)),     {ra_dest, rs}}.from(Isa::v3_1),
      Instruction{Op::brw,      "brw",    no_rb(x_form(155)),     {ra_dest, rs}}.from(Isa::v3_1),
      Instruction{Op::brd,      "brd",    no_rb(x_form(187)),     {ra_dest, rs}}.from(Isa::v3_1),
      Instruction{Op::mfcr,     "mfcr",   without(x_form(19), 0x3ffU << 11),       {rt}},
      Instruction{Op::mtcrf,    "mtcrf",  without(x_form(144), 1U << 20 | 1U << 11), {fxm, rs}},
      Instruction{Op::mfxer,    "mfxer",  spr(339, 1),            {rt}},
      Instruction{Op::mflr,     "mflr",   spr(339, 8),            {rt}},
      Instruction{Op::mfctr,    "mfctr",  spr(339, 9),            {rt}},
      Instruction{Op::mtxer,    "mtxer",  spr(467, 1),            {rs}},
      Instruction{Op::mtlr,     "mtlr",   spr(467, 8),            {rs}},
      Instruction{Op::mtctr,    "mtctr",  spr(467, 9),            {rs}},
      Instruction{Op::mtfprd,   "mtfprd", no_rb(x_form(179)),     {frt, ra}},
      Instruction{Op::vspltisw, "vspltisw", {primary(4) | 908, kPrimary | 0xffff}, {vrt, sim}},

      Instruction{Op::lbz,      "lbz",    d_form(34),             {rt, d, ra0}},
      Instruction{Op::lhz,      "lhz",    d_form(40),             {rt, d, ra0}},
      Instruction{Op::lha,      "lha",    d_form(42),             {rt, d, ra0}},
      Instruction{Op::lwz,      "lwz",    d_form(32),             {rt, d, ra0}},
      Instruction{Op::lwa,      "lwa",    with_low2(58, 2),       {rt, ds, ra0}},
      Instruction{Op::ld,       "ld",     with_low2(58, 0),       {rt, ds, ra0}},
      Instruction{Op::ldu,      "ldu",    with_low2(58, 1),       {rt, ds, ra_update}},
      Instruction{Op::stb,      "stb",    d_form(38),             {rs, d, ra0}},
      Instruction{Op::sth,      "sth",    d_form(44),             {rs, d, ra0}},
      Instruction{Op::stw,      "stw",    d_form(36),             {rs, d, ra0}},
      Instruction{Op::std_,     "std",    with_low2(62, 0),       {rs, ds, ra0}},
      Instruction{Op::stdu,     "stdu",   with_low2(62, 1),       {rs, ds, ra_update}},
      Instruction{Op::lbzx,     "lbzx",   x_form(87),             {rt, ra0, rb}},
      Instruction{Op::lhzx,     "lhzx",   x_form(279),            {rt, ra0, rb}},
      Instruction{Op::lhax,     "lhax",   x_form(343),            {rt, ra0, rb}},
      Instruction{Op::lwzx,     "lwzx",   x_form(23),             {rt, ra0, rb}},
      Instruction{Op::lwax,     "lwax",   x_form(341),            {rt, ra0, rb}},
      Instruction{Op::ldx,      "ldx",    x_form(21),             {rt, ra0, rb}},
      Instruction{Op::stbx,     "stbx",   x_form(215),            {rs, ra0, rb}},
      Instruction{Op::sthx,     "sthx",   x_form(407),            {rs, ra0, rb}},
      Instruction{Op::stwx,     "stwx",   x_form(151),            {rs, ra0, rb}},
      Instruction{Op::stdx,     "stdx",   x_form(149),            {rs, ra0, rb}},
      Instruction{Op::lhbrx,    "lhbrx",  x_form(790),            {rt, ra0, rb}},
      Instruction{Op::lwbrx,    "lwbrx",  x_form(534),            {rt, ra0, rb}},
      Instruction{Op::ldbrx,    "ldbrx",  x_form(532),            {rt, ra0, rb}},
      Instruction{Op::sthbrx,   "sthbrx", x_form(918),            {rs, ra0, rb}},
      Instruction{Op::stwbrx,   "stwbrx", x_form(662),            {rs, ra0, rb}},
      Instruction{Op::stdbrx,   "stdbrx", x_form(660),            {rs, ra0, rb}},
      Instruction{Op::lwarx,    "lwarx",  x_form(20),             {rt, ra0, rb}},
      Instruction{Op::ldarx,    "ldarx",  x_form(84),             {rt, ra0, rb}},
      Instruction{Op::stwcx_rc, "stwcx.", x_form(150, 1),         {rs, ra0, rb}},
      Instruction{Op::stdcx_rc, "stdcx.", x_form(214, 1),         {rs, ra0, rb}},
      Instruction{Op::hwsync,   "hwsync", without(x_form(598), 0x3fff800)},
      Instruction{Op::lwsync,   "lwsync", {x_form(598).match | 1U << 21, 0xffffffff}},
  };
}();
// clang-format on

constexpr const Instruction& instruction(Op op) {
  return kInstructions[static_cast<std::size_t>(op)];
}

namespace rows {

constexpr bool rows_are_in_order() {
  for (std::size_t i = 0; i < kInstructions.size(); ++i) {
    if (static_cast<std::size_t>(kInstructions[i].op) != i) {
      return false;
    }
  }
  return kInstructions.size() == kOpCount;
}

// Mask, operands and Rc bit cover the 32 bits of a word, each exactly once.
constexpr bool every_bit_has_one_use() {
  for (const Instruction& row : kInstructions) {
    std::uint32_t used = row.encoding.mask;
    if ((row.encoding.match & ~used) != 0) {
      return false;
    }
    if (row.encoding.record_bit) {
      if ((used & 1) != 0) {
        return false;
      }
      used |= 1;
    }
    for (std::size_t i = 0; i < row.operand_count; ++i) {
      const std::uint32_t field = operand_info(row.operands[i]).mask();
      if ((used & field) != 0) {
        return false;
      }
      used |= field;
    }
    if (used != 0xffffffff) {
      return false;
    }
  }
  return true;
}

constexpr bool no_word_is_claimed_twice() {
  for (std::size_t i = 0; i < kInstructions.size(); ++i) {
    for (std::size_t j = i + 1; j < kInstructions.size(); ++j) {
      const Encoding& a = kInstructions[i].encoding;
      const Encoding& b = kInstructions[j].encoding;
      if (((a.match ^ b.match) & a.mask & b.mask) == 0) {
        return false;
      }
    }
  }
  return true;
}

static_assert(rows_are_in_order());
static_assert(every_bit_has_one_use());
static_assert(no_word_is_claimed_twice());

// Words are sorted into buckets by primary opcode, those of opcode 31 by bits 1 … 10 as well. A
// bucket names the first and one past the last row that can match; few hold more than one.
inline constexpr std::size_t kBuckets = 64 + 1024;
struct Bucket {
  std::uint8_t begin = 0;
  std::uint8_t end = 0;
};

constexpr std::size_t bucket_of(std::uint32_t word) {
  const std::uint32_t primary = word >> 26;
  return primary == 31 ? 64 + (word >> 1 & 0x3ff) : primary;
}

inline constexpr auto kIndex = [] {
  static_assert(kOpCount < 256);
  std::array<Bucket, kBuckets> index{};
  const auto add = [&index](std::size_t bucket, std::size_t row) {
    if (index[bucket].end == 0) {
      index[bucket].begin = static_cast<std::uint8_t>(row);
    }
    index[bucket].end = static_cast<std::uint8_t>(row + 1);
  };
  for (std::size_t row = 0; row < kInstructions.size(); ++row) {
    const Encoding& encoding = kInstructions[row].encoding;
    const std::uint32_t primary = encoding.match >> 26;
    if (primary != 31) {
      add(primary, row);
    }
    for (std::uint32_t extended = 0; primary == 31 && extended < 1024; ++extended) {
      if (((encoding.match ^ extended << 1) & encoding.mask & 0x7fe) == 0) {
        add(64 + extended, row);
      }
    }
  }
  return index;
}();

}  // namespace rows

// The row that `word` is an instance of; null if the table does not have it.
constexpr const Instruction* find(std::uint32_t word) {
  const rows::Bucket bucket = rows::kIndex[rows::bucket_of(word)];
  for (std::size_t row = bucket.begin; row < bucket.end; ++row) {
    if ((word & kInstructions[row].encoding.mask) == kInstructions[row].encoding.match) {
      return &kInstructions[row];
    }
  }
  return nullptr;
}

// From power10 on, a word with primary opcode 1 is the first half of an 8-byte instruction.
constexpr bool is_prefix(std::uint32_t word) {
  return word >> 26 == 1;
}

// `trap`: tw 31,r0,r0, what unused code space is filled with.
inline constexpr std::uint32_t kTrapWord = 0x7fe00008;

}  // namespace farcall::ppc64
