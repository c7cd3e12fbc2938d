// A program's BTF, as the kernel's Documentation/bpf/btf.rst has it: all functions take nothing and
// return an int, which nobody looks at.
#include <fmt/format.h>

#include <bit>
#include <cctype>
#include <concepts>
#include <span>
#include <string>
#include <string_view>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "kernel/exchange.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::kernel {
namespace {

constexpr std::uint16_t kMagic = 0xeb9f;
constexpr std::uint8_t kBtfVersion = 1;
constexpr std::uint8_t kFlags = 0;
constexpr std::uint32_t kHeaderBytes = 24;

struct BtfType {
  std::uint32_t name = 0;  // in the strings
  std::uint32_t info = 0;  // the kind in bits 24 to 28
  std::uint32_t size_or_type = 0;
};

constexpr std::uint32_t kInt = 1U << 24U;
constexpr std::uint32_t kFunction = 12U << 24U;
constexpr std::uint32_t kPrototype = 13U << 24U;
constexpr std::uint32_t kSigned32 = 0x0100'0020;  // what follows an int: signed, 32 bits
constexpr std::uint32_t kIntNumber = 1;
constexpr std::uint32_t kPrototypeNumber = 2;

// BTF is in its kernel's byte order.
class Btf {
 public:
  explicit Btf(std::endian order) : order_(order) {}

  template <std::unsigned_integral T>
  void append(T number) {
    bytes_.resize(bytes_.size() + sizeof(T));
    store(&bytes_[bytes_.size() - sizeof(T)], number, order_);
  }
  void append(const BtfType& type) {
    append(type.name);
    append(type.info);
    append(type.size_or_type);
  }
  void append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::endian order_;
  std::vector<std::byte> bytes_;
};

}  // namespace

std::string name_in_c(const std::string& name) {
  constexpr std::size_t kMostBytes =
      wire::kKernelSymbolBytes - std::string_view("bpf_prog_0123456789abcdef_").size() - 1;
  std::string valid = name;
  for (char& letter : valid) {
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) {
      letter = '_';
    }
  }
  if (valid.empty() || std::isdigit(static_cast<unsigned char>(valid.front())) != 0) {
    valid.insert(valid.begin(), '_');
  }
  return valid.substr(0, kMostBytes);
}

TypeInformation type_information(std::span<const bpf::Slot> slots,
                                 std::span<const NamedFunction> functions, std::endian order) {
  TypeInformation all;
  std::string strings(1, '\0');
  const auto add_string = [&](const std::string& text) {
    const auto at = static_cast<std::uint32_t>(strings.size());
    strings += text + '\0';
    return at;
  };
  Btf types(order);
  types.append({.name = add_string("int"), .info = kInt, .size_or_type = 4});
  types.append(kSigned32);
  types.append({.name = 0, .info = kPrototype, .size_or_type = kIntNumber});
  for (std::uint32_t i = 0; i < functions.size(); ++i) {
    types.append({.name = add_string(name_in_c(functions[i].name)),
                  .info = kFunction,
                  .size_or_type = kPrototypeNumber});
    all.functions.push_back({.slot = functions[i].begin, .type = kFirstFunctionType + i});
  }
  const auto types_bytes = static_cast<std::uint32_t>(types.bytes().size());
  constexpr std::uint32_t kAfterHeader = 0;
  Btf whole(order);
  whole.append(kMagic);
  whole.append(kBtfVersion);
  whole.append(kFlags);
  whole.append(kHeaderBytes);
  whole.append(kAfterHeader);  // the types, and how long they are; then the strings
  whole.append(types_bytes);
  whole.append(types_bytes);
  whole.append(static_cast<std::uint32_t>(strings.size()));
  whole.append(types.bytes());
  whole.append(std::as_bytes(std::span(strings)));
  all.btf = whole.bytes();
  for (std::uint32_t i = 0; i < slots.size(); ++i) {
    all.lines.push_back({.slot = i, .line_and_column = (i + 1) << 10U});
    i += slots[i].opcode == bpf::kLoadImmediate64 ? 1U : 0U;
  }
  return all;
}

}  // namespace farcall::kernel
