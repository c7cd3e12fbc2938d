// Native functions that the programs of the public conformance suite call.
#include "bpf/address_space.hpp"
#include "external/words.hpp"

namespace farcall::external {
namespace {

constexpr unsigned kFrobbed = 42;
constexpr unsigned kTrapIfEqual = 4;

constexpr std::uint32_t low_byte(ppc64::Gpr gpr) {
  return encode<Op::rldicl>(gpr, gpr, 0, 56);
}

}  // namespace

Words gather_bytes(const Surroundings& /*surroundings*/) {
  Words words = {low_byte(r3)};
  for (const ppc64::Gpr next : {r4, r5, r6, r7}) {
    append(words,
           {encode<Op::rldicr>(r3, r3, 8, 55), low_byte(next), encode<Op::or_>(r3, r3, next)});
  }
  words.push_back(kBlr);
  return words;
}

Result<std::uint64_t> gather_bytes(bpf::Caller& /*caller*/, const bpf::Arguments& arguments) {
  std::uint64_t result = 0;
  for (const std::uint64_t argument : arguments) {
    result = result << 8 | (argument & 0xff);
  }
  return result;
}

Words memfrob(const Surroundings& /*surroundings*/) {
  return {
      mr(r9, r3),
      // next:
      encode<Op::cmpldi>(cr0, r4, 0),
      branch_if(eq, 7),  // → done
      encode<Op::lbz>(r10, 0, r9),
      encode<Op::xori>(r10, r10, kFrobbed),
      encode<Op::stb>(r10, 0, r9),
      encode<Op::addi>(r9, r9, 1),
      encode<Op::addi>(r4, r4, -1),
      encode<Op::b>(-7 * 4),  // → next
      // done:
      kBlr,
  };
}

Result<std::uint64_t> memfrob(bpf::Caller& caller, const bpf::Arguments& arguments) {
  for (std::uint64_t i = 0; i < arguments[1]; ++i) {
    const GuestAddress at{arguments[0] + i};
    FARCALL_TRY(byte, caller.memory().load(at, 1));
    FARCALL_TRYV(caller.memory().store(at, 1, byte ^ kFrobbed));
  }
  return arguments[0];
}

Words no_op(const Surroundings& /*surroundings*/) {
  return {li(r3, 0), kBlr};
}

Result<std::uint64_t> no_op(bpf::Caller& /*caller*/, const bpf::Arguments& /*arguments*/) {
  return 0;
}

// Digit by digit, from the highest power of four that 32 bits have.
Words sqrti(const Surroundings& /*surroundings*/) {
  return {
      encode<Op::rldicl>(r3, r3, 0, 32),
      li(r9, 0),                                     // the root so far
      encode<Op::addis>(r10, ppc64::kZero, 0x4000),  // the digit
      // next:
      encode<Op::cmpldi>(cr0, r10, 0),
      branch_if(eq, 9),  // → done
      encode<Op::add>(r11, r9, r10),
      encode<Op::rldicl>(r9, r9, 63, 1),
      encode<Op::cmpld>(cr0, r3, r11),
      branch_if(lt, 3),
      encode<Op::subf>(r3, r11, r3),
      encode<Op::add>(r9, r9, r10),
      encode<Op::rldicl>(r10, r10, 62, 2),
      encode<Op::b>(-9 * 4),  // → next
      // done:
      mr(r3, r9),
      kBlr,
  };
}

Result<std::uint64_t> sqrti(bpf::Caller& /*caller*/, const bpf::Arguments& arguments) {
  const std::uint64_t square = arguments[0] & 0xffff'ffff;
  std::uint64_t root = 0;
  while ((root + 1) * (root + 1) <= square) {
    ++root;
  }
  return root;
}

Words strcmp_ext(const Surroundings& /*surroundings*/) {
  return {
      mr(r9, r3),
      // next:
      encode<Op::lbz>(r10, 0, r9),
      encode<Op::lbz>(r11, 0, r4),
      encode<Op::subf>(r3, r11, r10),
      encode<Op::cmpdi>(cr0, r3, 0),
      branch_if_not(eq, 5),  // → done
      encode<Op::cmpldi>(cr0, r10, 0),
      encode<Op::addi>(r9, r9, 1),
      encode<Op::addi>(r4, r4, 1),
      branch_if_not(eq, -8),  // → next
      // done:
      kBlr,
  };
}

Result<std::uint64_t> strcmp_ext(bpf::Caller& caller, const bpf::Arguments& arguments) {
  for (std::uint64_t i = 0;; ++i) {
    FARCALL_TRY(a, caller.memory().load({arguments[0] + i}, 1));
    FARCALL_TRY(b, caller.memory().load({arguments[1] + i}, 1));
    if (a != b || a == 0) {
      return a - b;
    }
  }
}

Words unrelocated(const Surroundings& /*surroundings*/) {
  return {encode<Op::tw>(31U, r0, r0), kBlr};
}

Result<std::uint64_t> unrelocated(bpf::Caller& /*caller*/, const bpf::Arguments& /*arguments*/) {
  return Error{.code = ErrorCode::interpreter_bad_call,
               .message = "it depends on a type, member or enumerator that the kernel's BTF lacks"};
}

Words unwind(const Surroundings& /*surroundings*/) {
  return {li(r11, 0), encode<Op::td>(kTrapIfEqual, r3, r11), kBlr};
}

Result<std::uint64_t> unwind(bpf::Caller& /*caller*/, const bpf::Arguments& arguments) {
  if (arguments[0] == 0) {
    return Error{.code = ErrorCode::interpreter_bad_call,
                 .message = "its argument is 0, which would end the program"};
  }
  return arguments[0];
}

}  // namespace farcall::external
