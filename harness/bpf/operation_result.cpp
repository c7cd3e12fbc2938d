#include "bpf/operation_result.hpp"

#include "base/bits.hpp"
#include "base/byte_order.hpp"

namespace farcall::bpf {
namespace {

// A value as a two's complement number of 32 or 64 bits.
std::int64_t as_signed(std::uint64_t value, unsigned width) {
  return sign_extend(value, width);
}

// RFC 9669 section 4.1: division truncates towards zero, a division by zero gives 0, and the least
// number divided by −1 is itself. The negation of `a` is all that division by −1 is.
std::uint64_t signed_quotient(std::uint64_t a, std::uint64_t b, unsigned width) {
  const std::int64_t divisor = as_signed(b, width);
  if (divisor == 0 || divisor == -1) {
    return a * b;
  }
  return static_cast<std::uint64_t>(as_signed(a, width) / divisor);
}

}  // namespace

std::uint64_t truncate(std::uint64_t value, unsigned width) {
  return bit_field(value, 0, width);
}

// RFC 9669 section 4.1.
std::uint64_t compute(Operation operation, std::uint64_t a, std::uint64_t b, unsigned width) {
  const auto shift = static_cast<unsigned>(b & (width - 1));
  switch (operation) {
    case Operation::add:
      return a + b;
    case Operation::sub:
      return a - b;
    case Operation::mul:
      return a * b;
    case Operation::div:
      return b == 0 ? 0 : a / b;
    case Operation::mod:
      return b == 0 ? a : a % b;
    case Operation::signed_div:
      return signed_quotient(a, b, width);
    case Operation::signed_mod:
      return a - signed_quotient(a, b, width) * b;
    case Operation::bit_or:
      return a | b;
    case Operation::bit_and:
      return a & b;
    case Operation::bit_xor:
      return a ^ b;
    case Operation::lsh:
      return a << shift;
    case Operation::rsh:
      return a >> shift;
    case Operation::arsh:
      return static_cast<std::uint64_t>(as_signed(a, width) >> shift);
    case Operation::neg:
      return 0 - a;
    case Operation::mov:
    case Operation::mov_signed:
      return b;
    default:
      not_implemented("the interpreter's arithmetic", operation);
  }
}

// RFC 9669 section 4.3.
bool holds(Operation operation, std::uint64_t a, std::uint64_t b, unsigned width) {
  const std::int64_t signed_a = as_signed(a, width);
  const std::int64_t signed_b = as_signed(b, width);
  switch (operation) {
    case Operation::jump_if_equal:
      return a == b;
    case Operation::jump_if_not_equal:
      return a != b;
    case Operation::jump_if_set:
      return (a & b) != 0;
    case Operation::jump_if_greater:
      return a > b;
    case Operation::jump_if_greater_equal:
      return a >= b;
    case Operation::jump_if_less:
      return a < b;
    case Operation::jump_if_less_equal:
      return a <= b;
    case Operation::jump_if_signed_greater:
      return signed_a > signed_b;
    case Operation::jump_if_signed_greater_equal:
      return signed_a >= signed_b;
    case Operation::jump_if_signed_less:
      return signed_a < signed_b;
    case Operation::jump_if_signed_less_equal:
      return signed_a <= signed_b;
    default:
      not_implemented("the interpreter's conditions", operation);
  }
}

// RFC 9669 section 4.2.
std::uint64_t reordered(const InstructionInfo& info, std::endian machine, std::uint64_t value) {
  const bool swaps = info.operation == Operation::swap ||
                     (info.operation == Operation::to_big) != (machine == std::endian::big);
  return swaps ? byte_swapped(value << (64 - info.swap_bits)) : truncate(value, info.swap_bits);
}

// RFC 9669 section 5.3.
std::uint64_t updated(Operation operation, std::uint64_t old, std::uint64_t source,
                      std::uint64_t expected) {
  switch (operation) {
    case Operation::atomic_add:
      return old + source;
    case Operation::atomic_or:
      return old | source;
    case Operation::atomic_and:
      return old & source;
    case Operation::atomic_xor:
      return old ^ source;
    case Operation::compare_exchange:
      return old == expected ? source : old;
    case Operation::exchange:
      return source;
    default:
      not_implemented("the interpreter's atomics", operation);
  }
}

}  // namespace farcall::bpf
