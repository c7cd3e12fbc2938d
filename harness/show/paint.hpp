// Colours of listings on a terminal.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace farcall::show {

enum class Colour : std::uint8_t { plain, name, call, dim };

inline std::string paint(std::string_view text, Colour colour, bool enabled) {
  constexpr std::array<std::string_view, 4> kEscapes = {"", "\033[36m", "\033[33m", "\033[2m"};
  if (!enabled || colour == Colour::plain) {
    return std::string(text);
  }
  std::string painted(kEscapes[static_cast<std::size_t>(colour)]);
  return painted.append(text).append("\033[0m");
}

}  // namespace farcall::show
