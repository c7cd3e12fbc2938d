#include "bpf/btf.hpp"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "base/byte_order.hpp"
#include "bpf/btf_type.hpp"
#include "bpf/quiet_libbpf.hpp"

namespace farcall::bpf {
namespace {

using BtfHandle = std::unique_ptr<btf, decltype(&btf__free)>;

constexpr std::uint16_t kMagic = 0xeb9f;
constexpr std::size_t kHeaderBytes = 24;      // as far as line_info_len
constexpr std::size_t kCoreHeaderBytes = 32;  // as far as core_relo_len
constexpr std::size_t kCoreBytes = 16;        // insn_off, type_id, access_str_off, kind
constexpr std::size_t kFunctionBytes = 8;     // insn_off, type_id
constexpr std::size_t kLineBytes = 16;        // insn_off, file_name_off, line_off, line_col
constexpr unsigned kColumnBits = 10;

class Reader {
 public:
  Reader(const ElfCode& code, const KernelTypes* kernel) : code_(code), kernel_(kernel) {}

  Result<DebugInfo> run() {
    quiet_libbpf();
    btf_.reset(btf__new(code_.btf.data(), static_cast<std::uint32_t>(code_.btf.size())));
    if (btf_ == nullptr) {
      return malformed(".BTF", "libbpf cannot read it");
    }
    read_declarations();
    if (code_.btf_ext.empty()) {
      return std::move(info_);
    }
    if (code_.btf_ext.size() < kHeaderBytes ||
        load<std::uint16_t>(code_.btf_ext.data(), code_.order) != kMagic) {
      return malformed(".BTF.ext",
                       fmt::format("expected a header of {} bytes that begins with {:#x}",
                                   kHeaderBytes, kMagic));
    }
    FARCALL_TRYV(read_table(8, kFunctionBytes, [this](CodePlace place, std::size_t at) {
      const btf_type* const type = btf__type_by_id(btf_.get(), word(at + 4));
      const char* const name =
          type == nullptr ? nullptr : btf__name_by_offset(btf_.get(), type->name_off);
      if (name != nullptr && *name != '\0') {
        read_context(place, type->type);
        const btf_type* const prototype = plain_type(type->type);
        if (prototype != nullptr && btf_is_func_proto(prototype) && prototype->type == 0) {
          info_.without_result.insert(place);
        }
        info_.functions.emplace(std::move(place), name);
      }
    }));
    FARCALL_TRYV(read_table(16, kLineBytes, [this](CodePlace place, std::size_t at) {
      const std::uint32_t line = word(at + 12);
      info_.lines.emplace(std::move(place),
                          DebugLine{.where = {.file = string(word(at + 4)),
                                              .line = line >> kColumnBits,
                                              .column = line & ((1U << kColumnBits) - 1)},
                                    .text = string(word(at + 8))});
    }));
    if (word(4) >= kCoreHeaderBytes && code_.btf_ext.size() >= kCoreHeaderBytes) {
      FARCALL_TRYV(read_table(24, kCoreBytes, [this](CodePlace place, std::size_t at) {
        ++info_.core_relocations;
        if (kernel_ != nullptr) {
          info_.core.emplace(std::move(place), core_place(at));
        }
      }));
    }
    return std::move(info_);
  }

 private:
  const char* name_of(const btf_type* type) const {
    const char* const name = btf__name_by_offset(btf_.get(), type->name_off);
    return name == nullptr ? "" : name;
  }

  // Without typedefs and the like; null if there is no such type.
  const btf_type* plain_type(std::uint32_t id) const {
    return BtfType{btf_.get(), id}.plain().row();
  }

  std::uint32_t bytes_of(std::uint32_t id) const {
    return BtfType{btf_.get(), id}.bytes().value_or(0);
  }

