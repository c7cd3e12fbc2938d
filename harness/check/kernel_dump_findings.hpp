// What a stock kernel tells of a program, beside its code: where the code of each instruction begins
// (jited_line_info), and whom the calls and loads of its dump name.
//
// Pure, like the other witnesses.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
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

// Of a kernel: 6.12.
struct KernelSeries {
  unsigned major = 0;
  unsigned minor = 0;

  friend auto operator<=>(const KernelSeries&, const KernelSeries&) = default;
};

// An instruction of a dump that names a function.
enum class Named : std::uint8_t {
  by_call,     // a pseudo call
  by_pointer,  // a 64-bit load of a function's address
  by_number,   // a call of a helper
};

// What a dump may have in a field of it. A distance is that in slots from the next instruction to
// the function, as when the program was loaded.
enum class DumpedField : std::uint8_t {
  not_there,         // the instruction has no such field
  zero,              //
  distance,          //
  distance_cut,      // its lower 16 bits, with their sign
  distance_or_zero,  // 0, if it needs more than 16 bits
  number,            // of the function, as bpf_prog_info's jited_ksyms counts
  number_by_cut,     // that of the function where the cut distance leads; -ENOENT: to none
  interpreter,       // the address of the function that interprets it, from __bpf_call_base
  helper,            // the helper's address, from __bpf_call_base
};

// The life of such an instruction ends in the dump: what its fields have there. A row is for the
// kernels from `since` on, up to the next row with the same first two members. Hardened is as JIT on.
//
// kernel/bpf/: bpf_insn_prepare_dump() in syscall.c; jit_subprogs() in verifier.c, since 7.2 in
// fixups.c; bpf_patch_call_args() in core.c. Read in the sources of 6.1, 6.12, 7.2 and 7.3.
struct DumpRow {
  Named named{};
  bool jit = false;
  KernelSeries since;
  DumpedField offset{};
  DumpedField imm{};
  DumpedField second_imm{};  // of a 64-bit load
};
inline constexpr std::array<DumpRow, 7> kDumpRows = {{
    {Named::by_call, true, {6, 1}, DumpedField::distance_cut, DumpedField::number_by_cut, {}},
    {Named::by_call, true, {7, 2}, DumpedField::distance_or_zero, DumpedField::number, {}},
    {Named::by_call, false, {6, 1}, DumpedField::distance_cut, DumpedField::interpreter, {}},
    {Named::by_call, false, {7, 2}, DumpedField::distance_or_zero, DumpedField::interpreter, {}},
    // Without the JIT there are none: callbacks need it.
    {Named::by_pointer,
     true,
     {6, 1},
     DumpedField::zero,
     DumpedField::distance,
     DumpedField::number},
    {Named::by_number, true, {6, 1}, DumpedField::zero, DumpedField::helper, {}},
    {Named::by_number, false, {6, 1}, DumpedField::zero, DumpedField::helper, {}},
}};

// Such an instruction, and the function that it names in the program that was loaded.
struct DumpedName {
  Named named{};
  std::string site;  // `main[0]`, or empty
  std::string callee;
  std::uint32_t number = 0;   // of the callee
  std::int64_t distance = 0;  // to it, in the dump
  // The number of the function to which its lower 16 bits lead; nothing: to none.
  std::optional<std::uint32_t> number_by_cut;
  // What may stand in `imm` where it is an address, and whose addresses these are in words. Empty:
  // that is not known, and not checked.
  std::vector<std::int64_t> addresses;
  std::string whose;
  std::int16_t offset = 0;  // what the dump has
  std::int32_t imm = 0;
  std::int32_t second_imm = 0;
};

// Whether that kernel's rows are known: of those between 6.12 and 7.2 nobody has looked where the one
// life ends and the next begins, and those before 6.1 have none.
bool is_dump_known(KernelSeries series);

// Whether each has in its fields what kDumpRows say of that kernel; dump.mismatch. Nothing of a kernel
// whose rows are not known.
std::vector<model::Finding> dump_findings(std::span<const DumpedName> names, bool jit,
                                          KernelSeries series);

}  // namespace farcall::check
