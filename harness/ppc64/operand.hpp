// The operands of ppc64 instructions: their types for C++ callers, and where each lies in a word.
// Power ISA 2.07, Book I, section 1.6 (instruction formats and fields).
//
// Bits are counted from the least significant one here; the ISA counts from the most significant.
// A value is what the assembler writes: a register's number, a displacement in bytes, a shift
// count.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bits.hpp"

namespace farcall::ppc64 {

// clang-format off
enum class Gpr : std::uint8_t {
  r0,  r1,  r2,  r3,  r4,  r5,  r6,  r7,  r8,  r9,  r10, r11, r12, r13, r14, r15,
  r16, r17, r18, r19, r20, r21, r22, r23, r24, r25, r26, r27, r28, r29, r30, r31,
};
enum class CrField : std::uint8_t { cr0, cr1, cr2, cr3, cr4, cr5, cr6, cr7 };

inline constexpr std::array<std::string_view, 32> kGprNames = {
    "r0",  "r1",  "r2",  "r3",  "r4",  "r5",  "r6",  "r7",  "r8",  "r9",  "r10",
    "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21",
    "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31"};
inline constexpr std::array<std::string_view, 8> kCrFieldNames = {
    "cr0", "cr1", "cr2", "cr3", "cr4", "cr5", "cr6", "cr7"};
// clang-format on

constexpr std::string_view name(Gpr gpr) {
  return kGprNames[static_cast<std::size_t>(gpr)];
}

// What a compare leaves in the four bits of a CR field.
enum class Condition : std::uint8_t { lt, gt, eq, so };
inline constexpr std::array<std::string_view, 4> kConditionNames = {"lt", "gt", "eq", "so"};

// One bit of CR, 0 … 31.
enum class CrBit : std::uint8_t {};
constexpr CrBit cr_bit(CrField field, Condition condition) {
  return static_cast<CrBit>(4 * static_cast<unsigned>(field) + static_cast<unsigned>(condition));
}

// In the place of a base register (operand ra0) that field value 0 stands for: no register, but the
// number zero.
struct LiteralZero {};
inline constexpr LiteralZero kZero;

// The BO values that the ISA defines, as far as they are used by name.
inline constexpr unsigned kBranchIfFalse = 4;
inline constexpr unsigned kBranchIfTrue = 12;
inline constexpr unsigned kBranchAlways = 20;

// `bcl 20,31,$+4`: sets LR to the address of the next word and goes on there. It is how code reads
// its own address, and not a call.
inline constexpr std::uint32_t kReadOwnAddress = 0x429f0005;
// Clear in a BO that decrements CTR, set in one that leaves it alone.
inline constexpr unsigned kBoKeepsCtr = 4;

// Every operand that a row of the instruction table can have. Register operands say what happens to
// the register, so a reader of code knows what an instruction reads and writes.
enum class Operand : std::uint8_t {
  rt,         // written
  rs,         // read, in the place of rt
  ra,         // read
  ra0,        // read; field 0 means the number 0, not r0
  ra_dest,    // written
  ra_merged,  // read and written
  ra_update,  // base of a load or store with update: read and written
  rb,         // read
  bf,         // CR field written; not written out if it is cr0
  bi,         // CR bit of a branch
  bc,         // CR bit of isel
  bo,         // branch condition
  bh,         // branch hint; not written out if it is 0
  to,         // trap condition
  fxm,        // mask of CR fields, cr0 is 0x80
  lev,        // level of sc; not written out if it is 0
  si,         // signed immediate
  ui,         // unsigned immediate
  d,          // displacement of a load or store
  ds,         // the same, a multiple of 4
  li,         // target of b: displacement in bytes
  li_abs,     // target of ba: address
  bd,         // target of bc: displacement in bytes
  bd_abs,     // target of bca: address
  sh5,
  mb5,
  me5,
  sh6,
  mb6,  // mb of MD form, and me of rldicr
  frt,  // floating-point register, written
  vrt,  // vector register, written
  sim,  // signed immediate of five bits
};

enum class OperandKind : std::uint8_t {
  gpr,
  gpr_or_zero,
  fpr,
  vr,
  cr_field,
  cr_bit,
  number,
  memory,    // a displacement, written with the base that follows it: `8(r1)`
  relative,  // a branch target relative to the instruction
  absolute,  // a branch target
};

struct OperandInfo {
  OperandKind kind{};
  std::string_view name;
  bool reads = false;  // registers only
  bool writes = false;
  bool is_signed = false;
  bool omit_zero = false;
  std::uint8_t low_bits = 5;   // width of the field
  std::uint8_t low_shift = 0;  // its least significant bit in the word
  std::uint8_t high_bits = 0;  // the part of a split field that goes elsewhere
  std::uint8_t high_shift = 0;
  std::uint8_t zero_bits = 0;  // low bits of the value that are zero and not in the word