  void read_context(const CodePlace& place, std::uint32_t prototype) {
    const btf_type* const type = plain_type(prototype);
    if (type == nullptr || !btf_is_func_proto(type) || btf_vlen(type) == 0) {
      return;
    }
    const btf_type* const pointer = plain_type(btf_params(type)[0].type);
    const btf_type* const pointee =
        pointer != nullptr && btf_is_ptr(pointer) ? plain_type(pointer->type) : nullptr;
    if (pointee != nullptr && (btf_is_composite(pointee) || btf_is_int(pointee))) {
      info_.contexts.emplace(place, Pointee{.type = btf_is_int(pointee) ? "" : name_of(pointee),
                                            .bytes = pointee->size,
                                            .is_open = is_open(*pointee)});
    }
  }

  bool is_open(const btf_type& type) const {
    if (!btf_is_composite(&type) || btf_vlen(&type) == 0) {
      return false;
    }
    const btf_type* const last = plain_type(btf_members(&type)[btf_vlen(&type) - 1].type);
    return last != nullptr && btf_is_array(last) && btf_array(last)->nelems == 0;
  }

  // Variables and functions by the sections that the compiler sorted them into.
  void read_declarations() {
    for (std::uint32_t id = 1; id < btf__type_cnt(btf_.get()); ++id) {
      const btf_type* const type = btf__type_by_id(btf_.get(), id);
      if (btf_is_func(type) && btf_vlen(type) == BTF_FUNC_EXTERN) {
        ExternDeclaration& declaration = info_.externs[name_of(type)];
        declaration.is_function = true;
        declaration.signature = signature_of(type->type);
      }
      if (btf_is_composite(type) && *name_of(type) != '\0') {
        info_.structures.emplace(name_of(type), type->size);
      }
      if (!btf_is_datasec(type)) {
        continue;
      }
      const std::string_view section = name_of(type);
      const bool is_kernel = section == ".ksyms";
      const btf_var_secinfo* const members = btf_var_secinfos(type);
      for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
        const btf_type* const member = btf__type_by_id(btf_.get(), members[i].type);
        if (member == nullptr) {
          continue;
        }
        if (section == ".maps" && btf_is_var(member)) {
          info_.maps[name_of(member)] = map_of(member->type);
        } else if (is_kernel || section == ".kconfig") {
          ExternDeclaration& declaration = info_.externs[name_of(member)];
          declaration.in_kernel = is_kernel;
          declaration.bytes = btf_is_var(member) ? bytes_of(member->type) : 0;
        }
      }
    }
  }

  // A number is in the type as the length of an array that `id` points to.
  std::uint32_t number_of(std::uint32_t id) const {
    const btf_type* const pointer = plain_type(id);
    const btf_type* const array =
        pointer != nullptr && btf_is_ptr(pointer) ? plain_type(pointer->type) : nullptr;
    return array != nullptr && btf_is_array(array) ? btf_array(array)->nelems : 0;
  }

  MapDefinition map_of(std::uint32_t id) const {
    MapDefinition map;
    const btf_type* const type = plain_type(id);
    if (type == nullptr || !btf_is_struct(type)) {
      return map;
    }
    for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
      const btf_member& member = btf_members(type)[i];
      const char* const text = btf__name_by_offset(btf_.get(), member.name_off);
      const std::string_view name = text == nullptr ? "" : text;
      const btf_type* const pointer = plain_type(member.type);
      const std::uint32_t pointee =
          pointer != nullptr && btf_is_ptr(pointer) ? bytes_of(pointer->type) : 0;
      if (name == "type") {
        map.type = number_of(member.type);
      } else if (name == "max_entries") {
        map.max_entries = number_of(member.type);
      } else if (name == "key_size") {
        map.key_bytes = number_of(member.type);
      } else if (name == "value_size") {
        map.value_bytes = number_of(member.type);
      } else if (name == "key") {
        map.key_bytes = pointee;
      } else if (name == "value") {
        map.value_bytes = pointee;
      } else if (name == "values") {
        map.key_bytes = map.value_bytes = 4;  // of maps, or programs
      }
    }
    return map;
  }

