// The BPF instruction set, declared once: one row for each instruction, RFC 9669 sections 3 to 5.
//
// Assembler, disassembler, validator, interpreter and JIT all read this table; nothing else in the
// product knows an opcode byte. A row says which instruction an opcode is, how it is written, and
// what each field of the slot is for. Instructions that share an opcode (be16 and be32; div and
// sdiv) are rows of their own, next to each other, told apart by a field that selects.
//
// find() is how to get from a slot to its row. The meaning of the row:
//   operation, width   what is done, on 32 or 64 bits. A 32-bit ALU operation zeroes the upper half
//                      of dst; a 32-bit jump compares the lower halves only.
//   source             the second operand: none, `imm` sign-extended to the width, or register src
//   memory_bytes       loads, stores and atomics: 1, 2, 4 or 8. Loads extend with zeros, or by
//                      sign for load_signed. The address is src + offset for loads and dst + offset
//                      for the others.
//   swap_bits          to_little, to_big and swap: 16, 32 or 64; dst becomes that many low bits of
//                      itself, in the named byte order or the other one than they are in, extended
//                      with zeros to 64 bits
//   sign_bits          mov_signed: that many low bits of src are extended by sign to the width
//   fetches            atomics: src, of compare_exchange r0, becomes what was in memory, extended
//                      with zeros. compare_exchange compares memory with r0.
// Jump displacements are in slots, relative to the next slot: displacement() knows the field. A
// pseudo call's is in `imm`. load_immediate64 takes two slots: `imm` of the first is the lower
// half, `imm` of the second the upper half, and all other fields of the second are zero.
// load_function is the same opcode: it loads the address of the function whose first slot `imm`
// gives, like a pseudo call's, and all of the second slot is zero. load_map and load_map_value are
// too: `imm` is the number of a map (RFC 9669 section 5.4), and for the value `imm` of the second
// slot is the byte of the array's values. call_register is not an instruction of the RFC: what it
// means is for Program::callx to say.
//
// Beyond the RFC, as compilers and Linux have them:
//   load_acquire, store_release   atomic accesses that order all later, or all earlier
//                      ones; aligned
//   cast_kernel, cast_user, mov_percpu   pointers between address spaces, and to this
//                      CPU's variables: here there is one address space and one CPU, so the
//                      pointer stays as it is
//   jump_register      to the instruction whose address dst holds. Where the code of an instruction
//                      begins, the JIT says: such addresses come from Program::code_pointers alone.
//   may_goto           goes on at first, all those of one call of a function kMayGotoLimit times
//                      together, and then jumps. In Linux the limit is 8388608.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "bpf/program.hpp"

