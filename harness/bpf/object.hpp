// BPF ELF objects, as `clang -target bpf -c` makes them, to programs and their global variables.
//
// A program is the entry, which is a global function, and every function that it reaches through
// pseudo calls and pointers, whatever section they are in: the entry first, then the others in the
// order of first reference, function by function, then those that only its data points to.
// Functions are the symbols of type FUNC. The slot that a call leads to is, in its own section (no
// relocation) or from the symbol's value (R_BPF_64_32), imm + 1; for a function's symbol imm is -1.
// The calls of the program are pc-relative throughout.
//
// Function names and source lines are BTF's. Without BTF (clang without -g) the names are those of
// the ELF symbols, and the functions are anonymous, as they are to Linux.
//
// Of several functions with one name, that is static ones, all but the first get a number: `f.1`.
//
// Data is every section of variables that the program reaches (.rodata, .data, .bss and the like),
// a region each; so is each variable that it reaches of `.kconfig` and `.ksyms`, which is of zeros.
// Loads of functions' addresses (R_BPF_64_64 against code) become pseudo loads of the program;
// those of data (R_BPF_64_64) and pointers in data (R_BPF_64_ABS64) can be filled in only when
// everything has its place, and are listed. A call through a register has its register in `imm`, as
// clang 14 writes it, or in `dst`; here it is in `dst`.
//
// A jump table of `.jumptables`, which a function loads the address of, is a region of its symbol's
// name; its elements are Program::code_pointers.
//
// Loads of the addresses of maps become loads of map number N of Object::maps, and calls of
// functions that are not in the object become calls of kfunc number N of Object::externs: the
// reader of the case, who knows what these are, gives them their real numbers.
//
// What depends on how a kernel's types look (CO-RE) is made to fit `kernel`, if that is given. An
// instruction that depends on something that `kernel` does not have is replaced by a call of helper
// kUnrelocated. Without `kernel`, everything stays as it was compiled.
//
// An object whose code is one function without relocations may call slots within that function, as
// the public suite's runner writes programs: then each slot that is called begins a function.
//
// What a program cannot say is refused: any other relocation, undefined variables. The result has
// yet to go through validate().
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "bpf/address_space.hpp"
#include "bpf/btf.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

enum class ObjectTarget : std::uint8_t { function, external, region };

// A 64-bit address that has yet to be filled in: that of `target`, and `addend` bytes on.
struct ObjectAddress {
  std::optional<std::uint32_t> region;  // number in Object::data; empty: in the program
  std::uint64_t offset = 0;             // in the region, in bytes; in the program, the load's slot
  ObjectTarget kind = ObjectTarget::region;
  std::uint32_t target = 0;  // its number in Program::functions, Object::externs or Object::data
  std::uint64_t addend = 0;

  friend bool operator==(const ObjectAddress&, const ObjectAddress&) = default;
};

struct ObjectMap {
  std::string name;
  MapDefinition definition;
};

// A function that is called or pointed to, and not in the object.
struct ObjectExtern {
  std::string name;
  bool is_kfunc = false;  // its declaration says that it is the kernel's; else another object's
  Signature signature = {};
};

struct Object {
  Program program;
  std::vector<MemoryRegion> data;  // named like their sections; not placed yet
  std::vector<ObjectAddress> addresses;
  std::vector<ObjectMap> maps;
  std::vector<ObjectExtern> externs;
  std::optional<Pointee> context;                   // what r1 of the entry points to
  bool has_result = true;                           // the entry does not return void
  std::map<std::string, std::uint32_t> structures;  // bytes of each, by its name
  std::size_t core_relocations = 0;                 // of the whole object
  std::endian order = std::endian::little;          // of the data
};

// `entry` is a global function, or a section with one global function; it may be left out if the
// object has one global function only. `file` is the object's name
// in messages. Slots and errors have the origin `FILE:SECTION+0xOFFSET`, in bytes, in
// SourceLocation::file.
//   elf.malformed        not a 64-bit relocatable object for BPF, or contradicting itself
//   elf.unsupported      well-formed, but see above
//   elf.unknown-entry    no such global function, or several and none named
//   elf.unrelocated-call the call's imm is -1 and no relocation says whom it calls
//   elf.undefined-symbol the address is that of a variable that is not in the object
// `more` are entries besides: programs that a tail call may go to.
Result<Object> read_object(std::span<const std::byte> object, const std::string& file,
                           std::optional<std::string_view> entry,
                           std::span<const std::string_view> more = {},
                           const KernelTypes* kernel = nullptr);

// The same from a file; file.unreadable if there is none, file.empty, file.too-large beyond 16 MiB.
Result<Object> read_object_file(const std::string& path, std::optional<std::string_view> entry,
                                std::span<const std::string_view> more = {},
                                const KernelTypes* kernel = nullptr);

// The names of all global functions, in the order of the file's sections. As above.
Result<std::vector<std::string>> object_entries(const std::string& path);

}  // namespace farcall::bpf
