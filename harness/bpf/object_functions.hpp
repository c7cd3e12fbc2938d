// The functions of an ELF object for BPF, by their places. A part of the object reader.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "bpf/elf_code.hpp"

namespace farcall::bpf {

// Refers to `code`, which must outlive it.
class ObjectFunctions {
 public:
  explicit ObjectFunctions(const ElfCode& code);

  // The global function of that name, or the only one in the section of that name; without a name,
  // the only one of the object. elf.unknown-entry says which there are.
  Result<const ElfSymbol*> entry(std::optional<std::string_view> name) const;

  // The function that begins there, or null.
  const ElfSymbol* at(ElfAddress place) const;

  // Whether `function` is all the code of an object that wants no relocation, and has more
  // functions in it which nobody named: so writes the public suite's runner a program that it has
  // as slots.
  bool is_program_of_slots(const ElfSymbol& function) const;

 private:
  std::vector<const ElfSymbol*> globals_in(std::string_view section) const;

  const ElfCode& code_;
  std::map<ElfAddress, const ElfSymbol*> functions_;
};

}  // namespace farcall::bpf
