#include "base/excerpt.hpp"

#include <fmt/format.h>

#include <boost/locale/utf.hpp>
#include <cstddef>

namespace farcall {
namespace {

namespace utf = boost::locale::utf;

constexpr std::size_t kMost = 2000;
constexpr std::size_t kEnd = 500;
constexpr std::size_t kMostGoOn = 3;  // bytes of a character after its first

bool goes_on(char byte) {  // a character of UTF-8
  return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U;
}

bool can_be_shown(utf::code_point character) {
  return character == '\n' || character == '\t' || (character >= 0x20 && character < 0x7f) ||
         character >= 0xa0;
}

std::string readable(std::string_view text) {
  std::string shown;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const char* const begin = at;
    const utf::code_point read = utf::utf_traits<char>::decode(at, end);
    const bool is_text = read != utf::illegal && read != utf::incomplete;
    if (is_text && can_be_shown(read)) {
      shown.append(begin, at);
    } else {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(*begin));
      at = begin + 1;
    }
  }
  return shown;
}

}  // namespace

std::string excerpt(std::string_view message) {
  if (message.size() <= kMost) {
    return readable(message);
  }
  std::size_t first = kMost - kEnd;
  std::size_t last = message.size() - kEnd;
  for (std::size_t i = 0; i < kMostGoOn && goes_on(message[first]); ++i) {
    --first;
  }
  for (std::size_t i = 0; i < kMostGoOn && goes_on(message[last]); ++i) {
    ++last;
  }
  return fmt::format("{} … {}", readable(message.substr(0, first)), readable(message.substr(last)));
}

}  // namespace farcall
