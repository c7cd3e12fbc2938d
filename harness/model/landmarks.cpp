#include "model/landmarks.hpp"

#include <fmt/format.h>

namespace farcall::model {

std::vector<Landmark> landmarks(const CodeImage& image) {
  std::vector<Landmark> all;
  for (const CodeFunction& function : image.functions) {
    all.push_back({function.name, function.address, function.end()});
  }
  return all;
}

std::vector<Landmark> landmarks(const Job& job) {
  std::vector<Landmark> all;
  for (const JobRegion& region : job.regions) {
    if (!region.name.empty()) {
      all.push_back({region.name, region.address, region.end()});
    }
  }
  all.push_back({"gate", job.gate, job.gate + 4});
  return all;
}

std::string describe(std::span<const Landmark> landmarks, GuestAddress address) {
  for (const Landmark& landmark : landmarks) {
    if (address == landmark.address) {
      return fmt::format("{} ({})", to_string(address), landmark.name);
    }
    if (address > landmark.address && address < landmark.end) {
      return fmt::format("{} ({}+{:#x})", to_string(address), landmark.name,
                         address.value - landmark.address.value);
    }
  }
  return to_string(address);
}

}  // namespace farcall::model
