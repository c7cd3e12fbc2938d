#include "vm/batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "vm/job_plan.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm {
namespace {

// A batch of several jobs is no larger, so that two of them stay in the host's caches.
constexpr std::uint64_t kUsualBytes = std::uint64_t{8} << 20;

constexpr std::uint32_t kSystemCallVector = 0xc00;
constexpr std::uint32_t kDecrementerVector = 0x900;
constexpr std::uint32_t kAlignmentVector = 0x600;

// Which vectors set DAR and DSISR. Power ISA 3.0B Book III, section 6.5.
struct VectorFacts {
  std::uint32_t vector;
  bool sets_dar;
  bool sets_dsisr;
};
constexpr std::array kVectorFacts = {
    VectorFacts{0x300, true, true},   // data storage
    VectorFacts{0x380, true, false},  // data segment
    VectorFacts{kAlignmentVector, true, false},
};

template <typename T>
T& at(std::span<std::byte> area, std::uint64_t offset) {
  return *reinterpret_cast<T*>(area.data() + offset);
}

template <typename T>
const T& at(std::span<const std::byte> area, std::uint64_t offset) {
  return *reinterpret_cast<const T*>(area.data() + offset);
}

// Byte number `offset` of an area filled with `pattern`.
std::byte pattern_byte(std::uint64_t pattern, std::uint64_t offset) {
  return static_cast<std::byte>(pattern >> (offset % 8 * 8) & 0xff);
}

void fill(std::span<std::byte> area, std::uint64_t begin, std::uint64_t end,
          std::uint64_t pattern) {
  std::uint64_t filled = begin;
  for (const std::uint64_t first = std::min(begin + 8, end); filled < first; ++filled) {
    area[filled] = pattern_byte(pattern, filled);
  }
  // What is there is copied after itself: stacks are large.
  while (filled < end) {
    const std::uint64_t more = std::min(filled - begin, end - filled);
    std::memcpy(&area[filled], &area[begin], more);
    filled += more;
  }
}

// Appends the addresses of what is no longer `pattern` in [begin, end); `address` is that of begin.
void find_strays(std::span<const std::byte> area, std::uint64_t begin, std::uint64_t end,
                 std::uint64_t pattern, GuestAddress address, std::vector<GuestAddress>& strays) {
  for (std::uint64_t here = begin; here < end;) {
    if (here % 8 == 0 && here + 8 <= end && at<ul64>(area, here) == pattern) {
      here += 8;
      continue;
    }
    if (area[here] != pattern_byte(pattern, here)) {
      strays.push_back(address + (here - begin));
    }
    ++here;
  }
}

// Calls `visit(offset, end offset, address)` for everything in the data pages that no region
// covers.
template <typename Visit>
void for_each_gap(std::span<const PlacedRegion> regions, Visit visit) {
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const PlacedRegion& region = regions[i];
    const bool shares = i > 0 && page_of(regions[i - 1].last()) == page_of(region.address);
    const std::uint64_t page = align_down(region.address.value, wire::kPageBytes);
    const GuestAddress gap = shares ? regions[i - 1].end() : GuestAddress{page};
    const std::uint64_t before = region.address.value - gap.value;
    if (before > 0) {
      visit(region.offset - before, region.offset, gap);
    }
    const std::uint64_t page_end = align_up(region.end().value, wire::kPageBytes);
    const bool last_in_page =
        i + 1 == regions.size() || page_of(regions[i + 1].address) != page_of(region.last());
    if (last_in_page && page_end != region.end().value) {
      const std::uint64_t offset = region.offset + region.size;
      visit(offset, offset + (page_end - region.end().value), region.end());
    }
  }
}

wire::Registers to_wire(const ppc64::Registers& from) {
  wire::Registers to;
  for (std::size_t i = 0; i < from.gpr.size(); ++i) {
    to.gpr[i] = from.gpr[i];
    to.fpr[i] = from.fpr[i];
    to.vr[i][0] = from.vr[i][0];
    to.vr[i][1] = from.vr[i][1];
  }
  to.lr = from.lr;
  to.ctr = from.ctr;
  to.xer = from.xer;
  to.cr = from.cr;
  return to;
}

