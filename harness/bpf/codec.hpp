// How slots lie in memory, RFC 9669 section 3: opcode, registers, offset (16 bits), imm (32 bits).
//
// Offset and imm are in the byte order of the machine that runs the program, and so is the byte
// with the two registers: dst is its low nibble in a little-endian program, its high one in a
// big-endian one.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

inline constexpr std::size_t kSlotBytes = 8;

using SlotBytes = std::array<std::byte, kSlotBytes>;

SlotBytes encode(const Slot& slot, std::endian order);
inline Slot decode(std::span<const std::byte, kSlotBytes> bytes, std::endian order) {
  const auto registers = std::to_integer<unsigned>(bytes[1]);
  const auto low = static_cast<std::uint8_t>(registers & 15);
  const auto high = static_cast<std::uint8_t>(registers >> 4);
  return {.opcode = std::to_integer<std::uint8_t>(bytes[0]),
          .dst = order == std::endian::little ? low : high,
          .src = order == std::endian::little ? high : low,
          .offset = static_cast<std::int16_t>(load<std::uint16_t>(&bytes[2], order)),
          .imm = static_cast<std::int32_t>(load<std::uint32_t>(&bytes[4], order))};
}

// A slot as the 64-bit number that its bytes in memory are to a machine of that byte order, and
// back. Any number is some slot's. With `std::endian::little` the number has the opcode in its low
// byte.
std::uint64_t word_of(const Slot& slot, std::endian order);
Slot slot_of_word(std::uint64_t word, std::endian order);

// Whole programs. Bytes that are not a multiple of kSlotBytes are bpf.truncated-slot.
std::vector<std::byte> encode(std::span<const Slot> slots, std::endian order);
Result<std::vector<Slot>> decode_slots(std::span<const std::byte> bytes, std::endian order);

// The two slots of a 64-bit immediate load into register `dst`. immediate64() is the way back.
std::pair<Slot, Slot> load_immediate64_slots(std::uint8_t dst, std::uint64_t value);

}  // namespace farcall::bpf
