// LinkedProgram: the program at its addresses, its pseudo calls encoded by a call scheme.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"
#include "model/axes.hpp"

namespace farcall::model {

// A call as linked. `target` is where the callee was placed: what the call must reach, not what the
// scheme's encoding says (that is jit_target()).
struct LinkedCall {
  bpf::CallSite site;
  bpf::SlotIndex slot = 0;
  std::uint32_t callee = 0;
  GuestAddress target;

  friend bool operator==(const LinkedCall&, const LinkedCall&) = default;
};

struct LinkedProgram {
  CallScheme scheme = CallScheme::table;
  bpf::Program program;                  // after encoding: slots may have moved and grown
  std::vector<GuestAddress> addresses;   // one for each function
  GuestAddress call_base;                // origin of imm32
  GuestAddress toc;                      // r2, the same in all functions
  std::vector<LinkedCall> calls;         // in program order
  std::vector<GuestAddress> side_table;  // aux64: one entry a call, in program order

  friend bool operator==(const LinkedProgram&, const LinkedProgram&) = default;
};

// Where the call at `calls[call]` goes, read back from the scheme's encoding as a JIT reads it.
// Never looks at `calls[call].target`.
GuestAddress jit_target(const LinkedProgram& linked, std::size_t call);

// The program as an interpreter sees it: every pseudo call has its pc-relative displacement in
// `imm` again, taken from where the scheme keeps it.
bpf::Program interpreter_view(const LinkedProgram& linked);

}  // namespace farcall::model
