// BPF ELF objects, as `clang -target bpf -c` makes them, to programs.
//
// A program is the entry, which is a global function, and every function that it reaches through
// pseudo calls, whatever section they are in: the entry first, then callees in the order of first
// reference, function by function. Functions are the symbols of type FUNC. The slot that a call
// leads to is, in its own section (no relocation) or from the symbol's value (R_BPF_64_32), imm +
// 1; for a function's symbol imm is -1. The calls of the program are pc-relative throughout.
//
// What a program cannot say is refused: any other relocation of the functions' code (data, maps,
// function pointers), helper calls, undefined symbols. The result has yet to go through validate().
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

// `entry` may be left out if the object has one global function only. `file` is the object's name
// in messages. Slots and errors have the origin `FILE:SECTION+0xOFFSET`, in bytes, in
// SourceLocation::file.
//   elf.malformed        not a 64-bit relocatable object for BPF, or contradicting itself
//   elf.unsupported      well-formed, but see above
//   elf.unknown-entry    no such global function, or several and none named
//   elf.unrelocated-call the call's imm is -1 and no relocation says whom it calls
//   elf.undefined-symbol the call is to a function that is not in the object
Result<Program> read_object(std::span<const std::byte> object, const std::string& file,
                            std::optional<std::string_view> entry);

// The same from a file; file.unreadable if there is none, file.empty, file.too-large beyond 16 MiB.
Result<Program> read_object_file(const std::string& path, std::optional<std::string_view> entry);

}  // namespace farcall::bpf
