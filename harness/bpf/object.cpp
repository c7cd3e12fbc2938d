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

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "bpf/btf.hpp"
#include "bpf/codec.hpp"
#include "bpf/core_relocation.hpp"
#include "bpf/divide.hpp"
#include "bpf/elf_code.hpp"
#include "bpf/instruction.hpp"
#include "bpf/object_data.hpp"
#include "bpf/object_functions.hpp"

namespace farcall::bpf {
namespace {

constexpr std::uintmax_t kLargestObject = std::uintmax_t{16} << 20;
constexpr std::size_t kMostSlots = 1'000'000;  // as Linux

// Not in elf.h: a doubleword of data, S + A.
constexpr std::uint32_t kRelocationAbs64 = 2;

// struct bpf_map_def of libbpf before 1.0: type, key_size, value_size, max_entries, map_flags.
constexpr std::size_t kMapDefBytes = 20;

class ObjectReader {
 public:
  ObjectReader(const ElfCode& code, const DebugInfo& debug)
      : code_(code), debug_(debug), functions_(code), data_(code) {}

  Result<Object> run(std::optional<std::string_view> entry,
                     std::span<const std::string_view> more) {
    FARCALL_TRY(first, functions_.entry(entry));
    if (functions_.is_program_of_slots(*first)) {
      return divided(*first);
    }
    number_of(*first);
    for (const std::string_view name : more) {
      FARCALL_TRY(other, functions_.entry(name));
      number_of(*other);
    }
    const std::size_t programs = chosen_.size();
    // More functions and data join while these are copied.
    while (program_.functions.size() < chosen_.size() || copied_data_ < data_.count()) {
      if (program_.functions.size() < chosen_.size()) {
        FARCALL_TRYV(copy_function(*chosen_[program_.functions.size()]));
      } else {
        FARCALL_TRYV(copy_data(static_cast<std::uint32_t>(copied_data_++)));
      }
    }
    for (std::size_t i = 1; i < programs; ++i) {
      program_.functions[i].begins_program = true;
    }
    FARCALL_TRYV(copy_jump_tables());
    for (const Named& named : named_) {
      program_.slots[named.slot].imm =
          static_cast<std::int32_t>(program_.functions[named.function].begin - named.slot - 1);
    }
    return Object{.program = std::move(program_),
                  .data = data_.take(),
                  .addresses = std::move(addresses_),
                  .maps = std::move(maps_),
                  .externs = std::move(externs_),
                  .context = context_of(*first),
                  .has_result = !debug_.without_result.contains(
                      {section_name(code_, first->section), first->value}),
                  .structures = debug_.structures,
                  .core_relocations = debug_.core_relocations,
                  .order = code_.order};
  }

 private:
  // A call, or a load of a function's address.
  struct Named {
    SlotIndex slot = 0;
    std::uint32_t function = 0;
  };

  // What a relocation leads to: a function of the program, or a place in a region of data.
  struct Target {
    ObjectTarget kind = ObjectTarget::region;
    std::uint32_t number = 0;
    std::uint64_t addend = 0;
  };

  Result<Object> divided(const ElfSymbol& function) const {
    FARCALL_TRY(slots, decode_slots(code_.sections.at(function.section).bytes, code_.order));
    Object object{.program = {}, .data = {}, .addresses = {}, .order = code_.order};
    const std::string part = part_name(code_, function.section);
    object.program.origins.add(part, 0, slots.size());
    object.program.slots = std::move(slots);
    FARCALL_TRYV(divide_into_functions(object.program));
    object.program.functions.front().name = function.name;
    return object;
  }

  std::optional<Pointee> context_of(const ElfSymbol& entry) const {
    const auto found = debug_.contexts.find({section_name(code_, entry.section), entry.value});
    return found == debug_.contexts.end() ? std::nullopt : std::optional(found->second);
  }

