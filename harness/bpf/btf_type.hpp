// A type of BTF, and whether one of an object may stand for one of a kernel: the rules of CO-RE, which
// are libbpf's.
#pragma once

#include <bpf/btf.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace farcall::bpf {

// Number `id` of the types in `in`.
struct BtfType {
  const ::btf* in = nullptr;
  std::uint32_t id = 0;

  const btf_type* row() const { return btf__type_by_id(in, id); }
  BtfType at(std::uint32_t other) const { return {in, other}; }
  std::string_view name_at(std::uint32_t offset) const {
    const char* const text = btf__name_by_offset(in, offset);
    return text == nullptr ? "" : text;
  }
  std::string_view name() const { return row() == nullptr ? "" : name_at(row()->name_off); }
  // Without typedefs and the like; one that is not there has no row.
  BtfType plain() const;
  std::optional<std::uint32_t> bytes() const;
};

// A name up to the last `___`, which begins a flavor of it: types and enumerators correspond by it.
std::string_view essential(std::string_view name);

// Enums of 32 and of 64 bits are of one kind.
bool same_kind(const btf_type* a, const btf_type* b);

// Of an integer or an enum.
bool is_signed(const btf_type* type);

// Calls visit(offset of its name, index) for each enumerator of `type`, an enum, until that returns
// true; false if it never does.
template <typename Visit>
bool any_enumerator(const BtfType& type, Visit visit) {
  const btf_type* const row = type.row();
  for (std::uint32_t i = 0; i < btf_vlen(row); ++i) {
    if (visit(btf_is_enum(row) ? btf_enum(row)[i].name_off : btf_enum64(row)[i].name_off, i)) {
      return true;
    }
  }
  return false;
}

// Whether a field of type `theirs` may stand for one of type `own`: numbers for numbers, pointers for
// pointers, arrays of such.
bool fields_compatible(BtfType own, BtfType theirs);

// Whether a type may stand for another of the same kind, as type_exists asks: what they consist of
// does not matter.
bool types_compatible(BtfType own, BtfType theirs);

// Whether `theirs` has whatever `own` has, by name and type, as type_matches asks.
bool types_match(BtfType own, BtfType theirs);

}  // namespace farcall::bpf
