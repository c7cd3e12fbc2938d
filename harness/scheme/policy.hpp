// Policies: which architecture uses which call scheme, and where each then breaks.
//
// What stands for an architecture is how far its JITed functions are from __bpf_call_base: measured
// on stock Debian kernels as guests, or, for ppc64 of 2018, from the address map. Each distance is
// given to our own linker; nothing of another architecture is run here. Where no distance was
// measured, what the kernel's sources guarantee stands for it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "model/axes.hpp"

namespace farcall::scheme {

// `ppc64=table,others=imm32`: an architecture's own scheme, or that of `others`; `all` is the same.
struct Policy {
  std::string text;
  std::vector<std::pair<std::string, model::CallScheme>> rules;

  // Empty: the policy says nothing of it.
  std::optional<model::CallScheme> scheme_of(std::string_view architecture) const;
};

// usage.bad-argument with what there is.
Result<Policy> read_policy(std::string_view text);

// What becomes of a call under the policy, for each architecture that is known, and what follows.
std::string policy_text(std::span<const Policy> policies);

}  // namespace farcall::scheme