void from_wire(const wire::Registers& from, ppc64::Registers& to) {
  for (std::size_t i = 0; i < to.gpr.size(); ++i) {
    to.gpr[i] = from.gpr[i];
    to.fpr[i] = from.fpr[i];
    to.vr[i][0] = from.vr[i][0];
    to.vr[i][1] = from.vr[i][1];
  }
  to.lr = from.lr;
  to.ctr = from.ctr;
  to.xer = from.xer;
  to.cr = from.cr;
}

wire::Watch wire_watch(model::Watch watch) {
  switch (watch) {
    case model::Watch::instructions:
      return wire::Watch::instructions;
    case model::Watch::nothing:
      return wire::Watch::nothing;
    case model::Watch::branches:
      break;
  }
  return wire::Watch::branches;
}

model::Step from_wire(const wire::Step& from) {
  model::Step to{.address = {from.address},
                 .from = {from.from},
                 .lr = from.lr,
                 .ctr = from.ctr,
                 .xer = from.xer,
                 .cr = static_cast<std::uint32_t>(from.cr)};
  std::ranges::copy(from.gpr, to.gpr.begin());
  return to;
}

model::TakenBranch from_wire(const wire::TakenBranch& branch) {
  return {{branch.from}, {branch.to}, {branch.link}};
}

// Where the next job goes: between `front` and `back` the area is free, but for pages of code.
struct Cursor {
  std::uint64_t front;
  std::uint64_t back;
  std::uint64_t code;
};

// The regions of a job that data pages hold.
std::span<const PlacedRegion> data_of(const BatchLayout& layout, const JobLayout& job) {
  return std::span(layout.regions).subspan(job.first_region, job.data_count);
}

std::span<const PlacedRegion> regions_of(const BatchLayout& layout, const JobLayout& job) {
  return std::span(layout.regions).subspan(job.first_region, job.data_count + job.other_count);
}

