// What a linker, and whoever reads what it wrote, does to calls and addresses.
#include <algorithm>
#include <utility>

#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "faults/fault.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"

namespace farcall::faults {
namespace {

using model::CallScheme;
using model::Document;
using model::LinkedCall;
using model::LinkedProgram;

// The slot of each pseudo call whose scheme is `scheme`.
template <typename Change>
bool each_call(LinkedProgram& linked, CallScheme scheme, Change change) {
  bool changed = false;
  for (std::size_t i = 0; i < linked.calls.size(); ++i) {
    if (linked.scheme == scheme && !is_external(linked, linked.calls[i])) {
      changed = change(linked.calls[i], linked.program.slots[linked.calls[i].slot], i) || changed;
    }
  }
  return changed;
}

// Loads of functions' addresses: `change` is given that address, and returns another one.
template <typename Change>
bool each_pointer(LinkedProgram& linked, Change change) {
  bool changed = false;
  std::vector<bpf::Slot>& slots = linked.program.slots;
  for (bpf::SlotIndex at = 0; at < slots.size(); at += slots_at(linked, at)) {
    const bpf::InstructionInfo* const info = bpf::find(slots[at]);
    if (info == nullptr || info->operation != bpf::Operation::load_function) {
      continue;
    }
    const std::uint64_t before = bpf::immediate64(slots[at], slots[at + 1]);
    const std::uint64_t after = change(before);
    const auto [low, high] = bpf::load_immediate64_slots(slots[at].dst, after);
    slots[at].imm = low.imm;
    slots[at + 1].imm = high.imm;
    changed = changed || before != after;
  }
  return changed;
}

// Moves the branches of the linked program as a linker would that forgot what pair64 makes of them.
bool unmoved(const Document& right, LinkedProgram& linked, bpf::Form form) {
  if (linked.scheme != CallScheme::pair64) {
    return false;
  }
  const bpf::Program& source = *right.cell.program;
  std::vector<bpf::Slot>& slots = linked.program.slots;
  bool changed = false;
  bpf::SlotIndex from = 0;
  for (bpf::SlotIndex at = 0; at < slots.size(); at += slots_at(linked, at)) {
    const bpf::Slot& was = source.slots[from];
    const bpf::InstructionInfo* const info = bpf::find(was);
    if (info != nullptr && info->form == form) {
      const bpf::Slot before = std::exchange(slots[at], was);
      changed = changed || before != was;
    }
    from += bpf::slots_of(was.opcode);
  }
  return changed;
}

// The address of function number `function` for whoever calls it, another than where its code is:
// the program is linked and compiled with it there, and the code put where it belongs.
std::optional<Document> accepted(const model::Cell& cell, std::uint64_t moved_by) {
  // The site that the case expects to be refused: its callee is the one that is out of reach.
  const auto calls = bpf::pseudo_calls(*cell.program);
  const auto call = std::ranges::find_if(calls, [&](const bpf::PseudoCall& one) {
    return bpf::to_string(*cell.program, one.site) == cell.expected.failure->site;
  });
  if (call == calls.end()) {
    return std::nullopt;
  }
  model::Cell moved = cell;
  GuestAddress& callee = moved.placement.functions[call->callee];
  callee = callee + moved_by;
  const auto linked = link::link_program(moved);
  if (!linked) {
    return std::nullopt;
  }
  auto image = jit::compile(linked.value(), cell.axes);
  if (!image) {
    return std::nullopt;
  }
  model::CodeFunction& code = image.value().functions[call->callee];
  code.address = cell.placement.functions[call->callee];
  for (model::CodeCall& one : image.value().calls) {
    if (one.callee && one.callee->function == call->callee) {
      one.callee->target = one.callee->target + (0 - moved_by);
    }
    if (one.site.function == call->callee) {
      one.at = one.at + (0 - moved_by);
    }
  }
  return Document{.cell = cell, .linked = {}, .image = std::move(image).value()};
}

// The callee taken to be 2^`bits` farther down, or up: what a field of so many bits makes of a
// distance that it has no room for.
Accepts wraps(model::Reach reach, unsigned bits) {
  return {[reach, bits](const model::Cell& cell) -> std::optional<Document> {
    if (cell.axes.reach != reach || cell.expected.failure->code != ErrorCode::call_out_of_range) {
      return std::nullopt;
    }
    const std::uint64_t span = std::uint64_t{1} << bits;
    auto below = accepted(cell, 0 - span);
    return below ? std::move(below) : accepted(cell, span);
  }};
}

}  // namespace

std::vector<Fault> link_faults() {
  return {
      {"pair-halves-swapped", Part::linker,
       "the second slot of a pair64 call has its halves exchanged on big endian", "ours",
       Mislinks{[](const Document&, LinkedProgram& linked) {
         return linked.endian == model::Endian::big &&
                each_call(linked, CallScheme::pair64,
                          [&](const LinkedCall& call, bpf::Slot&, std::size_t) {
                            bpf::Slot& second = linked.program.slots[call.slot + 1];
                            const std::uint64_t word = bpf::word_of(second, std::endian::big);
                            second = bpf::slot_of_word(word << 32 | word >> 32, std::endian::big);
                            return true;
                          });
       }}},
      {"pair-in-host-order", Part::linker,
       "the address of a pair64 call is written in the linker's byte order, not the program's",
       "ours", Mislinks{[](const Document&, LinkedProgram& linked) {
         return linked.endian == model::Endian::big &&
                each_call(linked, CallScheme::pair64,
                          [&](const LinkedCall& call, bpf::Slot&, std::size_t) {
                            linked.program.slots[call.slot + 1] =
                                bpf::slot_of_word(call.target.value, std::endian::little);
                            return true;
                          });
       }}},
      {"pair-ja32-not-moved", Part::linker,
       "pair64 makes a program grow, and ja32 over its calls is not made longer", "ours",
       Mislinks{[](const Document& right, LinkedProgram& linked) {
         return unmoved(right, linked, bpf::Form::target32);
       }}},
      {"pair-branch-not-moved", Part::linker,
       "pair64 makes a program grow, and conditional branches over its calls are not made longer",
       "ours", Mislinks{[](const Document& right, LinkedProgram& linked) {
         return unmoved(right, linked, bpf::Form::branch);
       }}},
      {"side-table-shifted", Part::linker, "each call has the side table's entry of the next one",
       "ours", Mislinks{[](const Document&, LinkedProgram& linked) {
         if (linked.side_table.size() < 2) {
           return false;
         }
         std::ranges::rotate(linked.side_table, linked.side_table.begin() + 1);
         return true;
       }}},
      {"side-table-32-bits", Part::linker,
       "entries of the side table are 32 bits wide and extended by sign", "ours",
       Mislinks{[](const Document&, LinkedProgram& linked) {
         for (GuestAddress& address : linked.side_table) {
           address.value =
               static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(address.value)});
         }
         return true;
       }}},
      {"table-index-off-by-one", Part::linker, "a call names the function after its callee", "ours",
       Mislinks{[](const Document&, LinkedProgram& linked) {
         return each_call(
             linked, CallScheme::table, [&](const LinkedCall&, bpf::Slot& slot, std::size_t) {
               slot.imm = static_cast<std::int32_t>((static_cast<std::size_t>(slot.imm) + 1) %
                                                    linked.program.functions.size());
               return true;
             });
       }}},
      {"imm32-from-page", Part::linker, "imm32 counts from the page of the call base", "ours",
       Mislinks{[](const Document&, LinkedProgram& linked) {
         return each_call(linked, CallScheme::imm32,
                          [&](const LinkedCall&, bpf::Slot& slot, std::size_t) {
                            slot.imm += static_cast<std::int32_t>(linked.call_base.value % 4096);
                            return true;
                          });
       }}},
      {"call-offset-truncated", Part::linker,
       "the distance of a call is cut to the bits of `off`, here to four",
       "58a8f3e2501d, 4314a44564eb", Mislinks{[](const Document&, LinkedProgram& linked) {
         return each_call(
             linked, CallScheme::table, [&](const LinkedCall&, bpf::Slot& slot, std::size_t) {
               const auto cut = static_cast<std::int16_t>(std::int16_t(slot.offset * 4096) / 4096);
               return std::exchange(slot.offset, cut) != cut;
             });
       }}},
      {"pointer-32-bits", Part::linker,
       "loads of functions' addresses have the upper half of the call base's", "ours",
       Mislinks{[](const Document&, LinkedProgram& linked) {
         return each_pointer(linked, [&](std::uint64_t address) {
           return (linked.call_base.value & 0xffffffff00000000) | (address & 0xffffffff);
         });
       }}},
      {"callee-taken-from-imm", Part::jit,
       "the callee is taken from `imm`, which holds a distance in slots, not from the side table",
       "8c11ea5ce13d, 1c8f9b91c456", Misreads{[](const Document&, LinkedProgram& linked) {
         return each_call(linked, CallScheme::aux64,
                          [&](const LinkedCall&, bpf::Slot& slot, std::size_t call) {
                            linked.side_table[call] =
                                linked.call_base + 4 * static_cast<std::uint64_t>(slot.imm);
                            return true;
                          });
       }}},
      {"pseudo-call-as-helper", Part::jit,
       "a pseudo call is taken for one of a helper: `imm` alone is its address", "e1d486445af3",
       Misreads{[](const Document&, LinkedProgram& linked) {
         return linked.scheme == CallScheme::imm32 &&
                std::exchange(linked.call_base, {}) != GuestAddress{};
       }}},
      {"callback-of-an-earlier-pass", Part::jit,
       "loads of functions' addresses keep what an earlier pass took them to be", "f9320c49993c",
       Misreads{[](const Document&, LinkedProgram& linked) {
         return each_pointer(linked, [](std::uint64_t address) { return address + 0x10000; });
       }}},
      {"own-address-off-by-4", Part::jit, "loads of functions' addresses are one word off",
       "157820264ac3", Misreads{[](const Document&, LinkedProgram& linked) {
         return each_pointer(linked, [](std::uint64_t address) { return address + 4; });
       }}},
      {"stale-pair", Part::jit, "a pair64 call goes to where its callee was before it moved",
       "ours", Misreads{[](const Document&, LinkedProgram& linked) {
         return each_call(
             linked, CallScheme::pair64, [&](const LinkedCall& call, bpf::Slot&, std::size_t) {
               linked.program.slots[call.slot + 1] =
                   bpf::slot_of_word(call.target.value - 4096, byte_order(linked.endian));
               return true;
             });
       }}},
      {"maps-exchanged", Part::jit, "loads of maps' addresses have those of the next map", "ours",
       Misreads{[](const Document&, LinkedProgram& linked) {
         if (linked.maps.size() < 2) {
           return false;
         }
         std::ranges::rotate(linked.maps, linked.maps.begin() + 1);
         return true;
       }}},
      {"bl-wraps", Part::jit, "the range check of `bl` admits too much, and the distance wraps",
       "ours", wraps(model::Reach::bl, 26)},
      {"toc-wraps", Part::jit,
       "the range check of the TOC forgets the carry of `ha`: the call lands 4 GiB off",
       "open: 7.2 net/bpf_jit_comp64.c", wraps(model::Reach::toc, 32)},
      {"pcrel-wraps", Part::jit, "the range check of `pla` admits too much, and the distance wraps",
       "ours", wraps(model::Reach::pcrel, 34)},
  };
}

}  // namespace farcall::faults
