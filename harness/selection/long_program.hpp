// Programs whose code is as long as a branch of ppc64 reaches: 32 KiB if it is conditional, else
// 32 MiB.
//
// They are a program as it was, with instructions in front that nothing executes and that jumps lead
// over: so nothing that it does changes. How long code comes out is the JIT's business, so that there
// are some lengths around each limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bpf/program.hpp"

namespace farcall::selection {

// The longest code that a JIT is taken to make of one of them.
inline constexpr std::uint64_t kLongestReachBytes = std::uint64_t{40} << 20;

struct Lengthening {
  std::string_view name;
  bool is_large = false;   // beyond 32 MiB or almost; else some 32 KiB
  std::size_t filler = 0;  // how many instructions are jumped over
};

std::span<const Lengthening> lengthenings();

// Whether the program may be made so long: its own code must leave room for what the length is about.
bool suits(const Lengthening& by, const bpf::Program& program);

bpf::Program longer(const bpf::Program& program, const Lengthening& by);

}  // namespace farcall::selection
