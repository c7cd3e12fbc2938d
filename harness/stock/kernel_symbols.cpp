#include "stock/kernel_symbols.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>
#include <vector>

#include "base/byte_order.hpp"
#include "bpf/program.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {
namespace {

constexpr std::int32_t kLookUpName = 179;  // bpf_kallsyms_lookup_name(name, size, flags, result)
constexpr std::uint8_t kMovNumber = 0xb7;
constexpr std::uint8_t kEnd = 0x95;
constexpr std::uint32_t kAddressBytes = 8;
constexpr std::uint32_t kRowBytes = 2 * kAddressBytes;
constexpr std::int32_t kReadKernel = 113;          // bpf_probe_read_kernel
constexpr std::uint8_t kLoadDoubleword = 0x79;     // ldxdw
constexpr std::uint32_t kRegisters = 0xffff0000;   // of an instruction with an immediate
constexpr std::uint32_t kTocFromR12 = 0x3c4c0000;  // addis r2,r12,…
constexpr std::uint32_t kTocByLis = 0x3c400000;    // lis r2,…

std::vector<std::string> asked_names() {
  std::vector<std::string> names = {kCallBaseSymbol};
  for (const RealHelper& helper : kRealHelpers) {
    for (const char* const symbol : {helper.symbol, helper.of_array, helper.of_hash}) {
      if (symbol != nullptr) {
        names.emplace_back(symbol);
        names.push_back(code_symbol(symbol));
      }
    }
  }
  for (std::uint32_t bytes = kInterpretedStackStep; bytes <= kMostInterpretedStack;
       bytes += kInterpretedStackStep) {
    names.push_back(interpreter_symbol(bytes));
  }
  return names;
}

void load_place(std::vector<bpf::Slot>& slots, std::uint8_t to, std::size_t offset) {
  slots.push_back(
      {.opcode = bpf::kLoadImmediate64, .dst = to, .src = bpf::kPseudoMapValue, .imm = 0});
  slots.push_back({.imm = static_cast<std::int32_t>(offset)});
}

}  // namespace

std::string interpreter_symbol(std::uint32_t stack_bytes) {
  return fmt::format("__bpf_prog_run_args{}", stack_bytes);
}

std::string code_symbol(const std::string& function) {
  return "." + function;
}

std::optional<GuestAddress> KernelSymbols::find(std::string_view name) const {
  const auto found = all_.find(name);
  return found == all_.end() ? std::nullopt : std::optional(found->second);
}

bool KernelSymbols::is_without_toc_at(GuestAddress address) const {
  return std::ranges::any_of(all_, [&](const auto& symbol) {
    return symbol.second == address && without_toc_.contains(symbol.first);
  });
}

kernel::Question symbols_question(std::endian order) {
  const std::vector<std::string> names = asked_names();
  // The region: of each the address and the first two words there, and then the names.
  kernel::Region region{.bytes = std::vector<std::byte>(names.size() * kRowBytes)};
  kernel::Question question;
  for (std::size_t i = 0; i < names.size(); ++i) {
    load_place(question.slots, 1, region.bytes.size());
    const std::size_t size = names[i].size() + 1;
    question.slots.push_back(
        {.opcode = kMovNumber, .dst = 2, .imm = static_cast<std::int32_t>(size)});
    question.slots.push_back({.opcode = kMovNumber, .dst = 3, .imm = 0});
    load_place(question.slots, 4, i * kRowBytes);
    question.slots.push_back({.opcode = kCallOpcode, .imm = kLookUpName});
    load_place(question.slots, 1, i * kRowBytes);
    question.slots.push_back({.opcode = kLoadDoubleword, .dst = 3, .src = 1});
    load_place(question.slots, 1, i * kRowBytes + kAddressBytes);
    question.slots.push_back({.opcode = kMovNumber, .dst = 2, .imm = kAddressBytes});
    question.slots.push_back({.opcode = kCallOpcode, .imm = kReadKernel});
    const auto text = std::as_bytes(std::span(names[i].c_str(), size));
    region.bytes.insert(region.bytes.end(), text.begin(), text.end());
  }
  question.slots.push_back({.opcode = kMovNumber, .dst = 0, .imm = 0});
  question.slots.push_back({.opcode = kEnd});
  question.regions.push_back(std::move(region));
  const kernel::NamedFunction main = {.name = "main", .begin = 0};
  question.types = kernel::type_information(question.slots, std::span(&main, 1), order);
  return question;
}

KernelSymbols symbols(const kernel::Answered& answered, std::endian order) {
  const std::vector<std::string> names = asked_names();
  if (!answered || answered.value().outcome != wire::KernelOutcome::done ||
      answered.value().regions.size() != 1 ||
      answered.value().regions[0].bytes.size() < names.size() * kRowBytes) {
    return {};
  }
  const std::vector<std::byte>& bytes = answered.value().regions[0].bytes;
  std::map<std::string, GuestAddress, std::less<>> all;
  std::set<std::string, std::less<>> without_toc;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto address = load<std::uint64_t>(&bytes[i * kRowBytes], order);
    const auto first = load<std::uint32_t>(&bytes[i * kRowBytes + kAddressBytes], order);
    if (address != 0) {
      all.emplace(names[i], GuestAddress{address});
    }
    // 0: its code could not be read.
    if (address != 0 && first != 0 && (first & kRegisters) != kTocFromR12 &&
        (first & kRegisters) != kTocByLis) {
      without_toc.insert(names[i]);
    }
  }
  return KernelSymbols(std::move(all), std::move(without_toc));
}

}  // namespace farcall::stock
