// Where each BPF instruction of a program lies in an image: the line tables, read together with the
// program. What debuggers, traces and listings look things up in.
#pragma once

#include <optional>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"
#include "model/code_image.hpp"

namespace farcall::model {

// The code of one instruction. One that needed none has 0 bytes; but a function's last `exit`,
// which falls into the epilogue, has the epilogue as its code.
struct PlacedInstruction {
  std::uint32_t function = 0;
  bpf::SlotIndex slot = 0;  // of the program
  GuestAddress begin;
  std::uint64_t bytes = 0;

  bool contains(GuestAddress address) const { return address.value - begin.value < bytes; }
  friend bool operator==(const PlacedInstruction&, const PlacedInstruction&) = default;
};

struct CodeMap {
  std::vector<PlacedInstruction> instructions;         // in program order
  std::vector<std::optional<GuestAddress>> epilogues;  // one for each function of the image

  // The instruction whose code `address` is in; null in prologues, descriptors, and elsewhere.
  const PlacedInstruction* at(GuestAddress address) const;
  // The instruction at slot `slot` of the program; null if its function has no line table.
  const PlacedInstruction* of(bpf::SlotIndex slot) const;
};

// Functions that the program lacks, or that have no line table, have no instructions in the map.
CodeMap code_map(const bpf::Program& program, const CodeImage& image);

// Sets the image's code pointers to where its line tables say that the program's instructions begin;
// jit.bad-answer if a function that has such an instruction has no line for it. Only where the image
// has none yet.
Result<void> place_code_pointers(const bpf::Program& program, CodeImage& image);

// Of a function of the image: the one that `address` lies in, descriptors included.
std::optional<std::uint32_t> function_at(const CodeImage& image, GuestAddress address);

}  // namespace farcall::model
