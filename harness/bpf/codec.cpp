#include "bpf/codec.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"

namespace farcall::bpf {

SlotBytes encode(const Slot& slot, std::endian order) {
  const unsigned low = order == std::endian::little ? slot.dst : slot.src;
  const unsigned high = order == std::endian::little ? slot.src : slot.dst;
  SlotBytes bytes{};
  bytes[0] = std::byte{slot.opcode};
  bytes[1] = static_cast<std::byte>((high & 15) << 4 | (low & 15));
  store(&bytes[2], static_cast<std::uint16_t>(slot.offset), order);
  store(&bytes[4], static_cast<std::uint32_t>(slot.imm), order);
  return bytes;
}

std::uint64_t word_of(const Slot& slot, std::endian order) {
  return load<std::uint64_t>(encode(slot, order).data(), order);
}

Slot slot_of_word(std::uint64_t word, std::endian order) {
  SlotBytes bytes{};
  store(bytes.data(), word, order);
  return decode(bytes, order);
}

std::vector<std::byte> encode(std::span<const Slot> slots, std::endian order) {
  std::vector<std::byte> bytes(slots.size() * kSlotBytes);
  auto at = bytes.begin();
  for (const Slot& slot : slots) {
    at = std::ranges::copy(encode(slot, order), at).out;
  }
  return bytes;
}

Result<std::vector<Slot>> decode_slots(std::span<const std::byte> bytes, std::endian order) {
  if (bytes.size() % kSlotBytes != 0) {
    return Error{.code = ErrorCode::bpf_truncated_slot,
                 .message = fmt::format("{} bytes of BPF: expected a multiple of {}", bytes.size(),
                                        kSlotBytes)};
  }
  std::vector<Slot> slots;
  slots.reserve(bytes.size() / kSlotBytes);
  for (; !bytes.empty(); bytes = bytes.subspan(kSlotBytes)) {
    slots.push_back(decode(bytes.first<kSlotBytes>(), order));
  }
  return slots;
}

std::pair<Slot, Slot> load_immediate64_slots(std::uint8_t dst, std::uint64_t value) {
  const auto half = [](std::uint64_t bits) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(bits));
  };
  return {{.opcode = kLoadImmediate64, .dst = dst, .imm = half(value)}, {.imm = half(value >> 32)}};
}

}  // namespace farcall::bpf
