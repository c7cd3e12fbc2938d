#include "bpf/object.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "bpf/codec.hpp"
#include "bpf/elf_code.hpp"
#include "bpf/instruction.hpp"

namespace farcall::bpf {
namespace {

constexpr std::uintmax_t kLargestObject = std::uintmax_t{16} << 20;
constexpr std::size_t kMostSlots = 1'000'000;  // as Linux

class Reader {
 public:
  explicit Reader(const ElfCode& code) : code_(code) {
    for (const ElfSymbol& symbol : code.symbols) {
      if (symbol.is_function && code.sections.contains(symbol.section)) {
        // Of several symbols for one function, the global one names it.
        const ElfSymbol*& known = functions_[{symbol.section, symbol.value}];
        known = known == nullptr || (symbol.is_global && !known->is_global) ? &symbol : known;
      }
    }
  }

  Result<Program> run(std::optional<std::string_view> entry) {
    BOOST_OUTCOME_TRY(first, entry_function(entry));
    number_of(*first);
    // More functions join while these are copied.
    while (program_.functions.size() < chosen_.size()) {
      BOOST_OUTCOME_TRY(copy_function(*chosen_[program_.functions.size()]));
    }
    for (const Call& call : calls_) {
      program_.slots[call.slot].imm =
          static_cast<std::int32_t>(program_.functions[call.callee].begin - call.slot - 1);
    }
    return std::move(program_);
  }

 private:
  struct Call {
    SlotIndex slot = 0;
    std::uint32_t callee = 0;
  };

  Error error_at(ElfAddress at, ErrorCode code, std::string message) const {
    return {.code = code, .message = std::move(message), .where = location(at)};
  }
  SourceLocation location(ElfAddress at) const {
    return {.file = fmt::format("{}:{}+{:#x}", code_.file, code_.sections.at(at.section).name,
                                at.offset)};
  }

  Result<const ElfSymbol*> entry_function(std::optional<std::string_view> name) const {
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
    const std::string wanted =
        name ? fmt::format("there is no global function '{}'", *name) : "the entry has to be named";
    return Error{.code = ErrorCode::elf_unknown_entry,
                 .message = fmt::format("{}: expected one of: {}", wanted,
                                        count == 0 ? "(none: no function is global)" : candidates),
                 .where = {.file = code_.file}};
  }

  // The number of a function in the program, which it joins if it is new.
  std::uint32_t number_of(const ElfSymbol& function) {
    const auto [known, is_new] = numbers_.try_emplace({function.section, function.value},
                                                      static_cast<std::uint32_t>(chosen_.size()));
    if (is_new) {
      chosen_.push_back(&function);
    }
    return known->second;
  }

  Result<void> copy_function(const ElfSymbol& function) {
    const ElfAddress start{.section = function.section, .offset = function.value};
    const ElfCodeSection& section = code_.sections.at(function.section);
    const std::size_t section_bytes = section.bytes.size();
    if (function.value % kSlotBytes != 0 || function.size % kSlotBytes != 0 || function.size == 0 ||
        function.value > section_bytes || function.size > section_bytes - function.value) {
      return error_at(start, ErrorCode::elf_malformed,
                      fmt::format("function {} is {} bytes from here: expected whole slots within "
                                  "the section of {} bytes",
                                  function.name, function.size, section_bytes));
    }
    if (program_.slots.size() + function.size / kSlotBytes > kMostSlots) {
      return error_at(start, ErrorCode::elf_unsupported,
                      fmt::format("more than {} slots of code", kMostSlots));
    }
    if (function_named(program_, function.name)) {
      return error_at(start, ErrorCode::elf_unsupported,
                      fmt::format("two functions are called {}", function.name));
    }
    const auto begin = static_cast<SlotIndex>(program_.slots.size());
    ElfAddress at = start;
    bool is_second = false;  // of an instruction of two slots
    for (; at.offset < function.value + function.size; at.offset += kSlotBytes) {
      BOOST_OUTCOME_TRY(copy_slot(section, at, is_second));
      is_second = !is_second && slots_of(program_.slots.back().opcode) == 2;
    }
    program_.functions.push_back({.name = function.name,
                                  .begin = begin,
                                  .end = static_cast<SlotIndex>(program_.slots.size())});
    return success();
  }

