// Whether code that a kernel made with bpf_jit_harden = 2 is blinded.
//
// Linux then replaces each instruction with a constant of the program's by several, which compute the
// constant in a register of their own from two random numbers: kernel/bpf/core.c,
// bpf_jit_blind_insn(), in Linux 6.1 to 7.3. Pure, like the other witnesses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "bpf/program.hpp"
#include "model/verdict.hpp"

namespace farcall::check {

// One function: as it was loaded, with the addresses of its memory; as the kernel dumps it without
// hardening; its code without hardening and with it.
struct BlindedFunction {
  std::string name;
  std::vector<bpf::Slot> source;
  std::vector<bpf::Slot> dumped;
  std::vector<std::uint32_t> plain;
  std::vector<std::uint32_t> blinded;
  // Of functions that its code may call or load the address of: those the program does not choose,
  // and they are not blinded.
  std::vector<GuestAddress> callees = {};
};

// How many of the instructions have a constant that is to be blinded.
std::size_t blindable(std::span<const bpf::Slot> slots);

// Whether instructions of this dump use the register that only blinding and the verifier use.
bool is_blinded_dump(std::span<const bpf::Slot> slots);

// jit.refused, once for each function and kind: a constant that takes two halves of 16 bits is in the
// code as two neighbours; the code does not have the exclusive ors that undo the blinding of its
// constants. How long the code is says nothing: that depends on the addresses in it, too.
std::vector<model::Finding> blinding_findings(std::span<const BlindedFunction> functions);

}  // namespace farcall::check
