// What a guest, or its link to the host, says wrongly of a run that went well.
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
         seen = Observations{};
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
               region.bytes.back() ^= std::byte{1};
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
      {"trace-target-truncated", guest, "targets in the trace are cut to 32 bits", "ours",
       Missays{[](const Document&, Observations& seen) {
         bool changed = false;
         for (model::TakenBranch& branch : seen.trace) {
           changed = changed || branch.to.value >> 32 != 0;
           branch.to.value &= 0xffffffff;
         }
         return changed;
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
