#include "vm/job_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/byte_order.hpp"
#include "model/translation.hpp"
#include "ppc64/reservation.hpp"

namespace farcall::vm {
namespace {

static_assert(model::kPageBytes == wire::kPageBytes);

wire::Access wire_access(model::Access access) {
  switch (access) {
    case model::Access::execute:
      return wire::Access::execute;
    case model::Access::read:
      return wire::Access::read;
    case model::Access::read_write:
      break;
  }
  return wire::Access::read_write;
}

std::string describe(const Part& part) {
  return fmt::format("{} … {}", to_string(part.address), to_string(part.last()));
}

std::optional<Error> check_place(const MachineSpec& spec, const Part& part) {
  if (!model::admits(spec.mmu, part.address, part.size)) {
    return Error{ErrorCode::place_unmappable,
                 fmt::format("{} is outside what the MMU translates", describe(part))};
  }
  if (part.access == model::Access::execute &&
      (part.address.value % kWordBytes != 0 || part.bytes.size() % kWordBytes != 0)) {
    return Error{ErrorCode::place_misaligned,
                 fmt::format("code at {} is not whole instruction words", describe(part))};
  }
  return std::nullopt;
}

// The gate is an instruction word, and all of its page is the runner's.
std::optional<Error> check_gate(const MachineSpec& spec, GuestAddress gate,
                                std::span<const Part> parts) {
  const Part word{
      .address = gate, .size = kWordBytes, .bytes = {}, .access = model::Access::execute};
  if (gate.value % kWordBytes != 0) {
    return Error{ErrorCode::place_misaligned,
                 fmt::format("the return address {} is not that of a word", to_string(gate))};
  }
  if (auto error = check_place(spec, word)) {
    return error;
  }
  for (const Part& part : parts) {
    if (page_of(part.address) <= page_of(gate) && page_of(gate) <= page_of(part.last())) {
      return Error{ErrorCode::place_overlap,
                   fmt::format("{} touches the page of the return address {}", describe(part),
                               to_string(gate))};
    }
  }
  return std::nullopt;
}

std::optional<Error> check_neighbours(const Part& before, const Part& after) {
  if (after.address <= before.last()) {
    return Error{ErrorCode::place_overlap,
                 fmt::format("{} and {} overlap", describe(before), describe(after))};
  }
  if (page_of(after.address) == page_of(before.last()) && after.access != before.access) {
    return Error{
        ErrorCode::place_overlap,
        fmt::format("{} and {} are on one page, and need different access to it: move one of them",
                    describe(before), describe(after))};
  }
  return std::nullopt;
}

// Gives every page its place, in the order of addresses, so that a region is contiguous there too,
// and joins neighbouring pages to one mapping.
void map_parts(Plan& plan) {
  std::optional<std::uint64_t> mapped;  // the last page that has a mapping
  for (Part& part : plan.parts) {
    const bool is_code = part.access == model::Access::execute;
    std::uint64_t& pages = is_code ? plan.code_pages : plan.data_pages;
    const std::uint64_t first = page_of(part.address);
    const std::uint64_t last = page_of(part.last());
    const bool shares = mapped == first;
    const std::uint64_t fresh = last - first + (shares ? 0 : 1);
    const std::uint64_t place = shares ? pages - 1 : pages;
    part.offset = place * wire::kPageBytes + part.address.value % wire::kPageBytes;
    if (fresh > 0) {
      const auto access = static_cast<std::uint32_t>(wire_access(part.access));
      const bool extends =
          shares || (mapped && *mapped + 1 == first && plan.mappings.back().access == access);
      if (extends) {
        wire::Mapping& mapping = plan.mappings.back();
        mapping.page_count = static_cast<std::uint32_t>(mapping.page_count + fresh);
      } else {
        plan.mappings.push_back({first * wire::kPageBytes, static_cast<std::uint32_t>(fresh),
                                 access, pages * wire::kPageBytes});
      }
      pages += fresh;
    }
    mapped = last;
  }
}

std::uint64_t segment_of(GuestAddress address) {
  constexpr unsigned kSegmentShift = 28;
  return address.value >> kSegmentShift;
}

// How many segments of hash translation the parts, by address, and the gate touch.
std::uint64_t count_segments(std::span<const Part> parts, GuestAddress gate) {
  std::uint64_t count = 0;
  std::optional<std::uint64_t> counted;  // the last one
  bool gate_counted = false;
  for (const Part& part : parts) {
    const std::uint64_t first = segment_of(part.address);
    const std::uint64_t last = segment_of(part.last());
    count += last - first + (counted == first ? 0 : 1);
    counted = last;
    gate_counted = gate_counted || (first <= segment_of(gate) && segment_of(gate) <= last);
  }
  return count + (gate_counted ? 0 : 1);
}

// A top nibble with which the guest's resume page holds no code of the job, see wire::kResumePage.
// Four suits all but jobs that only hash translation admits.
std::optional<std::uint32_t> free_alias(std::span<const wire::Mapping> mappings) {
  constexpr std::uint32_t kUsual = 4;
  constexpr std::uint32_t kNibbles = 16;
  const auto is_free = [&](std::uint32_t nibble) {
    const std::uint64_t page = std::uint64_t{nibble} << wire::kAliasShift | wire::kResumePage;
    return std::ranges::none_of(mappings, [&](const wire::Mapping& mapping) {
      return mapping.access == static_cast<std::uint32_t>(wire::Access::execute) &&
             page - mapping.address < mapping.page_count * wire::kPageBytes;
    });
  };
  for (std::uint32_t i = 0; i < kNibbles; ++i) {
    const std::uint32_t nibble = (kUsual + i) % kNibbles;
    if (is_free(nibble)) {
      return nibble;
    }
  }
  return std::nullopt;
}

// What the guest must know of the code because its trace interrupts end reservations. A data word
// that looks like one of these instructions does no harm.
void find_reservations(model::Endian endian, model::Watch watch, Plan& plan) {
  std::vector<std::uint32_t> words;
  for (const Part& part : plan.parts) {
    if (part.access != model::Access::execute) {
      continue;
    }
    words.clear();
    for (std::size_t at = 0; at + kWordBytes <= part.bytes.size(); at += kWordBytes) {
      words.push_back(load<std::uint32_t>(part.bytes.data() + at, byte_order(endian)));
    }
    const auto address = [&part](std::size_t word) { return part.address + word * kWordBytes; };
    for (const ppc64::GuardedStore& found : ppc64::guarded_stores(words)) {
      plan.guarded_stores.push_back(
          {address(found.store).value, address(found.reservation).value, words[found.store]});
    }
    for (std::size_t i = 0; watch == model::Watch::instructions && i < words.size(); ++i) {
      if (ppc64::reserves(words[i])) {
        plan.unstepped.push_back(address(i));
      }
    }
  }
}

}  // namespace

Result<void> make_plan(const MachineSpec& spec, const model::Job& job, Plan& plan) {
  plan = Plan{std::move(plan.parts), std::move(plan.empty), std::move(plan.mappings)};
  plan.parts.clear();  // keeps what they have allocated
  plan.empty.clear();
  plan.mappings.clear();
  for (const model::JobRegion& region : job.regions) {
    const int reported = region.reported ? static_cast<int>(plan.reported_count++) : -1;
    (region.size_bytes == 0 ? plan.empty : plan.parts)
        .push_back({region.address, region.size_bytes, region.bytes, region.access, reported});
  }
  std::ranges::stable_sort(plan.parts, {}, &Part::address);
  const Part* before = nullptr;
  std::uint64_t byte_count = 0;
  for (const Part& part : plan.parts) {
    if (auto error = check_place(spec, part)) {
      return *std::move(error);
    }
    if (before != nullptr) {
      if (auto error = check_neighbours(*before, part)) {
        return *std::move(error);
      }
    }
    before = &part;
    byte_count += std::min(part.size, wire::kAreaBytes);
  }
  if (auto error = check_gate(spec, job.gate, plan.parts)) {
    return *std::move(error);
  }
  if (job.budget_instructions > wire::kMaxBudget) {
    return Error{ErrorCode::machine_job_too_large,
                 fmt::format("a budget of {} instructions; a machine counts up to {}",
                             job.budget_instructions, wire::kMaxBudget)};
  }
  if (byte_count <= wire::kAreaBytes) {
    map_parts(plan);
    find_reservations(spec.endian, job.watch, plan);
  }
  if (byte_count > wire::kAreaBytes || plan.code_pages + plan.data_pages + 1 > wire::kMaxPages ||
      plan.mappings.size() + 1 > wire::kMaxMappings ||
      plan.front_bytes(job) + plan.page_bytes() > wire::kAreaBytes - wire::kPageBytes) {
    return Error{
        ErrorCode::machine_job_too_large,
        fmt::format("a job with {} bytes of memory and a trace of {} calls and returns; a "
                    "machine maps up to {} pages in {} pieces, and takes {} bytes with the trace",
                    byte_count, job.trace_events, wire::kMaxPages, wire::kMaxMappings,
                    wire::kAreaBytes - wire::kPageBytes)};
  }
  if (spec.mmu == model::Mmu::hash) {
    const std::uint64_t segments = count_segments(plan.parts, job.gate);
    if (segments > wire::kMaxSegments) {
      return Error{ErrorCode::machine_job_too_large,
                   fmt::format("a job in {} segments of 256 MiB; hash translation has {}", segments,
                               wire::kMaxSegments)};
    }
  }
  const auto alias = free_alias(plan.mappings);
  if (!alias) {
    return Error{ErrorCode::place_unmappable,
                 fmt::format("code on page {:x} of all sixteen parts of the address space; the "
                             "guest's branch trace needs one of them",
                             wire::kResumePage)};
  }
  plan.alias = *alias;
  return success();
}

}  // namespace farcall::vm
