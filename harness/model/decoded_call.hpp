// DecodedCall: a call site as the decoder found it in the emitted bytes, by itself.
#pragma once

#include <optional>

#include "base/address.hpp"
#include "bpf/program.hpp"

namespace farcall::model {

// `site.ordinal` counts the branch-and-links of a function in address order. `target` is empty
// where the bytes alone do not fix the address. Where a register holds it, its two lowest bits are
// there too, which the CPU drops.
struct DecodedCall {
  bpf::CallSite site;
  GuestAddress at;  // of the branch-and-link
  std::optional<GuestAddress> target;

  friend bool operator==(const DecodedCall&, const DecodedCall&) = default;
};

}  // namespace farcall::model