// `write_code(offset, bytes)` writes to the job's pages of code, which begin at `cursor.code`.
template <typename WriteCode>
void write_job(const model::Job& job, const Plan& plan, std::uint64_t nonce,
               std::span<std::byte> area, Cursor& cursor, BatchLayout& layout,
               const WriteCode& write_code) {
  const auto take = [&cursor](std::uint64_t size) {
    return static_cast<std::uint32_t>(std::exchange(cursor.front, cursor.front + size));
  };
  JobLayout placed;
  cursor.front = align_up(cursor.front, wire::kPageBytes);
  placed.record = take(sizeof(wire::JobRecord));
  const std::uint32_t mappings = take(plan.mappings.size() * sizeof(wire::Mapping));
  placed.trace = take(job.trace_events * sizeof(wire::TakenBranch));
  placed.trace_capacity = job.trace_events;
  placed.steps = take(job.steps * sizeof(wire::Step));
  placed.step_capacity = job.steps;
  placed.steps_skipped = job.steps_skipped;
  const std::uint32_t unstepped = take(plan.unstepped.size() * sizeof(ul64));
  const std::uint32_t guarded = take(plan.guarded_stores.size() * sizeof(wire::GuardedStore));
  placed.gate = job.gate;
  placed.fill = job.fill;
  placed.reported_count = plan.reported_count;
  placed.first_region = static_cast<std::uint32_t>(layout.regions.size());
  cursor.back -= plan.data_pages * wire::kPageBytes;

  auto& record = at<wire::JobRecord>(area, placed.record);
  record.nonce = nonce;
  record.entry_point = job.entry_point.value;
  record.gate = job.gate.value;
  record.budget = job.budget_instructions;
  record.mappings = mappings;
  record.mapping_count = static_cast<std::uint32_t>(plan.mappings.size());
  record.trace = placed.trace;
  record.trace_capacity = job.trace_events;
  record.alias = plan.alias;
  record.watch = static_cast<std::uint32_t>(wire_watch(job.watch));
  record.jumps_by_ctr = job.jumps == model::Jumps::where_ctr_points ? 1 : 0;
  record.steps = placed.steps;
  record.step_capacity = job.steps;
  record.steps_skipped = job.steps_skipped;
  record.unstepped = unstepped;
  record.unstepped_count = static_cast<std::uint32_t>(plan.unstepped.size());
  for (std::size_t i = 0; i < plan.unstepped.size(); ++i) {
    at<ul64>(area, unstepped + i * sizeof(ul64)) = plan.unstepped[i].value;
  }
  record.guarded_stores = guarded;
  record.guarded_store_count = static_cast<std::uint32_t>(plan.guarded_stores.size());
  for (std::size_t i = 0; i < plan.guarded_stores.size(); ++i) {
    at<wire::GuardedStore>(area, guarded + i * sizeof(wire::GuardedStore)) = plan.guarded_stores[i];
  }
  record.entry = to_wire(job.entry);
  record.result.nonce = 0;  // the guest writes all of the result, and this last

  constexpr auto kExecute = static_cast<std::uint32_t>(wire::Access::execute);
  for (std::size_t i = 0; i < plan.mappings.size(); ++i) {
    wire::Mapping mapping = plan.mappings[i];
    mapping.source = mapping.source + (mapping.access == kExecute ? cursor.code : cursor.back);
    at<wire::Mapping>(area, mappings + i * sizeof(wire::Mapping)) = mapping;
  }
  for (const Part& part : plan.parts) {
    const bool is_code = part.access == model::Access::execute;
    const std::uint64_t offset = (is_code ? cursor.code : cursor.back) + part.offset;
    if (is_code) {
      write_code(offset, part.bytes);
    } else if (!part.bytes.empty()) {
      std::memcpy(&area[offset], part.bytes.data(), part.bytes.size());
    }
    if (!is_code) {
      fill(area, offset + part.bytes.size(), offset + part.size, job.fill);
      layout.regions.insert(layout.regions.end() - placed.other_count,
                            {part.address, part.size, offset, part.access, part.reported});
      ++placed.data_count;
    } else if (part.reported >= 0) {
      layout.regions.push_back(
          {part.address, part.bytes.size(), offset, part.access, part.reported});
      ++placed.other_count;
    }
  }
  for (const Part& part : plan.empty) {
    if (part.reported >= 0) {
      layout.regions.push_back({part.address, 0, 0, part.access, part.reported});
      ++placed.other_count;
    }
  }
  layout.jobs.push_back(placed);
  for_each_gap(data_of(layout, placed), [&](std::uint64_t begin, std::uint64_t end, GuestAddress) {
    fill(area, begin, end, job.fill);
  });
}

std::uint64_t job_nonce(std::uint64_t batch_nonce, std::size_t index) {
  return batch_nonce + 1 + index;
}

void read_ending(const wire::JobResult& result, const JobLayout& layout,
                 model::Observations& seen) {
  const auto vector = static_cast<std::uint32_t>(result.vector);
  if (vector == kSystemCallVector && GuestAddress{result.srr0} == layout.gate + kWordBytes) {
    seen.ending = model::Ending::returned;
    return;
  }
  seen.ending =
      vector == kDecrementerVector ? model::Ending::out_of_budget : model::Ending::faulted;
  model::Fault fault{.vector = vector,
                     .address = {result.srr0},
                     .status = result.srr1,
                     .data_address = std::nullopt,
                     .data_status = std::nullopt,
                     .came_from = {result.came_from}};
  for (const VectorFacts& facts : kVectorFacts) {
    if (facts.vector == vector) {
      // The guest has cleared DAR before: QEMU does not set it for an lmw in little-endian mode.
      const bool is_unknown = vector == kAlignmentVector && result.dar == 0;
      fault.data_address =
          facts.sets_dar && !is_unknown ? std::optional(GuestAddress{result.dar}) : std::nullopt;
      fault.data_status =
          facts.sets_dsisr ? std::optional(static_cast<std::uint32_t>(result.dsisr)) : std::nullopt;
    }
  }
  seen.fault = fault;
}

