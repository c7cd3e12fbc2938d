#include "vm/batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm {
namespace {

static_assert(model::kPageBytes == wire::kPageBytes);

constexpr std::uint64_t kWordBytes = 4;

constexpr std::uint32_t kSystemCallVector = 0xc00;
constexpr std::uint32_t kDecrementerVector = 0x900;

// Which vectors set DAR and DSISR. Power ISA 3.0B Book III, section 6.5.
struct VectorFacts {
  std::uint32_t vector;
  bool sets_dar;
  bool sets_dsisr;
};
constexpr std::array kVectorFacts = {
    VectorFacts{0x300, true, true},   // data storage
    VectorFacts{0x380, true, false},  // data segment
    VectorFacts{0x600, true, false},  // alignment
};

// What each MMU translates, first to last byte.
struct Admitted {
  model::Mmu mmu;
  GuestAddress first;
  GuestAddress last;
};
constexpr std::array kAdmitted = {
    Admitted{model::Mmu::radix, {0}, {0x000f'ffff'ffff'ffff}},
    Admitted{model::Mmu::radix, {0xc000'0000'0000'0000}, {0xc00f'ffff'ffff'ffff}},
    Admitted{model::Mmu::hash, {0}, {0xffff'ffff'ffff'ffff}},
};

// A region on its way into the area.
struct Part {
  GuestAddress address;
  std::uint64_t size;
  std::span<const std::byte> bytes;  // the first of them
  model::Access access;
  int reported = -1;
  std::uint64_t offset = 0;  // in the code arena, or from the job's first data page

  GuestAddress last() const { return address + (size - 1); }
};

std::uint64_t page_of(GuestAddress address) {
  return address.value / wire::kPageBytes;
}

// All that is known of a job before any of it is written.
struct Plan {
  std::vector<Part> parts;  // by address
  std::vector<Part> empty;  // regions without bytes, which take no page
  std::vector<wire::Mapping> mappings;
  std::uint64_t code_parts = 0;
  std::uint64_t code_bytes = 0;
  std::uint64_t code_pages = 0;
  std::uint64_t data_pages = 0;
  std::uint32_t reported_count = 0;
  std::uint32_t alias = 0;

  // Bytes that the job needs at the start of the area.
  std::uint64_t front_bytes(const model::Job& job) const {
    return sizeof(wire::JobRecord) + mappings.size() * sizeof(wire::Mapping) +
           code_parts * sizeof(wire::CodePiece) + align_up(code_bytes, 8) +
           job.trace_events * sizeof(wire::TakenBranch);
  }
};

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
  const GuestAddress last = part.last();
  const bool admitted = std::ranges::any_of(kAdmitted, [&](const Admitted& range) {
    return range.mmu == spec.mmu && range.first <= part.address && last <= range.last &&
           part.address <= last;
  });
  if (!admitted) {
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
    return Error{ErrorCode::place_overlap,
                 fmt::format("{} and {} share a page but not their access", describe(before),
                             describe(after))};
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
    if (is_code) {
      ++plan.code_parts;
      plan.code_bytes += part.bytes.size();
    }
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
  }
  if (byte_count > wire::kAreaBytes || plan.code_pages + plan.data_pages + 1 > wire::kMaxPages ||
      plan.front_bytes(job) + plan.data_pages * wire::kPageBytes >
          wire::kAreaBytes - sizeof(wire::BatchHeader)) {
    return Error{ErrorCode::machine_job_too_large,
                 fmt::format("a job with {} bytes of memory and a trace of {} calls and returns; a "
                             "machine maps up to {} pages and takes {} bytes with the trace",
                             byte_count, job.trace_events, wire::kMaxPages,
                             wire::kAreaBytes - sizeof(wire::BatchHeader))};
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

template <typename T>
T& at(std::span<std::byte> area, std::uint64_t offset) {
  return *reinterpret_cast<T*>(area.data() + offset);
}

template <typename T>
const T& at(std::span<const std::byte> area, std::uint64_t offset) {
  return *reinterpret_cast<const T*>(area.data() + offset);
}

// Eight bytes that no other job has, made of its nonce (the finalizer of splitmix64).
std::uint64_t fill_pattern(std::uint64_t nonce) {
  std::uint64_t mixed = nonce + 0x9e3779b97f4a7c15;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

// Byte number `offset` of an area filled with `pattern`.
std::byte pattern_byte(std::uint64_t pattern, std::uint64_t offset) {
  return static_cast<std::byte>(pattern >> (offset % 8 * 8) & 0xff);
}

void fill(std::span<std::byte> area, std::uint64_t begin, std::uint64_t end,
          std::uint64_t pattern) {
  const std::uint64_t middle = std::min(align_up(begin, 8), end);
  for (; begin < middle; ++begin) {
    area[begin] = pattern_byte(pattern, begin);
  }
  for (; begin + 8 <= end; begin += 8) {
    at<ul64>(area, begin) = pattern;
  }
  for (; begin < end; ++begin) {
    area[begin] = pattern_byte(pattern, begin);
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

model::TakenBranch from_wire(const wire::TakenBranch& branch) {
  return {{branch.from}, {branch.to}, {branch.link}};
}

// Where the next job goes: between `front` and `back` the area is free.
struct Cursor {
  std::uint64_t front;
  std::uint64_t back;
};

// The regions of a job that data pages hold.
std::span<const PlacedRegion> data_of(const BatchLayout& layout, const JobLayout& job) {
  return std::span(layout.regions).subspan(job.first_region, job.data_count);
}

std::span<const PlacedRegion> regions_of(const BatchLayout& layout, const JobLayout& job) {
  return std::span(layout.regions).subspan(job.first_region, job.data_count + job.other_count);
}

void write_job(const model::Job& job, const Plan& plan, std::uint64_t nonce,
               std::span<std::byte> area, Cursor& cursor, BatchLayout& layout) {
  const auto take = [&cursor](std::uint64_t size) {
    return static_cast<std::uint32_t>(std::exchange(cursor.front, cursor.front + size));
  };
  JobLayout placed;
  placed.record = take(sizeof(wire::JobRecord));
  const std::uint32_t mappings = take(plan.mappings.size() * sizeof(wire::Mapping));
  std::uint32_t piece = take(plan.code_parts * sizeof(wire::CodePiece));
  std::uint32_t code = take(align_up(plan.code_bytes, 8));
  placed.trace = take(job.trace_events * sizeof(wire::TakenBranch));
  placed.trace_capacity = job.trace_events;
  placed.gate = job.gate;
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
  record.code = piece;
  record.code_count = static_cast<std::uint32_t>(plan.code_parts);
  record.trace = placed.trace;
  record.trace_capacity = job.trace_events;
  record.alias = plan.alias;
  record.entry = to_wire(job.entry);
  record.result.nonce = 0;  // the guest writes all of the result, and this last

  constexpr auto kExecute = static_cast<std::uint32_t>(wire::Access::execute);
  for (std::size_t i = 0; i < plan.mappings.size(); ++i) {
    wire::Mapping mapping = plan.mappings[i];
    if (mapping.access != kExecute) {
      mapping.source = mapping.source + cursor.back;
    }
    at<wire::Mapping>(area, mappings + i * sizeof(wire::Mapping)) = mapping;
  }
  for (const Part& part : plan.parts) {
    std::uint64_t offset = cursor.back + part.offset;
    if (part.access == model::Access::execute) {
      offset = code;
      at<wire::CodePiece>(area, piece) = {code, static_cast<std::uint32_t>(part.offset),
                                          static_cast<std::uint32_t>(part.bytes.size()), 0U};
      piece += sizeof(wire::CodePiece);
      code += static_cast<std::uint32_t>(part.bytes.size());
    }
    std::ranges::copy(part.bytes, area.begin() + static_cast<std::ptrdiff_t>(offset));
    if (part.access != model::Access::execute) {
      fill(area, offset + part.bytes.size(), offset + part.size, fill_pattern(nonce));
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
    fill(area, begin, end, fill_pattern(nonce));
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
      fault.data_address = facts.sets_dar ? std::optional(GuestAddress{result.dar}) : std::nullopt;
      fault.data_status =
          facts.sets_dsisr ? std::optional(static_cast<std::uint32_t>(result.dsisr)) : std::nullopt;
    }
  }
  seen.fault = fault;
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

void read_memory(std::span<const std::byte> area, std::span<const PlacedRegion> regions,
                 std::uint32_t reported_count, model::Observations& seen) {
  seen.memory.resize(reported_count);
  for (const PlacedRegion& region : regions) {
    if (region.reported >= 0) {
      const auto bytes = area.subspan(region.offset, region.size);
      auto& report = seen.memory[static_cast<std::size_t>(region.reported)];
      report.address = region.address;
      report.bytes.assign(bytes.begin(), bytes.end());
      report.access = region.access;
      report.reported = true;
    }
  }
}

}  // namespace

Result<void> encode_batch(const MachineSpec& spec, std::span<const model::Job> jobs,
                          std::uint64_t nonce, std::span<std::byte> area, BatchLayout& layout) {
  layout.nonce = nonce;
  layout.jobs.clear();
  layout.regions.clear();
  Cursor cursor{align_up(sizeof(wire::BatchHeader), 8), area.size()};
  auto& header = at<wire::BatchHeader>(area, 0);
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
    const bool fits =
        plan.front_bytes(job) + plan.data_pages * wire::kPageBytes <= cursor.back - cursor.front;
    if (index == wire::kMaxJobs || !fits) {
      break;
    }
    write_job(job, plan, job_nonce(nonce, index), area, cursor, layout);
    header.jobs[index] = layout.jobs.back().record;
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
    read_ending(result, job, seen);
    read_branches(area, result, job, seen);
    read_memory(area, regions_of(layout, job), job.reported_count, seen);
    for_each_gap(data_of(layout, job),
                 [&](std::uint64_t begin, std::uint64_t end, GuestAddress address) {
                   find_strays(area, begin, end, fill_pattern(nonce), address, seen.stray_writes);
                 });
  }
  return observations;
}

}  // namespace farcall::vm
