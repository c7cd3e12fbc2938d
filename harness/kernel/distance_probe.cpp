#include "kernel/distance_probe.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <span>
#include <system_error>

#include "base/files.hpp"
#include "kernel/initramfs.hpp"
#include "process/file_descriptor.hpp"
#include "process/patience.hpp"
#include "process/search_path.hpp"
#include "vm/qemu_abilities.hpp"

namespace farcall::kernel {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSays = "farcall: ";

// To load 128 MiB of programs takes an emulated riscv64 a minute of a core of its own.
constexpr std::chrono::seconds kProbePatience{600};
constexpr unsigned kProbeMebibytes = 1024;

constexpr std::size_t kMostProbeBytes = std::size_t{1} << 20;

Error no_report(std::string why) {
  return {.code = ErrorCode::machine_bad_answer,
          .message = "the kernel does not tell the distance: " + std::move(why)};
}

// The last line that says something.
std::string end_of(std::string_view console) {
  const std::size_t end = console.find_last_not_of("\r\n \t");
  if (end == std::string_view::npos) {
    return "its console says nothing";
  }
  const std::size_t begin = console.find_last_of("\r\n", end) + 1;
  return fmt::format("its last line: {}", console.substr(begin, end + 1 - begin));
}

std::string path_of(int descriptor) {
  return fmt::format("/proc/self/fd/{}", descriptor);
}

// A folder that goes with this object.
class ScratchFolder {
 public:
  static Result<ScratchFolder> make() {
    std::error_code error;
    std::string name = (fs::temp_directory_path(error) / "farcall-probe-XXXXXX").string();
    if (error || ::mkdtemp(name.data()) == nullptr) {
      return Error{.code = ErrorCode::machine_no_image,
                   .message = fmt::format("{} cannot be made", name)};
    }
    return ScratchFolder(name);
  }
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  ScratchFolder& operator=(ScratchFolder&&) = delete;
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code error;
    if (!path_.empty()) {
      fs::remove_all(path_, error);
    }
  }
  const fs::path& path() const { return path_; }

 private:
  explicit ScratchFolder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

}  // namespace

Result<ProbeReport> read_probe_report(std::string_view console) {
  ProbeReport report;
  bool has_call_base = false;
  bool is_crowded = false;
  for (std::size_t at = 0; at < console.size();) {
    const std::size_t end = std::min(console.find_first_of("\r\n", at), console.size());
    std::string_view line = console.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(kSays)) {
      continue;
    }
    line.remove_prefix(kSays.size());
    const std::size_t space = line.find(' ');
    const std::string_view name = line.substr(0, space);
    std::uint64_t value = 0;
    const char* const last = line.data() + line.size();
    if (space == std::string_view::npos ||
        std::from_chars(line.data() + space + 1, last, value, 16).ptr != last) {
      return no_report(fmt::format("'{}' is not a line of the probe's", line));
    }
    if (name == "__bpf_call_base") {
      report.call_base = {value};
      has_call_base = true;
    } else if (name == "_text") {
      report.text = GuestAddress{value};
    } else if (name == "_start") {
      report.start = GuestAddress{value};
    } else if (name == "function") {
      (is_crowded ? report.crowded : report.idle).push_back({value});
    } else if (name == "refused") {
      report.is_full = true;
    } else if (name == "crowd") {
      report.crowd_bytes = value;
      is_crowded = true;
    } else if (name == "no-jit") {
      return ProbeReport{.has_jit = false};
    } else if (name == "not-loaded" || name == "no-symbols") {
      return no_report(
          fmt::format("{}: {}", name, std::generic_category().message(static_cast<int>(value))));
    } else if (name == "end") {
      if (!has_call_base || report.idle.empty() || report.crowded.empty()) {
        return no_report("the probe ended before it had said all");
      }
      return report;
    } else {
      return no_report(fmt::format("'{}' is not a line of the probe's", line));
    }
  }
  return no_report(fmt::format("the guest ended before the probe did; {}", end_of(console)));
}

Result<ProbeTools> find_probe_tools(const Architecture& architecture) {
  const std::string qemu = process::program_on_path(architecture.qemu);
  if (qemu.empty()) {
    return Error{.code = ErrorCode::machine_no_qemu,
                 .message = fmt::format("{} is not on PATH, which runs kernels for {}",
                                        architecture.qemu, architecture.name),
                 .hint = fmt::format("apt-get install {}", architecture.qemu_package)};
  }
  const std::string compiler = process::program_on_path(architecture.compiler);
  if (compiler.empty()) {
    return Error{.code = ErrorCode::machine_no_image,
                 .message = fmt::format("{} is not on PATH, which makes the first process of a "
                                        "guest for {}",
                                        architecture.compiler, architecture.name),
                 .hint = fmt::format("apt-get install {}", architecture.compiler_packages)};
  }
  return ProbeTools{.qemu = qemu, .compiler = compiler};
}

