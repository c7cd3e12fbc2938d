#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "check/findings.hpp"
#include "external/stub.hpp"
#include "model/axes.hpp"

namespace farcall::check {
namespace {

// The call sites of stubs in the order of execution.
std::vector<bpf::PseudoCall> calls_of_stubs(const bpf::Program& program,
                                            const std::vector<bpf::PseudoCall>& calls) {
  std::vector<bpf::PseudoCall> found;
  const std::size_t functions = program.functions.size();
  std::ranges::copy_if(calls, std::back_inserter(found), [&](const bpf::PseudoCall& call) {
    return call.callee >= functions && program.externals[call.callee - functions].stub.has_value();
  });
  return found;
}

bool is_in_stack(const model::Cell& cell, std::uint64_t address) {
  return address - cell.placement.stack.value <= model::kStackBytes;
}

}  // namespace

Findings stub_findings(const model::Cell& cell, const Interpretation& source,
                       const model::Observations& observed) {
  const bpf::Program& program = *cell.program;
  const bpf::Map* const map = external::stub_log(program);
  if (map == nullptr) {
    return {};
  }
  const auto wanted = std::ranges::find(source.memory, map->name, &bpf::MemoryRegion::name);
  const auto seen =
      wanted == source.memory.end()
          ? observed.memory.end()
          : std::ranges::find(observed.memory, wanted->address, &model::JobRegion::address);
  if (seen == observed.memory.end()) {
    return {{ErrorCode::call_argument_mismatch, "",
             fmt::format("the guest did not report {}, the log of stubs", map->name)}};
  }
  const std::endian order = byte_order(cell.axes.endian);
  const external::StubLog expected = external::read_stub_log(wanted->bytes, order);
  const external::StubLog found = external::read_stub_log(seen->bytes, order);
  const std::vector<bpf::PseudoCall> calls = calls_of_stubs(program, source.run.calls);
  // By function: how far frames of the CPU are from those of the interpreter.
  std::map<std::uint32_t, std::uint64_t> moved;
  const std::size_t count = std::min({expected.first.size(), found.first.size(), calls.size()});
  for (std::size_t i = 0; i < count; ++i) {
    const external::StubCall& a = expected.first[i];
    const external::StubCall& b = found.first[i];
    if (a.stub != b.stub) {
      break;  // that another function was called is for others to say
    }
    for (std::size_t k = 0; k < a.arguments.size(); ++k) {
      if (a.arguments[k] == b.arguments[k]) {
        continue;
      }
      const bool in_stack = is_in_stack(cell, a.arguments[k]) && is_in_stack(cell, b.arguments[k]);
      // r10 itself is the end of this frame, or the lowest byte of the caller's: which one is not
      // known, so nothing is concluded from it.
      const bool in_own_frame = a.stack.value - a.arguments[k] - 1 < bpf::kFrameBytes;
      const std::uint64_t move =
          (b.arguments[k] - b.stack.value) - (a.arguments[k] - a.stack.value);
      const bool same =
          in_stack &&
          (!in_own_frame || moved.try_emplace(calls[i].site.function, move).first->second == move);
      if (!same) {
        return {
            {ErrorCode::call_argument_mismatch, to_string(program, calls[i].site),
             fmt::format("argument {} of {}, in call {} of all stubs: expected {:#x}, as in the "
                         "interpreter; the CPU passed {:#x}",
                         k + 1, callee_name(program, calls[i].callee), i, a.arguments[k],
                         b.arguments[k])}};
      }
    }
  }
  if (expected.calls != found.calls) {
    return {{ErrorCode::call_argument_mismatch, "",
             fmt::format("expected {} calls of stubs, as in the interpreter; their log has {}",
                         expected.calls, found.calls)}};
  }
  return {};
}

std::vector<bpf::MemoryRegion> memory_but_log(const bpf::Program& program,
                                              std::vector<bpf::MemoryRegion> memory) {
  if (const bpf::Map* const map = external::stub_log(program)) {
    std::erase_if(memory, [map](const auto& region) { return region.name == map->name; });
  }
  return memory;
}

}  // namespace farcall::check
