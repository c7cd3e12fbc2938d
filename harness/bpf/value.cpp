#include "bpf/value.hpp"

#include "base/bits.hpp"

namespace farcall::bpf {
namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};
constexpr std::uint64_t kAligned = 7;  // bits of an address that a frame's place does not change

// A carry goes upwards: all bits from the lowest one of `mask` on.
std::uint64_t upwards(std::uint64_t mask) {
  return mask | (0 - mask);
}

// Least and greatest number that the operand can be, for a signed comparison with the sign bit
// turned, so that both compare as unsigned ones.
struct Range {
  std::uint64_t least;
  std::uint64_t most;
};
Range range_of(const Value& value, std::uint64_t turned) {
  const std::uint64_t bits = value.bits ^ turned;
  return {bits & ~value.undefined, bits | value.undefined};
}

}  // namespace

Value undefined_value(Origin origin) {
  return {.undefined = kAll, .origin = origin};
}

Value opaque(Value value) {
  if (value.frame != 0) {
    value.frame = 0;
    value.origin =
        value.undefined == 0 ? Origin{.kind = Origin::Kind::stack_position} : value.origin;
    value.undefined |= ~kAligned;
  }
  return value;
}

Value truncated(Value value, unsigned width) {
  if (width < 64) {
    value = opaque(value);
    value.bits = bit_field(value.bits, 0, width);
    value.undefined = bit_field(value.undefined, 0, width);
  }
  return value;
}

Value sign_extended(Value value, unsigned width) {
  if (width < 64) {
    value = opaque(value);
    value.bits = static_cast<std::uint64_t>(sign_extend(value.bits, width));
    value.undefined = static_cast<std::uint64_t>(sign_extend(value.undefined, width));
  }
  return value;
}

std::uint64_t undefined_bits(Operation operation, const Value& a, const Value& b, unsigned width,
                             bool same) {
  const std::uint64_t either = a.undefined | b.undefined;
  const auto shift = static_cast<unsigned>(b.bits & (width - 1));
  const bool shift_is_known = (b.undefined & (width - 1)) == 0;
  switch (operation) {
    case Operation::bit_and:
      return (a.undefined & (b.undefined | b.bits)) | (b.undefined & a.bits);
    case Operation::bit_or:
      return (a.undefined & (b.undefined | ~b.bits)) | (b.undefined & ~a.bits);
    case Operation::bit_xor:
      return same ? 0 : either;
    case Operation::sub:
      return same ? 0 : upwards(either);
    case Operation::add:
    case Operation::mul:
      return upwards(either);
    case Operation::neg:
      return upwards(a.undefined);
    case Operation::lsh:
      return shift_is_known ? a.undefined << shift : kAll;
    case Operation::rsh:
      return shift_is_known ? a.undefined >> shift : kAll;
    case Operation::arsh:
      return shift_is_known ? static_cast<std::uint64_t>(sign_extend(a.undefined, width) >> shift)
                            : kAll;
    case Operation::div:
    case Operation::mod:
    case Operation::signed_div:
    case Operation::signed_mod:
      return either == 0 ? 0 : kAll;
    default:
      not_implemented("the rule of undefined bits", operation);
  }
}

bool is_decided(Operation operation, const Value& a, const Value& b, unsigned width, bool same) {
  const std::uint64_t either = a.undefined | b.undefined;
  if (either == 0 || (same && operation != Operation::jump_if_set)) {
    return true;
  }
  const bool is_signed = operation == Operation::jump_if_signed_greater ||
                         operation == Operation::jump_if_signed_greater_equal ||
                         operation == Operation::jump_if_signed_less ||
                         operation == Operation::jump_if_signed_less_equal;
  const std::uint64_t turned = is_signed ? std::uint64_t{1} << (width - 1) : 0;
  const Range left = range_of(a, turned);
  const Range right = range_of(b, turned);
  switch (operation) {
    case Operation::jump_if_equal:
    case Operation::jump_if_not_equal:
      return ((a.bits ^ b.bits) & ~either) != 0;
    case Operation::jump_if_set:
      return (left.least & right.least) != 0 || (left.most & right.most) == 0;
    case Operation::jump_if_greater:
    case Operation::jump_if_signed_greater:
    case Operation::jump_if_less_equal:
    case Operation::jump_if_signed_less_equal:
      return left.least > right.most || left.most <= right.least;
    case Operation::jump_if_less:
    case Operation::jump_if_signed_less:
    case Operation::jump_if_greater_equal:
    case Operation::jump_if_signed_greater_equal:
      return left.least >= right.most || left.most < right.least;
    default:
      not_implemented("the rule of undefined conditions", operation);
  }
}

}  // namespace farcall::bpf
