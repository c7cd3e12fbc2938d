#include "bpf/external.hpp"

#include "base/bits.hpp"

namespace farcall::bpf {

std::uint64_t extended(std::uint64_t value, ValueType type) {
  return type.is_signed ? static_cast<std::uint64_t>(sign_extend(value, type.bits))
                        : bit_field(value, 0, type.bits);
}

}  // namespace farcall::bpf
