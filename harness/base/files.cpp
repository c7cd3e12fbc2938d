#include "base/files.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <system_error>
#include <utility>

namespace farcall {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

namespace fs = std::filesystem;

Error unwritable(const std::string& path, int reason) {
  return {.code = ErrorCode::file_unwritable,
          .message = fmt::format("cannot be written: {}", std::generic_category().message(reason)),
          .where = {path}};
}

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

std::string file_contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(text).str();
}

Result<OutputFile> OutputFile::open(const std::string& path) {
  OutputFile output;
  output.path_ = path;
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  const bool is_there = fs::exists(status);
  if (is_there && !fs::is_regular_file(status)) {
    output.stream_.reset(std::fopen(path.c_str(), "we"));
  } else {
    // A link goes on leading to the file.
    output.target_ = is_there ? fs::canonical(path, failure).string() : path;
    output.beside_ = fmt::format("{}.part-{}", output.target_, ::getpid());
    output.stream_.reset(std::fopen(output.beside_.c_str(), "we"));
    struct stat before = {};
    if (output.stream_ && is_there && ::stat(output.target_.c_str(), &before) == 0) {
      static_cast<void>(::fchmod(fileno(output.stream_.get()), before.st_mode & 07777));
    }
  }
  if (!output.stream_) {
    output.beside_.clear();
    return unwritable(path, errno);
  }
  return output;
}

OutputFile::~OutputFile() {
  if (stream_ && !beside_.empty()) {
    ::unlink(beside_.c_str());
  }
}

Result<void> OutputFile::commit() {
  const bool failed = std::ferror(stream_.get()) != 0;
  const bool closed = std::fclose(stream_.release()) == 0;
  const int reason = errno;
  if (failed || !closed) {
    if (!beside_.empty()) {
      ::unlink(beside_.c_str());
    }
    return Error{.code = ErrorCode::file_unwritable,
                 .message = closed ? "it could not be written as a whole"
                                   : unwritable(path_, reason).message,
                 .where = {path_},
                 .hint = beside_.empty() ? "" : "what was there before, if anything, still is"};
  }
  if (!beside_.empty() && std::rename(beside_.c_str(), target_.c_str()) != 0) {
    const int why = errno;
    ::unlink(beside_.c_str());
    return unwritable(path_, why);
  }
  return success();
}

Result<void> write_output(const std::string& path, std::string_view contents) {
  if (path.empty()) {
    // command::command_line() looks at standard output once all is written.
    std::fwrite(contents.data(), 1, contents.size(), stdout);
    return success();
  }
  FARCALL_TRY(file, OutputFile::open(path));
  std::fwrite(contents.data(), 1, contents.size(), file.stream());
  return file.commit();
}

}  // namespace farcall
