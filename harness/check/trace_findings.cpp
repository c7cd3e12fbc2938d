#include <fmt/format.h>

#include <algorithm>

#include "check/findings.hpp"

namespace farcall::check {
namespace {

std::string site_or_address(const model::CodeImage& image,
                            const std::vector<model::DecodedCall>& decoded, GuestAddress from) {
  const model::DecodedCall* const call = decoded_at(decoded, from);
  return call == nullptr ? describe(image, from) : site_name(image, call->site);
}

// Call number `number` of the trace: from a site that is known, to its callee.
void check_call(const model::CodeImage& image, const std::vector<model::DecodedCall>& decoded,
                const model::TakenBranch& branch, std::size_t number, const Callees& callees,
                Findings& findings) {
  const model::DecodedCall* const from = decoded_at(decoded, branch.from);
  const model::CodeCall* const call = from == nullptr ? nullptr : call_at_site(image, from->site);
  if (call == nullptr || call->links() == branch.is_jump()) {
    findings.push_back({ErrorCode::call_unexpected_site,
                        call == nullptr ? "" : site_name(image, call->site),
                        fmt::format("the CPU {} {} from {}, where no such call is expected",
                                    branch.is_jump() ? "jumped to" : "called",
                                    describe(image, branch.to), describe(image, branch.from))});
    return;
  }
  std::vector<model::CodeCallee> expected = callees.of_site(*call);
  if (const auto callee = callees.of_call(*call, number)) {
    expected = {*callee};
  }
  if (std::ranges::find(expected, branch.to, &model::CodeCallee::target) == expected.end()) {
    findings.push_back(
        {ErrorCode::call_reached_elsewhere, site_name(image, call->site),
         expected.empty()
             ? fmt::format("the CPU reached {}; no call from here is expected",
                           describe(image, branch.to))
             : fmt::format("expected the CPU to reach {}; it reached {}, {} off",
                           describe(image, expected.front().target), describe(image, branch.to),
                           to_string(branch.to - expected.front().target))});
  }
}

// The sites that the CPU called from, in the order of execution.
std::vector<bpf::CallSite> executed_sites(const std::vector<model::DecodedCall>& decoded,
                                          const model::Observations& observed) {
  std::vector<bpf::CallSite> sites;
  for (const model::TakenBranch& branch : observed.trace) {
    if (const auto* const from = decoded_at(decoded, branch.from);
        !branch.is_return() && from != nullptr) {
      sites.push_back(from->site);
    }
  }
  return sites;
}

// Where the CPU went from there, in the order of execution.
std::vector<GuestAddress> reached_from(const std::vector<model::DecodedCall>& decoded,
                                       const model::Observations& observed, bpf::CallSite site) {
  std::vector<GuestAddress> reached;
  for (const model::TakenBranch& branch : observed.trace) {
    const auto* const from = decoded_at(decoded, branch.from);
    if (!branch.is_return() && from != nullptr && from->site == site) {
      reached.push_back(branch.to);
    }
  }
  return reached;
}

}  // namespace

Findings trace_findings(const model::CodeImage& image,
                        const std::vector<model::DecodedCall>& decoded,
                        const model::Observations& observed, const model::Job& job,
                        const Callees& callees) {
  Findings findings;
  std::size_t calls = 0;
  std::vector<GuestAddress> open = {job.gate};  // where calls that are under way must return to
  for (const model::TakenBranch& branch : observed.trace) {
    if (!branch.is_return()) {
      check_call(image, decoded, branch, calls++, callees, findings);
      if (branch.is_call()) {
        open.push_back(branch.link);
      }
    } else {
      if (open.empty() || branch.to != open.back()) {
        findings.push_back(
            {ErrorCode::call_returned_elsewhere,
             open.size() < 2
                 ? ""
                 : site_or_address(image, decoded, open.back() + static_cast<Displacement>(-4)),
             fmt::format("the return at {} went to {}; expected {}", describe(image, branch.from),
                         describe(image, branch.to),
                         open.empty() ? "no return at all" : describe(image, open.back()))});
        return findings;  // from here on, every return looks wrong
      }
      open.pop_back();
    }
    // In a loop that calls astray, one finding says it all.
    if (!findings.empty()) {
      return findings;
    }
  }
  const bool complete = observed.trace_events == observed.trace.size();
  if (!complete) {
    findings.push_back({ErrorCode::trace_overflow, "",
                        fmt::format("the CPU made {} calls and returns, of which {} were recorded; "
                                    "the others have not been seen",
                                    observed.trace_events, observed.trace.size())});
  }
  if (complete && observed.ending == model::Ending::returned && !open.empty()) {
    findings.push_back(
        {ErrorCode::call_returned_elsewhere, "",
         fmt::format("the program ended with {} calls under way; expected a return from each",
                     open.size())});
  }
  return findings;
}

Findings call_count_findings(const model::CodeImage& image,
                             const std::vector<model::DecodedCall>& decoded,
                             const model::Observations& observed,
                             const std::vector<bpf::PseudoCall>& interpreted) {
  const std::vector<bpf::CallSite> executed = executed_sites(decoded, observed);
  Findings findings;
  for (const model::CodeCall& call : image.calls) {
    const auto wanted = std::ranges::count(interpreted, call.site, &bpf::PseudoCall::site);
    const auto seen = std::ranges::count(executed, call.site);
    if (wanted != seen) {
      findings.push_back(
          {ErrorCode::call_count, site_name(image, call.site),
           fmt::format("the interpreter called {} times, the CPU {} times", wanted, seen)});
    }
  }
  std::vector<bpf::CallSite> missing;
  for (const bpf::PseudoCall& call : interpreted) {
    if (call_at_site(image, call.site) == nullptr &&
        std::ranges::find(missing, call.site) == missing.end()) {
      missing.push_back(call.site);
      findings.push_back({ErrorCode::call_count, site_name(image, call.site),
                          "the interpreter calls from here; the image has no such call"});
    }
  }
  if (!findings.empty() || executed.size() != interpreted.size()) {
    return findings;
  }
  const auto [seen, wanted] =
      std::ranges::mismatch(executed, interpreted, {}, {}, &bpf::PseudoCall::site);
  if (seen != executed.end()) {
    findings.push_back(
        {ErrorCode::call_order, site_name(image, *seen),
         fmt::format("call number {} of the run is the CPU's {}, the interpreter's {}",
                     seen - executed.begin() + 1, site_name(image, *seen),
                     site_name(image, wanted->site))});
  }
  return findings;
}

Findings stated_count_findings(const model::CodeImage& image,
                               const std::vector<model::DecodedCall>& decoded,
                               const model::Observations& observed,
                               const std::vector<model::ExpectedCall>& stated) {
  Findings findings;
  for (const model::CodeCall& call : image.calls) {
    const std::vector<GuestAddress> reached = reached_from(decoded, observed, call.site);
    bool is_stated = false;
    for (const model::ExpectedCall& line : stated) {
      if (line.site != call.site) {
        continue;
      }
      is_stated = true;
      const auto seen = static_cast<std::uint64_t>(
          call.callee ? std::ssize(reached)
                      : std::ranges::count(reached, callee(image, call, line.callee).target));
      if (line.count != seen) {
        findings.push_back(
            {ErrorCode::call_count, site_name(image, call.site),
             fmt::format("the case expects {} calls, the CPU made {}", line.count, seen)});
      }
    }
    if (!is_stated && reached.empty()) {
      findings.push_back({ErrorCode::call_count, site_name(image, call.site),
                          "the CPU never called from here, and nothing says that it need not"});
    }
  }
  for (const model::ExpectedCall& line : stated) {
    if (line.count != 0 && call_at_site(image, line.site) == nullptr) {
      findings.push_back(
          {ErrorCode::call_count, site_name(image, line.site),
           fmt::format("the case expects {} calls; the image has no such call", line.count)});
    }
  }
  return findings;
}

}  // namespace farcall::check