// The versions of processors, the upper half of the PVR.
struct ProcessorVersion {
  std::uint32_t version;
  model::Cpu cpu;
};
constexpr std::array kProcessorVersions = {
    ProcessorVersion{0x4b, model::Cpu::power8},  // POWER8E
    ProcessorVersion{0x4c, model::Cpu::power8},  // POWER8NVL
    ProcessorVersion{0x4d, model::Cpu::power8},  ProcessorVersion{0x4e, model::Cpu::power9},
    ProcessorVersion{0x80, model::Cpu::power10},
};

model::GuestHardware read_hardware(const wire::JobResult& result) {
  model::GuestHardware hardware{.processor = result.processor};
  for (const ProcessorVersion& one : kProcessorVersions) {
    if (one.version == hardware.processor >> 16) {
      hardware.cpu = one.cpu;
    }
  }
  switch (static_cast<wire::Mmu>(static_cast<std::uint32_t>(result.mmu))) {
    case wire::Mmu::radix:
      hardware.mmu = model::Mmu::radix;
      break;
    case wire::Mmu::hash:
      hardware.mmu = model::Mmu::hash;
      break;
  }
  if (result.big_endian <= 1) {
    hardware.endian = result.big_endian == 0 ? model::Endian::little : model::Endian::big;
  }
  return hardware;
}

void read_branches(std::span<const std::byte> area, const wire::JobResult& result,
                   const JobLayout& layout, model::Observations& seen) {
  seen.trace_events = result.trace_events;
  seen.taken_branches = result.taken_branches;
  const auto recorded = std::min<std::uint64_t>(seen.trace_events, layout.trace_capacity);
  seen.trace.reserve(recorded);
  for (std::uint64_t i = 0; i < recorded; ++i) {
    seen.trace.push_back(
        from_wire(at<wire::TakenBranch>(area, layout.trace + i * sizeof(wire::TakenBranch))));
  }
  const auto last = std::min<std::uint64_t>(seen.taken_branches, wire::kLastBranches);
  seen.last.reserve(last);
  for (std::uint64_t i = 0; i < last; ++i) {
    seen.last.push_back(from_wire(result.last[i]));
  }
}

void read_steps(std::span<const std::byte> area, const wire::JobResult& result,
                const JobLayout& layout, model::Observations& seen) {
  seen.step_count = result.steps;
  const std::uint64_t after_skipped =
      seen.step_count - std::min<std::uint64_t>(seen.step_count, layout.steps_skipped);
  const auto recorded = std::min<std::uint64_t>(after_skipped, layout.step_capacity);
  seen.steps.reserve(recorded);
  for (std::uint64_t i = 0; i < recorded; ++i) {
    seen.steps.push_back(from_wire(at<wire::Step>(area, layout.steps + i * sizeof(wire::Step))));
  }
}

void read_memory(std::span<const std::byte> area, std::span<const PlacedRegion> regions,
                 std::uint32_t reported_count, model::Observations& seen) {
  seen.memory.resize(reported_count);
  for (const PlacedRegion& region : regions) {
    if (region.reported >= 0) {
      const auto bytes = area.subspan(region.offset, region.size);
      auto& report = seen.memory[static_cast<std::size_t>(region.reported)];
      report.address = region.address;
      report.bytes = SharedBytes::of(bytes, bytes.size());
      report.access = region.access;
      report.reported = true;
    }
  }
}

}  // namespace

