#include "model/job.hpp"

#include <algorithm>
#include <functional>
#include <string_view>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "bpf/interpreter.hpp"
#include "model/convention.hpp"
#include "ppc64/instruction.hpp"

namespace farcall::model {
namespace {

// Between r1 at entry and the stack's end, so that a write above what a callee may write of its
// caller's frame is a stray one.
constexpr std::uint64_t kAboveEntryBytes = 128;

// What a callee may write of its caller's frame: the header (back chain, CR, LR and TOC save words)
// and the room for its arguments. It belongs to the stack region; what lies above does not.
constexpr std::uint64_t caller_frame_bytes(const ppc64::CallingConvention& abi) {
  return std::uint64_t{abi.header_bytes} + abi.parameter_bytes;
}
static_assert(caller_frame_bytes(ppc64::kElfv1) < kAboveEntryBytes);

// Where the search for a free page for the gate begins.
constexpr GuestAddress kFirstGate = {0xc000'0000'0000'4000};

// The finalizer of SplitMix64: a bijection, so distinct inputs give distinct values.
constexpr std::uint64_t scramble(std::uint64_t value) {
  value += 0x9e37'79b9'7f4a'7c15;
  value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9;
  value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11eb;
  return value ^ (value >> 31);
}

// FNV-1a.
constexpr std::uint64_t hash(std::string_view text) {
  std::uint64_t hashed = 0xcbf2'9ce4'8422'2325;
  for (const char byte : text) {
    hashed = (hashed ^ static_cast<unsigned char>(byte)) * 0x0000'0100'0000'01b3;
  }
  return hashed;
}

// What nobody has written, a doubleword at a time.
class Garbage {
 public:
  Garbage(std::uint64_t seed, std::string_view cell)
      : next_(scramble(hash(cell) ^ scramble(seed / 2))), turned_(0 - seed % 2) {}

  std::uint64_t operator()() { return scramble(next_++) ^ turned_; }

 private:
  std::uint64_t next_;
  std::uint64_t turned_;
};

// Registers that no value of a program is likely to equal.
ppc64::Registers marked_registers(Garbage& mark) {
  ppc64::Registers marked;
  std::ranges::generate(marked.gpr, std::ref(mark));
  std::ranges::generate(marked.fpr, std::ref(mark));
  for (auto& vector : marked.vr) {
    std::ranges::generate(vector, std::ref(mark));
  }
  marked.cr = static_cast<std::uint32_t>(mark());
  return marked;
}

bool touches_page(const JobRegion& region, GuestAddress page) {
  return region.address.value < page.value + kPageBytes && region.end() > page;
}

// The first page from kFirstGate on that no region touches.
GuestAddress free_page(const std::vector<JobRegion>& regions) {
  GuestAddress page = kFirstGate;
  while (std::ranges::any_of(
      regions, [page](const JobRegion& region) { return touches_page(region, page); })) {
    page = page + kPageBytes;
  }
  return page;
}

JobRegion code_region(const CodeFunction& function, std::endian order) {
  std::vector<std::byte> bytes(function.words.size() * 4);
  std::byte* at = bytes.data();
  for (const std::uint32_t word : function.words) {
    store(at, word, order);
    at += 4;
  }
  return {.address = function.address,
          .size_bytes = bytes.size(),
          .bytes = std::move(bytes),
          .access = Access::execute,
          .name = function.name};
}

}  // namespace

std::vector<GuestAddress> frame_tops(const Cell& cell, const CodeImage& image,
                                     std::span<const bpf::LeftFrame> functions) {
  std::vector<GuestAddress> tops;
  std::uint64_t below = kAboveEntryBytes;  // r1 where the function begins, from the stack's end
  for (const bpf::LeftFrame& frame : functions) {
    if (frame.function >= image.functions.size()) {
      break;
    }
    const CodeFunction& code = image.functions[frame.function];
    if (code.frame_top_bytes == 0 ||
        below + code.frame_top_bytes + bpf::kFrameBytes > kStackBytes) {
      break;
    }
    tops.push_back(cell.placement.stack + (kStackBytes - below - code.frame_top_bytes));
    if (code.frame_bytes == 0) {
      break;
    }
    below += code.frame_bytes;
  }
  return tops;
}

Observations without_direct_branches(const Job& job, std::endian order, Observations seen) {
  const auto is_direct = [&](const TakenBranch& branch) {
    if (!branch.is_jump()) {
      return false;
    }
    for (const JobRegion& region : job.regions) {
      const std::uint64_t offset = branch.from.value - region.address.value;
      if (region.access == Access::execute && offset < region.bytes.size()) {
        const ppc64::Instruction* const row =
            ppc64::find(load<std::uint32_t>(region.bytes.data() + offset, order));
        const bool may_be_a_call = job.jumps == Jumps::where_r12_points &&
                                   branch.to.value - region.address.value >= region.bytes.size();
        return row != nullptr && !may_be_a_call &&
               (row->target == ppc64::BranchTarget::relative ||
                row->target == ppc64::BranchTarget::absolute);
      }
    }
    return false;
  };
  seen.trace_events -= std::erase_if(seen.trace, is_direct);
  return seen;
}

Job make_job(const Cell& cell, const CodeImage& image, std::uint64_t seed,
             std::span<const bpf::LeftFrame> frames) {
  const ppc64::CallingConvention& abi = convention(cell.axes.abi);
  Job job;
  job.regions.reserve(image.functions.size() + cell.memory.size() + 2);
  for (const CodeFunction& function : image.functions) {
    job.regions.push_back(code_region(function, byte_order(cell.axes.endian)));
  }
  for (const bpf::MemoryRegion& memory : cell.memory) {
    const auto instead =
        std::ranges::find(image.kernel_memory, memory.address, &KernelMemory::address);
    if (instead != image.kernel_memory.end()) {
      job.regions.push_back({.address = instead->address,
                             .size_bytes = instead->bytes.size(),
                             .bytes = instead->bytes,
                             .access = Access::read,
                             .name = memory.name});
      continue;
    }
    job.regions.push_back({.address = memory.address,
                           .size_bytes = memory.bytes.size(),
                           .bytes = with_code_pointers(image, memory, byte_order(cell.axes.endian)),
                           .access = memory.writable ? Access::read_write : Access::read,
                           .reported = true,
                           .name = memory.name});
  }
  for (const KernelMemory& memory : image.kernel_memory) {
    if (std::ranges::find(cell.memory, memory.address, &bpf::MemoryRegion::address) ==
        cell.memory.end()) {
      job.regions.push_back({.address = memory.address,
                             .size_bytes = memory.bytes.size(),
                             .bytes = memory.bytes,
                             .access = Access::read,
                             .name = "the kernel's memory"});
    }
  }
  if (image.thread_area) {
    job.regions.push_back({.address = image.thread_area->address,
                           .size_bytes = image.thread_area->bytes.size(),
                           .bytes = image.thread_area->bytes,
                           .access = Access::read,
                           .name = "thread area"});
  }
  const GuestAddress stack_pointer = cell.placement.stack + (kStackBytes - kAboveEntryBytes);
  JobRegion stack{.address = cell.placement.stack,
                  .size_bytes = kStackBytes - kAboveEntryBytes,
                  .access = Access::read_write,
                  .name = "stack"};
  if (const auto tops = frame_tops(cell, image, frames); !tops.empty()) {
    const auto piece = [](GuestAddress begin, GuestAddress end, bool reported) {
      return JobRegion{.address = begin,
                       .size_bytes = end.value - begin.value,
                       .access = Access::read_write,
                       .reported = reported,
                       .name = "stack"};
    };
    const GuestAddress lowest{std::ranges::min(tops).value - bpf::kFrameBytes};
    const GuestAddress highest = std::ranges::max(tops);
    job.regions.push_back(piece(stack.address, lowest, false));
    job.regions.push_back(piece(lowest, highest, true));
    stack = piece(highest, stack.end(), false);
  }
  job.regions.push_back(std::move(stack));
  // The frame of whoever calls the program: the outermost one, so its back chain is 0.
  job.regions.push_back({.address = stack_pointer,
                         .size_bytes = caller_frame_bytes(abi),
                         .bytes = std::vector<std::byte>(8),
                         .access = Access::read_write,
                         .name = "stack"});

  // As a caller through a pointer does it: code and TOC pointer are those of the descriptor, if
  // there is one.
  const Descriptor entry =
      (abi.descriptor_bytes != 0 ? descriptor_at(image, image.entry) : std::nullopt)
          .value_or(Descriptor{.code = image.entry, .toc = cell.placement.toc});
  job.entry_point = entry.code;
  job.gate = free_page(job.regions);
  Garbage garbage(seed, cell.name);
  job.fill = garbage();
  job.entry = marked_registers(garbage);
  job.entry.gpr[1] = stack_pointer.value;
  if (image.thread_area || !image.kernel_memory.empty() || !image.code_pointers.empty()) {
    job.jumps = Jumps::where_ctr_points;
  }
  if (image.thread_area) {
    // r2 keeps its mark: a damaged load of it shows.
    job.entry.gpr[static_cast<std::size_t>(abi.thread)] = image.thread_area->address.value;
  } else {
    job.entry.gpr[2] = entry.toc.value;
  }
  std::ranges::copy(cell.arguments, job.entry.gpr.begin() + 3);
  if (abi.descriptor_bytes != 0) {
    job.entry.gpr[static_cast<std::size_t>(abi.environment)] = entry.environment;
  }
  job.entry.gpr[12] = entry.code.value;  // ELFv2: a global entry finds its own address here
  job.entry.ctr = entry.code.value;
  job.entry.lr = job.gate.value;
  return job;
}

}  // namespace farcall::model
