#include "kernel/version.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <regex>
#include <sstream>
#include <string_view>
#include <utility>

#include "kernel/architecture.hpp"

namespace farcall::kernel {
namespace {

constexpr std::string_view k64k = "-64k";

// glibc's order of version strings is dpkg's, once what dpkg treats apart has a place in it: `~` is
// before the end of a text, and the end before everything else.
std::string sortable(std::string_view version) {
  std::string text(version);
  std::ranges::replace(text, '~', '\1');
  std::ranges::replace(text, '-', '\2');
  return text + '\2';
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? ""
                                    : text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

}  // namespace

std::string_view name(Kind kind) {
  switch (kind) {
    case Kind::image:
      return "image";
    case Kind::source:
      return "source";
    case Kind::bpftool:
      break;
  }
  return "bpftool";
}

Result<Wanted> wanted(Kind kind, std::string_view text, std::string_view architecture_name) {
  static const std::regex kSeries("[0-9]+\\.[0-9]+");
  static const std::regex kVersion("[0-9]+\\.[0-9]+[-.~][0-9A-Za-z.+~-]*");
  FARCALL_TRYV(architecture(architecture_name));
  Wanted wanted{
      .kind = kind, .version = std::string(text), .architecture = std::string(architecture_name)};
  const bool is_ppc64el = architecture_name == kPpc64el;
  if (kind == Kind::image && is_ppc64el && text.ends_with(k64k)) {
    wanted.has_64k_pages = true;
    wanted.version.resize(text.size() - k64k.size());
  }
  wanted.is_series = std::regex_match(wanted.version, kSeries);
  if (!wanted.is_series && !std::regex_match(wanted.version, kVersion)) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("'{}' is not the version of a kernel", text),
                 .hint =
                     "expected a series, as 6.12, or a version, as 6.12.107-1; for pages of "
                     "64 KiB, -64k after it"};
  }
  return wanted;
}

std::string to_string(const Wanted& wanted) {
  return wanted.version + std::string(wanted.has_64k_pages ? k64k : "");
}

std::string series_of(std::string_view version) {
  const std::size_t dot = version.find('.');
  const std::size_t end = version.find_first_not_of("0123456789", dot + 1);
  return std::string(version.substr(0, end));
}

bool matches(const Wanted& wanted, std::string_view version) {
  if (wanted.kind == Kind::bpftool) {
    version.remove_prefix(std::min(version.size(), version.find('+') + 1));
  }
  if (wanted.is_series) {
    return series_of(version) == wanted.version;
  }
  return version == wanted.version || version.substr(0, version.rfind('-')) == wanted.version ||
         version.substr(0, version.find('-')) == wanted.version;
}

bool is_older(std::string_view left, std::string_view right) {
  return ::strverscmp(sortable(left).c_str(), sortable(right).c_str()) < 0;
}

std::vector<Listed> read_madison(std::string_view output) {
  std::istringstream lines{std::string(output)};
  std::vector<Listed> rows;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string package;
    std::string version;
    std::string source;
    if (std::getline(fields, package, '|') && std::getline(fields, version, '|') &&
        std::getline(fields, source)) {
      rows.push_back({.package = trimmed(package), .version = trimmed(version)});
    }
  }
  return rows;
}

bool is_part(const Wanted& wanted, std::string_view package) {
  const std::string series = series_of(wanted.version);
  if (wanted.kind == Kind::source) {
    return package == "linux-source-" + series;
  }
  if (wanted.kind == Kind::bpftool) {
    return package == "bpftool";
  }
  const auto of = architecture(wanted.architecture);
  const std::string flavour = fmt::format("-{}{}", of ? of.value()->flavour : "",
                                          wanted.has_64k_pages ? k64k : std::string_view());
  // Flavours of their own, whose names end with that of the plain one.
  if (package.ends_with("-cloud" + flavour) || package.ends_with("-rt" + flavour)) {
    return false;
  }
  constexpr std::array<std::string_view, 3> kBegins = {"linux-image-", "linux-binary-",
                                                       "linux-modules-"};
  return package.ends_with(flavour) && std::ranges::any_of(kBegins, [&](std::string_view begin) {
           return package.starts_with(begin) && series_of(package.substr(begin.size())) == series;
         });
}

std::vector<Choice> choices(std::span<const Listed> listed, const Wanted& wanted) {
  std::map<std::string, std::vector<std::string>, decltype(&is_older)> packages(&is_older);
  for (const Listed& row : listed) {
    if (is_part(wanted, row.package) && matches(wanted, row.version)) {
      std::vector<std::string>& names = packages[row.version];
      if (std::ranges::find(names, row.package) == names.end()) {
        names.push_back(row.package);
      }
    }
  }
  std::vector<Choice> found;
  for (auto& [version, names] : packages) {
    const auto is_image = [](const std::string& package) {
      return package.starts_with("linux-image-");
    };
    if (!std::ranges::all_of(names, is_image)) {
      std::erase_if(names, is_image);
    }
    std::ranges::sort(names);
    found.push_back({.version = version, .packages = std::move(names)});
  }
  std::ranges::reverse(found);
  return found;
}

}  // namespace farcall::kernel
