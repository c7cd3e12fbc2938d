// What the terminal can show, if there is one.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace farcall::command {

// Whether what is written to `descriptor` is drawn by a terminal that knows escape sequences: not
// to a file, nor to one that calls itself dumb.
bool has_escapes(int descriptor);

// On a terminal whose locale is not of UTF-8, standard output and standard error show what of
// farcall's characters ASCII has, and words or `?` for the others. A file gets UTF-8 in every
// locale. Called once, when farcall starts.
void suit_the_locale();

// Whether the locale that is set by these environment variables, null where one is not set, has
// UTF-8: POSIX says which of them counts.
bool is_utf8(const char* lc_all, const char* lc_ctype, const char* lang);

// `text`, UTF-8, in ASCII.
std::string to_ascii(std::string_view text);

}  // namespace farcall::command
