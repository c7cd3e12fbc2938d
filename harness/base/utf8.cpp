#include "base/utf8.hpp"

#include <boost/locale/utf.hpp>

namespace farcall {

namespace utf = boost::locale::utf;

std::string valid_utf8(std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string valid;
  valid.reserve(text.size());
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const char* const begin = at;
    const utf::code_point read = utf::utf_traits<char>::decode(at, end);
    if (read == utf::illegal || read == utf::incomplete) {
      valid += kReplacement;
      at = begin + 1;
    } else {
      valid.append(begin, at);
    }
  }
  return valid;
}

}  // namespace farcall
