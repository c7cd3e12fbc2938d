#include "bpf/btf.hpp"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/byte_order.hpp"

namespace farcall::bpf {
namespace {

using BtfHandle = std::unique_ptr<btf, decltype(&btf__free)>;

constexpr std::uint16_t kMagic = 0xeb9f;
constexpr std::size_t kHeaderBytes = 24;   // as far as line_info_len
constexpr std::size_t kFunctionBytes = 8;  // insn_off, type_id
constexpr std::size_t kLineBytes = 16;     // insn_off, file_name_off, line_off, line_col
constexpr unsigned kColumnBits = 10;

class Reader {
 public:
  explicit Reader(const ElfCode& code) : code_(code) {}

  Result<DebugInfo> run() {
    libbpf_set_print(nullptr);  // what it would print is said by errors here
    btf_.reset(btf__new(code_.btf.data(), static_cast<std::uint32_t>(code_.btf.size())));
    if (btf_ == nullptr) {
      return malformed(".BTF", "libbpf cannot read it");
    }
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
    return std::move(info_);
  }

 private:
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
  BtfHandle btf_{nullptr, &btf__free};
  DebugInfo info_;
};

}  // namespace

Result<DebugInfo> read_debug_info(const ElfCode& code) {
  if (code.btf.empty()) {
    return DebugInfo{};
  }
  return Reader(code).run();
}

}  // namespace farcall::bpf