namespace farcall::bpf {

// r0 … r10 exist, in 4-bit fields; r10 is the frame pointer and never written.
inline constexpr std::uint8_t kRegisterCount = 11;
inline constexpr std::uint8_t kFramePointer = 10;

// The opcode that takes two slots.
inline constexpr std::uint8_t kLoadImmediate64 = 0x18;
// That of calls by number: of a function of the program, a helper or a kfunc.
inline constexpr std::uint8_t kCallOpcode = 0x85;
inline constexpr std::uint8_t kCallRegisterOpcode = 0x8d;

inline constexpr std::uint32_t kMayGotoLimit = 1024;

// The low three bits of an opcode.
enum class InstructionClass : std::uint8_t { ld, ldx, st, stx, alu, jmp, jmp32, alu64 };

// clang-format off
enum class Operation : std::uint8_t {
  add, sub, mul, div, signed_div, bit_or, bit_and, lsh, rsh, neg, mod, signed_mod, bit_xor,
  mov, mov_signed, arsh,
  to_little, to_big, swap,
  load, load_signed, load_acquire, store_register, store_immediate, store_release,
  load_immediate64, load_map, load_map_value, load_function,
  atomic_add, atomic_or, atomic_and, atomic_xor, exchange, compare_exchange,
  jump, jump_register, may_goto,
  jump_if_equal, jump_if_not_equal, jump_if_set,
  jump_if_greater, jump_if_greater_equal, jump_if_less, jump_if_less_equal,
  jump_if_signed_greater, jump_if_signed_greater_equal,
  jump_if_signed_less, jump_if_signed_less_equal,
  call, call_external, call_register, exit,
};
// clang-format on

// For an engine that does not know an operation: a bug of ours, which becomes the error of one
// cell, instead of a wrong result.
[[noreturn]] inline void not_implemented(std::string_view engine, Operation operation) {
  throw std::logic_error(std::string(engine) + " does not know operation " +
                         std::to_string(static_cast<int>(operation)));
}

// Where the second operand comes from. RFC 9669's K is immediate, X is src_register.
enum class Source : std::uint8_t { none, immediate, src_register };

// How the operands are written.
enum class Form : std::uint8_t {
  dst_source,    // add %r1, %r2      mov %r1, -5
  dst,           // neg %r1           be16 %r1
  dst_imm64,     // lddw %r1, 0x123456789
  dst_map,       // lddw %r1, map name
  dst_value,     // lddw %r1, value name+8
  dst_function,  // lddw %r1, local label
  load,          // ldxw %r1, [%r2+4]
  store,         // stxw [%r1-8], %r2 stw [%r1-8], 5
  atomic,        // lock fetch add [%r1-8], %r2
  target,        // ja label
  target32,      // ja32 label
  branch,        // jeq %r1, 5, label
  pointer,       // gotox %r1
  local_callee,  // call local label
  helper,        // call 5
  kfunc,         // call kfunc 5
  callee,        // callx %r1
  nothing,       // exit
};

enum class Operand : std::uint8_t {
  none,
  dst,           // %r1
  source,        // %r2 or 5, as the row's Source says
  imm64,         // 0x123456789
  map,           // map name: its number
  map_value,     // value name+8: the byte of its values that `imm` of the second slot counts
  memory_dst,    // [%r1-8], based on dst
  memory_src,    // [%r2+4], based on src
  target,        // label, `offset` slots away
  target32,      // label, `imm` slots away
  local_callee,  // local label: a function of the program
  helper,        // 5: its number
  kfunc,         // kfunc 5: its type's id
};

// What a form's operands are, in the order in which they are written.
constexpr std::array<Operand, 3> operands_of(Form form) {
  switch (form) {
    case Form::dst_source:
      return {Operand::dst, Operand::source};
    case Form::dst:
      return {Operand::dst};
    case Form::dst_imm64:
      return {Operand::dst, Operand::imm64};
    case Form::dst_map:
      return {Operand::dst, Operand::map};
    case Form::dst_value:
      return {Operand::dst, Operand::map_value};
    case Form::dst_function:
      return {Operand::dst, Operand::local_callee};
    case Form::load:
      return {Operand::dst, Operand::memory_src};
    case Form::store:
    case Form::atomic:
      return {Operand::memory_dst, Operand::source};
    case Form::target:
      return {Operand::target};
    case Form::target32:
      return {Operand::target32};
    case Form::branch:
      return {Operand::dst, Operand::source, Operand::target};
    case Form::local_callee:
      return {Operand::local_callee};
    case Form::helper:
      return {Operand::helper};
    case Form::kfunc:
      return {Operand::kfunc};
    case Form::callee:
    case Form::pointer:
      return {Operand::dst};
    case Form::nothing:
      break;
  }
  return {};
}

// What a field of the slot is for: an operand, nothing (it must be zero), or a part of the opcode
// that tells this row from others of the same opcode byte.
struct FieldRule {
  enum class Kind : std::uint8_t { zero, operand, selector };
  Kind kind = Kind::zero;
  std::int32_t value = 0;  // of a selector

  friend bool operator==(const FieldRule&, const FieldRule&) = default;
};

struct InstructionInfo {
  std::uint8_t opcode = 0;
  // With the width or size: `add32`, `ldxdw`, `be16`; an atomic's is several words.
  std::string_view mnemonic;
  Operation operation{};
  Form form{};
  Source source = Source::none;
  std::uint8_t width = 64;        // in bits: 32 or 64
  std::uint8_t memory_bytes = 0;  // 0: does not access memory
  std::uint8_t swap_bits = 0;     // 0: does not swap
  std::uint8_t sign_bits = 0;     // 0: does not extend
  bool fetches = false;
  FieldRule dst = {};
  FieldRule src = {};
  FieldRule offset = {};
  FieldRule imm = {};

