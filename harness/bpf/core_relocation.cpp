#include "bpf/core_relocation.hpp"

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "bpf/btf_type.hpp"
#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "bpf/quiet_libbpf.hpp"

namespace farcall::bpf {
namespace {

constexpr std::size_t kMostSteps = 64;  // of a way into a type
constexpr int kMostNameless = 32;       // of members without a name in such members

constexpr std::array<std::string_view, kCoreKinds> kKindNames = {
    "field_byte_offset", "field_byte_size", "field_exists",   "field_signed", "field_lshift_u64",
    "field_rshift_u64",  "type_id_local",   "type_id_target", "type_exists",  "type_size",
    "enumval_exists",    "enumval_value",   "type_matches"};

constexpr const InstructionInfo* kHelperRow =
    std::ranges::find(kInstructions, Form::helper, &InstructionInfo::form);

bool is_of_field(CoreKind kind) {
  return kind <= CoreKind::field_rshift_u64;
}
bool is_of_enum(CoreKind kind) {
  return kind == CoreKind::enumval_exists || kind == CoreKind::enumval_value;
}

Error malformed(std::string message) {
  return {.code = ErrorCode::elf_malformed, .message = std::move(message)};
}

// A step of a way into a type: member `index` of `type` if it has a name, else element `index`,
// which is a `type`.
struct Step {
  std::uint32_t type = 0;
  std::uint32_t index = 0;
  std::string_view name = {};
};

// A way into a type, and how many bits from its beginning it leads. Of an enum, `steps` has the
// enumerator.
struct Way {
  BtfType root;
  std::vector<Step> steps;
  std::uint64_t bits = 0;
};

// The last member of a structure may be an array of any length.
bool is_flexible(const BtfType& in, const Step& before, const struct btf_array& array) {
  const btf_type* const row = in.at(before.type).row();
  return !before.name.empty() && array.nelems == 0 && before.index + 1 == btf_vlen(row);
}

std::optional<std::vector<std::uint32_t>> numbers_of(std::string_view access) {
  std::vector<std::uint32_t> numbers;
  const char* at = access.data();
  const char* const end = at + access.size();
  while (true) {
    std::uint32_t number = 0;
    const auto [next, failure] = std::from_chars(at, end, number);
    if (failure != std::errc{} || numbers.size() == kMostSteps) {
      return std::nullopt;
    }
    numbers.push_back(number);
    if (next == end) {
      return numbers;
    }
    if (*next != ':') {
      return std::nullopt;
    }
    at = next + 1;
  }
}

// The object's own way; empty where it does not fit its types.
std::optional<Way> own_way(const ::btf& own, const CoreRelocation& relocation) {
  Way way{.root = {&own, relocation.type}, .steps = {}};
  const auto numbers = numbers_of(relocation.access);
  BtfType type = way.root.plain();
  if (!numbers || way.root.row() == nullptr || type.row() == nullptr) {
    return std::nullopt;
  }
  if (!is_of_field(relocation.kind) && !is_of_enum(relocation.kind)) {
    return *numbers == std::vector<std::uint32_t>{0} ? std::optional(way) : std::nullopt;
  }
  if (is_of_enum(relocation.kind)) {
    const std::uint32_t index = numbers->front();
    if (!btf_is_any_enum(type.row()) || numbers->size() != 1 || index >= btf_vlen(type.row())) {
      return std::nullopt;
    }
    const std::uint32_t name = btf_is_enum(type.row()) ? btf_enum(type.row())[index].name_off
                                                       : btf_enum64(type.row())[index].name_off;
    way.steps.push_back({.type = type.id, .index = index, .name = type.name_at(name)});
    return way;
  }
  const auto size = type.bytes();
  if (!size) {
    return std::nullopt;
  }
  way.steps.push_back({.type = type.id, .index = numbers->front()});
  way.bits = std::uint64_t{numbers->front()} * *size * 8;
  for (std::size_t i = 1; i < numbers->size(); ++i) {
    const std::uint32_t index = (*numbers)[i];
    type = type.plain();
    const btf_type* const row = type.row();
    if (row == nullptr) {
      return std::nullopt;
    }
    if (btf_is_composite(row)) {
      if (index >= btf_vlen(row)) {
        return std::nullopt;
      }
      const btf_member& member = btf_members(row)[index];
      way.bits += btf_member_bit_offset(row, index);
      if (const std::string_view name = type.name_at(member.name_off); !name.empty()) {
        way.steps.push_back({.type = type.id, .index = index, .name = name});
      }
      type.id = member.type;
    } else if (btf_is_array(row)) {
      const struct btf_array& array = *btf_array(row);
      const BtfType element = type.at(array.type).plain();
      const auto bytes = element.row() == nullptr ? std::nullopt : element.bytes();
      if (!bytes || (index >= array.nelems && !is_flexible(type, way.steps.back(), array))) {
        return std::nullopt;
      }
      way.steps.push_back({.type = element.id, .index = index});
      way.bits += std::uint64_t{index} * *bytes * 8;
      type = element;
    } else {
      return std::nullopt;
    }
  }
  return way;
}

// Finds a member of that name in `type`, also in what it has without a name; goes on to its type.
bool go_to_member(const BtfType& own, const Step& step, BtfType& type, Way& way, int level) {
  type = type.plain();
  const btf_type* const row = type.row();
  if (row == nullptr || !btf_is_composite(row) || level == 0) {
    return false;
  }
  const BtfType composite = type;
  for (std::uint32_t i = 0; i < btf_vlen(row); ++i) {
    const btf_member& member = btf_members(row)[i];
    const std::uint64_t offset = btf_member_bit_offset(row, i);
    const std::string_view name = composite.name_at(member.name_off);
    if (name.empty()) {
      BtfType inner = composite.at(member.type);
      way.bits += offset;
      if (go_to_member(own, step, inner, way, level - 1)) {
        type = inner;
        return true;
      }
      way.bits -= offset;
    } else if (name == step.name) {
      const std::uint32_t wanted = btf_members(own.at(step.type).row())[step.index].type;
      if (!fields_compatible(own.at(wanted), composite.at(member.type))) {
        return false;
      }
      way.steps.push_back({.type = composite.id, .index = i, .name = name});
      way.bits += offset;
      type = composite.at(member.type);
      return true;
    }
  }
  return false;
}

// The way `own` in a type of the kernel.
std::optional<Way> same_field(const Way& own, BtfType root) {
  Way way{.root = root, .steps = {}};
  BtfType type = root;
  for (std::size_t i = 0; i < own.steps.size(); ++i) {
    const Step& step = own.steps[i];
    if (!step.name.empty()) {
      if (!go_to_member(own.root, step, type, way, kMostNameless)) {
        return std::nullopt;
      }
      continue;
    }
    type = type.plain();
    if (i > 0) {
      const btf_type* const row = type.row();
      if (row == nullptr || !btf_is_array(row) ||
          (step.index >= btf_array(row)->nelems &&
           !is_flexible(type, way.steps.back(), *btf_array(row)))) {
        return std::nullopt;
      }
      type = type.at(btf_array(row)->type).plain();
    }
    const auto bytes = type.row() == nullptr ? std::nullopt : type.bytes();
    if (!bytes) {
      return std::nullopt;
    }
    way.steps.push_back({.type = type.id, .index = step.index});
    way.bits += std::uint64_t{step.index} * *bytes * 8;
  }
  return way;
}

std::optional<Way> same_way(CoreKind kind, const Way& own, BtfType root) {
  if (is_of_field(kind)) {
    return same_field(own, root);
  }
  if (!is_of_enum(kind)) {
    const bool fits = kind == CoreKind::type_matches ? types_match(own.root, root)
                                                     : types_compatible(own.root, root);
    return fits ? std::optional(Way{.root = root, .steps = {}}) : std::nullopt;
  }
  const BtfType type = root.plain();
  Way way{.root = root, .steps = {}};
  if (type.row() == nullptr || !btf_is_any_enum(type.row())) {
    return std::nullopt;
  }
  any_enumerator(type, [&](std::uint32_t name, std::uint32_t index) {
    const bool found = essential(type.name_at(name)) == essential(own.steps.front().name);
    if (found) {
      way.steps.push_back({.type = type.id, .index = index, .name = type.name_at(name)});
    }
    return found;
  });
  return way.steps.empty() ? std::nullopt : std::optional(way);
}

// What a way comes to. `bytes` and `type` are of a field that is not a bit field, for who loads it.
struct Measure {
  std::uint64_t value = 0;
  bool is_fixed = true;  // a compiler has no choice
  std::uint32_t bytes = 0;
  BtfType type = {};
};

Error no_measure(CoreKind kind, std::string_view why) {
  return {.code = ErrorCode::elf_unsupported,
          .message = fmt::format("{}: {}", kKindNames[static_cast<std::size_t>(kind)], why)};
}

Result<Measure> measure_field(CoreKind kind, const Way& way, std::endian order) {
  if (kind == CoreKind::field_exists) {
    return Measure{.value = 1};
  }
  const Step& last = way.steps.back();
  if (last.name.empty()) {
    const BtfType type = way.root.at(last.type);
    const auto bytes = type.bytes();
    if (!bytes || (kind != CoreKind::field_byte_offset && kind != CoreKind::field_byte_size)) {
      return no_measure(kind, "an element of an array has none");
    }
    return kind == CoreKind::field_byte_size
               ? Measure{.value = *bytes}
               : Measure{.value = way.bits / 8, .bytes = *bytes, .type = type};
  }
  const btf_type* const row = way.root.at(last.type).row();
  const BtfType type = way.root.at(btf_members(row)[last.index].type).plain();
  const auto size = type.row() == nullptr ? std::nullopt : type.bytes();
  if (!size || *size == 0) {
    return no_measure(kind, fmt::format("{} has no size", last.name));
  }
  std::uint64_t bytes = *size;
  std::uint64_t bits = btf_member_bitfield_size(row, last.index);
  const bool is_bit_field = bits != 0;
  std::uint64_t offset = way.bits / 8;
  if (is_bit_field) {
    // The smallest aligned number that all its bits are in.
    offset = offset / bytes * bytes;
    while (way.bits + bits - offset * 8 > bytes * 8) {
      if (bytes >= 8) {
        return no_measure(kind, fmt::format("{} lies over two doublewords", last.name));
      }
      bytes *= 2;
      offset = way.bits / 8 / bytes * bytes;
    }
  } else {
    bits = bytes * 8;
  }
  const std::uint64_t from_begin = way.bits - offset * 8;
  switch (kind) {
    case CoreKind::field_byte_offset:
      return Measure{.value = offset,
                     .is_fixed = !is_bit_field,
                     .bytes = is_bit_field ? 0 : static_cast<std::uint32_t>(bytes),
                     .type = type};
    case CoreKind::field_byte_size:
      return Measure{.value = bytes, .is_fixed = !is_bit_field};
    case CoreKind::field_signed:
      return Measure{.value = is_signed(type.row()) ? 1U : 0U};
    case CoreKind::field_lshift_u64:
      return Measure{.value = order == std::endian::little ? 64 - (from_begin + bits)
                                                           : (8 - bytes) * 8 + from_begin,
                     .is_fixed = !is_bit_field};
    default:
      return Measure{.value = 64 - bits};
  }
}

Result<Measure> measure(CoreKind kind, const Way& way, std::endian order) {
  switch (kind) {
    case CoreKind::type_id_local:
    case CoreKind::type_id_target:
      // Of the object's own type, compilers say what they like.
      return Measure{.value = way.root.id, .is_fixed = false};
    case CoreKind::type_exists:
    case CoreKind::type_matches:
    case CoreKind::enumval_exists:
      return Measure{.value = 1};
    case CoreKind::type_size: {
      const auto bytes = way.root.bytes();
      return bytes ? Result<Measure>(Measure{.value = *bytes}) : no_measure(kind, "it has no size");
    }
    case CoreKind::enumval_value: {
      const btf_type* const row = way.root.at(way.steps.front().type).row();
      const std::uint32_t index = way.steps.front().index;
      if (btf_is_enum(row)) {
        return Measure{.value = static_cast<std::uint64_t>(std::int64_t{btf_enum(row)[index].val})};
      }
      const struct btf_enum64& wide = btf_enum64(row)[index];
      return Measure{.value = std::uint64_t{wide.val_hi32} << 32 | wide.val_lo32};
    }
    default:
      return measure_field(kind, way, order);
  }
}

// Whether an access of the kernel's field by its own size comes to what was meant.
bool can_resize(const Measure& own, const Measure& theirs) {
  const btf_type* const a = own.type.row();
  const btf_type* const b = theirs.type.row();
  return own.bytes == theirs.bytes || (btf_is_ptr(a) && btf_is_ptr(b)) ||
         (btf_is_int(a) && btf_is_int(b) && btf_int_encoding(a) != BTF_INT_SIGNED &&
          btf_int_encoding(b) != BTF_INT_SIGNED);
}

// What nothing in the kernel fits comes to.
CoreValue missing(CoreKind kind, std::uint64_t original) {
  const bool is_zero = kind == CoreKind::field_exists || kind == CoreKind::enumval_exists ||
                       (!is_of_field(kind) && !is_of_enum(kind));
  return {.original = original, .is_missing = !is_zero};
}

}  // namespace

Result<KernelTypes> KernelTypes::read(const std::string& path) {
  quiet_libbpf();
  KernelTypes kernel;
  kernel.btf_.reset(btf__parse(path.c_str(), nullptr),
                    [](const ::btf* parsed) { btf__free(const_cast<::btf*>(parsed)); });
  if (kernel.btf_ == nullptr) {
    const int why = errno;
    return Error{.code = ErrorCode::file_unreadable,
                 .message = why == ENOENT || why == EACCES || why == EISDIR
                                ? std::generic_category().message(why)
                                : "expected BTF, or an ELF file with a section .BTF",
                 .where = {.file = path}};
  }
  for (std::uint32_t id = 1; id < btf__type_cnt(kernel.types()); ++id) {
    const std::string_view name = BtfType{kernel.types(), id}.name();
    if (!name.empty()) {
      kernel.by_name_[std::string(essential(name))].push_back(id);
    }
  }
  return kernel;
}

std::span<const std::uint32_t> KernelTypes::named(std::string_view essential_name) const {
  const auto found = by_name_.find(essential_name);
  return found == by_name_.end() ? std::span<const std::uint32_t>() : found->second;
}

std::optional<std::uint32_t> KernelTypes::structure_bytes(std::string_view name) const {
  for (const std::uint32_t id : named(essential(name))) {
    if (const btf_type* const row = BtfType{types(), id}.row(); btf_is_composite(row)) {
      return row->size;
    }
  }
  return std::nullopt;
}

std::string describe(const ::btf& own, const CoreRelocation& relocation) {
  return fmt::format("{} of {}, {}", kKindNames[static_cast<std::size_t>(relocation.kind)],
                     BtfType{&own, relocation.type}.name(), relocation.access);
}

Result<CoreValue> resolve(const ::btf& own, const CoreRelocation& relocation,
                          const KernelTypes& kernel) {
  const CoreKind kind = relocation.kind;
  const auto way = own_way(own, relocation);
  if (!way) {
    return malformed(
        fmt::format("{}: the types of the object have no such thing", describe(own, relocation)));
  }
  const std::endian order =
      btf__endianness(&own) == BTF_BIG_ENDIAN ? std::endian::big : std::endian::little;
  FARCALL_TRY(original, measure(kind, *way, order));
  if (kind == CoreKind::type_id_local) {
    return CoreValue{.original = original.value, .value = original.value};
  }
  const std::string_view name = way->root.name();
  if (name.empty()) {
    return Error{.code = ErrorCode::elf_unsupported,
                 .message = fmt::format("{}: a type without a name has no counterpart",
                                        describe(own, relocation))};
  }
  std::optional<CoreValue> found;
  for (const std::uint32_t id : kernel.named(essential(name))) {
    const BtfType candidate{kernel.types(), id};
    if (!same_kind(candidate.row(), way->root.row())) {
      continue;
    }
    const auto there = same_way(kind, *way, candidate);
    if (!there) {
      continue;
    }
    FARCALL_TRY(theirs, measure(kind, *there, order));
    const bool is_access = original.bytes != 0 && theirs.bytes != 0;
    const CoreValue value{.original = original.value,
                          .value = theirs.value,
                          .is_checked = original.is_fixed,
                          .original_bytes = is_access ? original.bytes : 0,
                          .bytes = is_access ? theirs.bytes : 0,
                          .can_resize = !is_access || can_resize(original, theirs)};
    // BtfType ids of one type that is there twice differ, and either will do.
    if (found && found->value != value.value && kind != CoreKind::type_id_target) {
      return Error{.code = ErrorCode::elf_unsupported,
                   .message = fmt::format("{}: several types of the kernel fit, and say {} and {}",
                                          describe(own, relocation), found->value, value.value)};
    }
    found = found ? found : value;
  }
  return found ? *found : missing(kind, original.value);
}

Result<void> fit(const CoreValue& value, std::span<Slot> slots) {
  Slot& slot = slots.front();
  const InstructionInfo* const info = find(slot);
  const auto unexpected = [&](std::uint64_t seen) {
    return malformed(
        fmt::format("the instruction has {:#x}: expected {:#x}, "
                    "which the object's own types say",
                    seen, value.original));
  };
  if (info == nullptr) {
    return malformed("no instruction has a value here");
  }
  if (value.is_missing || (info->memory_bytes != 0 && !value.can_resize)) {
    const Slot refused{.opcode = kHelperRow->opcode, .imm = kUnrelocated};
    std::ranges::fill(slots.first(slots_of(slot.opcode)), refused);
    return success();
  }
  if (info->operation == Operation::load_immediate64) {
    const std::uint64_t seen = immediate64(slot, slots[1]);
    if (value.is_checked && seen != value.original) {
      return unexpected(seen);
    }
    const auto [low, high] = load_immediate64_slots(slot.dst, value.value);
    slot.imm = low.imm;
    slots[1].imm = high.imm;
    return success();
  }
  if (info->memory_bytes != 0) {
    if (value.is_checked && slot.offset != static_cast<std::int64_t>(value.original)) {
      return unexpected(static_cast<std::uint16_t>(slot.offset));
    }
    if (value.value > static_cast<std::uint64_t>(std::numeric_limits<std::int16_t>::max())) {
      return Error{.code = ErrorCode::elf_unsupported,
                   .message = fmt::format("offset {} does not fit in 16 bits", value.value)};
    }
    slot.offset = static_cast<std::int16_t>(value.value);
    if (value.bytes == value.original_bytes) {
      return success();
    }
    if (info->memory_bytes != value.original_bytes) {
      return malformed(fmt::format("an access of {} bytes to a field of {}", info->memory_bytes,
                                   value.original_bytes));
    }
    const auto* const resized =
        std::ranges::find_if(kInstructions, [&](const InstructionInfo& row) {
          return row.operation == info->operation && row.memory_bytes == value.bytes;
        });
    if (resized == kInstructions.end()) {
      return Error{.code = ErrorCode::elf_unsupported,
                   .message = fmt::format("no {} of {} bytes", info->mnemonic, value.bytes)};
    }
    slot.opcode = resized->opcode;
    return success();
  }
  if (info->form != Form::dst_source || info->source != Source::immediate) {
    return malformed("no instruction has a value here");
  }
  if (value.is_checked && slot.imm != static_cast<std::int32_t>(value.original)) {
    return unexpected(static_cast<std::uint32_t>(slot.imm));
  }
  slot.imm = static_cast<std::int32_t>(value.value);
  return success();
}

}  // namespace farcall::bpf
