// What a job needs of a machine, before any of it is written: which pages, how many bytes, and
// whether it can run at all.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/address.hpp"
#include "base/bits.hpp"
#include "base/error.hpp"
#include "model/job.hpp"
#include "vm/machine_spec.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm {

inline constexpr std::uint64_t kWordBytes = 4;  // of an instruction

// A region on its way into the area.
struct Part {
  GuestAddress address;
  std::uint64_t size;
  std::span<const std::byte> bytes;  // the first of them
  model::Access access;
  int reported = -1;
  std::uint64_t offset = 0;  // from the job's first page of code, or of data

  GuestAddress last() const { return address + (size - 1); }
};

// Number of the page that `address` is in.
constexpr std::uint64_t page_of(GuestAddress address) {
  return address.value / wire::kPageBytes;
}

// All that is known of a job before any of it is written.
struct Plan {
  std::vector<Part> parts;              // by address
  std::vector<Part> empty;              // regions without bytes, which take no page
  std::vector<wire::Mapping> mappings;  // `source` as Part::offset
  std::uint64_t code_pages = 0;
  std::uint64_t data_pages = 0;
  std::vector<GuestAddress> unstepped;  // addresses, for wire::JobRecord
  std::vector<wire::GuardedStore> guarded_stores;
  std::uint32_t reported_count = 0;
  std::uint32_t alias = 0;

  std::uint64_t page_bytes() const { return (code_pages + data_pages) * wire::kPageBytes; }

  // Bytes that the job needs at the start of the area.
  std::uint64_t front_bytes(const model::Job& job) const {
    return sizeof(wire::JobRecord) + mappings.size() * sizeof(wire::Mapping) +
           job.trace_events * sizeof(wire::TakenBranch) + job.steps * sizeof(wire::Step) +
           unstepped.size() * sizeof(ul64) + guarded_stores.size() * sizeof(wire::GuardedStore);
  }
};

// Plans `job` into `plan`, whose memory is used again. Fails with place.unmappable,
// place.misaligned, place.overlap or machine.job-too-large.
Result<void> make_plan(const MachineSpec& spec, const model::Job& job, Plan& plan);

}  // namespace farcall::vm
