// What a guest, or its link to the host, says wrongly of a run that went well.
#include <algorithm>

#include "faults/fault.hpp"

namespace farcall::faults {
namespace {

using model::Document;
using model::Observations;

}  // namespace

std::vector<Fault> guest_faults() {
  const auto guest = Part::guest;
  return {
      {"nothing-was-seen", guest, "a guest that ran nothing says that all went well", "ours",
       Missays{[](const Document&, Observations& seen) {
         seen = Observations{.hardware = seen.hardware};
         return true;
       }}},
      {"result-bit", guest, "a bit of r0 is another on its way to the host", "ours",
       Missays{[](const Document& right, Observations& seen) {
         if (right.cell.expected.no_result) {
           return false;
         }
         seen.registers.gpr[3] ^= std::uint64_t{1} << 47;
         return true;
       }}},
      {"register-bit", guest, "a bit of a callee-saved register is another", "ours",
       Missays{[](const Document&, Observations& seen) {
         seen.registers.gpr[20] ^= 4;
         return true;
       }}},
      {"vector-register-bit", guest, "a bit of a callee-saved vector register is another", "ours",
       Missays{[](const Document&, Observations& seen) {
         seen.registers.vr[25][1] ^= 4;
         return true;
       }}},
      {"condition-field", guest, "a callee-saved condition field is another", "ours",
       Missays{[](const Document&, Observations& seen) {
         seen.registers.cr ^= 1U << 16;
         return true;
       }}},
      {"memory-byte", guest, "a byte of the program's memory is another", "ours",
       Missays{[](const Document& right, Observations& seen) {
         for (model::JobRegion& region : seen.memory) {
           for (const bpf::MemoryRegion& own : right.cell.memory) {
             if (own.address == region.address && !region.bytes.empty() && own.name == "mem") {
               region.bytes.own().back() ^= std::byte{1};
               return true;
             }
           }
         }
         return false;
       }}},
      {"stray-byte", guest, "a byte next to the program's memory has changed", "ours",
       Missays{[](const Document& right, Observations& seen) {
         seen.stray_writes.push_back(right.cell.placement.stack);
         return true;
       }}},
      {"last-call-lost", guest, "the trace lacks its last call and what follows", "ours",
       Missays{[](const Document&, Observations& seen) {
         if (seen.trace.size() < 3) {
           return false;
         }
         seen.trace.resize(seen.trace.size() - 3);
         seen.trace_events = seen.trace.size();
         return true;
       }}},
      {"trace-truncated", guest, "the trace ends before the run does", "ours",
       Missays{[](const Document&, Observations& seen) {
         if (seen.trace.empty()) {
           return false;
         }
         seen.trace.pop_back();
         return true;
       }}},
      {"trace-empty", guest, "the trace is empty", "ours",
       Missays{[](const Document&, Observations& seen) {
         seen.trace.clear();
         seen.trace_events = 0;
         return true;
       }}},
      {"call-told-twice", guest, "the trace has a call and its return twice", "ours",
       Missays{[](const Document&, Observations& seen) {
         if (seen.trace.size() < 3 || !seen.trace[1].is_return()) {
           return false;
         }
         const std::vector<model::TakenBranch> both(seen.trace.begin(), seen.trace.begin() + 2);
         seen.trace.insert(seen.trace.begin() + 2, both.begin(), both.end());
         seen.trace_events += 2;
         return true;
       }}},
      {"calls-in-another-order", guest,
       "two calls in a row, of different sites, are told in exchange", "ours",
       Missays{[](const Document&, Observations& seen) {
         for (std::size_t i = 0; i + 3 < seen.trace.size(); ++i) {
           const auto first = seen.trace.begin() + static_cast<std::ptrdiff_t>(i);
           if (first[0].is_call() && first[1].is_return() && first[2].is_call() &&
               first[3].is_return() && first[0].from != first[2].from) {
             std::swap_ranges(first, first + 2, first + 2);
             return true;
           }
         }
         return false;
       }}},
      {"trace-overflows", guest, "there were more calls than the trace has room for", "ours",
       Missays{[](const Document&, Observations& seen) {
         seen.trace_events += 2;
         return true;
       }}},
      {"frame-byte", guest, "the bytes of frames are others", "ours",
       Missays{[](const Document& right, Observations& seen) {
         const auto found = std::ranges::find_if(seen.memory, [&](const model::JobRegion& region) {
           return region.address.value - right.cell.placement.stack.value < model::kStackBytes;
         });
         if (found == seen.memory.end()) {
           return false;
         }
         for (std::byte& byte : found->bytes.own()) {
           byte ^= std::byte{0x80};
         }
         return true;
       }}},
      {"trace-target-truncated", guest, "targets in the trace are cut to 32 bits", "ours",
       Missays{[](const Document&, Observations& seen) {
         bool changed = false;
         for (model::TakenBranch& branch : seen.trace) {
           changed = changed || branch.to.value >> 32 != 0;
           branch.to.value &= 0xffffffff;
         }
         return changed;
       }}},
      {"another-cpu", guest, "the guest has another CPU than the cell names", "ours",
       Missays{[](const Document& right, Observations& seen) {
         seen.hardware.cpu =
             right.cell.axes.cpu == model::Cpu::power10 ? model::Cpu::power9 : model::Cpu::power10;
         return true;
       }}},
      {"another-mmu", guest, "the guest has set up another MMU than the cell names", "ours",
       Missays{[](const Document& right, Observations& seen) {
         seen.hardware.mmu =
             right.cell.axes.mmu == model::Mmu::hash ? model::Mmu::radix : model::Mmu::hash;
         return true;
       }}},
      {"another-byte-order", guest, "the guest has another byte order than the cell names", "ours",
       Missays{[](const Document& right, Observations& seen) {
         seen.hardware.endian = right.cell.axes.endian == model::Endian::big ? model::Endian::little
                                                                             : model::Endian::big;
         return true;
       }}},
      {"dies-after-success", guest, "the run ended well, and then the guest was interrupted",
       "ours", Missays{[](const Document& right, Observations& seen) {
         seen.ending = model::Ending::faulted;
         seen.fault = model::Fault{.vector = 0x300, .address = right.image->entry};
         return true;
       }}},
  };
}

}  // namespace farcall::faults
