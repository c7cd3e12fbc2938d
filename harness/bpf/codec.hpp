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

#include "base/error.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

inline constexpr std::size_t kSlotBytes = 8;

using SlotBytes = std::array<std::byte, kSlotBytes>;

SlotBytes encode(const Slot& slot, std::endian order);
Slot decode(std::span<const std::byte, kSlotBytes> bytes, std::endian order);

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