  Result<void> copy_slot(const ElfCodeSection& section, ElfAddress at, bool is_second) {
    const Slot slot = decode(section.bytes.subspan(at.offset).first<kSlotBytes>(), code_.order);
    const auto slot_number = static_cast<SlotIndex>(program_.slots.size());
    program_.slots.push_back(slot);
    program_.origins.push_back(location(at));

    BOOST_OUTCOME_TRY(relocation, relocation_at(section, at));
    const InstructionInfo* info = find(slot.opcode);
    const bool is_call = !is_second && info != nullptr && info->operation == Operation::call;
    if (!is_call) {
      return relocation == nullptr ? Result<void>(success()) : unsupported(at, *relocation);
    }
    if (slot.src != kPseudoCall) {
      return error_at(at, ErrorCode::elf_unsupported,
                      fmt::format("call of helper or kernel function {} (src {}): expected a "
                                  "pseudo call (src {})",
                                  slot.imm, slot.src, kPseudoCall));
    }
    BOOST_OUTCOME_TRY(callee, callee_of(at, slot, relocation));
    calls_.push_back({.slot = slot_number, .callee = number_of(*callee)});
    return success();
  }

  // The relocation of the slot at `at`, or null.
  Result<const ElfRelocation*> relocation_at(const ElfCodeSection& section, ElfAddress at) const {
    const auto found =
        std::ranges::lower_bound(section.relocations, at.offset, {}, &ElfRelocation::offset);
    const std::uint64_t end = at.offset + kSlotBytes;
    if (found == section.relocations.end() || found->offset >= end) {
      return nullptr;
    }
    const bool one =
        std::next(found) == section.relocations.end() || std::next(found)->offset >= end;
    if (!one || found->offset != at.offset) {
      return error_at(at, ErrorCode::elf_malformed,
                      "expected one relocation at most for a slot, at its start");
    }
    return &*found;
  }

  Error unsupported(ElfAddress at, const ElfRelocation& relocation) const {
    return error_at(
        at, ErrorCode::elf_unsupported,
        fmt::format("relocation of type {} against '{}': only pseudo calls (type {}) "
                    "can be relocated",
                    relocation.type, code_.symbols[relocation.symbol].name, R_BPF_64_32));
  }

  Result<const ElfSymbol*> callee_of(ElfAddress at, const Slot& slot,
                                     const ElfRelocation* relocation) const {
    // imm counts from the slot after the call, or from the symbol less one slot.
    ElfAddress target{.section = at.section, .offset = at.offset + kSlotBytes};
    std::int64_t displacement = slot.imm;
    if (relocation != nullptr) {
      const ElfSymbol& symbol = code_.symbols[relocation->symbol];
      if (relocation->type != R_BPF_64_32) {
        return unsupported(at, *relocation);
      }
      if (symbol.section == SHN_UNDEF) {
        return error_at(at, ErrorCode::elf_undefined_symbol,
                        fmt::format("call of '{}', which is not in this object", symbol.name));
      }
      target = {.section = symbol.section, .offset = symbol.value};
      ++displacement;
    } else if (slot.imm == -1) {
      return error_at(at, ErrorCode::elf_unrelocated_call,
                      "the call's imm is -1, and there is no relocation to say whom it calls");
    }
    target.offset += static_cast<std::uint64_t>(displacement) * kSlotBytes;
    const auto function = functions_.find(target);
    if (function == functions_.end()) {
      const auto section = code_.sections.find(target.section);
      return error_at(
          at, ErrorCode::elf_malformed,
          fmt::format("call to {}{:+#x}, where no function's symbol is",
                      section == code_.sections.end() ? fmt::format("section {}", target.section)
                                                      : section->second.name,
                      static_cast<std::int64_t>(target.offset)));
    }
    return function->second;
  }

  const ElfCode& code_;
  std::map<ElfAddress, const ElfSymbol*> functions_;  // all of the object
  std::map<ElfAddress, std::uint32_t> numbers_;       // of those in the program
  std::vector<const ElfSymbol*> chosen_;              // by number
  std::vector<Call> calls_;
  Program program_;
};

}  // namespace

Result<Program> read_object(std::span<const std::byte> object, const std::string& file,
                            std::optional<std::string_view> entry) {
  BOOST_OUTCOME_TRY(code, read_elf_code(object, file));
  return Reader(code).run(entry);
}

Result<Program> read_object_file(const std::string& path, std::optional<std::string_view> entry) {
  const auto refused = [&path](ErrorCode code, std::string message) {
    return Error{.code = code, .message = std::move(message), .where = {.file = path}};
  };
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(path, failure);
  if (failure) {
    return refused(ErrorCode::file_unreadable, failure.message());
  }
  if (size == 0) {
    return refused(ErrorCode::file_empty, "expected an ELF object, found an empty file");
  }
  if (size > kLargestObject) {
    return refused(ErrorCode::file_too_large,
                   fmt::format("{} bytes: expected {} at most", size, kLargestObject));
  }
  std::vector<std::byte> object(size);
  std::ifstream stream(path, std::ios::binary);
  stream.read(reinterpret_cast<char*>(object.data()), static_cast<std::streamsize>(size));
  if (!stream) {
    return refused(ErrorCode::file_unreadable, "cannot be read as a whole");
  }
  return read_object(object, path, entry);
}

}  // namespace farcall::bpf
