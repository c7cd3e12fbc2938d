#include <fmt/format.h>

#include <algorithm>

#include "base/byte_order.hpp"
#include "check/findings.hpp"

namespace farcall::check {

std::vector<StoredReturn> stored_returns(const model::CodeImage& image,
                                         const bpf::InterpreterRun& run) {
  std::vector<StoredReturn> stored;
  for (const bpf::ReturnAddress& of_run : run.return_addresses) {
    const model::CodeCall* const call = call_at_site(image, of_run.site);
    if (call == nullptr) {
      continue;  // decoder_findings() has said so
    }
    std::erase_if(stored, [&](const StoredReturn& earlier) { return earlier.at == of_run.at; });
    stored.push_back({.at = of_run.at, .site = of_run.site, .address = call->at + 4});
  }
  return stored;
}

Findings stack_findings(const model::CodeImage& image, const std::vector<StoredReturn>& stored,
                        const model::Observations& observed, std::endian order) {
  Findings findings;
  for (const StoredReturn& one : stored) {
    for (const model::JobRegion& region : observed.memory) {
      const std::uint64_t offset = one.at.value - region.address.value;
      if (offset >= region.bytes.size() || region.bytes.size() - offset < 8) {
        continue;
      }
      const GuestAddress seen{load<std::uint64_t>(region.bytes.data() + offset, order)};
      if (seen != one.address) {
        findings.push_back(
            {ErrorCode::stack_return_address, site_name(image, one.site),
             fmt::format("expected the stack to say that this call returns to {}; it says {}",
                         describe(image, one.address), describe(image, seen))});
      }
    }
  }
  return findings;
}

std::vector<bpf::MemoryRegion> with_return_addresses(std::vector<bpf::MemoryRegion> memory,
                                                     const std::vector<StoredReturn>& stored,
                                                     std::endian order) {
  for (const StoredReturn& one : stored) {
    for (bpf::MemoryRegion& region : memory) {
      const std::uint64_t offset = one.at.value - region.address.value;
      if (offset < region.bytes.size() && region.bytes.size() - offset >= 8) {
        store(region.bytes.data() + offset, one.address.value, order);
      }
    }
  }
  return memory;
}

}  // namespace farcall::check
