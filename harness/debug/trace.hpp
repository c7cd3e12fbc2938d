// A cell's run step by step, on the CPU and by the interpreter.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "bpf/interpreter.hpp"
#include "check/check.hpp"
#include "check/steps.hpp"
#include "debug/session.hpp"
#include "model/document.hpp"
#include "model/job.hpp"
#include "vm/host.hpp"

namespace farcall::debug {

// So many BPF instructions, and steps of the guest, are looked at: some 300 MB of them at most.
inline constexpr std::size_t kMostInstructions = 200'000;
inline constexpr std::uint64_t kMostSteps = 1'000'000;

struct Trace {
  check::Testimony testimony;  // with a job, and the steps that were observed
  // Absent if the image came without a program, line tables or its registers.
  std::optional<check::StepComparison> comparison;
};

// Runs the document's program in a guest that watches every instruction. `images` is the folder of
// guest images, `host` starts the guest. Errors: why there is nothing to run; what a machine can
// come to.
Result<Trace> take_trace(const model::Document& document, const std::filesystem::path& images,
                         vm::Host& host);

// Where the run goes wrong first: at a call that lands elsewhere, at the instruction after which a
// register differs or the CPU goes another way, or at the one that faults. Empty: nowhere.
std::optional<StopPoint> failure_point(const Trace& trace);

}  // namespace farcall::debug
