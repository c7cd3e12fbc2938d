#include "check/check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <string>

#include "check/callees.hpp"
#include "check/findings.hpp"
#include "check/known_failure.hpp"

namespace farcall::check {
namespace {

using model::Outcome;

void append(Findings& findings, Findings more) {
  std::ranges::move(more, std::back_inserter(findings));
}

// How often the interpreter called from the site, whichever function.
std::uint64_t interpreted_count(const Interpretation& source, bpf::CallSite site) {
  return static_cast<std::uint64_t>(
      std::ranges::count(source.run.calls, site, &bpf::PseudoCall::site));
}

// How often it called that function from the site.
std::uint64_t interpreted_count(const Interpretation& source, bpf::CallSite site,
                                std::uint32_t callee) {
  return static_cast<std::uint64_t>(std::ranges::count_if(
      source.run.calls,
      [&](const bpf::PseudoCall& call) { return call.site == site && call.callee == callee; }));
}

// The interpreter on the source, if it ran to its end.
const Interpretation* source_of(const Testimony& testimony) {
  return testimony.source && testimony.source->has_value() ? &testimony.source->value() : nullptr;
}

// MAX_CALL_FRAMES and MAX_BPF_STACK of Linux.
constexpr bpf::StackUse kLinuxLimits = {.frames = 8, .bytes = 512};

// What Linux's verifier would refuse, and farcall runs.
std::vector<std::string> notes(const bpf::StackUse& use) {
  std::vector<std::string> notes;
  if (use.frames > kLinuxLimits.frames) {
    notes.push_back(fmt::format("{} frames at the same time; Linux admits {}", use.frames,
                                kLinuxLimits.frames));
  }
  if (use.bytes > kLinuxLimits.bytes) {
    notes.push_back(fmt::format("{} bytes of stack in all frames together; Linux admits {}",
                                use.bytes, kLinuxLimits.bytes));
  }
  return notes;
}

// What lies after a function's code, layout_findings() speaks of; it calls nobody.
std::vector<model::DecodedCall> that_are_reached(const Testimony& testimony) {
  std::vector<model::DecodedCall> calls;
  std::ranges::copy_if(
      testimony.decoded, std::back_inserter(calls), [&](const model::DecodedCall& call) {
        const model::CodeFunction& code = testimony.image->functions[call.site.function];
        const std::uint64_t word = (call.at.value - code.address.value) / 4;
        const bool has_line_after = !code.lines.empty() && word <= code.lines.back().word;
        return has_line_after || word < reached_end(code);
      });
  return calls;
}

// Linking moves code, so the linked program is interpreted too, and must do the same.
Findings linked_findings(const Interpretation& source, const Result<Interpretation>& linked) {
  if (!linked) {
    return {{ErrorCode::linked_differs, linked.error().site,
             "the linked program does not run: " + linked.error().message}};
  }
  const bpf::InterpreterRun& run = linked.value().run;
  if (run.r0 != source.run.r0) {
    return {
        {ErrorCode::linked_differs, "",
         fmt::format("the linked program returns {:#x}, the source {:#x}", run.r0, source.run.r0)}};
  }
  const auto same = [](const bpf::PseudoCall& a, const bpf::PseudoCall& b) {
    return a.site == b.site && a.callee == b.callee;
  };
  const auto same_content = [](const bpf::MemoryRegion& a, const bpf::MemoryRegion& b) {
    return same_bytes(a.bytes, b.bytes);
  };
  if (!std::ranges::equal(run.calls, source.run.calls, same) ||
      !std::ranges::equal(linked.value().memory, source.memory, same_content)) {
    return {{ErrorCode::linked_differs, "",
             "the linked program makes other calls or leaves other memory than the source"}};
  }
  return {};
}

// What a program must leave in a region when no interpreter says it: its bytes as they were, with
// what the case expects.
bpf::MemoryRegion with_expected(const model::Cell& cell, bpf::MemoryRegion region) {
  for (const model::ExpectedMemory& expected : cell.expected.memory) {
    if (region.name == expected.region) {
      std::ranges::copy(expected.bytes, region.bytes.own().subspan(expected.offset).begin());
    }
  }
  return region;
}

void put_code_pointers(const model::CodeImage& image, std::endian order,
                       std::vector<bpf::MemoryRegion>& memory) {
  for (bpf::MemoryRegion& region : memory) {
    if (std::ranges::find(image.code_pointers, region.name, &model::PlacedPointer::region) !=
        image.code_pointers.end()) {
      region.bytes = with_code_pointers(image, region, order);
    }
  }
}

Findings result_findings(const model::Cell& cell, const Interpretation* source,
                         std::uint64_t result) {
  if (cell.expected.no_result) {
    return {};
  }
  if (source != nullptr && source->run.r0_frame != 0) {
    if (is_in_stack(cell.placement, {result})) {
      return {};
    }
    return {{ErrorCode::result_mismatch, "",
             fmt::format("expected r0 to be a pointer into the stack; the CPU returned {:#x}",
                         result)}};
  }
  const auto expected = source != nullptr ? std::optional(source->run.r0) : cell.expected.result;
  if (expected && *expected != result) {
    return {{ErrorCode::result_mismatch, "",
             fmt::format("expected r0 = {:#x}, as {} says; the CPU returned {:#x}", *expected,
                         source != nullptr ? "the interpreter" : "the case", result)}};
  }
  return {};
}

// The functions of an image lie where the cell says, unless the image is free to choose: a far call
// that was placed nearby would prove nothing.
Findings placement_findings(const model::Cell& cell, const model::CodeImage& image) {
  Findings findings;
  const std::vector<GuestAddress>& wanted = cell.placement.functions;
  const std::size_t count = std::min(wanted.size(), image.functions.size());
  for (std::size_t i = 0; i < count && image.placed_by == model::PlacedBy::cell; ++i) {
    const model::CodeFunction& function = image.functions[i];
    if (function.address != wanted[i]) {
      findings.push_back(
          {ErrorCode::place_elsewhere,
           "",
           fmt::format(
               "expected {} at {}, where the cell places it; the image has it at {}, {} off",
               function.name, to_string(wanted[i]), to_string(function.address),
               to_string(function.address - wanted[i])),
           {},
           "if the image may choose, say so: \"placement\": \"image\" in the document's image"});
    }
  }
  return findings;
}

// All that the run of an image shows. The order is that of explanation: a call that goes astray
// explains a fault, a fault explains a missing result.
Findings run_findings(const model::Cell& cell, const Testimony& testimony, const Callees& callees) {
  const model::CodeImage& image = *testimony.image;
  const model::Observations& observed = *testimony.observations;
  const Interpretation* const source = source_of(testimony);
  Findings findings = trace_findings(image, testimony.decoded, observed, *testimony.job, callees);
  append(findings, ending_findings(image, observed, *testimony.job));
  append(findings,
         source != nullptr
             ? call_count_findings(image, testimony.decoded, observed, source->run.calls)
             : stated_count_findings(image, testimony.decoded, observed, cell.expected.calls));
  if (observed.ending == model::Ending::returned) {
    append(findings, result_findings(cell, source, observed.registers.gpr[3]));
    if (source != nullptr) {
      const std::endian order = byte_order(cell.axes.endian);
      const std::vector<StoredReturn> returns = stored_returns(image, source->run);
      std::vector<bpf::MemoryRegion> memory = memory_but_log(*cell.program, source->memory);
      append(findings, stack_findings(image, returns, observed, order, memory));
      append(findings, stub_findings(cell, *source, observed));
      put_code_pointers(image, order, memory);
      append(findings, stack_pointer_findings(cell.placement, source->run.stack_pointers, observed,
                                              order, memory));
      append(findings, memory_findings(memory, observed));
      append(findings, frame_findings(cell, image, source->run, observed));
    } else {
      std::vector<bpf::MemoryRegion> memory;
      for (const bpf::MemoryRegion& region : cell.memory) {
        memory.push_back(with_expected(cell, region));
      }
      put_code_pointers(image, byte_order(cell.axes.endian), memory);
      append(findings, memory_findings(memory, observed));
    }
    append(findings, abi_findings(cell.axes.abi, image, observed, *testimony.job));
  }
  return findings;
}

// Counts the CPU's calls from one site. A site has a story for each of its callees; a call counts in
// that of the callee that the interpreter's run has for it, else in that of the function that was
// reached, else in the first.
void tell_executed(const Testimony& testimony, const model::CodeCall& call, const Callees& callees,
                   std::span<model::SiteStory> stories) {
  for (model::SiteStory& story : stories) {
    story.executed = 0;
  }
  std::size_t number = 0;
  for (const model::TakenBranch& branch : testimony.observations->trace) {
    if (branch.is_return()) {
      continue;
    }
    const std::size_t of_run = number++;
    if (branch.from != stories.front().at) {
      continue;
    }
    const auto callee = callees.of_call(call, of_run);
    const auto told = std::ranges::find(stories, callee ? callee->target : branch.to,
                                        &model::SiteStory::expected);
    model::SiteStory& story = told == stories.end() ? stories.front() : *told;
    ++*story.executed;
    if (std::ranges::find(story.reached, branch.to) == story.reached.end()) {
      story.reached.push_back(branch.to);
    }
  }
}

// One of each call site; of a call through a register, one of each callee.
std::vector<model::SiteStory> stories(const Testimony& testimony, const Callees& callees) {
  std::vector<model::SiteStory> all;
  const model::CodeImage& image = *testimony.image;
  const Interpretation* const source = source_of(testimony);
  for (const model::CodeCall& call : image.calls) {
    const std::size_t before = all.size();
    const auto found = std::ranges::find(testimony.decoded, call.site, &model::DecodedCall::site);
    for (const model::CodeCallee& callee : callees.of_site(call)) {
      model::SiteStory story{.site = call.site,
                             .name = site_name(image, call.site),
                             .callee = image.functions[callee.function].name,
                             .expected = callee.target,
                             .through_register = !call.callee};
      if (found != testimony.decoded.end()) {
        story.at = found->at;
        story.decoded = found->target;
      }
      if (source != nullptr) {
        story.interpreted = callees.made(call, callee);
      }
      all.push_back(std::move(story));
    }
    if (testimony.observations && found != testimony.decoded.end() && all.size() > before) {
      tell_executed(testimony, call, callees, std::span(all).subspan(before));
    }
  }
  return all;
}

// Turns what was found into an outcome, given the failure that the case expects.
model::Verdict against_expected_failure(const model::Cell& cell, model::Verdict verdict) {
  const model::ExpectedFailure& expected = *cell.expected.failure;
  const std::string wanted = expected.site.empty()
                                 ? std::string(name(expected.code))
                                 : fmt::format("{} at {}", name(expected.code), expected.site);
  if (verdict.findings.empty()) {
    verdict.outcome = Outcome::fail;
    verdict.findings.push_back({ErrorCode::expected_failure_missing, expected.site,
                                fmt::format("expected {}; nothing failed", wanted),
                                in_case(cell, expected.line)});
    return verdict;
  }
  const model::Finding& first = verdict.findings.front();
  if (first.code == expected.code && first.site == expected.site) {
    verdict.outcome = Outcome::pass;
    verdict.findings.clear();
    return verdict;
  }
  verdict.outcome = Outcome::fail;
  verdict.findings.insert(verdict.findings.begin(),
                          {ErrorCode::expected_failure_missing, expected.site,
                           fmt::format("expected {}; what failed first is below", wanted),
                           in_case(cell, expected.line)});
  return verdict;
}

void set_aside(std::span<const ErrorCode> allowed, std::span<const model::KnownFailure> known,
               model::Verdict& verdict) {
  const auto rest = std::ranges::stable_partition(verdict.findings, [&](const auto& finding) {
    return std::ranges::find(known, finding.code, &model::KnownFailure::code) != known.end() ||
           std::ranges::find(allowed, finding.code) == allowed.end();
  });
  verdict.allowed.assign(std::make_move_iterator(rest.begin()),
                         std::make_move_iterator(rest.end()));
  verdict.findings.erase(rest.begin(), rest.end());
}

struct Difference {
  std::uint64_t offset;
  std::byte wanted;
};

// Where `seen` is first other than the case has it after the run. Regions may have many megabytes: piece
// by piece, instead of a copy of all.
std::optional<Difference> first_difference(const model::Cell& cell, const bpf::MemoryRegion& region,
                                           std::span<const std::byte> seen) {
  constexpr std::size_t kPiece = 65536;
  std::vector<std::byte> wanted;
  for (std::size_t begin = 0; begin < region.bytes.size(); begin += kPiece) {
    const auto before =
        std::span(region.bytes).subspan(begin, std::min(kPiece, region.bytes.size() - begin));
    wanted.assign(before.begin(), before.end());
    for (const model::ExpectedMemory& expected : cell.expected.memory) {
      const std::uint64_t first = std::max(expected.offset, begin);
      const std::uint64_t end =
          std::min(expected.offset + expected.bytes.size(), begin + wanted.size());
      if (expected.region == region.name && first < end) {
        std::ranges::copy(std::span(expected.bytes).subspan(first - expected.offset, end - first),
                          wanted.begin() + static_cast<std::ptrdiff_t>(first - begin));
      }
    }
    const auto piece = seen.subspan(begin, wanted.size());
    if (!same_bytes(wanted, piece)) {
      const auto at = std::ranges::mismatch(wanted, piece).in1;
      return Difference{begin + static_cast<std::uint64_t>(at - wanted.begin()), *at};
    }
  }
  return std::nullopt;
}

// What the case says of calls.
Findings call_objections(const model::Cell& cell, const Interpretation& source) {
  const bpf::Program& program = *cell.program;
  const std::vector<model::ExpectedCall>& expected = cell.expected.calls;
  Findings findings;
  const std::vector<bpf::CallInstruction> calls = call_instructions(program);
  for (const model::ExpectedCall& call : expected) {
    const std::string site = bpf::to_string(program, call.site);
    const auto found = std::ranges::find(calls, call.site, &bpf::CallInstruction::site);
    if (found == calls.end() || found->callee.value_or(call.callee) != call.callee) {
      findings.push_back({ErrorCode::case_contradicts_interpreter, site,
                          fmt::format("the case expects a call of {}; the program calls {}",
                                      callee_name(program, call.callee),
                                      found == calls.end() ? "nothing here"
                                                           : callee_name(program, *found->callee)),
                          in_case(cell, call.line)});
    } else if (const auto count = interpreted_count(source, call.site, call.callee);
               count != call.count) {
      findings.push_back(
          {ErrorCode::case_contradicts_interpreter, site,
           fmt::format("the case expects {} calls{}; the interpreter makes {}", call.count,
                       found->callee ? "" : " of " + callee_name(program, call.callee), count),
           in_case(cell, call.line)});
    }
  }
  for (const bpf::CallInstruction& call : calls) {
    const std::string site = bpf::to_string(program, call.site);
    std::uint64_t told = 0;
    const model::ExpectedCall* mentioned = nullptr;
    for (const model::ExpectedCall& line : expected) {
      if (line.site == call.site) {
        told += interpreted_count(source, line.site, line.callee);
        mentioned = &line;
      }
    }
    const std::uint64_t made = interpreted_count(source, call.site);
    if (mentioned == nullptr && made == 0 && !cell.expected.any_other_call) {
      const std::uint32_t callee = call.callee.value_or(call.is_jump ? call.site.function : 0);
      findings.push_back({ErrorCode::case_site_not_reached, site,
                          fmt::format("no run reaches this call; if it is meant so, say `{} {} *0` "
                                      "under -- calls, or `rest *any` for all that are not named",
                                      site, callee_name(program, callee)),
                          program.origins.at(call.slot)});
    } else if (mentioned != nullptr && told < made) {
      findings.push_back(
          {ErrorCode::case_contradicts_interpreter, site,
           fmt::format("the case tells of {} calls through this register; the interpreter makes {}",
                       told, made),
           in_case(cell, mentioned->line)});
    }
  }
  return findings;
}

}  // namespace

SourceLocation in_case(const model::Cell& cell, unsigned line) {
  return line == 0 ? SourceLocation{} : SourceLocation{.file = cell.case_path, .line = line};
}

std::vector<model::Finding> objections(const model::Cell& cell, const Interpretation& source) {
  Findings findings;
  const model::Expectation& expected = cell.expected;
  if (expected.failure) {
    return findings;  // result and calls of such a cell are not looked at
  }
  if (source.run.undefined_result && !expected.no_result) {
    findings.push_back(model::as_finding(*source.run.undefined_result));
  }
  if (findings.empty() && expected.result && *expected.result != source.run.r0) {
    findings.push_back({ErrorCode::case_contradicts_interpreter, "",
                        fmt::format("the case expects r0 = {:#x}; the interpreter returns {:#x}",
                                    *expected.result, source.run.r0),
                        in_case(cell, expected.result_line)});
  }
  append(findings, call_objections(cell, source));
  // Every region that `-- mem-after` names must be all that the case says, unnamed bytes unchanged.
  for (std::size_t i = 0; i < cell.memory.size(); ++i) {
    const std::string& name = cell.memory[i].name;
    const auto named = std::ranges::find(expected.memory, name, &model::ExpectedMemory::region);
    if (named == expected.memory.end()) {
      continue;
    }
    const auto different = first_difference(cell, cell.memory[i], source.memory[i].bytes);
    if (!different) {
      continue;
    }
    const auto [offset, wanted] = *different;
    const auto piece = std::ranges::find_if(expected.memory, [&](const model::ExpectedMemory& one) {
      return one.region == name && one.offset <= offset && offset - one.offset < one.bytes.size();
    });
    findings.push_back(
        {ErrorCode::case_contradicts_interpreter, "",
         fmt::format("the case expects {:02x} at offset {} of {}; the interpreter leaves {:02x}",
                     std::to_integer<unsigned>(wanted), offset, name,
                     std::to_integer<unsigned>(source.memory[i].bytes[offset])),
         in_case(cell, piece != expected.memory.end() ? piece->line : named->line)});
  }
  return findings;
}

model::Verdict against_control(const model::Cell& cell, model::Verdict verdict) {
  if (!cell.control) {
    return verdict;
  }
  const model::Control& control = *cell.control;
  if (std::ranges::find(verdict.findings, control.code, &model::Finding::code) !=
      verdict.findings.end()) {
    verdict.outcome = Outcome::pass;
    verdict.findings.clear();
    verdict.sites.clear();  // that they do not agree is as it must be
  } else if (verdict.outcome == Outcome::pass || verdict.outcome == Outcome::fail) {
    verdict.outcome = Outcome::error;
    verdict.findings.insert(
        verdict.findings.begin(),
        {ErrorCode::control_missed, "",
         fmt::format("expected {} of the fault {}; {}", name(control.code), control.fault,
                     verdict.findings.empty() ? "nothing was found" : "what was found is below"),
         in_case(cell, control.line)});
  }
  return verdict;
}

model::Verdict check(const model::Cell& cell, const Testimony& testimony, const Terms& terms) {
  model::Verdict verdict;
  // What ran elsewhere says nothing of the cell, not even that it failed as expected.
  if (testimony.observations) {
    verdict.findings = hardware_findings(cell.axes, testimony.observations->hardware);
    if (!verdict.findings.empty()) {
      return verdict;
    }
  }
  if (testimony.source && !*testimony.source) {
    verdict.findings.push_back(model::as_finding(testimony.source->error()));
    verdict.outcome = outcome_of(verdict.findings.front());
    return verdict;
  }
  if (const Interpretation* const source = source_of(testimony)) {
    verdict.notes = notes(source->run.stack_use);
    verdict.findings = objections(cell, *source);
    if (!verdict.findings.empty()) {
      verdict.outcome = outcome_of(verdict.findings.front());
      return verdict;
    }
  }
  // Where there is code, a machine refused it: what its bytes show comes first.
  if (testimony.refusal && !testimony.image) {
    verdict.findings.push_back(model::as_finding(*testimony.refusal));
  }
  if (testimony.linked) {
    append(verdict.findings, linked_findings(*source_of(testimony), *testimony.linked));
  }
  if (testimony.image) {
    const Interpretation* const source = source_of(testimony);
    const Callees callees(*testimony.image, source != nullptr ? &source->run : nullptr,
                          cell.expected.calls);
    append(verdict.findings, placement_findings(cell, *testimony.image));
    if (cell.program) {
      append(verdict.findings, layout_findings(*cell.program, *testimony.image));
      append(verdict.findings, flow_findings(*cell.program, *testimony.image));
      append(verdict.findings, table_findings(*cell.program, *testimony.image));
    }
    append(verdict.findings,
           decoder_findings(*testimony.image, that_are_reached(testimony), callees));
    verdict.sites = stories(testimony, callees);
    if (testimony.observations) {
      append(verdict.findings, run_findings(cell, testimony, callees));
    }
    if (testimony.refusal) {
      verdict.findings.push_back(model::as_finding(*testimony.refusal));
    }
  }
  if (testimony.observations) {
    if (testimony.observations->ending == model::Ending::returned) {
      verdict.result = testimony.observations->registers.gpr[3];
    }
  }
  if (testimony.refusal && testimony.refusal->code == ErrorCode::jit_declined) {
    verdict.outcome = Outcome::skip;
    return verdict;
  }
  if (cell.expected.failure) {
    return against_expected_failure(cell, std::move(verdict));
  }
  const std::vector<model::KnownFailure> known = known_failures(cell, terms.jit);
  set_aside(terms.allowed, known, verdict);
  if (!known.empty() && is_about_code(verdict)) {
    return against_known_failures(cell, known, std::move(verdict));
  }
  // No finding and no run is not a pass: nothing has been seen.
  if (!verdict.findings.empty()) {
    verdict.outcome = outcome_of(verdict.findings.front());
  } else if (testimony.observations) {
    verdict.outcome = Outcome::pass;
  }
  return verdict;
}

}  // namespace farcall::check
