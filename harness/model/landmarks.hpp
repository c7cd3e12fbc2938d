// Landmarks: names for guest addresses, so that whoever reads of one knows where it is.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "model/code_image.hpp"
#include "model/job.hpp"

namespace farcall::model {

struct Landmark {
  std::string name;
  GuestAddress address;  // of its first byte
  GuestAddress end;      // after its last
};

// The functions of an image.
std::vector<Landmark> landmarks(const CodeImage& image);

// What a job maps and has a name for, and its gate, to which the program returns.
std::vector<Landmark> landmarks(const Job& job);

// `c000000000010000 (main)`, `c000000000010008 (main+0x8)`, or the bare address where nothing is.
std::string describe(std::span<const Landmark> landmarks, GuestAddress address);

}  // namespace farcall::model
