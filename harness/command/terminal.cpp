#include "command/terminal.hpp"

#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace farcall::command {
namespace {

using std::string_view_literals::operator""sv;

// All characters beyond ASCII that farcall prints.
constexpr std::array kInAscii = {
    std::pair{"✓"sv, "ok"sv}, std::pair{"→"sv, ">"sv},   std::pair{"←"sv, "<"sv},
    std::pair{"•"sv, "*"sv},  std::pair{"×"sv, "x"sv},   std::pair{"–"sv, "-"sv},
    std::pair{"−"sv, "-"sv},  std::pair{"…"sv, "..."sv}, std::pair{"±"sv, "+-"sv},
    std::pair{"µ"sv, "u"sv},  std::pair{"█"sv, "#"sv},   std::pair{"░"sv, "."sv},
    std::pair{"│"sv, "|"sv},  std::pair{"─"sv, "-"sv},   std::pair{"┬"sv, "+"sv},
    std::pair{"┼"sv, "+"sv},  std::pair{"┴"sv, "+"sv},   std::pair{"├"sv, "+"sv},
    std::pair{"┤"sv, "+"sv},  std::pair{"┌"sv, "+"sv},   std::pair{"┐"sv, "+"sv},
    std::pair{"└"sv, "+"sv},  std::pair{"┘"sv, "+"sv},   std::pair{"⋮"sv, ":"sv},
    std::pair{"≤"sv, "<="sv}, std::pair{"≥"sv, ">="sv},  std::pair{"◄"sv, "<"sv},
    std::pair{"✗"sv, "x"sv},  std::pair{"·"sv, "."sv},   std::pair{"●"sv, "*"sv},
    std::pair{"—"sv, "-"sv}};

// Characters that a write to a stream cut in two come together again.
struct AsciiStream {
  int descriptor;
  std::string pending = {};
};

// How many bytes at the end of `text` begin a character and do not finish it.
std::size_t unfinished(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) != 0x80) {
      const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
      return length > back ? back : 0;
    }
  }
  return 0;
}

ssize_t write_ascii(void* cookie, const char* bytes, std::size_t count) {
  AsciiStream& stream = *static_cast<AsciiStream*>(cookie);
  stream.pending.append(bytes, count);
  const std::size_t whole = stream.pending.size() - unfinished(stream.pending);
  const std::string text = to_ascii(std::string_view(stream.pending).substr(0, whole));
  stream.pending.erase(0, whole);
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(stream.descriptor, text.data() + done, text.size() - done);
    if (written < 0) {
      return 0;  // which the stream takes for an error
    }
    done += static_cast<std::size_t>(written);
  }
  return static_cast<ssize_t>(count);
}

// As long as the process: what is in it is written at its end, as that of the stream before.
std::FILE* ascii_stream(int descriptor, int buffering) {
  auto* const stream = new AsciiStream{descriptor};
  std::FILE* const file = ::fopencookie(stream, "w", {.write = write_ascii});
  if (file != nullptr) {
    std::setvbuf(file, nullptr, buffering, BUFSIZ);
  }
  return file;
}

}  // namespace

bool has_escapes(int descriptor) {
  const char* const terminal = std::getenv("TERM");
  return ::isatty(descriptor) != 0 && terminal != nullptr && *terminal != '\0' &&
         terminal != "dumb"sv;
}

bool is_utf8(const char* lc_all, const char* lc_ctype, const char* lang) {
  for (const char* const locale : {lc_all, lc_ctype, lang}) {
    if (locale != nullptr && *locale != '\0') {
      const auto dot = std::string_view(locale).find('.');
      const char* const codeset = dot == std::string_view::npos ? "" : locale + dot + 1;
      return ::strncasecmp(codeset, "utf-8", 5) == 0 || ::strncasecmp(codeset, "utf8", 4) == 0;
    }
  }
  return false;
}

void suit_the_locale() {
  if (is_utf8(std::getenv("LC_ALL"), std::getenv("LC_CTYPE"), std::getenv("LANG"))) {
    return;
  }
  if (::isatty(STDOUT_FILENO) != 0) {
    if (std::FILE* const file = ascii_stream(STDOUT_FILENO, _IOLBF)) {
      stdout = file;
    }
  }
  if (::isatty(STDERR_FILENO) != 0) {
    if (std::FILE* const file = ascii_stream(STDERR_FILENO, _IONBF)) {
      stderr = file;
    }
  }
}

std::string to_ascii(std::string_view text) {
  std::string ascii;
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ascii += text[at++];
      continue;
    }
    const auto* const known = std::ranges::find_if(kInAscii, [&](const auto& character) {
      return text.substr(at).starts_with(character.first);
    });
    if (known != kInAscii.end()) {
      ascii += known->second;
      at += known->first.size();
      continue;
    }
    ascii += '?';
    for (++at; at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;) {
      ++at;
    }
  }
  return ascii;
}

}  // namespace farcall::command
