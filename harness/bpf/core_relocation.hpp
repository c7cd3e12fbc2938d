// CO-RE: what in a program depends on how a kernel's types look. Each such place names a type of
// the object's own BTF, a way into it, and what is wanted of it; here the same is found in the
// kernel's BTF, and the instruction is made to fit. The rules are those of libbpf, whose own
// relocator is only there on the way to the bpf system call: see `bpf_core_relo` in Linux's
// Documentation/bpf/llvm_reloc.rst and include/uapi/linux/bpf.h.
//
// Types and enumerators correspond by name up to `___`; members by name, also through anonymous
// structures and unions. Numbers need only be numbers, pointers pointers, arrays of such; to match
// (type_matches) asks for more.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "bpf/program.hpp"

struct btf;

namespace farcall::bpf {

// The types of a kernel.
class KernelTypes {
 public:
  // From BTF, or an ELF file that has it in a section `.BTF`. file.unreadable, elf.malformed.
  static Result<KernelTypes> read(const std::string& path);

  const ::btf* types() const { return btf_.get(); }
  // The numbers of the types that are called so, up to `___`, ascending.
  std::span<const std::uint32_t> named(std::string_view essential_name) const;
  // How large the structure or union of that name is, its flavor aside; empty: there is none.
  std::optional<std::uint32_t> structure_bytes(std::string_view name) const;

 private:
  std::shared_ptr<const ::btf> btf_;
  std::map<std::string, std::vector<std::uint32_t>, std::less<>> by_name_;
};

// What is wanted: enum bpf_core_relo_kind.
enum class CoreKind : std::uint8_t {
  field_byte_offset,
  field_byte_size,
  field_exists,
  field_signed,
  field_lshift_u64,
  field_rshift_u64,
  type_id_local,
  type_id_target,
  type_exists,
  type_size,
  enumval_exists,
  enumval_value,
  type_matches,
};
inline constexpr std::uint32_t kCoreKinds = 13;

struct CoreRelocation {
  std::uint32_t type = 0;  // of the object's BTF
  std::string access;      // `0:1:2`: an index, then members and elements; of an
                           // enum, a value
  CoreKind kind{};
};

// What comes of it.
struct CoreValue {
  std::uint64_t original = 0;  // by the object's own types
  std::uint64_t value = 0;     // by the kernel's
  bool is_checked = false;     // the instruction must have `original`
  // How large a field is that is loaded or stored, in bytes; 0: of no interest.
  std::uint32_t original_bytes = 0;
  std::uint32_t bytes = 0;
  bool can_resize = true;   // an access of another size comes to the same value
  bool is_missing = false;  // the kernel has no such thing: the instruction must
                            // not be reached
};

// What libbpf puts where the kernel has no such thing: a call of a helper of that number.
inline constexpr std::int32_t kUnrelocated = 0xbad2310;

// elf.malformed: the object's own types have no such thing. elf.unsupported: several types of the
// kernel fit, and say different things; or the field is too large.
Result<CoreValue> resolve(const ::btf& own, const CoreRelocation& relocation,
                          const KernelTypes& kernel);

// Puts the value into the instruction that begins with the first of these slots. elf.malformed: the
// instruction cannot hold such a value or, if `is_checked`, does not hold `original`.
// elf.unsupported: the value does not fit.
Result<void> fit(const CoreValue& value, std::span<Slot> slots);

// `field_byte_offset of task_struct, 0:12`
std::string describe(const ::btf& own, const CoreRelocation& relocation);

}  // namespace farcall::bpf
