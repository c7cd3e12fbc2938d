// What a kernel with a call scheme hands out when a tool asks for a loaded program, and what the
// tool can still find out about each call. Both sides are pure: recover() sees the dump alone.
//
//            JIT on                           JIT off           restricted
//   imm32    imm as linked, call base         imm 0             imm 0
//   aux64    as linked; no side table         the same          the same
//   pair64   the address in the second slot   second slot 0     second slot 0
//   table    index, and the addresses         index, no array   index, and zeros
//
// A load of a function's address says which function that is, by its distance and its number, and
// never the address, as in Linux.
//
// Tags are handed out in all modes (as prog_tags of bpf_prog_info), and so is where each function
// begins: a call is always known by the slot that it leads to, and by its callee's tag.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "bpf/program.hpp"
#include "model/axes.hpp"
#include "model/linked_program.hpp"
#include "show/tag.hpp"

namespace farcall::show {

// Restricted: the JIT is on, and the reader may not see addresses (kptr_restrict, no CAP_SYSLOG).
enum class JitMode : std::uint8_t { on, off, restricted };
inline constexpr std::array kJitModes = {JitMode::on, JitMode::off, JitMode::restricted};

// "on", "off", "restricted".
std::string_view name(JitMode mode);

struct ProgramDump {
  model::CallScheme scheme = model::CallScheme::table;
  model::Endian endian = model::Endian::little;
  std::vector<bpf::Slot> slots;
  std::vector<bpf::Function> functions;
  std::vector<std::string> names;       // of the functions' symbols, made from tags
  std::vector<GuestAddress> addresses;  // table alone, one a function, or none
  GuestAddress call_base;               // imm32 alone; 0: not known
};

ProgramDump dump_program(const model::LinkedProgram& linked, const ProgramTags& tags, JitMode mode);

struct RecoveredCall {
  bpf::SlotIndex slot = 0;              // of the dump
  std::int64_t distance = 0;            // in slots of the dump, from the slot after `slot`
  std::optional<std::uint32_t> callee;  // the function that begins there
  std::optional<GuestAddress> address;

  friend bool operator==(const RecoveredCall&, const RecoveredCall&) = default;
};

// In program order.
std::vector<RecoveredCall> recover(const ProgramDump& dump);

// How many slots the instruction at `at` takes: a pair64 call takes two.
bpf::SlotIndex slots_at(const ProgramDump& dump, bpf::SlotIndex at);

}  // namespace farcall::show
