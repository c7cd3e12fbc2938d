#include "kernel/snapshot.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/cache_folder.hpp"
#include "base/file_identity.hpp"

namespace farcall::kernel {
namespace {

namespace fs = std::filesystem;

// A machine that a later farcall describes otherwise has a snapshot of another name: this one's is
// never read again.
constexpr std::chrono::days kKept{14};
constexpr std::string_view kBeside = "partial-";
constexpr std::string_view kFirst = "A snapshot of farcall's, of a guest that runs ";

std::string sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    text += fmt::format("{:02x}", digest[i]);
  }
  return text;
}

// Exists, is ours, and nobody else can look into it.
bool is_ours_alone(const struct stat& status) {
  return status.st_uid == ::geteuid() && (status.st_mode & 077U) == 0;
}

bool make_private(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return false;
  }
  struct stat status = {};
  return ::lstat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && is_ours_alone(status);
}

// Whether the kernel is there that a snapshot is of.
bool has_its_kernel(const fs::path& snapshot) {
  std::error_code error;
  if (!fs::is_regular_file(snapshot, error)) {
    return false;
  }
  std::string line;
  std::getline(std::ifstream(snapshot, std::ios::binary), line);
  return line.starts_with(kFirst) && fs::exists(line.substr(kFirst.size()));
}

bool is_forgotten(const fs::path& snapshot) {
  std::error_code error;
  const auto used = fs::last_write_time(snapshot, error);
  return !error && fs::file_time_type::clock::now() - used > kKept;
}

void tidy(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> gone;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kBeside) ||
        (name.ends_with(".snapshot") &&
         (!has_its_kernel(entry.path()) || is_forgotten(entry.path())))) {
      gone.push_back(entry.path());
    }
  }
  for (const fs::path& path : gone) {
    fs::remove(path, error);
  }
}

}  // namespace

std::optional<fs::path> snapshot_folder() {
  const auto cache = cache_folder();
  return cache ? std::optional(*cache / "snapshots") : std::nullopt;
}

Snapshot::Snapshot(const fs::path& folder, const vm::LinuxMachine& machine, const fs::path& vmlinux,
                   std::span<const std::byte> initramfs) {
  const std::string of = fmt::format("{}{}\n{}\n", kFirst, vmlinux.string(), machine.made_of);
  key_ = fmt::format("{}{}\n{}\n{}\n\n", of, file_identity(vmlinux.string()),
                     file_identity(machine.qemu), sha256(initramfs));
  path_ = folder / (sha256(std::as_bytes(std::span(of))).substr(0, 16) + ".snapshot");
}

std::optional<process::FileDescriptor> Snapshot::open() const {
  // It may be a pipe, of all things: nobody waits for who writes to it.
  process::FileDescriptor file(
      ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status = {};
  std::string begin(key_.size(), '\0');
  if (file.number() < 0 || ::fstat(file.number(), &status) != 0 || !is_ours_alone(status) ||
      ::read(file.number(), begin.data(), begin.size()) != static_cast<ssize_t>(begin.size()) ||
      begin != key_) {
    return std::nullopt;
  }
  ::futimens(file.number(), nullptr);  // used now
  return file;
}

std::optional<SnapshotWriter> SnapshotWriter::begin(const Snapshot& snapshot) {
  const fs::path folder = snapshot.path_.parent_path();
  if (!make_private(folder)) {
    return std::nullopt;
  }
  process::FileDescriptor lock(
      ::open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.number() < 0 || ::flock(lock.number(), LOCK_EX | LOCK_NB) != 0) {
    return std::nullopt;
  }
  tidy(folder);
  std::string name = (folder / fmt::format("{}XXXXXX", kBeside)).string();
  process::FileDescriptor file(::mkostemp(name.data(), O_CLOEXEC));  // of mode 0600
  if (file.number() < 0) {
    return std::nullopt;
  }
  SnapshotWriter writer(std::move(lock), std::move(file), name, snapshot.path_);
  if (::write(writer.descriptor(), snapshot.key_.data(), snapshot.key_.size()) !=
      static_cast<ssize_t>(snapshot.key_.size())) {
    return std::nullopt;
  }
  return writer;
}

SnapshotWriter::~SnapshotWriter() {
  if (lock_.number() >= 0) {
    ::unlink(partial_.c_str());  // nothing, once it is in its place
  }
}

Result<void> SnapshotWriter::commit() {
  if (::rename(partial_.c_str(), path_.c_str()) != 0) {
    return Error{.code = ErrorCode::file_unwritable,
                 .message = std::generic_category().message(errno),
                 .where = {path_.string()}};
  }
  return success();
}

}  // namespace farcall::kernel