  constexpr bool is_jump() const {
    return form == Form::target || form == Form::target32 || form == Form::branch;
  }
  // Whether it is a load or store that orders others.
  constexpr bool orders() const {
    return operation == Operation::load_acquire || operation == Operation::store_release;
  }
  constexpr bool is_call() const {
    return operation == Operation::call || operation == Operation::call_external ||
           operation == Operation::call_register;
  }
  // Whether it is a call site. A jump through a register is one, too, as only a run shows its
  // target.
  constexpr bool is_site() const { return is_call() || operation == Operation::jump_register; }
  // Whether it is a 64-bit immediate load, of whatever.
  constexpr bool loads64() const { return opcode == kLoadImmediate64; }
  // Whether `imm` is the number of a map.
  constexpr bool names_map() const { return form == Form::dst_map || form == Form::dst_value; }
  // Whether `imm` says where a function begins.
  constexpr bool names_function() const {
    return form == Form::local_callee || form == Form::dst_function;
  }
  constexpr bool writes_dst() const {
    return form == Form::dst_source || form == Form::dst || form == Form::load || loads64();
  }
  constexpr bool writes_src() const { return fetches && operation != Operation::compare_exchange; }
};

namespace rows {

inline constexpr FieldRule kOperand{FieldRule::Kind::operand, 0};
inline constexpr FieldRule kZero{};
constexpr FieldRule selects(std::int32_t value) {
  return {FieldRule::Kind::selector, value};
}

using enum Operation;
inline constexpr Source K = Source::immediate;
inline constexpr Source X = Source::src_register;

// The fields that hold the second operand.
constexpr InstructionInfo with_source(InstructionInfo row, Source source) {
  row.source = source;
  row.src = source == X ? kOperand : kZero;
  row.imm = source == K ? kOperand : kZero;
  return row;
}
constexpr InstructionInfo alu(std::uint8_t opcode, std::string_view mnemonic, Operation operation,
                              std::uint8_t width, Source source) {
  return with_source({.opcode = opcode,
                      .mnemonic = mnemonic,
                      .operation = operation,
                      .form = Form::dst_source,
                      .width = width,
                      .dst = kOperand},
                     source);
}
// Told apart from another row of the opcode by `offset`.
constexpr InstructionInfo with_offset(InstructionInfo row, std::int32_t offset) {
  row.offset = selects(offset);
  return row;
}
constexpr InstructionInfo movsx(std::uint8_t opcode, std::string_view mnemonic, std::uint8_t width,
                                std::uint8_t bits) {
  InstructionInfo row = with_offset(alu(opcode, mnemonic, mov_signed, width, X), bits);
  row.sign_bits = bits;
  return row;
}
constexpr InstructionInfo negate(std::uint8_t opcode, std::string_view mnemonic,
                                 std::uint8_t width) {
  return {.opcode = opcode,
          .mnemonic = mnemonic,
          .operation = neg,
          .form = Form::dst,
          .width = width,
          .dst = kOperand};
}
constexpr InstructionInfo bytes(std::uint8_t opcode, std::string_view mnemonic, Operation operation,
                                std::uint8_t bits) {
  return {.opcode = opcode,
          .mnemonic = mnemonic,
          .operation = operation,
          .form = Form::dst,
          .swap_bits = bits,
          .dst = kOperand,
          .imm = selects(bits)};
}
constexpr InstructionInfo ldx(std::uint8_t opcode, std::string_view mnemonic, std::uint8_t bytes,
                              Operation operation = load) {
  return {.opcode = opcode,
          .mnemonic = mnemonic,
          .operation = operation,
          .form = Form::load,
          .memory_bytes = bytes,
          .dst = kOperand,
          .src = kOperand,
          .offset = kOperand};
}
constexpr InstructionInfo store(std::uint8_t opcode, std::string_view mnemonic, std::uint8_t bytes,
                                Source source) {
  return with_source({.opcode = opcode,
                      .mnemonic = mnemonic,
                      .operation = source == X ? store_register : store_immediate,
                      .form = Form::store,
                      .memory_bytes = bytes,
                      .dst = kOperand,
                      .offset = kOperand},
                     source);
}
inline constexpr std::int32_t kFetch = 1;
constexpr InstructionInfo atomic(std::uint8_t opcode, std::string_view mnemonic,
                                 Operation operation, std::int32_t code) {
  const bool wide = opcode == 0xdb;
  return {.opcode = opcode,
          .mnemonic = mnemonic,
          .operation = operation,
          .form = Form::atomic,
          .source = X,
          .width = static_cast<std::uint8_t>(wide ? 64 : 32),
          .memory_bytes = static_cast<std::uint8_t>(wide ? 8 : 4),
          .fetches = (code & kFetch) != 0,
          .dst = kOperand,
          .src = kOperand,
          .offset = kOperand,
          .imm = selects(code)};
}
constexpr InstructionInfo acquire(std::uint8_t opcode, std::string_view mnemonic,
                                  std::uint8_t bytes) {
  InstructionInfo row = ldx(opcode, mnemonic, bytes, load_acquire);
  row.imm = selects(0x100);
  return row;
}
constexpr InstructionInfo release(std::uint8_t opcode, std::string_view mnemonic,
                                  std::uint8_t bytes) {
  InstructionInfo row = store(opcode, mnemonic, bytes, X);
  row.operation = store_release;
  row.imm = selects(0x110);
  return row;
}
// A move between address spaces: told apart by `offset`, and by `imm` if there is one.
constexpr InstructionInfo address_move(std::string_view mnemonic, std::int32_t offset,
                                       std::int32_t spaces) {
  InstructionInfo row = with_offset(alu(0xbf, mnemonic, mov, 64, X), offset);
  row.imm = spaces != 0 ? selects(spaces) : kZero;
  return row;
}
constexpr InstructionInfo branch(std::uint8_t opcode, std::string_view mnemonic,
                                 Operation operation, std::uint8_t width, Source source) {
  return with_source({.opcode = opcode,
                      .mnemonic = mnemonic,
                      .operation = operation,
                      .form = Form::branch,
                      .width = width,
                      .dst = kOperand,
                      .offset = kOperand},
                     source);
}

}  // namespace rows

// clang-format off
inline constexpr auto kInstructions = [] {
  using namespace rows;
  return std::array{
      alu(0x07, "add", add, 64, K),        alu(0x0f, "add", add, 64, X),
      alu(0x04, "add32", add, 32, K),      alu(0x0c, "add32", add, 32, X),
      alu(0x17, "sub", sub, 64, K),        alu(0x1f, "sub", sub, 64, X),
      alu(0x14, "sub32", sub, 32, K),      alu(0x1c, "sub32", sub, 32, X),
      alu(0x27, "mul", mul, 64, K),        alu(0x2f, "mul", mul, 64, X),
      alu(0x24, "mul32", mul, 32, K),      alu(0x2c, "mul32", mul, 32, X),
      with_offset(alu(0x37, "div", div, 64, K), 0),
      with_offset(alu(0x37, "sdiv", signed_div, 64, K), 1),
      with_offset(alu(0x3f, "div", div, 64, X), 0),
      with_offset(alu(0x3f, "sdiv", signed_div, 64, X), 1),
      with_offset(alu(0x34, "div32", div, 32, K), 0),
      with_offset(alu(0x34, "sdiv32", signed_div, 32, K), 1),
      with_offset(alu(0x3c, "div32", div, 32, X), 0),
      with_offset(alu(0x3c, "sdiv32", signed_div, 32, X), 1),
      alu(0x47, "or", bit_or, 64, K),      alu(0x4f, "or", bit_or, 64, X),
      alu(0x44, "or32", bit_or, 32, K),    alu(0x4c, "or32", bit_or, 32, X),
      alu(0x57, "and", bit_and, 64, K),    alu(0x5f, "and", bit_and, 64, X),
      alu(0x54, "and32", bit_and, 32, K),  alu(0x5c, "and32", bit_and, 32, X),
      alu(0x67, "lsh", lsh, 64, K),        alu(0x6f, "lsh", lsh, 64, X),
      alu(0x64, "lsh32", lsh, 32, K),      alu(0x6c, "lsh32", lsh, 32, X),
      alu(0x77, "rsh", rsh, 64, K),        alu(0x7f, "rsh", rsh, 64, X),
      alu(0x74, "rsh32", rsh, 32, K),      alu(0x7c, "rsh32", rsh, 32, X),
      negate(0x87, "neg", 64),             negate(0x84, "neg32", 32),
      with_offset(alu(0x97, "mod", mod, 64, K), 0),
      with_offset(alu(0x97, "smod", signed_mod, 64, K), 1),
      with_offset(alu(0x9f, "mod", mod, 64, X), 0),
      with_offset(alu(0x9f, "smod", signed_mod, 64, X), 1),
      with_offset(alu(0x94, "mod32", mod, 32, K), 0),
      with_offset(alu(0x94, "smod32", signed_mod, 32, K), 1),
      with_offset(alu(0x9c, "mod32", mod, 32, X), 0),
      with_offset(alu(0x9c, "smod32", signed_mod, 32, X), 1),
      alu(0xa7, "xor", bit_xor, 64, K),    alu(0xaf, "xor", bit_xor, 64, X),
      alu(0xa4, "xor32", bit_xor, 32, K),  alu(0xac, "xor32", bit_xor, 32, X),
      alu(0xb7, "mov", mov, 64, K),
      with_offset(alu(0xbf, "mov", mov, 64, X), 0),
      movsx(0xbf, "movsx864", 64, 8),      movsx(0xbf, "movsx1664", 64, 16),
      movsx(0xbf, "movsx3264", 64, 32),
      address_move("cast_kernel", 1, 1),   address_move("cast_user", 1, 1 << 16),
      address_move("mov_percpu", -1, 0),
      alu(0xb4, "mov32", mov, 32, K),
      with_offset(alu(0xbc, "mov32", mov, 32, X), 0),
      movsx(0xbc, "movsx832", 32, 8),      movsx(0xbc, "movsx1632", 32, 16),
      alu(0xc7, "arsh", arsh, 64, K),      alu(0xcf, "arsh", arsh, 64, X),
      alu(0xc4, "arsh32", arsh, 32, K),    alu(0xcc, "arsh32", arsh, 32, X),

      bytes(0xd4, "le16", to_little, 16),  bytes(0xd4, "le32", to_little, 32),
      bytes(0xd4, "le64", to_little, 64),  bytes(0xdc, "be16", to_big, 16),
      bytes(0xdc, "be32", to_big, 32),     bytes(0xdc, "be64", to_big, 64),
      bytes(0xd7, "swap16", swap, 16),     bytes(0xd7, "swap32", swap, 32),
      bytes(0xd7, "swap64", swap, 64),

      ldx(0x71, "ldxb", 1),                ldx(0x69, "ldxh", 2),
      ldx(0x61, "ldxw", 4),                ldx(0x79, "ldxdw", 8),
      ldx(0x91, "ldxsb", 1, load_signed),  ldx(0x89, "ldxsh", 2, load_signed),
      ldx(0x81, "ldxsw", 4, load_signed),
      store(0x73, "stxb", 1, X),           store(0x72, "stb", 1, K),
      store(0x6b, "stxh", 2, X),           store(0x6a, "sth", 2, K),
      store(0x63, "stxw", 4, X),           store(0x62, "stw", 4, K),
      store(0x7b, "stxdw", 8, X),          store(0x7a, "stdw", 8, K),

      atomic(0xc3, "lock add32", atomic_add, 0x00),
      atomic(0xc3, "lock fetch add32", atomic_add, 0x00 | kFetch),
      atomic(0xc3, "lock or32", atomic_or, 0x40),
      atomic(0xc3, "lock fetch or32", atomic_or, 0x40 | kFetch),
      atomic(0xc3, "lock and32", atomic_and, 0x50),
      atomic(0xc3, "lock fetch and32", atomic_and, 0x50 | kFetch),
      atomic(0xc3, "lock xor32", atomic_xor, 0xa0),
      atomic(0xc3, "lock fetch xor32", atomic_xor, 0xa0 | kFetch),
      atomic(0xc3, "lock xchg32", exchange, 0xe0 | kFetch),
      atomic(0xc3, "lock cmpxchg32", compare_exchange, 0xf0 | kFetch),
      acquire(0xc3, "acquire ldxw", 4),    release(0xc3, "release stxw", 4),
      atomic(0xdb, "lock add", atomic_add, 0x00),
      atomic(0xdb, "lock fetch add", atomic_add, 0x00 | kFetch),
      atomic(0xdb, "lock or", atomic_or, 0x40),
      atomic(0xdb, "lock fetch or", atomic_or, 0x40 | kFetch),
      atomic(0xdb, "lock and", atomic_and, 0x50),
      atomic(0xdb, "lock fetch and", atomic_and, 0x50 | kFetch),
      atomic(0xdb, "lock xor", atomic_xor, 0xa0),
      atomic(0xdb, "lock fetch xor", atomic_xor, 0xa0 | kFetch),
      atomic(0xdb, "lock xchg", exchange, 0xe0 | kFetch),
      atomic(0xdb, "lock cmpxchg", compare_exchange, 0xf0 | kFetch),
      acquire(0xdb, "acquire ldxdw", 8),   release(0xdb, "release stxdw", 8),
      acquire(0xd3, "acquire ldxb", 1),    release(0xd3, "release stxb", 1),
      acquire(0xcb, "acquire ldxh", 2),    release(0xcb, "release stxh", 2),

      InstructionInfo{.opcode = kLoadImmediate64, .mnemonic = "lddw", .operation = load_immediate64,
                      .form = Form::dst_imm64, .source = K, .dst = kOperand, .src = selects(0),
                      .imm = kOperand},
      InstructionInfo{.opcode = kLoadImmediate64, .mnemonic = "lddw", .operation = load_map,
                      .form = Form::dst_map, .dst = kOperand, .src = selects(kPseudoMap),
                      .imm = kOperand},
      InstructionInfo{.opcode = kLoadImmediate64, .mnemonic = "lddw", .operation = load_map_value,
                      .form = Form::dst_value, .dst = kOperand, .src = selects(kPseudoMapValue),
                      .imm = kOperand},
      InstructionInfo{.opcode = kLoadImmediate64, .mnemonic = "lddw", .operation = load_function,
                      .form = Form::dst_function, .dst = kOperand, .src = selects(kPseudoFunction),
                      .imm = kOperand},

      InstructionInfo{.opcode = 0x05, .mnemonic = "ja", .operation = jump, .form = Form::target,
                      .offset = kOperand},
      InstructionInfo{.opcode = 0x0d, .mnemonic = "gotox", .operation = jump_register,
                      .form = Form::pointer, .dst = kOperand},
      InstructionInfo{.opcode = 0x06, .mnemonic = "ja32", .operation = jump,
                      .form = Form::target32, .imm = kOperand},
      InstructionInfo{.opcode = 0xe5, .mnemonic = "may_goto", .operation = may_goto,
                      .form = Form::target, .offset = kOperand},
      branch(0x15, "jeq", jump_if_equal, 64, K),
      branch(0x1d, "jeq", jump_if_equal, 64, X),
      branch(0x16, "jeq32", jump_if_equal, 32, K),
      branch(0x1e, "jeq32", jump_if_equal, 32, X),
      branch(0x25, "jgt", jump_if_greater, 64, K),
      branch(0x2d, "jgt", jump_if_greater, 64, X),
      branch(0x26, "jgt32", jump_if_greater, 32, K),
      branch(0x2e, "jgt32", jump_if_greater, 32, X),
      branch(0x35, "jge", jump_if_greater_equal, 64, K),
      branch(0x3d, "jge", jump_if_greater_equal, 64, X),
      branch(0x36, "jge32", jump_if_greater_equal, 32, K),
      branch(0x3e, "jge32", jump_if_greater_equal, 32, X),
      branch(0x45, "jset", jump_if_set, 64, K),
      branch(0x4d, "jset", jump_if_set, 64, X),
      branch(0x46, "jset32", jump_if_set, 32, K),
      branch(0x4e, "jset32", jump_if_set, 32, X),
      branch(0x55, "jne", jump_if_not_equal, 64, K),
      branch(0x5d, "jne", jump_if_not_equal, 64, X),
      branch(0x56, "jne32", jump_if_not_equal, 32, K),
      branch(0x5e, "jne32", jump_if_not_equal, 32, X),
      branch(0x65, "jsgt", jump_if_signed_greater, 64, K),
      branch(0x6d, "jsgt", jump_if_signed_greater, 64, X),
      branch(0x66, "jsgt32", jump_if_signed_greater, 32, K),
      branch(0x6e, "jsgt32", jump_if_signed_greater, 32, X),
      branch(0x75, "jsge", jump_if_signed_greater_equal, 64, K),
      branch(0x7d, "jsge", jump_if_signed_greater_equal, 64, X),
      branch(0x76, "jsge32", jump_if_signed_greater_equal, 32, K),
      branch(0x7e, "jsge32", jump_if_signed_greater_equal, 32, X),
      branch(0xa5, "jlt", jump_if_less, 64, K),
      branch(0xad, "jlt", jump_if_less, 64, X),
      branch(0xa6, "jlt32", jump_if_less, 32, K),
      branch(0xae, "jlt32", jump_if_less, 32, X),
      branch(0xb5, "jle", jump_if_less_equal, 64, K),
      branch(0xbd, "jle", jump_if_less_equal, 64, X),
      branch(0xb6, "jle32", jump_if_less_equal, 32, K),
      branch(0xbe, "jle32", jump_if_less_equal, 32, X),
      branch(0xc5, "jslt", jump_if_signed_less, 64, K),
      branch(0xcd, "jslt", jump_if_signed_less, 64, X),
      branch(0xc6, "jslt32", jump_if_signed_less, 32, K),
      branch(0xce, "jslt32", jump_if_signed_less, 32, X),
      branch(0xd5, "jsle", jump_if_signed_less_equal, 64, K),
      branch(0xdd, "jsle", jump_if_signed_less_equal, 64, X),
      branch(0xd6, "jsle32", jump_if_signed_less_equal, 32, K),
      branch(0xde, "jsle32", jump_if_signed_less_equal, 32, X),

      InstructionInfo{.opcode = 0x85, .mnemonic = "call", .operation = call_external,
                      .form = Form::helper, .src = selects(kHelperCall), .imm = kOperand},
      InstructionInfo{.opcode = 0x85, .mnemonic = "call", .operation = call,
                      .form = Form::local_callee, .src = selects(kPseudoCall), .imm = kOperand},
      InstructionInfo{.opcode = 0x85, .mnemonic = "call", .operation = call_external,
                      .form = Form::kfunc, .src = selects(kKfuncCall), .imm = kOperand},
      InstructionInfo{.opcode = 0x8d, .mnemonic = "callx", .operation = call_register,
                      .form = Form::callee, .dst = kOperand},
      InstructionInfo{.opcode = 0x95, .mnemonic = "exit", .operation = Operation::exit,
                      .form = Form::nothing},
  };
}();
// clang-format on

namespace rows {

constexpr bool told_apart(const FieldRule& a, const FieldRule& b) {
  return a.kind == FieldRule::Kind::selector && b.kind == FieldRule::Kind::selector &&
         a.value != b.value;
}
constexpr bool told_apart(const InstructionInfo& a, const InstructionInfo& b) {
  return told_apart(a.dst, b.dst) || told_apart(a.src, b.src) || told_apart(a.offset, b.offset) ||
         told_apart(a.imm, b.imm);
}

// No slot can be two instructions, and rows of one opcode are neighbours.
constexpr bool each_opcode_claimed_once() {
  for (std::size_t i = 0; i < kInstructions.size(); ++i) {
    for (std::size_t j = i + 1; j < kInstructions.size(); ++j) {
      const bool same = kInstructions[i].opcode == kInstructions[j].opcode;
      if (same && (kInstructions[j - 1].opcode != kInstructions[j].opcode ||
                   !told_apart(kInstructions[i], kInstructions[j]))) {
        return false;
      }
    }
  }
  return true;
}
static_assert(each_opcode_claimed_once());

constexpr bool selects(const FieldRule& rule, std::int32_t value) {
  return rule.kind != FieldRule::Kind::selector || rule.value == value;
}

// The first row of each opcode; kInstructions.size() where there is none.
inline constexpr auto kFirstOf = [] {
  static_assert(kInstructions.size() < 256);
  std::array<std::uint8_t, 256> first{};
  first.fill(kInstructions.size());
  for (std::size_t i = kInstructions.size(); i-- > 0;) {
    first[kInstructions[i].opcode] = static_cast<std::uint8_t>(i);
  }
  return first;
}();

}  // namespace rows

// The first row of `opcode`, whatever the other fields are; null if there is none. Enough where
// only what all rows of an opcode share is of interest, such as its operation's kind.
constexpr const InstructionInfo* find(std::uint8_t opcode) {
  const std::size_t first = rows::kFirstOf[opcode];
  return first < kInstructions.size() ? &kInstructions[first] : nullptr;
}

// The instruction that `slot` is, or null. Fields that must be zero are not looked at: validate()
// does that, and call schemes use the free fields of a call.
constexpr const InstructionInfo* find(const Slot& slot) {
  for (std::size_t i = rows::kFirstOf[slot.opcode];
       i < kInstructions.size() && kInstructions[i].opcode == slot.opcode; ++i) {
    const InstructionInfo& row = kInstructions[i];
    if (rows::selects(row.dst, slot.dst) && rows::selects(row.src, slot.src) &&
        rows::selects(row.offset, slot.offset) && rows::selects(row.imm, slot.imm)) {
      return &row;
    }
  }
  return nullptr;
}

// How many slots the instruction takes that begins with `opcode`.
constexpr SlotIndex slots_of(std::uint8_t opcode) {
  return opcode == kLoadImmediate64 ? 2 : 1;
}

// Makes `slot` an instance of `info`: its opcode, and the fields that tell the row from others.
constexpr void select(const InstructionInfo& info, Slot& slot) {
  slot.opcode = info.opcode;
  const auto set = [](const FieldRule& rule, auto& field) {
    if (rule.kind == FieldRule::Kind::selector) {
      field = static_cast<std::remove_reference_t<decltype(field)>>(rule.value);
    }
  };
  set(info.dst, slot.dst);
  set(info.src, slot.src);
  set(info.offset, slot.offset);
  set(info.imm, slot.imm);
}

// How far a jump goes, in slots from the next one.
constexpr std::int32_t displacement(const Slot& slot, const InstructionInfo& jump) {
  return jump.form == Form::target32 ? slot.imm : slot.offset;
}

// Where the function begins that `slot` at `at` names: an instruction of which names_function().
constexpr SlotIndex local_target(SlotIndex at, const Slot& slot) {
  return at + 1 + static_cast<SlotIndex>(slot.imm);
}

// How far after its map's beginning the address is that a load_map or load_map_value loads.
constexpr std::uint64_t map_offset(const Slot& first, const Slot& second) {
  return first.src == kPseudoMapValue ? kArrayHeaderBytes + static_cast<std::uint32_t>(second.imm)
                                      : 0;
}

// The 64-bit immediate of a load_immediate64.
constexpr std::uint64_t immediate64(const Slot& first, const Slot& second) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(second.imm)) << 32 |
         static_cast<std::uint32_t>(first.imm);
}

constexpr bool is_tail_call(const Slot& slot) {
  const InstructionInfo* const info = find(slot);
  return info != nullptr && info->form == Form::helper && slot.imm == kTailCall;
}

}  // namespace farcall::bpf
