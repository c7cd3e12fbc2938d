#include "bpf/btf_type.hpp"

#include <algorithm>
#include <limits>
#include <span>

namespace farcall::bpf {
namespace {

constexpr int kMostLevels = 32;  // of types in types; as libbpf

bool is_plain_int(const btf_type* type) {
  return btf_int_offset(type) == 0;
}

// Whether a type may stand for another of the same kind, as type_exists asks.
bool types_compatible(BtfType own, BtfType theirs, int level) {
  if (own.row() == nullptr || theirs.row() == nullptr || !same_kind(own.row(), theirs.row())) {
    return false;
  }
  for (; level > 0; --level) {
    own = own.plain();
    theirs = theirs.plain();
    const btf_type* const a = own.row();
    const btf_type* const b = theirs.row();
    if (a == nullptr || b == nullptr || !same_kind(a, b)) {
      return false;
    }
    switch (btf_kind(a)) {
      case BTF_KIND_UNKN:
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
      case BTF_KIND_FWD:
        return true;
      case BTF_KIND_INT:
        return is_plain_int(a) && is_plain_int(b);
      case BTF_KIND_PTR:
        own.id = a->type;
        theirs.id = b->type;
        break;
      case BTF_KIND_ARRAY:
        own.id = btf_array(a)->type;
        theirs.id = btf_array(b)->type;
        break;
      case BTF_KIND_FUNC_PROTO: {
        if (btf_vlen(a) != btf_vlen(b)) {
          return false;
        }
        for (std::uint32_t i = 0; i < btf_vlen(a); ++i) {
          const BtfType mine = own.at(btf_params(a)[i].type).plain();
          const BtfType other = theirs.at(btf_params(b)[i].type).plain();
          if (!types_compatible(mine, other, level - 1)) {
            return false;
          }
        }
        own.id = a->type;
        theirs.id = b->type;
        break;
      }
      default:
        return false;
    }
  }
  return false;
}

bool same_essential_name(BtfType own, std::uint32_t name, BtfType theirs, std::uint32_t other) {
  return essential(own.name_at(name)) == essential(theirs.name_at(other));
}

bool matches(BtfType own, BtfType theirs, bool through_pointer, int level);

// Each enumerator of the object's has one of that name in the kernel's.
bool enums_match(const BtfType& own, const BtfType& theirs) {
  return btf_vlen(own.row()) <= btf_vlen(theirs.row()) &&
         !any_enumerator(own, [&](std::uint32_t name, std::uint32_t) {
           return !any_enumerator(theirs, [&](std::uint32_t other, std::uint32_t) {
             return same_essential_name(own, name, theirs, other);
           });
         });
}

// Each member of the object's has one of that name in the kernel's that matches.
bool composites_match(const BtfType& own, const BtfType& theirs, bool through_pointer, int level) {
  const std::span mine(btf_members(own.row()), btf_vlen(own.row()));
  const std::span others(btf_members(theirs.row()), btf_vlen(theirs.row()));
  return mine.size() <= others.size() && std::ranges::all_of(mine, [&](const btf_member& member) {
           return std::ranges::any_of(others, [&](const btf_member& other) {
             return same_essential_name(own, member.name_off, theirs, other.name_off) &&
                    matches(own.at(member.type), theirs.at(other.type), through_pointer, level - 1);
           });
         });
}

bool forward_matches(const btf_type* own, const btf_type* theirs, bool through_pointer) {
  if (btf_kind(own) == btf_kind(theirs)) {
    return btf_kflag(own) == btf_kflag(theirs);
  }
  return through_pointer &&
         ((btf_is_struct(theirs) && !btf_kflag(own)) || (btf_is_union(theirs) && btf_kflag(own)));
}

bool matches(BtfType own, BtfType theirs, bool through_pointer, int level) {
  for (; level > 0; --level) {
    own = own.plain();
    theirs = theirs.plain();
    const btf_type* const a = own.row();
    const btf_type* const b = theirs.row();
    if (a == nullptr || b == nullptr ||
        !same_essential_name(own, a->name_off, theirs, b->name_off)) {
      return false;
    }
    if (btf_is_fwd(a)) {
      return forward_matches(a, b, through_pointer);
    }
    if (btf_is_any_enum(a)) {
      return btf_is_any_enum(b) && enums_match(own, theirs);
    }
    if (btf_is_composite(a) && through_pointer) {
      return btf_kind(a) == btf_kind(b) || (btf_is_fwd(b) && btf_is_union(a) == btf_kflag(b));
    }
    if (btf_kind(a) != btf_kind(b)) {
      return false;
    }
    switch (btf_kind(a)) {
      case BTF_KIND_UNKN:
        return true;
      case BTF_KIND_STRUCT:
      case BTF_KIND_UNION:
        return composites_match(own, theirs, through_pointer, level);
      case BTF_KIND_INT:
        return btf_int_bits(a) == btf_int_bits(b) && is_signed(a) == is_signed(b);
      case BTF_KIND_PTR:
        through_pointer = true;
        own.id = a->type;
        theirs.id = b->type;
        break;
      case BTF_KIND_ARRAY:
        if (btf_array(a)->nelems != btf_array(b)->nelems) {
          return false;
        }
        own.id = btf_array(a)->type;
        theirs.id = btf_array(b)->type;
        break;
      case BTF_KIND_FUNC_PROTO:
        if (btf_vlen(a) != btf_vlen(b)) {
          return false;
        }
        for (std::uint32_t i = 0; i < btf_vlen(a); ++i) {
          if (!matches(own.at(btf_params(a)[i].type), theirs.at(btf_params(b)[i].type),
                       through_pointer, level - 1)) {
            return false;
          }
        }
        own.id = a->type;
        theirs.id = b->type;
        break;
      default:
        return false;
    }
  }
  return false;
}

}  // namespace

BtfType BtfType::plain() const {
  BtfType type = *this;
  for (int depth = 0; depth < kMostLevels && type.row() != nullptr; ++depth) {
    const btf_type* const row = type.row();
    if (!btf_is_mod(row) && !btf_is_typedef(row) && !btf_is_type_tag(row)) {
      return type;
    }
    type.id = row->type;
  }
  return {in, std::numeric_limits<std::uint32_t>::max()};
}

std::optional<std::uint32_t> BtfType::bytes() const {
  const std::int64_t size = btf__resolve_size(in, id);
  return size < 0 || size > std::numeric_limits<std::uint32_t>::max()
             ? std::nullopt
             : std::optional(static_cast<std::uint32_t>(size));
}

std::string_view essential(std::string_view name) {
  const std::size_t flavor = name.rfind("___");
  return flavor == std::string_view::npos || flavor == 0 ? name : name.substr(0, flavor);
}

bool same_kind(const btf_type* a, const btf_type* b) {
  return btf_kind(a) == btf_kind(b) || (btf_is_any_enum(a) && btf_is_any_enum(b));
}

bool is_signed(const btf_type* type) {
  return btf_is_any_enum(type) ? btf_kflag(type)
                               : btf_is_int(type) && (btf_int_encoding(type) & BTF_INT_SIGNED) != 0;
}

bool fields_compatible(BtfType own, BtfType theirs) {
  for (int level = 0; level < kMostLevels; ++level) {
    own = own.plain();
    theirs = theirs.plain();
    const btf_type* const a = own.row();
    const btf_type* const b = theirs.row();
    if (a == nullptr || b == nullptr) {
      return false;
    }
    if (btf_is_composite(a) && btf_is_composite(b)) {
      return true;
    }
    if (!same_kind(a, b)) {
      return false;
    }
    switch (btf_kind(a)) {
      case BTF_KIND_PTR:
      case BTF_KIND_FLOAT:
        return true;
      case BTF_KIND_FWD:
      case BTF_KIND_ENUM:
      case BTF_KIND_ENUM64:
        return own.name().empty() || theirs.name().empty() ||
               essential(own.name()) == essential(theirs.name());
      case BTF_KIND_INT:
        return is_plain_int(a) && is_plain_int(b);
      case BTF_KIND_ARRAY:
        own.id = btf_array(a)->type;
        theirs.id = btf_array(b)->type;
        break;
      default:
        return false;
    }
  }
  return false;
}

bool types_compatible(BtfType own, BtfType theirs) {
  return types_compatible(own, theirs, kMostLevels);
}

bool types_match(BtfType own, BtfType theirs) {
  return matches(own, theirs, false, kMostLevels);
}

}  // namespace farcall::bpf