  ValueType value_type(std::uint32_t id) const {
    const btf_type* const type = plain_type(id);
    if (type == nullptr || !(btf_is_int(type) || btf_is_any_enum(type)) || type->size > 8) {
      return {};  // a pointer, a small structure
    }
    const bool is_signed =
        btf_is_int(type) ? (btf_int_encoding(type) & BTF_INT_SIGNED) != 0 : btf_kflag(type);
    return {.bits = static_cast<std::uint8_t>(8 * type->size), .is_signed = is_signed};
  }

  Signature signature_of(std::uint32_t id) const {
    const btf_type* const type = plain_type(id);
    Signature signature;
    if (type == nullptr || !btf_is_func_proto(type)) {
      return signature;
    }
    const std::uint32_t count = std::min<std::uint32_t>(btf_vlen(type), 5);
    for (std::uint32_t i = 0; i < count; ++i) {
      signature.arguments[i] = value_type(btf_params(type)[i].type);
    }
    signature.argument_count = static_cast<std::uint8_t>(count);
    signature.result = value_type(type->type);
    return signature;
  }

  Error malformed(const char* section, std::string message) const {
    return {.code = ErrorCode::elf_malformed,
            .message = std::move(message),
            .where = {.file = fmt::format("{}:{}", code_.file, section)}};
  }

  std::uint32_t word(std::size_t at) const {
    return load<std::uint32_t>(code_.btf_ext.data() + at, code_.order);
  }

  std::string string(std::uint32_t offset) const {
    const char* const text = btf__str_by_offset(btf_.get(), offset);
    return text == nullptr ? "" : text;
  }

  // What comes of the relocation whose record is there.
  CorePlace core_place(std::size_t at) const {
    const std::uint32_t kind = word(at + 12);
    if (kind >= kCoreKinds) {
      return {.what = fmt::format("a CO-RE relocation of kind {}", kind),
              .value = {},
              .refusal = Error{.code = ErrorCode::elf_unsupported,
                               .message = fmt::format("expected kinds 0 to {}", kCoreKinds - 1)}};
    }
    const CoreRelocation relocation{
        .type = word(at + 4), .access = string(word(at + 8)), .kind = static_cast<CoreKind>(kind)};
    CorePlace place{.what = describe(*btf_, relocation), .value = {}, .refusal = {}};
    auto resolved = resolve(*btf_, relocation, *kernel_);
    if (resolved) {
      place.value = resolved.value();
    } else {
      place.refusal = std::move(resolved).error();
    }
    return place;
  }

  // A table whose offset from the header's end, and length, are at `header` of it. It begins with
  // the size of a record; then for each section its name, how many records, and these.
  template <typename Record>
  Result<void> read_table(std::size_t header, std::size_t least_bytes, Record record) {
    const std::uint64_t begin = std::uint64_t{word(4)} + word(header);
    const std::uint64_t end = begin + word(header + 4);
    const Error broken =
        malformed(".BTF.ext", "a table of it does not fit where its header says that it is");
    if (begin == end) {
      return success();
    }
    if (end > code_.btf_ext.size() || end - begin < 4) {
      return broken;
    }
    const std::uint32_t record_bytes = word(begin);
    if (record_bytes < least_bytes) {
      return broken;
    }
    for (std::uint64_t at = begin + 4; at < end;) {
      if (end - at < 8) {
        return broken;
      }
      const std::string section = string(word(at));
      const std::uint64_t count = word(at + 4);
      at += 8;
      if (count > (end - at) / record_bytes) {
        return broken;
      }
      for (std::uint64_t i = 0; i < count; ++i, at += record_bytes) {
        record(CodePlace{section, word(at)}, at);
      }
    }
    return success();
  }

  const ElfCode& code_;
  const KernelTypes* kernel_;
  BtfHandle btf_{nullptr, &btf__free};
  DebugInfo info_;
};

}  // namespace

Result<DebugInfo> read_debug_info(const ElfCode& code, const KernelTypes* kernel) {
  if (code.btf.empty()) {
    return DebugInfo{};
  }
  return Reader(code, kernel).run();
}

}  // namespace farcall::bpf
