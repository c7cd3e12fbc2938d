// Jobs to wire records, and back to observations. Pure functions on the bytes of a batch area.
//
// In an area, records, mappings and room for traces grow from the start, so that what a job needs of
// them is on one page, if it is small. Data pages, which lie page-aligned and are mapped by the guest as
// they are, grow from the end. Pages of code lie between them, see CodePages; in a batch of one job that
// is larger than others, before its data. What a job does not give of its data pages, in a region or
// outside, holds the job's fill: a store outside the regions is seen afterwards, and no job finds what
// another has left. Of what the code under test can read, nothing depends on the nonce or on a job's
// place in its batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "model/job.hpp"
#include "vm/code_pages.hpp"
#include "vm/machine_spec.hpp"

namespace farcall::vm {

// Where a region lies in the area.
struct PlacedRegion {
  GuestAddress address;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
  model::Access access = model::Access::read;
  int reported = -1;  // its place in Observations::memory; negative: not wanted

  GuestAddress end() const { return address + size; }
  GuestAddress last() const { return address + (size - 1); }
};

// What the host remembers of a job while it is in the guest's hands.
struct JobLayout {
  std::uint32_t record = 0;  // offset in the area
  std::uint32_t first_region =
      0;                         // in BatchLayout::regions: first those in data pages, by address,
  std::uint32_t data_count = 0;  // then reported ones that take no data page (code, or empty)
  std::uint32_t other_count = 0;
  std::uint32_t reported_count = 0;
  std::uint32_t trace = 0;
  std::uint32_t trace_capacity = 0;
  std::uint32_t steps = 0;
  std::uint32_t step_capacity = 0;
  std::uint64_t steps_skipped = 0;
  GuestAddress gate;
  std::uint64_t fill = 0;  // Job::fill
};

struct BatchLayout {
  std::uint64_t nonce = 0;
  std::vector<JobLayout> jobs;
  std::vector<PlacedRegion> regions;
};

// Writes the longest prefix of `jobs` that fits into `area` and that is fit to run, and says in
// `layout` what it wrote. `code` are the pages of that area. Nothing is written, and the first job's error returned, if it cannot even
// run alone: machine.job-too-large (more pages, bytes, or segments of hash translation than there
// are), place.misaligned, place.overlap, place.unmappable.
Result<void> encode_batch(const MachineSpec& spec, std::span<const model::Job> jobs,
                          std::uint64_t nonce, std::span<std::byte> area, CodePages& code,
                          BatchLayout& layout);

// What the guest saw, one for each job of the batch. machine.bad-answer: the area does not hold the
// complete results of that batch.
Result<std::vector<model::Observations>> decode_batch(std::span<const std::byte> area,
                                                      const BatchLayout& layout);

}  // namespace farcall::vm
