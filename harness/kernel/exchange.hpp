// What a Linux guest is asked, and what it says: wire/kernel_batch.hpp as values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::kernel {

// A program to load and run.
struct Question {
  std::vector<bpf::Slot> slots;
  std::vector<std::byte> context;  // what r1 points to; empty: nothing
};

struct JitedFunction {
  GuestAddress address;
  std::vector<std::uint32_t> words;

  friend bool operator==(const JitedFunction&, const JitedFunction&) = default;
};

struct Answer {
  wire::KernelOutcome outcome{};
  std::uint32_t error = 0;               // the kernel's errno, where it did not come to the end
  std::uint32_t result = 0;              // r0, the lower half
  std::vector<JitedFunction> functions;  // in the program's order; none: it was interpreted
  std::vector<bpf::Slot> program;        // as the kernel has it
  std::vector<std::byte> context;        // after the run
  std::string log;                       // the verifier's, if it rejected the program
};

// The file /batch.
std::vector<std::byte> batch(std::span<const Question> questions, std::uint64_t nonce);

// What the agent wrote. machine.bad-answer: it is not whole, or of another batch.
Result<std::vector<Answer>> read_reply(std::span<const std::byte> reply, std::size_t count,
                                       std::uint64_t nonce);

}  // namespace farcall::kernel