  // The number of a map, which joins the others if it is new.
  Result<std::uint32_t> map_number(ElfAddress at, const ElfSymbol& symbol, std::uint64_t offset) {
    const ElfMapSection& section = code_.maps.at(symbol.section);
    const auto named = std::ranges::find_if(code_.symbols, [&](const ElfSymbol& one) {
      return one.section == symbol.section && one.value == offset && one.name != section.name;
    });
    if (named == code_.symbols.end()) {
      return error_at(
          code_, at, ErrorCode::elf_malformed,
          fmt::format("address of {}+{:#x}, where no map's symbol is", section.name, offset));
    }
    const auto known = std::ranges::find(maps_, named->name, &ObjectMap::name);
    if (known != maps_.end()) {
      return static_cast<std::uint32_t>(known - maps_.begin());
    }
    ObjectMap map{.name = named->name};
    if (const auto defined = debug_.maps.find(map.name); defined != debug_.maps.end()) {
      map.definition = defined->second;
    } else if (section.name == "maps" && offset + kMapDefBytes <= section.bytes.size()) {
      const auto word = [&](std::size_t number) {
        return load<std::uint32_t>(section.bytes.data() + offset + 4 * number, code_.order);
      };
      map.definition = {
          .type = word(0), .key_bytes = word(1), .value_bytes = word(2), .max_entries = word(3)};
    } else {
      return error_at(code_, at, ErrorCode::elf_unsupported,
                      fmt::format("nothing says what kind of map '{}' is", map.name),
                      "compile with -g: BTF describes the maps in .maps");
    }
    maps_.push_back(std::move(map));
    return static_cast<std::uint32_t>(maps_.size() - 1);
  }