  constexpr unsigned bits() const { return low_bits + high_bits; }
  constexpr std::uint32_t low_mask() const { return ((1U << low_bits) - 1) << low_shift; }
  constexpr std::uint32_t high_mask() const { return ((1U << high_bits) - 1) << high_shift; }
  constexpr std::uint32_t mask() const { return low_mask() | high_mask(); }
};

namespace operands {

using enum OperandKind;

constexpr OperandInfo gpr_at(std::string_view name, std::uint8_t shift, bool reads, bool writes) {
  return {.kind = gpr, .name = name, .reads = reads, .writes = writes, .low_shift = shift};
}
constexpr OperandInfo field(OperandKind kind, std::string_view name, std::uint8_t bits,
                            std::uint8_t shift) {
  return {.kind = kind, .name = name, .low_bits = bits, .low_shift = shift};
}
constexpr OperandInfo optional(OperandInfo info) {
  info.omit_zero = true;
  return info;
}
// A signed field of which the two lowest bits of the value are left out.
constexpr OperandInfo words(OperandKind kind, std::string_view name, std::uint8_t bits) {
  return {.kind = kind,
          .name = name,
          .is_signed = true,
          .low_bits = bits,
          .low_shift = 2,
          .zero_bits = 2};
}
constexpr OperandInfo low_half(OperandKind kind, std::string_view name, bool is_signed) {
  return {.kind = kind, .name = name, .is_signed = is_signed, .low_bits = 16};
}
// Six bits: the low five together, the sixth elsewhere.
constexpr OperandInfo split(std::string_view name, std::uint8_t shift, std::uint8_t sixth) {
  return {.kind = number, .name = name, .low_shift = shift, .high_bits = 1, .high_shift = sixth};
}

constexpr OperandInfo describe(Operand operand) {
  switch (operand) {
    case Operand::rt:
      return gpr_at("RT", 21, false, true);
    case Operand::rs:
      return gpr_at("RS", 21, true, false);
    case Operand::ra:
      return gpr_at("RA", 16, true, false);
    case Operand::ra0:
      return {.kind = gpr_or_zero, .name = "RA", .reads = true, .low_shift = 16};
    case Operand::ra_dest:
      return gpr_at("RA", 16, false, true);
    case Operand::ra_merged:
    case Operand::ra_update:
      return gpr_at("RA", 16, true, true);
    case Operand::rb:
      return gpr_at("RB", 11, true, false);
    case Operand::bf:
      return optional(field(cr_field, "BF", 3, 23));
    case Operand::bi:
      return field(OperandKind::cr_bit, "BI", 5, 16);
    case Operand::bc:
      return field(OperandKind::cr_bit, "BC", 5, 6);
    case Operand::bo:
      return field(number, "BO", 5, 21);
    case Operand::bh:
      return optional(field(number, "BH", 2, 11));
    case Operand::to:
      return field(number, "TO", 5, 21);
    case Operand::fxm:
      return field(number, "FXM", 8, 12);
    case Operand::lev:
      return optional(field(number, "LEV", 7, 5));
    case Operand::si:
      return low_half(number, "SI", true);
    case Operand::ui:
      return low_half(number, "UI", false);
    case Operand::d:
      return low_half(memory, "D", true);
    case Operand::ds:
      return words(memory, "DS", 14);
    case Operand::li:
      return words(relative, "LI", 24);
    case Operand::li_abs:
      return words(absolute, "LI", 24);
    case Operand::bd:
      return words(relative, "BD", 14);
    case Operand::bd_abs:
      return words(absolute, "BD", 14);
    case Operand::sh5:
      return field(number, "SH", 5, 11);
    case Operand::mb5:
      return field(number, "MB", 5, 6);
    case Operand::me5:
      return field(number, "ME", 5, 1);
    case Operand::sh6:
      return split("SH", 11, 1);
    case Operand::mb6:
      return split("MB", 6, 5);
    case Operand::frt:
      return field(fpr, "FRT", 5, 21);
    case Operand::vrt:
      return field(vr, "VRT", 5, 21);
    case Operand::sim: {
      OperandInfo info = field(number, "SIM", 5, 16);
      info.is_signed = true;
      return info;
    }
  }
  return {};
}

inline constexpr auto kInfos = [] {
  std::array<OperandInfo, static_cast<std::size_t>(Operand::sim) + 1> infos;
  for (std::size_t i = 0; i < infos.size(); ++i) {
    infos[i] = describe(static_cast<Operand>(i));
  }
  return infos;
}();

}  // namespace operands

constexpr const OperandInfo& operand_info(Operand operand) {
  return operands::kInfos[static_cast<std::size_t>(operand)];
}

// Whether `value` can be written in the operand's field without losing anything.
constexpr bool fits(const OperandInfo& info, std::int64_t value) {
  const std::int64_t stored = value >> info.zero_bits;
  if (stored << info.zero_bits != value) {
    return false;
  }
  return info.is_signed ? fits_signed(stored, info.bits())
                        : fits_unsigned(static_cast<std::uint64_t>(stored), info.bits());
}

// The bits of a word that hold `value`, which fits.
constexpr std::uint32_t insert(const OperandInfo& info, std::int64_t value) {
  const auto stored = static_cast<std::uint32_t>(value >> info.zero_bits);
  return (stored << info.low_shift & info.low_mask()) |
         (stored >> info.low_bits << info.high_shift & info.high_mask());
}

constexpr std::int64_t extract(const OperandInfo& info, std::uint32_t word) {
  const std::uint32_t stored = (word & info.low_mask()) >> info.low_shift |
                               (word & info.high_mask()) >> info.high_shift << info.low_bits;
  const std::int64_t value = info.is_signed ? sign_extend(stored, info.bits()) : stored;
  return value * (std::int64_t{1} << info.zero_bits);
}
constexpr std::int64_t extract(Operand operand, std::uint32_t word) {
  return extract(operand_info(operand), word);
}

}  // namespace farcall::ppc64
