// The axes of the matrix: what kind of guest runs the code, and how its calls are made.
//
// Names are those of case files and cell names; each enum has its names in one table (axes.cpp).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace farcall::model {

enum class Endian : std::uint8_t { little, big };
enum class Cpu : std::uint8_t { power8, power9, power10 };  // the later, the more it has
inline constexpr std::size_t kCpuCount = 1 + static_cast<std::size_t>(Cpu::power10);
enum class Mmu : std::uint8_t { hash, radix };
enum class Abi : std::uint8_t { elfv1, elfv2 };
enum class CallScheme : std::uint8_t { imm32, aux64, pair64, table };  // model/schemes.hpp
inline constexpr std::size_t kCallSchemeCount = 1 + static_cast<std::size_t>(CallScheme::table);
enum class Reach : std::uint8_t { bl, toc, abs64, pcrel };  // how code gets to an address
inline constexpr std::size_t kReachCount = 1 + static_cast<std::size_t>(Reach::pcrel);
enum class GuestKind : std::uint8_t { bare, linux };

// The order is that of the values in a cell's name.
enum class Axis : std::uint8_t { endian, cpu, mmu, abi, call, reach, guest };
inline constexpr std::size_t kAxisCount = 7;

// One value for each axis, and the defaults of axes that a case does not declare.
struct AxisValues {
  Endian endian = Endian::little;
  Cpu cpu = Cpu::power9;
  Mmu mmu = Mmu::radix;
  Abi abi = Abi::elfv2;
  CallScheme call = CallScheme::table;
  Reach reach = Reach::abs64;
  GuestKind guest = GuestKind::bare;

  friend auto operator<=>(const AxisValues&, const AxisValues&) = default;
};

std::string_view name(Axis axis);
std::optional<Axis> axis_named(std::string_view text);

// The names of an axis' values, in the order of its enum: `value_names(Axis::cpu)[1]` is "power9".
std::span<const std::string_view> value_names(Axis axis);

// Uniform access for code that treats all axes alike; `value` is an index into value_names().
std::size_t value_of(const AxisValues& values, Axis axis);
void set_value(AxisValues& values, Axis axis, std::size_t value);

inline std::string_view value_name(const AxisValues& values, Axis axis) {
  return value_names(axis)[value_of(values, axis)];
}

// Radix translation came with Power ISA 3.0.
constexpr bool has_radix(Cpu cpu) {
  return cpu >= Cpu::power9;
}

constexpr std::endian byte_order(Endian endian) {
  return endian == Endian::big ? std::endian::big : std::endian::little;
}

}  // namespace farcall::model
