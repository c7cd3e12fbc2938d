// The calling convention of each ABI of the matrix.
#pragma once

#include "model/axes.hpp"
#include "ppc64/abi.hpp"

namespace farcall::model {

constexpr const ppc64::CallingConvention& convention(Abi abi) {
  return abi == Abi::elfv1 ? ppc64::kElfv1 : ppc64::kElfv2;
}

}  // namespace farcall::model
