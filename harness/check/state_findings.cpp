#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ranges>
#include <span>
#include <string_view>

#include "check/findings.hpp"
#include "external/external.hpp"
#include "model/convention.hpp"
#include "ppc64/abi.hpp"
#include "ppc64/instruction.hpp"
#include "ppc64/reservation.hpp"

namespace farcall::check {
namespace {

// Power ISA 3.1, Book III, section 7.5: interrupt vectors that code in problem state can cause.
struct VectorName {
  std::uint32_t vector;
  std::string_view text;
};
constexpr std::array kVectors = {
    VectorName{0x300, "data storage: the page is not mapped, or not for this access"},
    VectorName{0x380, "data segment: the MMU has no such address"},
    VectorName{0x400, "instruction storage: the page is not mapped, or not for execution"},
    VectorName{0x480, "instruction segment: the MMU has no such address"},
    VectorName{0x600, "alignment"},
    VectorName{0x700, "program: illegal or privileged instruction, or a trap word"},
    VectorName{0x800, "floating point unavailable"},
    VectorName{0xc00, "a system call that is not at the return gate"},
    VectorName{0xf20, "vector unavailable"},
    VectorName{0xf40, "VSX unavailable"},
    VectorName{0xf60, "facility unavailable"},
};

std::string_view vector_text(std::uint32_t vector) {
  const auto* const found = std::ranges::find(kVectors, vector, &VectorName::vector);
  return found == kVectors.end() ? "unexpected interrupt" : found->text;
}

// The site of the last call under way: where to begin looking.
std::string last_call_site(const model::CodeImage& image, const model::Observations& observed) {
  for (const model::TakenBranch& branch : std::views::reverse(observed.trace)) {
    if (branch.is_call()) {
      const auto call = std::ranges::find(image.calls, branch.from, &model::CodeCall::at);
      return call == image.calls.end() ? "" : site_name(image, call->site);
    }
    if (branch.is_return()) {
      break;  // that call is over
    }
  }
  return "";
}

// What an external function's trap says: it was entered with another r2 than its own, which a
// global entry makes of r12.
Findings toc_findings(const model::CodeImage& image, const model::Observations& observed,
                      const model::Fault& fault) {
  constexpr std::uint32_t kProgram = 0x700;
  constexpr std::size_t kFound = 2;    // r2
  constexpr std::size_t kWanted = 11;  // r11, see external::toc_trap()
  constexpr std::size_t kEntry = 12;   // r12
  for (const model::CodeFunction& function : image.functions) {
    const std::uint64_t word = (fault.address.value - function.address.value) / 4;
    if (fault.vector != kProgram || word >= function.words.size() ||
        function.words[word] != external::toc_trap()) {
      continue;
    }
    const auto& gpr = observed.registers.gpr;
    std::string text =
        fmt::format("{} was entered with r2 = {:#x}; expected its TOC pointer, {:#x}",
                    function.name, gpr[kFound], gpr[kWanted]);
    const auto call =
        std::ranges::find_if(observed.trace.rbegin(), observed.trace.rend(),
                             [](const model::TakenBranch& branch) { return !branch.is_return(); });
    if (call != observed.trace.rend() && call->to == function.address &&
        function.descriptor_words == 0) {
      text += fmt::format(": its global entry computes r2 from r12, which must be {}; r12 is {:#x}",
                          to_string(function.address), gpr[kEntry]);
    }
    return {{ErrorCode::abi_toc, last_call_site(image, observed), std::move(text)}};
  }
  return {};
}

// The code that `branch` goes back over, itself included; empty unless it is a loop.
std::span<const std::uint32_t> loop_words(const model::CodeImage& image,
                                          const model::TakenBranch& branch) {
  for (const model::CodeFunction& function : image.functions) {
    if (function.address <= branch.to && branch.to <= branch.from && branch.from < function.end()) {
      return std::span(function.words)
          .subspan((branch.to.value - function.address.value) / 4,
                   (branch.from.value - branch.to.value) / 4 + 1);
    }
  }
  return {};
}

// A trace interrupt ends a reservation. The guest makes up for it where a store conditional comes
// directly after a branch that is not taken (wire::GuardedStore), and nowhere else.
std::string reservation_note(const model::CodeImage& image, const model::Observations& observed) {
  for (const model::TakenBranch& branch : observed.last) {
    const auto loop = loop_words(image, branch);
    const auto reservation = std::ranges::find_if(loop, ppc64::reserves);
    const auto store = std::find_if(reservation, loop.end(), ppc64::stores_conditionally);
    const bool branches = std::any_of(reservation, store, [](std::uint32_t word) {
      const ppc64::Instruction* row = ppc64::find(word);
      return row != nullptr && row->is_branch();
    });
    if (store == loop.end() || !branches) {
      continue;
    }
    const auto index = [&](auto word) { return static_cast<std::size_t>(word - loop.begin()); };
    const auto address = [&](auto word) { return branch.to + index(word) * 4; };
    const auto guarded = ppc64::guarded_stores(loop);
    const bool is_guarded =
        std::ranges::find(guarded, index(store), &ppc64::GuardedStore::store) != guarded.end();
    const bool lands_between = std::ranges::any_of(observed.last, [&](const auto& other) {
      return address(reservation) < other.to && other.to <= address(store);
    });
    if (!is_guarded || lands_between) {
      return fmt::format(
          "; this need not be the code's fault: the guest's branch trace ends the reservation of "
          "{} "
          "at a branch before the store at {}, and makes up for it only if the store comes "
          "directly "
          "after a branch that is not taken",
          describe(image, address(reservation)), describe(image, address(store)));
    }
  }
  return "";
}

}  // namespace

Findings ending_findings(const model::CodeImage& image, const model::Observations& observed,
                         const model::Job& job) {
  if (observed.ending == model::Ending::returned || !observed.fault) {
    return {};
  }
  const model::Fault& fault = *observed.fault;
  if (observed.ending == model::Ending::out_of_budget) {
    return {
        {ErrorCode::guest_budget, "",
         fmt::format("no end after {} guest instructions, the budget, which grows with `--budget`; "
                     "the CPU was at {}, {} branches taken{}",
                     job.budget_instructions, describe(image, fault.address),
                     observed.taken_branches, reservation_note(image, observed))}};
  }
  Findings findings = toc_findings(image, observed, fault);
  std::string text = fmt::format("interrupt {:#x} at {}: {}", fault.vector,
                                 describe(image, fault.address), vector_text(fault.vector));
  if (fault.data_address) {
    text += fmt::format("; data address {}", to_string(*fault.data_address));
  }
  text += fmt::format("; last branch from {}", describe(image, fault.came_from));
  findings.push_back({ErrorCode::guest_fault, last_call_site(image, observed), std::move(text)});
  return findings;
}

bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

Findings memory_findings(const std::vector<bpf::MemoryRegion>& expected,
                         const model::Observations& observed) {
  Findings findings;
  for (const bpf::MemoryRegion& region : expected) {
    const auto found =
        std::ranges::find(observed.memory, region.address, &model::JobRegion::address);
    if (found == observed.memory.end() || region.bytes.empty() ||
        same_bytes(region.bytes, found->bytes)) {
      continue;
    }
    const auto [wanted, seen] = std::ranges::mismatch(region.bytes, found->bytes);
    if (wanted != region.bytes.end()) {
      findings.push_back(
          {ErrorCode::memory_mismatch, "",
           fmt::format("expected {:02x} at {} ({}+{}); the CPU left {:02x}",
                       std::to_integer<unsigned>(*wanted),
                       to_string(region.address +
                                 static_cast<std::uint64_t>(wanted - region.bytes.begin())),
                       region.name, wanted - region.bytes.begin(),
                       seen == found->bytes.end() ? 0U : std::to_integer<unsigned>(*seen))});
    }
  }
  if (!observed.stray_writes.empty()) {
    findings.push_back(
        {ErrorCode::memory_stray_write, "",
         fmt::format("{} bytes outside the program's own memory were written, the first at {}",
                     observed.stray_writes.size(), to_string(observed.stray_writes.front()))});
  }
  return findings;
}

Findings abi_findings(model::Abi abi_name, const model::CodeImage& image,
                      const model::Observations& observed, const model::Job& job) {
  const ppc64::Registers& before = job.entry;
  const ppc64::Registers& after = observed.registers;
  std::vector<std::string> changed;
  const auto compare = [&changed](std::string_view file, std::size_t number, auto wanted,
                                  auto seen) {
    if (wanted != seen) {
      changed.push_back(fmt::format("{}{} is {:#x}, was {:#x}", file, number, seen, wanted));
    }
  };
  const ppc64::CallingConvention& abi = model::convention(abi_name);
  const auto in = [](std::uint32_t registers, std::size_t number) {
    return (registers >> number & 1) != 0;
  };
  // All functions of a job share one TOC, so none has a reason to change r2, unless it is they who
  // set it.
  const std::uint32_t toc = image.thread_area ? 0 : 1U << static_cast<unsigned>(abi.toc);
  const std::uint32_t gprs = abi.preserved_gpr | toc;
  for (std::size_t i = 0; i < 32; ++i) {
    if (in(gprs, i)) {
      compare("r", i, before.gpr[i], after.gpr[i]);
    }
    if (in(abi.preserved_fpr, i)) {
      compare("f", i, before.fpr[i], after.fpr[i]);
    }
    if (in(abi.preserved_vr, i)) {
      compare("upper half of v", i, before.vr[i][0], after.vr[i][0]);
      compare("lower half of v", i, before.vr[i][1], after.vr[i][1]);
    }
  }
  for (std::size_t field = 0; field < 8; ++field) {
    const std::size_t shift = 28 - (4 * field);
    if (in(abi.preserved_cr, field)) {
      compare("CR", field, (before.cr >> shift) & 0xf, (after.cr >> shift) & 0xf);
    }
  }
  if (changed.empty()) {
    return {};
  }
  return {
      {ErrorCode::abi_register, "",
       fmt::format("registers that a callee must preserve changed: {}", fmt::join(changed, "; "))}};
}

}  // namespace farcall::check
