#include "external/external.hpp"

#include <algorithm>
#include <array>

#include "base/bits.hpp"
#include "external/stub.hpp"
#include "external/words.hpp"

namespace farcall::external {
namespace {

constexpr bpf::ValueType kS8 = {.bits = 8, .is_signed = true};
constexpr bpf::ValueType kU16 = {.bits = 16, .is_signed = false};
constexpr bpf::ValueType kS16 = {.bits = 16, .is_signed = true};
constexpr bpf::ValueType kU32 = {.bits = 32, .is_signed = false};
constexpr bpf::ValueType kS32 = {.bits = 32, .is_signed = true};
constexpr bpf::ValueType kU64 = {};

constexpr std::array kNatives = {
    Native{.name = "weighted_sum", .signature = {}, .meaning = weighted_sum, .body = weighted_sum},
    Native{
        .name = "clobber", .signature = {.argument_count = 1}, .meaning = clobber, .body = clobber},
    Native{.name = "mix",
           .signature = {.arguments = {kS8, kU16, kS32, kU32, kU64}, .result = kS16},
           .meaning = mix,
           .body = mix},
    Native{.name = "narrow_sum",
           .signature = {.arguments = {kU16, kS16, kU32, kS32, kS8}},
           .meaning = narrow_sum,
           .body = narrow_sum},
    Native{.name = "loop",
           .signature = {.argument_count = 4},
           .meaning = loop,
           .body = loop,
           .callback = loop_callback},
    Native{.name = "map_lookup_elem",
           .signature = {.argument_count = 2},
           .meaning = map_lookup_elem,
           .body = map_lookup_elem},
    Native{.name = "map_update_elem",
           .signature = {.argument_count = 4},
           .meaning = map_update_elem,
           .body = map_update_elem},
    Native{.name = "map_delete_elem",
           .signature = {.argument_count = 2},
           .meaning = map_delete_elem,
           .body = map_delete_elem},
    Native{.name = "gather_bytes", .signature = {}, .meaning = gather_bytes, .body = gather_bytes},
    Native{
        .name = "memfrob", .signature = {.argument_count = 2}, .meaning = memfrob, .body = memfrob},
    Native{.name = "no_op", .signature = {.argument_count = 0}, .meaning = no_op, .body = no_op},
    Native{.name = "sqrti", .signature = {.argument_count = 1}, .meaning = sqrti, .body = sqrti},
    Native{.name = "strcmp_ext",
           .signature = {.argument_count = 2},
           .meaning = strcmp_ext,
           .body = strcmp_ext},
    Native{.name = "unwind", .signature = {.argument_count = 1}, .meaning = unwind, .body = unwind},
    Native{.name = "unrelocated",
           .signature = {.argument_count = 0},
           .meaning = unrelocated,
           .body = unrelocated},
    Native{.name = "get_stack",
           .signature = {.argument_count = 4},
           .meaning = get_stack,
           .body = get_stack},
};

// Not for cases: what a kernel's code calls in place of a helper.
constexpr Native kHashElement{.name = kHashElementName,
                              .signature = {.argument_count = 2},
                              .meaning = hash_element,
                              .body = hash_element};

constexpr std::uint32_t kTrap = encode<Op::tw>(31U, r0, r0);

// r2 from r12, or traps where that is too far.
Words global_entry(const Surroundings& to) {
  const std::int64_t distance = bytes(to.toc - to.address);
  const std::int64_t low = sign_extend(static_cast<std::uint64_t>(distance), 16);
  const std::int64_t high = (distance - low) >> 16;
  if (!fits_signed(high, 16)) {
    return {kTrap, kTrap};
  }
  return {encode<Op::addis>(r2, r12, high), encode<Op::addi>(r2, r2, low)};
}

Words descriptor(const Surroundings& to) {
  const auto half = [](std::uint64_t value, unsigned shift) {
    return static_cast<std::uint32_t>(value >> shift);
  };
  const std::uint64_t entry = to.address.value + to.convention.descriptor_bytes;
  return {half(entry, 32), half(entry, 0), half(to.toc.value, 32), half(to.toc.value, 0), 0, 0};
}

// Traps if r2 is not what it must be.
Words toc_check(GuestAddress toc) {
  const auto halfword = [toc](unsigned shift) {
    return static_cast<std::uint32_t>(bit_field(toc.value, shift, 16));
  };
  return {encode<Op::addis>(r11, ppc64::kZero, sign_extend(halfword(48), 16)),
          encode<Op::ori>(r11, r11, halfword(32)),
          encode<Op::rldicr>(r11, r11, 32, 31),
          encode<Op::oris>(r11, r11, halfword(16)),
          encode<Op::ori>(r11, r11, halfword(0)),
          toc_trap()};
}

// What is before the body.
Words entry(const Surroundings& surroundings) {
  Words words = surroundings.convention.descriptor_bytes != 0 ? descriptor(surroundings)
                                                              : global_entry(surroundings);
  append(words, toc_check(surroundings.toc));
  return words;
}

}  // namespace

std::uint32_t toc_trap() {
  return encode<Op::td>(kTrapIfUnequal, r2, r11);
}

std::span<const Native> natives() {
  return kNatives;
}

const Native* find(std::string_view name) {
  if (name == kHashElement.name) {
    return &kHashElement;
  }
  const auto* const found = std::ranges::find(kNatives, name, &Native::name);
  return found == kNatives.end() ? nullptr : found;
}

bpf::External external(const Native& native, bpf::ExternalKind kind, std::int32_t id) {
  return {.name = std::string(native.name),
          .kind = kind,
          .id = id,
          .signature = native.signature,
          .calls_back = native.callback != nullptr,
          .meaning = native.meaning};
}

Words code(const bpf::External& external, const Surroundings& surroundings, GuestAddress log) {
  Words words = entry(surroundings);
  append(words, external.stub ? stub_body(external, log) : find(external.name)->body(surroundings));
  return words;
}

std::size_t callback_word(const bpf::External& external, const Surroundings& surroundings) {
  return entry(surroundings).size() + find(external.name)->callback(surroundings.convention);
}

}  // namespace farcall::external
