// What each call scheme is: where a pseudo call carries its callee's address, and what a tool that
// dumps the program gets of it. One row of data a scheme, in the order of CallScheme.
//
// A scheme's writing is in link/ (link/scheme.hpp), and what a JIT reads is in jit/call_target.hpp:
// the two share this row and no code, so that each is a witness of the other. The compiler finds
// what a new scheme lacks: its row here, its encode_…(), and where a JIT finds the address.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bpf/program.hpp"
#include "model/axes.hpp"

namespace farcall::model {

// The field of the call's first slot that has the callee's distance, in slots.
enum class DistanceField : std::uint8_t { imm, offset };

// Addresses of 64 bits that are kept beside the program.
enum class AddressesBeside : std::uint8_t { none, one_a_call, one_a_function };

// Where a dump has the callee's address.
enum class DumpedAddress : std::uint8_t {
  nowhere,
  imm_from_call_base,  // call base + imm, while the call base is known
  second_slot,
  array_by_imm,  // a dumped array, imm is the index
};

// What becomes of that in a dump whose reader gets no addresses.
enum class Hidden : std::uint8_t { nothing, zeroed, absent };

struct SchemeInfo {
  CallScheme scheme{};
  std::string_view name;     // in case files and cell names
  bpf::SlotIndex slots = 1;  // that a call takes
  DistanceField distance{};
  AddressesBeside beside{};
  DumpedAddress dumped{};
  Hidden jit_off{};
  Hidden restricted{};
  std::string_view jit_reads;          // `call base + imm`
  std::string_view interpreter_reads;  // `off`
  std::string_view idea;               // one sentence
};

inline constexpr std::array kSchemes = {
    SchemeInfo{.scheme = CallScheme::imm32,
               .name = "imm32",
               .distance = DistanceField::offset,
               .beside = AddressesBeside::none,
               .dumped = DumpedAddress::imm_from_call_base,
               .jit_off = Hidden::zeroed,
               .restricted = Hidden::zeroed,
               .jit_reads = "call base + imm",
               .interpreter_reads = "off",
               .idea = "imm is the callee's distance from __bpf_call_base, in 32 bits."},
    SchemeInfo{.scheme = CallScheme::aux64,
               .name = "aux64",
               .distance = DistanceField::imm,
               .beside = AddressesBeside::one_a_call,
               .dumped = DumpedAddress::nowhere,
               .jit_reads = "side table",
               .interpreter_reads = "imm",
               .idea = "The program stays as it is; the addresses are in a table beside it that "
                       "only the JIT sees."},
    SchemeInfo{
        .scheme = CallScheme::pair64,
        .name = "pair64",
        .slots = 2,
        .distance = DistanceField::offset,
        .beside = AddressesBeside::none,
        .dumped = DumpedAddress::second_slot,
        .jit_off = Hidden::zeroed,
        .restricted = Hidden::zeroed,
        .jit_reads = "second slot",
        .interpreter_reads = "off",
        .idea = "The call becomes two slots, as a 64-bit load does; imm = -1 marks the pair."},
    SchemeInfo{.scheme = CallScheme::table,
               .name = "table",
               .distance = DistanceField::offset,
               .beside = AddressesBeside::one_a_function,
               .dumped = DumpedAddress::array_by_imm,
               .jit_off = Hidden::absent,
               .restricted = Hidden::zeroed,
               .jit_reads = "addresses[imm]",
               .interpreter_reads = "off",
               .idea = "imm is the callee's number; the addresses are in an array that tools get, "
                       "too."},
};
static_assert(kSchemes.size() == kCallSchemeCount);
static_assert([] {
  for (std::size_t i = 0; i < kSchemes.size(); ++i) {
    if (static_cast<std::size_t>(kSchemes[i].scheme) != i) {
      return false;
    }
  }
  return true;
}());

constexpr const SchemeInfo& scheme_info(CallScheme scheme) {
  return kSchemes[static_cast<std::size_t>(scheme)];
}

}  // namespace farcall::model