  // The number of a function that is not in the object.
  std::uint32_t extern_number(const std::string& name) {
    const auto known = std::ranges::find(externs_, name, &ObjectExtern::name);
    if (known != externs_.end()) {
      return static_cast<std::uint32_t>(known - externs_.begin());
    }
    const auto declared = debug_.externs.find(name);
    externs_.push_back(declared == debug_.externs.end()
                           ? ObjectExtern{.name = name}
                           : ObjectExtern{.name = name,
                                          .is_kfunc = declared->second.in_kernel,
                                          .signature = declared->second.signature});
    return static_cast<std::uint32_t>(externs_.size() - 1);
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

  // Where the functions of the program came to lie is known now.
  Result<void> copy_jump_tables() {
    for (const ObjectJumpTable& table : data_.jump_tables()) {
      for (std::size_t offset = 0; offset < table.elements.size(); offset += kAddressBytes) {
        const ElfAddress to{
            .section = table.section,
            .offset = load<std::uint64_t>(table.elements.data() + offset, code_.order)};
        const auto slot = slot_at(to);
        if (!slot) {
          return Error{
              .code = ErrorCode::elf_malformed,
              .message = fmt::format("element {} of jump table '{}' leads to {}+{:#x}, which is in "
                                     "no function of the program",
                                     offset / kAddressBytes, table.name,
                                     section_name(code_, to.section), to.offset),
              .where = {.file = code_.file}};
        }
        program_.code_pointers.push_back({.region = table.name, .offset = offset, .slot = *slot});
      }
    }
    return success();
  }

  // The slot of the program that was at that place of the object.
  std::optional<SlotIndex> slot_at(ElfAddress place) const {
    for (std::size_t i = 0; i < chosen_.size(); ++i) {
      const ElfSymbol& function = *chosen_[i];
      const std::uint64_t offset = place.offset - function.value;
      if (function.section == place.section && offset < function.size && offset % kSlotBytes == 0) {
        return program_.functions[i].begin + static_cast<SlotIndex>(offset / kSlotBytes);
      }
    }
    return std::nullopt;
  }

  // Fills in nothing, but says where which address belongs.
  Result<void> copy_data(std::uint32_t region) {
    const std::optional<std::size_t> section = data_.section_of(region);
    if (!section) {
      return success();
    }
    const ElfDataSection& data = code_.data.at(*section);
    std::uint64_t free_from = 0;  // after the pointer before
    for (const ElfRelocation& relocation : data.relocations) {
      const ElfAddress at{.section = *section, .offset = relocation.offset};
      if (relocation.type != kRelocationAbs64) {
        return unsupported(at, relocation);
      }
      if (relocation.offset < free_from || data.size < kAddressBytes ||
          relocation.offset > data.size - kAddressBytes) {
        return error_at(code_, at, ErrorCode::elf_malformed,
                        "expected a pointer of eight bytes of its own within the section");
      }
      free_from = relocation.offset + kAddressBytes;
      const auto addend =
          data.bytes.empty()
              ? 0
              : load<std::uint64_t>(data.bytes.data() + relocation.offset, code_.order);
      FARCALL_TRY(target, target_of(at, relocation, addend));
      addresses_.push_back({.region = region,
                            .offset = relocation.offset,
                            .kind = target.kind,
                            .target = target.number,
                            .addend = target.addend});
    }
    return success();
  }

  // What the symbol of a relocation is, `addend` bytes on.
  Result<Target> target_of(ElfAddress at, const ElfRelocation& relocation, std::uint64_t addend) {
    const ElfSymbol& symbol = code_.symbols[relocation.symbol];
    if (symbol.section == SHN_UNDEF) {
      const auto declared = debug_.externs.find(symbol.name);
      if (declared == debug_.externs.end()) {
        return error_at(code_, at, ErrorCode::elf_undefined_symbol,
                        fmt::format("address of '{}', which is not in this object", symbol.name),
                        "`bpftool gen object` links it with the object that has it");
      }
      if (declared->second.is_function) {
        return Target{.kind = ObjectTarget::external, .number = extern_number(symbol.name)};
      }
      return Target{.number = data_.of_kernel_variable(symbol.name, declared->second),
                    .addend = addend};
    }
    const ElfAddress place{.section = symbol.section, .offset = symbol.value + addend};
    if (code_.sections.contains(symbol.section)) {
      const ElfSymbol* const function = functions_.at(place);
      if (function == nullptr) {
        return error_at(code_, at, ErrorCode::elf_malformed,
                        fmt::format("address of {}+{:#x}, where no function's symbol is",
                                    section_name(code_, place.section), place.offset));
      }
      return Target{.kind = ObjectTarget::function, .number = number_of(*function)};
    }
    if (code_.jump_tables.contains(symbol.section)) {
      FARCALL_TRY(region, data_.of_jump_table(at, symbol));
      return Target{.number = region, .addend = addend};
    }
    const auto data = code_.data.find(symbol.section);
    if (data == code_.data.end()) {
      return error_at(
          code_, at, ErrorCode::elf_unsupported,
          fmt::format("address of '{}', which is neither code nor a variable", symbol.name));
    }
    // One byte after the end is a place that C may point to.
    if (place.offset > data->second.size || data->second.size == 0) {
      return error_at(code_, at, ErrorCode::elf_malformed,
                      fmt::format("address of {}+{:#x}, which has {} bytes", data->second.name,
                                  place.offset, data->second.size));
    }
    return Target{.number = data_.of_section(symbol.section), .addend = place.offset};
  }

  Result<void> copy_function(const ElfSymbol& function) {
    const ElfAddress start{.section = function.section, .offset = function.value};
    const ElfCodeSection& section = code_.sections.at(function.section);
    const std::size_t section_bytes = section.bytes.size();
    if (function.value % kSlotBytes != 0 || function.size % kSlotBytes != 0 || function.size == 0 ||
        function.value > section_bytes || function.size > section_bytes - function.value) {
      return error_at(code_, start, ErrorCode::elf_malformed,
                      fmt::format("function {} is {} bytes from here: expected whole slots within "
                                  "the section of {} bytes",
                                  function.name, function.size, section_bytes));
    }
    if (program_.slots.size() + function.size / kSlotBytes > kMostSlots) {
      return error_at(code_, start, ErrorCode::elf_unsupported,
                      fmt::format("more than {} slots of code", kMostSlots));
    }
    std::string name = function.name;
    for (int number = 1; function_named(program_, name); ++number) {
      name = fmt::format("{}.{}", function.name, number);
    }
    const auto begin = static_cast<SlotIndex>(program_.slots.size());
    program_.slots.resize(begin + function.size / kSlotBytes);
    auto relocation =
        std::ranges::lower_bound(section.relocations, function.value, {}, &ElfRelocation::offset);
    ElfAddress at = start;
    bool is_second = false;  // of an instruction of two slots
    for (SlotIndex number = begin; number < program_.slots.size(); ++number) {
      const Slot slot =
          is_second ? decode_at(section, at) : with_callee_in_dst(decode_at(section, at));
      program_.slots[number] = slot;
      const std::uint64_t end = at.offset + kSlotBytes;
      const auto after = std::find_if(relocation, section.relocations.end(),
                                      [end](const auto& one) { return one.offset >= end; });
      if (after != relocation || (slot.opcode == kCallOpcode && !is_second)) {
        FARCALL_TRYV(resolve_slot(at, number, {relocation, after}, is_second));
      }
      relocation = after;
      is_second = !is_second && slots_of(slot.opcode) == 2;
      at.offset = end;
    }
    add_origins(section, function, begin);
    FARCALL_TRYV(fit_to_kernel(section, function, begin));
    // Linux names a function by BTF alone.
    const bool named = debug_.functions.contains({section.name, function.value});
    program_.functions.push_back({.name = std::move(name),
                                  .begin = begin,
                                  .end = static_cast<SlotIndex>(program_.slots.size()),
                                  .anonymous = !named});
    return success();
  }

  // Says where the slots of a function that was copied are from.
  void add_origins(const ElfCodeSection& section, const ElfSymbol& function, SlotIndex begin) {
    const std::string part = part_name(code_, function.section);
    const std::uint64_t end = function.value + function.size;
    program_.origins.add(part, function.value, function.size / kSlotBytes);
    for (auto line = debug_.lines.lower_bound({section.name, function.value});
         line != debug_.lines.end() && line->first.first == section.name &&
         line->first.second < end;
         ++line) {
      const std::uint64_t offset = line->first.second - function.value;
      if (offset % kSlotBytes == 0) {
        program_.lines.push_back({.slot = begin + static_cast<SlotIndex>(offset / kSlotBytes),
                                  .where = line->second.where,
                                  .text = line->second.text});
      }
    }
  }

  // Makes the instructions of a function that was copied fit a kernel's types.
  Result<void> fit_to_kernel(const ElfCodeSection& section, const ElfSymbol& function,
                             SlotIndex begin) {
    const std::uint64_t end = function.value + function.size;
    for (auto place = debug_.core.lower_bound({section.name, function.value});
         place != debug_.core.end() && place->first.first == section.name &&
         place->first.second < end;
         ++place) {
      const std::uint64_t offset = place->first.second;
      const CorePlace& core = place->second;
      const auto at = begin + static_cast<SlotIndex>((offset - function.value) / kSlotBytes);
      Result<void> fitted = success();
      if (core.refusal || offset % kSlotBytes != 0) {
        fitted = core.refusal.value_or(Error{.code = ErrorCode::elf_malformed,
                                             .message = "expected an instruction to begin here"});
      } else {
        fitted = fit(*core.value, std::span(program_.slots).subspan(at));
      }
      if (!fitted) {
        return error_at(code_, {.section = function.section, .offset = offset}, fitted.error().code,
                        fmt::format("{}: {}", core.what, fitted.error().message),
                        "without '-- btf' it stands as it was compiled");
      }
    }
    return success();
  }

  // Makes a call, or a slot with relocations, mean what it does in the program.
  Result<void> resolve_slot(ElfAddress at, SlotIndex number,
                            std::span<const ElfRelocation> relocations, bool is_second) {
    if (relocations.size() > 1 || (!relocations.empty() && relocations[0].offset != at.offset)) {
      return error_at(code_, at, ErrorCode::elf_malformed,
                      "expected one relocation at most for a slot, at its start");
    }
    Slot& slot = program_.slots[number];
    const ElfRelocation* const relocation = relocations.empty() ? nullptr : relocations.data();
    const InstructionInfo* info = find(slot);
    if (relocation != nullptr && relocation->type == R_BPF_64_64 && !is_second && info != nullptr &&
        info->operation == Operation::load_immediate64) {
      return copy_address(at, number, *relocation);
    }
    if (is_second || info == nullptr || info->operation != Operation::call) {
      return relocation == nullptr ? Result<void>(success()) : unsupported(at, *relocation);
    }
    if (relocation != nullptr && relocation->type == R_BPF_64_32 &&
        code_.symbols[relocation->symbol].section == SHN_UNDEF) {
      slot.src = kKfuncCall;
      slot.imm = static_cast<std::int32_t>(extern_number(code_.symbols[relocation->symbol].name));
      return success();
    }
    FARCALL_TRY(callee, callee_of(at, slot, relocation));
    named_.push_back({.slot = number, .function = number_of(*callee)});
    return success();
  }

  Slot decode_at(const ElfCodeSection& section, ElfAddress at) const {
    return decode(section.bytes.subspan(at.offset).first<kSlotBytes>(), code_.order);
  }

  // The 64-bit load at `at` is of an address.
  Result<void> copy_address(ElfAddress at, SlotIndex slot, const ElfRelocation& relocation) {
    if (at.offset + 2 * kSlotBytes > code_.sections.at(at.section).bytes.size()) {
      return error_at(code_, at, ErrorCode::elf_malformed,
                      "the second slot of this load is missing");
    }
    // The addend is in the first slot, of 32 bits with sign.
    const auto addend = static_cast<std::uint64_t>(std::int64_t{program_.slots[slot].imm});
    const ElfSymbol& symbol = code_.symbols[relocation.symbol];
    if (code_.maps.contains(symbol.section)) {
      FARCALL_TRY(map, map_number(at, symbol, symbol.value + addend));
      program_.slots[slot].src = kPseudoMap;
      program_.slots[slot].imm = static_cast<std::int32_t>(map);
      return success();
    }
    FARCALL_TRY(target, target_of(at, relocation, addend));
    if (target.kind == ObjectTarget::function) {
      program_.slots[slot].src = kPseudoFunction;
      named_.push_back({.slot = slot, .function = target.number});
    } else {
      program_.slots[slot].imm = 0;
      addresses_.push_back({.region = {},
                            .offset = slot,
                            .kind = target.kind,
                            .target = target.number,
                            .addend = target.addend});
    }
    return success();
  }

  Error unsupported(ElfAddress at, const ElfRelocation& relocation) const {
    return error_at(
        code_, at, ErrorCode::elf_unsupported,
        fmt::format("relocation of type {} against '{}': expected one of a pseudo call (type {}), "
                    "of a 64-bit load ({}), or of a pointer in data ({})",
                    relocation.type, code_.symbols[relocation.symbol].name, R_BPF_64_32,
                    R_BPF_64_64, kRelocationAbs64));
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
      target = {.section = symbol.section, .offset = symbol.value};
      ++displacement;
    } else if (slot.imm == -1) {
      return error_at(code_, at, ErrorCode::elf_unrelocated_call,
                      "the call's imm is -1, and there is no relocation to say whom it calls");
    }
    target.offset += static_cast<std::uint64_t>(displacement) * kSlotBytes;
    const ElfSymbol* const function = functions_.at(target);
    if (function == nullptr) {
      return error_at(code_, at, ErrorCode::elf_malformed,
                      fmt::format("call to {}{:+#x}, where no function's symbol is",
                                  section_name(code_, target.section),
                                  static_cast<std::int64_t>(target.offset)));
    }
    return function;
  }

