#include "check/kernel_dump_findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace farcall::check {
namespace {

std::optional<GuestAddress> address_of(std::span<const KernelLine> lines, bpf::SlotIndex slot) {
  const auto row = std::ranges::find(lines, slot, &KernelLine::slot);
  return row == lines.end() ? std::nullopt : std::optional(row->address);
}

// One finding for all of a kind: the first in full, and how many there are.
void add(std::vector<model::Finding>& findings, std::size_t count, std::size_t of,
         const std::string& site, std::string text) {
  if (count != 0) {
    if (of > 1) {
      text += fmt::format(" (so at {} of {} calls)", count, of);
    }
    findings.push_back({ErrorCode::line_mismatch, site, std::move(text)});
  }
}

}  // namespace

std::vector<model::Finding> line_findings(std::span<const KernelLine> lines,
                                          std::span<const CallInCode> calls) {
  const CallInCode* early = nullptr;  // the row after its instruction is not after its branch
  const CallInCode* late = nullptr;   // its own row is after its branch
  std::size_t early_count = 0;
  std::size_t late_count = 0;
  for (const CallInCode& call : calls) {
    const auto own = address_of(lines, call.slot);
    const auto next = address_of(lines, call.slot + 1);
    if (own && *own > call.at) {
      late = late == nullptr ? &call : late;
      ++late_count;
    }
    if (next && *next <= call.at) {  // a function never ends with a call
      early = early == nullptr ? &call : early;
      ++early_count;
    }
  }
  std::vector<model::Finding> findings;
  if (early != nullptr) {
    add(findings, early_count, calls.size(), early->name,
        fmt::format("expected jited_line_info to have the instruction after the call, slot {}, "
                    "after the call's branch at {}; it has {}, {} bytes before",
                    early->slot + 1, to_string(early->at),
                    to_string(*address_of(lines, early->slot + 1)),
                    early->at.value - address_of(lines, early->slot + 1)->value));
  }
  if (late != nullptr) {
    add(findings, late_count, calls.size(), late->name,
        fmt::format("expected jited_line_info to have the call, slot {}, at or before its branch "
                    "at {}; it has {}",
                    late->slot, to_string(late->at), to_string(*address_of(lines, late->slot))));
  }
  return findings;
}

std::vector<model::Finding> dump_findings(std::span<const DumpedCall> calls) {
  std::vector<model::Finding> findings;
  for (const DumpedCall& call : calls) {
    if (call.imm != static_cast<std::int32_t>(call.callee)) {
      findings.push_back(
          {ErrorCode::dump_mismatch, call.name,
           fmt::format("expected the call's imm in the kernel's dump to be {}, the number of the "
                       "function that its off leads to; it is {}",
                       call.callee, call.imm)});
    }
  }
  return findings;
}

}  // namespace farcall::check
