#include "show/tag.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <charconv>
#include <span>
#include <stdexcept>

#include "base/byte_order.hpp"
#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::show {
namespace {

Tag digest(std::span<const bpf::Slot> slots, std::endian order, TagHash hash) {
  const std::vector<std::byte> bytes = bpf::encode(slots, order);
  std::array<unsigned char, EVP_MAX_MD_SIZE> value = {};
  const EVP_MD* const function = hash == TagHash::sha1 ? EVP_sha1() : EVP_sha256();
  if (EVP_Digest(bytes.data(), bytes.size(), value.data(), nullptr, function, nullptr) != 1) {
    throw std::runtime_error("libcrypto has no such digest");
  }
  return {load<std::uint64_t>(std::as_bytes(std::span(value)).data(), std::endian::big)};
}

template <typename Visit>
void for_each_instruction(std::vector<bpf::Slot>& slots, Visit visit) {
  for (const bpf::SlotIndex at : instructions(slots)) {
    visit(at, slots[at]);
  }
}

bool is_load64(const bpf::Slot& slot) {
  return slot.opcode == bpf::kLoadImmediate64;
}

std::vector<bpf::Slot> without_maps(std::vector<bpf::Slot> slots) {
  for_each_instruction(slots, [&slots](std::size_t at, bpf::Slot& slot) {
    if (is_load64(slot) && (slot.src == bpf::kPseudoMap || slot.src == bpf::kPseudoMapValue)) {
      slot.imm = 0;
      slots[at + 1].imm = 0;
    }
  });
  return slots;
}

// Rewritten as the verifier leaves it before the JIT's first pass.
std::vector<bpf::Slot> rewritten(const bpf::Program& program, std::uint64_t placeholder) {
  std::vector<bpf::Slot> slots = without_maps(program.slots);
  for_each_instruction(slots, [&](std::size_t at, bpf::Slot& slot) {
    if (is_load64(slot) && slot.src == bpf::kPseudoFunction) {
      const auto target = static_cast<bpf::SlotIndex>(static_cast<std::int64_t>(at) + 1 + slot.imm);
      slot.offset = static_cast<std::int16_t>(function_at(program, target).value_or(0));
      slot.imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(placeholder));
      slots[at + 1].imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(placeholder >> 32U));
    }
  });
  for (const bpf::PseudoCall& call : pseudo_calls(program)) {
    bpf::Slot& slot = slots[call.slot];
    if (slot.src == bpf::kPseudoCall) {
      slot.offset = static_cast<std::int16_t>(call.callee);
      slot.imm = 1;
    }
  }
  return slots;
}

}  // namespace

std::string to_string(Tag tag) {
  return fmt::format("{:016x}", tag.value);
}

std::optional<Tag> tag_from(std::string_view text) {
  Tag tag;
  const char* const end = text.data() + text.size();
  const auto [after, failure] = std::from_chars(text.data(), end, tag.value, 16);
  if (text.size() != 16 || after != end || failure != std::errc{}) {
    return std::nullopt;
  }
  return tag;
}

ProgramTags tags(const bpf::Program& program, std::endian order, TagHash hash,
                 std::uint64_t placeholder) {
  ProgramTags result{.program = digest(without_maps(program.slots), order, hash)};
  const std::vector<bpf::Slot> slots = rewritten(program, placeholder);
  for (const bpf::Function& function : program.functions) {
    const auto own = std::span(slots).subspan(function.begin, function.end - function.begin);
    result.functions.push_back(digest(own, order, hash));
  }
  return result;
}

}  // namespace farcall::show
