#include <fmt/format.h>

#include <algorithm>
#include <map>

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
                        const model::Observations& observed, std::endian order,
                        std::vector<bpf::MemoryRegion>& memory) {
  Findings findings;
  for (const StoredReturn& one : stored) {
    for (bpf::MemoryRegion& region : memory) {
      const std::uint64_t offset = one.at.value - region.address.value;
      const auto found =
          std::ranges::find(observed.memory, region.address, &model::JobRegion::address);
      if (offset >= region.bytes.size() || region.bytes.size() - offset < 8 ||
          found == observed.memory.end()) {
        continue;
      }
      const GuestAddress seen{load<std::uint64_t>(found->bytes.data() + offset, order)};
      if (seen != one.address) {
        findings.push_back(
            {ErrorCode::stack_return_address, site_name(image, one.site),
             fmt::format("expected the stack to say that this call returns to {}; it says {}",
                         describe(image, one.address), describe(image, seen))});
      }
      store(region.bytes.own().data() + offset, seen.value, order);
    }
  }
  return findings;
}

std::span<const bpf::LeftFrame> left_frames(const Testimony& testimony) {
  return testimony.source && *testimony.source
             ? std::span<const bpf::LeftFrame>(testimony.source->value().run.frames)
             : std::span<const bpf::LeftFrame>{};
}

Findings frame_findings(const model::Cell& cell, const model::CodeImage& image,
                        const bpf::InterpreterRun& run, const model::Observations& observed) {
  const std::vector<GuestAddress> tops = model::frame_tops(cell, image, run.frames);
  for (std::size_t i = 0; i < tops.size(); ++i) {
    const bpf::LeftFrame& frame = run.frames[i];
    const auto seen = std::ranges::find_if(observed.memory, [&](const model::JobRegion& region) {
      return tops[i].value - region.address.value - 1 < region.bytes.size();
    });
    if (seen == observed.memory.end()) {
      return {};
    }
    for (const bpf::FrameByte& byte : frame.bytes) {
      const std::byte left = seen->bytes[tops[i].value - seen->address.value - byte.below_top];
      if (left != byte.value) {
        return {
            {ErrorCode::stack_mismatch, "",
             fmt::format("expected {:02x} at r10-{} in the frame of {} at the end; the CPU left "
                         "{:02x}",
                         std::to_integer<unsigned>(byte.value), byte.below_top,
                         image.functions[frame.function].name, std::to_integer<unsigned>(left))}};
      }
    }
  }
  return {};
}

bool is_in_stack(const model::Placement& placement, GuestAddress address) {
  return address.value - placement.stack.value <= model::kStackBytes;
}

Findings stack_pointer_findings(const model::Placement& placement,
                                const std::vector<bpf::StoredPointer>& pointers,
                                const model::Observations& observed, std::endian order,
                                std::vector<bpf::MemoryRegion>& memory) {
  Findings findings;
  std::map<std::uint32_t, std::uint64_t>
      moved;  // how far the CPU's frame is from the interpreter's
  for (const bpf::StoredPointer& pointer : pointers) {
    for (bpf::MemoryRegion& region : memory) {
      const std::uint64_t offset = pointer.at.value - region.address.value;
      const auto found =
          std::ranges::find(observed.memory, region.address, &model::JobRegion::address);
      if (offset >= region.bytes.size() || found == observed.memory.end()) {
        continue;
      }
      const auto wanted = load<std::uint64_t>(region.bytes.data() + offset, order);
      const auto seen = load<std::uint64_t>(found->bytes.data() + offset, order);
      const std::uint64_t distance = moved.try_emplace(pointer.frame, seen - wanted).first->second;
      if (!is_in_stack(placement, {seen}) || seen - wanted != distance) {
        findings.push_back(
            {ErrorCode::memory_mismatch, "",
             fmt::format(
                 "expected a pointer into the stack{} at {} ({}+{}); the "
                 "CPU left {:#x}",
                 seen - wanted != distance ? fmt::format(", {:#x},", wanted + distance) : "",
                 to_string(pointer.at), region.name, offset, seen)});
      }
      store(region.bytes.own().data() + offset, seen, order);
    }
  }
  return findings;
}

}  // namespace farcall::check