  const ElfCode& code_;
  const DebugInfo& debug_;
  ObjectFunctions functions_;
  ObjectData data_;
  std::map<ElfAddress, std::uint32_t> numbers_;  // of the functions in the program
  std::vector<const ElfSymbol*> chosen_;         // by number
  std::vector<Named> named_;
  std::size_t copied_data_ = 0;  // how many regions' pointers are known
  std::vector<ObjectAddress> addresses_;
  std::vector<ObjectMap> maps_;
  std::vector<ObjectExtern> externs_;
  Program program_;
};

}  // namespace

Result<Object> read_object(std::span<const std::byte> object, const std::string& file,
                           std::optional<std::string_view> entry,
                           std::span<const std::string_view> more, const KernelTypes* kernel) {
  FARCALL_TRY(code, read_elf_code(object, file));
  FARCALL_TRY(debug, read_debug_info(code, kernel));
  return ObjectReader(code, debug).run(entry, more);
}

namespace {

Result<std::vector<std::byte>> read_object_bytes(const std::string& path) {
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
  return object;
}

}  // namespace

Result<Object> read_object_file(const std::string& path, std::optional<std::string_view> entry,
                                std::span<const std::string_view> more, const KernelTypes* kernel) {
  FARCALL_TRY(bytes, read_object_bytes(path));
  return read_object(bytes, path, entry, more, kernel);
}

Result<std::vector<std::string>> object_entries(const std::string& path) {
  FARCALL_TRY(bytes, read_object_bytes(path));
  FARCALL_TRY(code, read_elf_code(bytes, path));
  std::map<ElfAddress, std::string> found;
  for (const ElfSymbol& symbol : code.symbols) {
    if (symbol.is_function && symbol.is_global && code.sections.contains(symbol.section)) {
      found.emplace(ElfAddress{symbol.section, symbol.value}, symbol.name);
    }
  }
  std::vector<std::string> names;
  for (auto& [at, name] : found) {
    names.push_back(std::move(name));
  }
  return names;
}

}  // namespace farcall::bpf
