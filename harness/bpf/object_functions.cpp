#include "bpf/object_functions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"

namespace farcall::bpf {

ObjectFunctions::ObjectFunctions(const ElfCode& code) : code_(code) {
  for (const ElfSymbol& symbol : code.symbols) {
    if (symbol.is_function && code.sections.contains(symbol.section)) {
      // Of several symbols for one function, the global one names it.
      const ElfSymbol*& known = functions_[{symbol.section, symbol.value}];
      known = known == nullptr || (symbol.is_global && !known->is_global) ? &symbol : known;
    }
  }
}

const ElfSymbol* ObjectFunctions::at(ElfAddress place) const {
  const auto found = functions_.find(place);
  return found == functions_.end() ? nullptr : found->second;
}

Result<const ElfSymbol*> ObjectFunctions::entry(std::optional<std::string_view> name) const {
  const ElfSymbol* found = nullptr;
  std::string candidates;
  std::size_t count = 0;
  for (const auto& [at, symbol] : functions_) {
    if (!symbol->is_global) {
      continue;
    }
    ++count;
    candidates += (candidates.empty() ? "" : ", ") + symbol->name;
    if (!name || symbol->name == *name) {
      found = symbol;
    }
  }
  if (found != nullptr && (name || count == 1)) {
    return found;
  }
  const std::vector<const ElfSymbol*> in_section =
      name ? globals_in(*name) : std::vector<const ElfSymbol*>();
  if (in_section.size() == 1) {
    return in_section.front();
  }
  const std::string wanted =
      name ? fmt::format("there is no global function '{}'", *name) : "the entry has to be named";
  return Error{.code = ErrorCode::elf_unknown_entry,
               .message = fmt::format("{}: expected one of: {}", wanted,
                                      count == 0 ? "(none: no function is global)" : candidates),
               .where = {.file = code_.file}};
}

bool ObjectFunctions::is_program_of_slots(const ElfSymbol& function) const {
  const ElfCodeSection& section = code_.sections.at(function.section);
  if (functions_.size() != 1 || code_.sections.size() != 1 || !code_.data.empty() ||
      !section.relocations.empty() || function.value != 0 ||
      function.size != section.bytes.size()) {
    return false;
  }
  const auto slots = decode_slots(section.bytes, code_.order);
  return slots && std::ranges::any_of(slots.value(), [](const Slot& slot) {
           const InstructionInfo* const info = find(slot);
           return info != nullptr && info->names_function();
         });
}

std::vector<const ElfSymbol*> ObjectFunctions::globals_in(std::string_view section) const {
  std::vector<const ElfSymbol*> found;
  for (const auto& [at, symbol] : functions_) {
    if (symbol->is_global && section_name(code_, at.section) == section) {
      found.push_back(symbol);
    }
  }
  return found;
}

}  // namespace farcall::bpf
