// What a stock kernel tells of a program that it has JITed, beside its code: where the code of each
// instruction begins (jited_line_info), and whom each call of its dump calls.
//
// Pure, like the other witnesses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "bpf/program.hpp"
#include "model/verdict.hpp"

namespace farcall::check {

// A row of jited_line_info.
struct KernelLine {
  bpf::SlotIndex slot = 0;  // of the dump
  GuestAddress address;     // where the kernel says that its code begins
};

// A call of the dump, and its branch-and-link as the decoder found it in the bytes.
struct CallInCode {
  std::string name;         // `main[0]`
  bpf::SlotIndex slot = 0;  // of the dump
  GuestAddress at;
};

// The branch of a call is within the code of its instruction: not before where the kernel says that
// it begins, and before where it says that the next one does. line.mismatch, once for each kind of
// disagreement; where there are no such rows, nothing.
std::vector<model::Finding> line_findings(std::span<const KernelLine> lines,
                                          std::span<const CallInCode> calls);

// A pseudo call of the dump.
struct DumpedCall {
  std::string name;          // `main[0]`
  std::uint32_t callee = 0;  // the number of the function that its off leads to
  std::int32_t imm = 0;
};

// Linux 6.1 to 7.3, JIT on: a pseudo call in the dump has the callee's number as its imm, as
// bpf_prog_info's jited_ksyms counts. dump.mismatch.
std::vector<model::Finding> dump_findings(std::span<const DumpedCall> calls);

}  // namespace farcall::check
