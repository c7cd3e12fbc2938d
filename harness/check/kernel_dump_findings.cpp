#include "check/kernel_dump_findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string_view>

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

namespace {

const DumpRow* row_of(Named named, bool jit, KernelSeries series) {
  const DumpRow* found = nullptr;
  for (const DumpRow& row : kDumpRows) {
    if (row.named == named && row.jit == jit && row.since <= series) {
      found = &row;
    }
  }
  return found;
}

// What a field is to have: one of these numbers, and which they are in words. No numbers: any.
struct Wanted {
  std::vector<std::int64_t> numbers;
  std::string words;
};

Wanted wanted(DumpedField field, const DumpedName& name) {
  const auto cut = static_cast<std::int16_t>(name.distance);
  switch (field) {
    case DumpedField::not_there:
      return {};
    case DumpedField::zero:
      return {{0}, "0"};
    case DumpedField::distance:
      return {{name.distance}, fmt::format("{}, the distance to {}", name.distance, name.callee)};
    case DumpedField::distance_cut:
      return {{cut}, fmt::format("{}, the lower 16 bits of the distance to {}", cut, name.callee)};
    case DumpedField::distance_or_zero: {
      const std::int64_t shown = cut == name.distance ? cut : 0;
      return {{shown},
              fmt::format("{}, as {} is {} slots away", shown, name.callee, name.distance)};
    }
    case DumpedField::number:
      return {{name.number}, fmt::format("{}, the number of {}", name.number, name.callee)};
    case DumpedField::number_by_cut: {
      const std::int64_t shown = name.number_by_cut ? std::int64_t{*name.number_by_cut} : -ENOENT;
      return {{shown},
              cut == name.distance
                  ? fmt::format("{}, the number of {}", shown, name.callee)
                  : fmt::format("{}, as {} is {} slots away", shown, name.callee, name.distance)};
    }
    case DumpedField::interpreter:
    case DumpedField::helper:
      return {name.addresses,
              fmt::format("the address of {}, {}", name.whose, fmt::join(name.addresses, " or "))};
  }
  return {};
}

constexpr std::string_view what(Named named) {
  switch (named) {
    case Named::by_call:
      return "the call";
    case Named::by_pointer:
      return "the load of a function's address";
    case Named::by_number:
      return "the call of a helper";
  }
  return "";
}

}  // namespace

bool is_dump_known(KernelSeries series) {
  constexpr KernelSeries kFirst = {6, 1};
  constexpr KernelSeries kLastOfTheFirstRows = {6, 12};
  constexpr KernelSeries kFirstOfTheNextRows = {7, 2};
  return (series >= kFirst && series <= kLastOfTheFirstRows) || series >= kFirstOfTheNextRows;
}

std::vector<model::Finding> dump_findings(std::span<const DumpedName> names, bool jit,
                                          KernelSeries series) {
  std::vector<model::Finding> findings;
  if (!is_dump_known(series)) {
    return findings;
  }
  for (const DumpedName& name : names) {
    const DumpRow* const row = row_of(name.named, jit, series);
    if (row == nullptr) {
      findings.push_back({ErrorCode::dump_mismatch, name.site,
                          fmt::format("{} is in the dump of a kernel of which it is not known what "
                                      "stands there",
                                      what(name.named))});
      continue;
    }
    const auto look = [&](DumpedField field, std::string_view called, std::int64_t seen) {
      const Wanted expected = wanted(field, name);
      if (!expected.numbers.empty() &&
          std::ranges::find(expected.numbers, seen) == expected.numbers.end()) {
        findings.push_back({ErrorCode::dump_mismatch, name.site,
                            fmt::format("expected {} in the kernel's dump to have {} {}; it has {}",
                                        what(name.named), called, expected.words, seen)});
      }
    };
    look(row->offset, "off", name.offset);
    look(row->imm, "imm", name.imm);
    look(row->second_imm, "as the imm of its second half", name.second_imm);
  }
  return findings;
}

}  // namespace farcall::check