Result<std::string> compile_probe(const Architecture& architecture, const ProbeTools& tools,
                                  const fs::path& source) {
  FARCALL_TRY(folder, ScratchFolder::make());
  const std::string made = (folder.path() / "probe").string();
  FARCALL_TRY(child,
              process::Process::start(
                  {.program = tools.compiler,
                   .arguments = {"-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-pic",
                                 "-no-pie", "-fno-stack-protector",
                                 "-fno-asynchronous-unwind-tables", source.string(), "-o", made},
                   .environment = {{"LC_ALL", "C"}}},
                  {}));
  child.wait();
  if (!child.succeeded()) {
    return Error{.code = ErrorCode::machine_no_image,
                 .message = fmt::format("{} cannot be compiled for {}: {}", source.string(),
                                        architecture.name, child.first_errors()),
                 .hint = fmt::format("is one of these missing? apt-get install {}",
                                     architecture.compiler_packages)};
  }
  return read_file(made, "", kMostProbeBytes);
}

process::Command probe_command(const Architecture& architecture, const std::string& qemu,
                               const ProbeGuest& guest, int initramfs, int console) {
  // Warnings and what is worse, for they say why a guest died; what KASLR says is a record of the
  // kernel's own loader.
  std::string append = "loglevel=4 panic=-1";
  if (!architecture.console.empty()) {
    append += fmt::format(" console={}", architecture.console);
  }
  if (!guest.kaslr) {
    append += " nokaslr";
  }
  return {.program = qemu,
          .arguments = {"-machine",
                        std::string(architecture.machine),
                        "-accel",
                        "tcg",
                        "-cpu",
                        std::string(architecture.cpu),
                        "-m",
                        fmt::format("{}M", kProbeMebibytes),
                        "-no-user-config",
                        "-nodefaults",
                        "-nic",
                        "none",
                        "-display",
                        "none",
                        "-no-reboot",
                        "-chardev",
                        fmt::format("file,id=console,path={}", path_of(console)),
                        "-serial",
                        "chardev:console",
                        "-kernel",
                        guest.kernel.string(),
                        "-initrd",
                        path_of(initramfs),
                        "-append",
                        append,
                        "-sandbox",
                        std::string(vm::kSandbox)}};
}

Result<ProbeReport> boot_probe(const Architecture& architecture, const ProbeTools& tools,
                               const ProbeGuest& guest, std::string_view probe) {
  const std::array<InitramfsFile, 3> files = {{
      {.path = "dev", .mode = S_IFDIR | 0755, .bytes = {}},
      {.path = "proc", .mode = S_IFDIR | 0755, .bytes = {}},
      {.path = "init", .mode = S_IFREG | 0755, .bytes = std::as_bytes(std::span(probe))},
  }};
  const std::vector<std::byte> archive = initramfs(files);
  FARCALL_TRY(initrd, process::memory_file("farcall-initramfs", 0));
  if (::write(initrd.number(), archive.data(), archive.size()) !=
      static_cast<ssize_t>(archive.size())) {
    return Error{ErrorCode::machine_start, "the initramfs cannot be written to memory"};
  }
  FARCALL_TRY(console, process::memory_file("farcall-console", 0));
  const std::array inherited = {initrd.number(), console.number()};
  FARCALL_TRY(machine, process::Process::start(probe_command(architecture, tools.qemu, guest,
                                                             initrd.number(), console.number()),
                                               inherited));
  process::Patience patience(kProbePatience, machine.id());
  bool has_ended = false;
  while (!has_ended && patience.left().count() > 0) {
    has_ended = machine.wait_for(std::chrono::milliseconds(100));
  }
  machine.kill();
  const std::string said = process::contents(console);
  if (!has_ended) {
    return Error{.code = ErrorCode::machine_timeout,
                 .message = fmt::format("the guest for {} did not end within {} s; {}",
                                        architecture.name, kProbePatience.count(), end_of(said))};
  }
  if (said.empty()) {
    return Error{.code = ErrorCode::machine_start,
                 .message = fmt::format("{}: {}: {}", architecture.qemu, machine.ending(),
                                        machine.last_words())};
  }
  return read_probe_report(said);
}

}  // namespace farcall::kernel
