// Which of Debian's kernels is meant, and which of those that are listed it is.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace farcall::kernel {

enum class Kind : std::uint8_t {
  image,    // the kernel; for ppc64el, its modules, too
  source,   // the tree that it was built from, with Debian's patches
  bpftool,  // of the same source, for ppc64el, with the libraries that it needs
};
std::string_view name(Kind kind);

// A kernel as the user names it. `6.12` is a series: the newest of it. All else is exact: a
// package's version, `6.12.107-1`, or the part of it that is Linux's own, `6.12.107`. `-64k` after
// either means the image with pages of 64 KiB, where Debian has one beside that with pages of 4
// KiB.
struct Wanted {
  Kind kind{};
  std::string version;
  bool is_series = false;
  bool has_64k_pages = false;
  std::string architecture = "ppc64el";  // of an image

  friend bool operator==(const Wanted&, const Wanted&) = default;
};
// usage.bad-argument.
Result<Wanted> wanted(Kind kind, std::string_view text, std::string_view architecture = "ppc64el");
std::string to_string(const Wanted& wanted);  // as the user names it

// `6.12` of `6.12.107-1`, `7.3` of `7.3~rc7-1~exp1`.
std::string series_of(std::string_view version);

// Whether the package version `version` is one that is wanted. bpftool's has its own in front:
// `7.1.0+6.1.176-1`.
bool matches(const Wanted& wanted, std::string_view version);

// Whether the package version `left` is older than `right`, as dpkg orders those of kernels.
bool is_older(std::string_view left, std::string_view right);

// A row of `apt-cache madison`.
struct Listed {
  std::string package;
  std::string version;

  friend bool operator==(const Listed&, const Listed&) = default;
};
std::vector<Listed> read_madison(std::string_view output);

// Whether a package of this name may be a part of what is wanted.
bool is_part(const Wanted& wanted, std::string_view package);

// A version that can be asked for, and the packages it consists of. Since 7.2, Debian's
// linux-image is an empty package that depends on linux-binary and linux-modules.
struct Choice {
  std::string version;
  std::vector<std::string> packages;

  friend bool operator==(const Choice&, const Choice&) = default;
};
// The newest comes first.
std::vector<Choice> choices(std::span<const Listed> listed, const Wanted& wanted);

}  // namespace farcall::kernel
