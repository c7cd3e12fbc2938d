// A program's BTF, as the kernel's Documentation/bpf/btf.rst has it: all functions take nothing and
// return an int, which nobody looks at.
#include <fmt/format.h>

#include <cctype>
#include <span>
#include <string>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "kernel/exchange.hpp"

namespace farcall::kernel {
namespace {

struct BtfHeader {
  ul16 magic = 0xeb9f;
  std::uint8_t version = 1;
  std::uint8_t flags = 0;
  ul32 header_bytes = 24;
  ul32 types_offset = 0;  // after the header
  ul32 types_bytes;
  ul32 strings_offset;
  ul32 strings_bytes;
};
static_assert(sizeof(BtfHeader) == 24);

struct BtfType {
  ul32 name;  // in the strings
  ul32 info;  // the kind in bits 24 to 28
  ul32 size_or_type;
};

constexpr std::uint32_t kInt = 1U << 24U;
constexpr std::uint32_t kFunction = 12U << 24U;
constexpr std::uint32_t kPrototype = 13U << 24U;
constexpr std::uint32_t kSigned32 = 0x0100'0020;  // what follows an int: signed, 32 bits
constexpr std::uint32_t kIntNumber = 1;
constexpr std::uint32_t kPrototypeNumber = 2;

template <typename T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto raw = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

}  // namespace

std::string name_in_c(const std::string& name) {
  std::string valid = name;
  for (char& letter : valid) {
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) {
      letter = '_';
    }
  }
  return valid.empty() || std::isdigit(static_cast<unsigned char>(valid.front())) != 0 ? "_" + valid
                                                                                       : valid;
}

TypeInformation type_information(std::span<const bpf::Slot> slots,
                                 std::span<const NamedFunction> functions) {
  TypeInformation all;
  std::string strings(1, '\0');
  const auto add_string = [&](const std::string& text) {
    const auto at = static_cast<std::uint32_t>(strings.size());
    strings += text + '\0';
    return at;
  };
  std::vector<std::byte> types;
  append(types, BtfType{.name = add_string("int"), .info = kInt, .size_or_type = 4});
  append(types, ul32(kSigned32));
  append(types, BtfType{.name = 0, .info = kPrototype, .size_or_type = kIntNumber});
  for (std::uint32_t i = 0; i < functions.size(); ++i) {
    append(types, BtfType{.name = add_string(name_in_c(functions[i].name)),
                          .info = kFunction,
                          .size_or_type = kPrototypeNumber});
    all.functions.push_back({.slot = functions[i].begin, .type = kFirstFunctionType + i});
  }
  BtfHeader header;
  header.types_bytes = static_cast<std::uint32_t>(types.size());
  header.strings_offset = static_cast<std::uint32_t>(types.size());
  header.strings_bytes = static_cast<std::uint32_t>(strings.size());
  append(all.btf, header);
  all.btf.insert(all.btf.end(), types.begin(), types.end());
  const auto text = std::as_bytes(std::span(strings));
  all.btf.insert(all.btf.end(), text.begin(), text.end());
  for (std::uint32_t i = 0; i < slots.size(); ++i) {
    all.lines.push_back({.slot = i, .file = 0, .text = 0, .line_and_column = (i + 1) << 10U});
    i += slots[i].opcode == bpf::kLoadImmediate64 ? 1U : 0U;
  }
  return all;
}

}  // namespace farcall::kernel
