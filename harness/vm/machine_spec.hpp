// MachineSpec: which guest machine is wanted, as a value.
#pragma once

#include <string>

#include "model/axes.hpp"

namespace farcall::vm {

struct MachineSpec {
  model::Endian endian = model::Endian::little;
  model::Cpu cpu = model::Cpu::power9;
  model::Mmu mmu = model::Mmu::radix;
  std::string image;  // path of the bare guest's image

  friend bool operator==(const MachineSpec&, const MachineSpec&) = default;
};

// The file name of the image that images/ builds for such a guest: `bare-le.bin`.
std::string image_name(model::Endian endian, model::Mmu mmu);

}  // namespace farcall::vm
