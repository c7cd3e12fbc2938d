#include "vm/embedded_libvirt.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/cache_folder.hpp"
#include "vm/last_will.hpp"
#include "vm/qemu_process.hpp"

namespace farcall::vm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUriBegin = "qemu:///embed?root=";
constexpr std::string_view kFolderBegin = "farcall-libvirt-";

// QEMU runs as we do; nothing of the host is touched for it; its output goes to a file, as there is
// no virtlogd.
constexpr std::string_view kConfiguration =
    "user = \"+{0}\"\n"
    "group = \"+{1}\"\n"
    "dynamic_ownership = 0\n"
    "remember_owner = 0\n"
    "stdio_handler = \"file\"\n"
    "security_driver = \"none\"\n"
    "namespaces = [ ]\n"
    "cgroup_controllers = [ ]\n";

// $1: the folder. Another farcall may have machines in it: {} is the process whose are to be ended.
constexpr std::string_view kEndMachines =
    "for file in \"$1\"/run/qemu/farcall-{}-*.pid; do\n"
    "  if [ -f \"$file\" ]; then kill -9 \"$(cat \"$file\")\"; fi\n"
    "done\n";
constexpr const char* kRemoveFolder = "rm -rf \"$1\"\n";

// Memory and sockets: a file system in memory suits both.
fs::path scratch() {
  std::error_code failure;
  return ::access("/dev/shm", W_OK) == 0 ? fs::path("/dev/shm") : fs::temp_directory_path(failure);
}

Error unwritable(const fs::path& path, const std::string& why) {
  return {.code = ErrorCode::file_unwritable, .message = why, .where = {path.string()}};
}

Result<void> write_configuration(const fs::path& root) {
  std::error_code failure;
  fs::create_directories(root / "etc", failure);
  const fs::path file = root / "etc/qemu.conf";
  if (fs::exists(file, failure)) {
    return success();
  }
  std::ofstream out(file);
  out << fmt::format(kConfiguration, ::geteuid(), ::getegid());
  out.close();
  return out ? Result<void>(success()) : unwritable(file, "cannot be written");
}

}  // namespace

std::string embedded_root(const std::string& uri) {
  return uri.starts_with(kUriBegin) ? uri.substr(kUriBegin.size()) : "";
}

Result<EmbeddedLibvirt> EmbeddedLibvirt::prepare(const std::string& root) {
  fs::path folder = root;
  const bool ours = root.empty();
  if (ours) {
    std::string name = (scratch() / fmt::format("{}{}-XXXXXX", kFolderBegin, ::getpid())).string();
    if (::mkdtemp(name.data()) == nullptr) {
      return unwritable(scratch(), "no folder can be made in it");
    }
    folder = name;
  }
  FARCALL_TRYV(write_configuration(folder));
  if (const auto cache = cache_folder(); ours && cache) {
    std::error_code failure;  // without a cache it is slower, no more
    fs::create_directories(*cache / "libvirt", failure);
    if (!failure) {
      fs::create_directory_symlink(*cache / "libvirt", folder / "cache", failure);
    }
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  FARCALL_TRY(will,
              LastWill::write(fmt::format(kEndMachines, ::getpid()) + (ours ? kRemoveFolder : ""),
                              folder.string()));
  // libvirt's threads write to the folder as long as there is this process.
  will.keep();
  return EmbeddedLibvirt(folder.string());
}

int EmbeddedLibvirt::qemu_of(const std::string& domain) const {
  int process = 0;
  std::ifstream(fmt::format("{}/run/qemu/{}.pid", root_, domain)) >> process;
  return process;
}

std::vector<EmbeddedDomain> embedded_domains() {
  std::vector<EmbeddedDomain> found;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(scratch(), failure)) {
    const std::string name = entry.path().filename().string();
    struct stat status = {};
    // Everybody may make folders there; what others' say is none of our business.
    if (!name.starts_with(kFolderBegin) || ::lstat(entry.path().c_str(), &status) != 0 ||
        !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid()) {
      continue;
    }
    int owner = 0;
    std::from_chars(name.data() + kFolderBegin.size(), name.data() + name.size(), owner);
    const EmbeddedDomain folder{.root = entry.path().string(), .name = name, .owner = owner};
    const std::size_t before = found.size();
    for (const auto& file : fs::directory_iterator(entry.path() / "run/qemu", failure)) {
      // Beside those of domains, libvirt's own: driver.pid.
      if (file.path().extension() == ".pid" &&
          file.path().filename().string().starts_with("farcall-")) {
        EmbeddedDomain domain = folder;
        domain.name = file.path().stem().string();
        std::ifstream(file.path()) >> domain.qemu;
        // The number may be that of another process by now.
        domain.qemu = is_qemu_of(domain.qemu, domain.name) ? domain.qemu : 0;
        found.push_back(std::move(domain));
      }
    }
    if (found.size() == before) {
      found.push_back(folder);
    }
  }
  return found;
}

Result<void> remove(const EmbeddedDomain& domain) {
  if (domain.qemu > 0) {
    ::kill(domain.qemu, SIGKILL);
  }
  std::error_code failure;
  fs::remove_all(domain.root, failure);
  if (failure) {
    return unwritable(domain.root, "cannot be removed: " + failure.message());
  }
  return success();
}

}  // namespace farcall::vm
