#include "base/files.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

namespace farcall {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

}  // namespace

Result<std::string> read_file(const std::string& path, std::string_view hint,
                              std::size_t most_bytes) {
  const bool standard_input = path == "-";
  const File file(standard_input ? stdin : std::fopen(path.c_str(), "rb"),
                  [](std::FILE* opened) { return opened == stdin ? 0 : std::fclose(opened); });
  std::string text;
  std::array<char, 65536> buffer{};
  while (file && text.size() <= most_bytes) {
    const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), file.get());
    if (count == 0) {
      break;
    }
    text.append(buffer.data(), count);
  }
  if (!file || std::ferror(file.get()) != 0) {
    return Error{
        .code = ErrorCode::file_unreadable,
        .message = fmt::format("cannot be read: {}", std::generic_category().message(errno)),
        .where = {path},
        .hint = std::string(hint)};
  }
  if (text.size() > most_bytes) {
    return Error{.code = ErrorCode::file_too_large,
                 .message = fmt::format("expected at most {} bytes", most_bytes),
                 .where = {path}};
  }
  return text;
}

Result<void> write_output(const std::string& path, std::string_view contents) {
  const Error unwritable{
      .code = ErrorCode::file_unwritable, .message = "cannot be written", .where = {path}};
  if (path.empty()) {
    // command::command_line() looks at standard output once all is written.
    std::fwrite(contents.data(), 1, contents.size(), stdout);
    return success();
  }
  File file(std::fopen(path.c_str(), "wb"), std::fclose);
  if (!file) {
    return unwritable;
  }
  const bool complete =
      std::fwrite(contents.data(), 1, contents.size(), file.get()) == contents.size();
  return std::fclose(file.release()) == 0 && complete ? Result<void>(success()) : unwritable;
}

}  // namespace farcall