Result<void> encode_batch(const MachineSpec& spec, std::span<const model::Job> jobs,
                          std::uint64_t nonce, std::span<std::byte> area, CodePages& code,
                          BatchLayout& layout) {
  const std::uint64_t usual_bytes = std::min(kUsualBytes, area.size() / 8);
  layout.nonce = nonce;
  layout.jobs.clear();
  layout.regions.clear();
  Cursor cursor{.front = sizeof(wire::BatchHeader), .back = area.size(), .code = 0};
  std::uint64_t taken = 0;  // bytes, by all jobs so far
  auto& header = at<wire::BatchHeader>(area, 0);
  header.forget_code = 0;
  Plan plan;
  for (const model::Job& job : jobs) {
    const std::size_t index = layout.jobs.size();
    const auto planned = make_plan(spec, job, plan);
    if (planned.has_error()) {
      if (index == 0) {
        return planned.error();
      }
      break;
    }
    taken += align_up(plan.front_bytes(job), wire::kPageBytes) + plan.page_bytes();
    const bool is_large = taken > usual_bytes;
    const bool fits = index == 0 ? taken + sizeof(wire::BatchHeader) <= area.size()
                                 : !is_large && code.have(plan.code_pages);
    if (index == wire::kMaxJobs || !fits) {
      break;
    }
    if (is_large) {
      // Alone in the area, and over the pages of code, too.
      code.take_all();
      header.forget_code = 1;
      cursor.code = cursor.back - plan.page_bytes();
      fill_with_traps(area.subspan(cursor.code, plan.code_pages * wire::kPageBytes), spec.endian);
    } else {
      if (!code.have(plan.code_pages)) {
        code.begin_anew();
        header.forget_code = 1;
      }
      cursor.code = code.take(plan.code_pages, area);
    }
    write_job(job, plan, job_nonce(nonce, index), area, cursor, layout,
              [&](std::uint64_t offset, std::span<const std::byte> bytes) {
                if (!is_large) {
                  code.put(offset, bytes, area);
                } else if (!bytes.empty()) {
                  std::memcpy(&area[offset], bytes.data(), bytes.size());
                }
              });
    ul32& link = index == 0 ? header.first_job
                            : at<wire::JobRecord>(area, layout.jobs[index - 1].record).next;
    link = layout.jobs.back().record;
  }
  header.magic = wire::kBatchMagic;
  header.nonce = nonce;
  header.job_count = static_cast<std::uint32_t>(layout.jobs.size());
  header.completed_nonce = 0;
  header.completed_jobs = 0;
  header.completion_word = 0;
  return success();
}

Result<std::vector<model::Observations>> decode_batch(std::span<const std::byte> area,
                                                      const BatchLayout& layout) {
  const auto& header = at<wire::BatchHeader>(area, 0);
  const std::uint64_t job_count = layout.jobs.size();
  if (header.completed_nonce != layout.nonce || header.completed_jobs != job_count ||
      header.completion_word != wire::completion_word(layout.nonce, job_count)) {
    return Error{ErrorCode::machine_bad_answer,
                 fmt::format("the guest says that it ran {} jobs of batch {:016x}; expected {} of "
                             "{:016x} and its completion word",
                             std::uint64_t{header.completed_jobs},
                             std::uint64_t{header.completed_nonce}, job_count, layout.nonce)};
  }
  std::vector<model::Observations> observations(job_count);
  for (std::size_t i = 0; i < job_count; ++i) {
    const JobLayout& job = layout.jobs[i];
    const auto& result = at<wire::JobRecord>(area, job.record).result;
    const std::uint64_t nonce = job_nonce(layout.nonce, i);
    if (result.nonce != nonce) {
      return Error{ErrorCode::machine_bad_answer,
                   fmt::format("job {} of the batch has no result of its own", i)};
    }
    model::Observations& seen = observations[i];
    from_wire(result.registers, seen.registers);
    seen.hardware = read_hardware(result);
    read_ending(result, job, seen);
    read_branches(area, result, job, seen);
    read_steps(area, result, job, seen);
    read_memory(area, regions_of(layout, job), job.reported_count, seen);
    for_each_gap(data_of(layout, job),
                 [&](std::uint64_t begin, std::uint64_t end, GuestAddress address) {
                   find_strays(area, begin, end, job.fill, address, seen.stray_writes);
                 });
  }
  return observations;
}

}  // namespace farcall::vm
