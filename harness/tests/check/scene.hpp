// What all witnesses say of a good run, for tests that spoil one thing of it.
#pragma once

#include <memory>

#include "base/address.hpp"
#include "bpf/assembler.hpp"
#include "check/check.hpp"
#include "tests/check/words.hpp"

namespace farcall::check::tests {

inline constexpr GuestAddress kCallee = {0xc008'0000'0012'a468};
inline constexpr GuestAddress kSite = kMain + 0x20;  // the branch-and-link
inline constexpr GuestAddress kMem = {0xc000'0000'0100'0000};

// A cell whose program calls `callee` twice from main[0], and everything that a good run of it
// shows. Each test spoils one thing.
struct Scene {
  model::Cell cell;
  model::Job job;
  Testimony testimony;

  Scene() {
    const auto program = bpf::assemble(
        "mov %r6, 2\nagain: call local callee\nsub %r6, 1\njne %r6, 0, again\nexit\ncallee:\nmov "
        "%r0, 41\nexit\n",
        {"scene.case", 1, 1});
    cell = {.case_path = "scene.case",
            .name = "scene",
            .program = std::make_shared<const bpf::Program>(program.value()),
            .placement = {.functions = {kMain, kCallee}},
            .memory = {{.name = "mem", .address = kMem, .bytes = {std::byte{1}, std::byte{2}}}}};
    cell.expected.result = 41;

    const bpf::PseudoCall call{.site = {0, 0}, .slot = 1, .callee = 1};
    const Interpretation run{.run = {.r0 = 41, .instructions = 11, .calls = {call, call}},
                             .memory = cell.memory};
    testimony.source = run;
    testimony.linked = run;
    testimony.image = {
        .functions = {{.name = "main", .address = kMain, .words = std::vector<std::uint32_t>(20)},
                      {.name = "callee", .address = kCallee, .words = {0, 0}}},
        .entry = kMain,
        .calls = {{.site = {0, 0}, .at = kSite, .callee = model::CodeCallee{1, kCallee}}}};
    testimony.decoded = {{.site = {0, 0}, .at = kSite, .target = kCallee}};

    for (std::size_t i = 0; i < 32; ++i) {
      job.entry.gpr[i] = 0x1000 + i;
      job.entry.fpr[i] = 0x2000 + i;
      job.entry.vr[i] = {0x3000 + i, 0x4000 + i};
    }
    job.entry.cr = 0x1234'5678;
    job.gate = {0xc000'0000'0000'4000};
    testimony.job = job;

    model::Observations seen;
    seen.hardware = {.processor = 0x004e'1200,
                     .cpu = cell.axes.cpu,
                     .mmu = cell.axes.mmu,
                     .endian = cell.axes.endian};
    seen.registers = job.entry;
    seen.registers.gpr[3] = 41;
    const model::TakenBranch there{.from = kSite, .to = kCallee, .link = kSite + 4};
    const model::TakenBranch back{.from = kCallee + 4, .to = kSite + 4, .link = kSite + 4};
    seen.trace = {there, back, there, back, {kMain + 0x4c, job.gate, job.gate}};
    seen.trace_events = seen.trace.size();
    seen.memory = {{.address = kMem, .size_bytes = 2, .bytes = cell.memory[0].bytes}};
    testimony.observations = seen;
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() = default;

  model::Observations& seen() { return *testimony.observations; }
  model::Verdict verdict() const { return check(cell, testimony); }
};

}  // namespace farcall::check::tests
