#include "vm/libvirt_host.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <pugixml.hpp>
#include <utility>

#include "model/json.hpp"
#include "vm/command_line.hpp"
#include "vm/domain_xml.hpp"
#include "vm/embedded_libvirt.hpp"
#include "vm/last_will.hpp"
#include "vm/libvirt_connection.hpp"
#include "vm/qemu_process.hpp"

namespace farcall::vm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNameBegin = "farcall-";

// Where libvirt has QEMU make the memory that a guest shares with others, by this name.
constexpr const char* kSharedMemory = "/dev/shm";
constexpr const char* kWindowEnd = "-window";

// How long a killed QEMU may take to be gone, in steps of a millisecond.
constexpr int kMillisecondsToDie = 2000;

// What the domain's monitor says to a command of QMP, or with VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
// to one for people.
Result<std::string> monitor_says(const LibvirtConnection& connection, virDomainPtr domain,
                                 const std::string& command, unsigned flags) {
  const Libvirt& libvirt = connection.libvirt();
  char* text = nullptr;
  if (libvirt.virDomainQemuMonitorCommand(domain, command.c_str(), &text, flags) < 0) {
    return libvirt.error(
        fmt::format("{} does not pass a command on to QEMU's monitor", connection.uri()));
  }
  const std::unique_ptr<char, decltype(&free)> owner(text, free);
  return std::string(text);
}

Result<process::FileDescriptor> connect_to(const std::string& path) {
  process::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Error{ErrorCode::machine_start,
                 fmt::format("the path of the console's socket is too long: {}", path)};
  }
  std::ranges::copy(path, address.sun_path);
  if (::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
      0) {
    return process::start_error(fmt::format("cannot connect to the guest's console, {}", path));
  }
  return socket;
}

bool is_on_another_machine(const std::string& uri) {
  const auto host = uri.find("://");
  return host != std::string::npos && !uri.substr(host).starts_with(":///");
}

// That libvirt would start; no program: it starts none, and says why when a machine is started.
Qemu qemu_at(const LibvirtConnection& connection) {
  const std::unique_ptr<char, decltype(&free)> text(
      connection.libvirt().virConnectGetDomainCapabilities(connection.handle(), nullptr, "ppc64",
                                                           "pseries", "qemu", 0),
      free);
  pugi::xml_document document;
  if (text == nullptr || !document.load_string(text.get())) {
    return {};
  }
  const std::string qemu = document.child("domainCapabilities").child("path").text().as_string();
  return qemu.starts_with('/') ? Qemu{.program = qemu, .abilities = qemu_abilities(qemu)} : Qemu{};
}

// What QMP's answer returns.
Result<nlohmann::ordered_json> returned(const std::string& text) {
  auto answer = model::json_or_discarded(text);
  if (!answer.is_object() || !answer.contains("return")) {
    return Error{ErrorCode::machine_bad_answer, fmt::format("QEMU answers {}", text)};
  }
  return answer["return"];
}

Result<void> write_file(const fs::path& path, std::span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  return file ? Result<void>(success())
              : process::start_error(fmt::format("cannot write {}", path.string()));
}

// Of a file that QEMU has made.
Error with_hint(Error error) {
  if (error.message.find("Permission denied") != std::string::npos) {
    error.hint =
        "a system's libvirt runs QEMU as a user of its own: only root can share memory with that; "
        "without --connect, farcall's runs it as you";
  }
  return error;
}

Result<void> copy(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) {
    return Error{ErrorCode::machine_start, fmt::format("cannot copy {} to {}: {}", from.string(),
                                                       to.string(), error.message())};
  }
  return success();
}

// A file for QEMU to open. One that a QEMU makes which runs as somebody else would be there for good:
// only its owner, or root, can remove it from such a folder.
Result<void> make_own(const fs::path& path) {
  const process::FileDescriptor file(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  return file.number() >= 0 ? Result<void>(success())
                            : process::start_error(fmt::format("cannot make {}", path.string()));
}

// Opens a file that libvirt or QEMU has made for us, whose name nobody needs any more.
Result<process::FileDescriptor> take_file(const fs::path& path, int flags) {
  process::FileDescriptor file(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
  if (file.number() < 0) {
    return process::start_error(fmt::format("cannot open {}", path.string()));
  }
  std::error_code error;
  fs::remove(path, error);
  return file;
}

class DomainQemu : public RunningQemu {
 public:
  DomainQemu(const LibvirtConnection& connection, LibvirtDomain domain, int process,
             std::string log)
      : connection_(connection),
        libvirt_(connection.libvirt()),
        domain_(std::move(domain)),
        process_(process),
        log_(std::move(log)) {}
  DomainQemu(const DomainQemu&) = delete;
  DomainQemu& operator=(const DomainQemu&) = delete;
  ~DomainQemu() override { DomainQemu::kill(); }

  int process_id() const override { return process_; }

  bool running() override {
    if (process_ == 0) {
      return libvirt_.virDomainIsActive(domain_.get()) == 1;
    }
    // If its libvirt is embedded, it is ours to reap, once all its threads are gone.
    const pid_t reaped = ::waitpid(process_, nullptr, WNOHANG);
    return reaped == 0 || (reaped < 0 && !is_dead(process_));
  }

  void kill() override {
    if (std::exchange(ended_, true)) {
      return;
    }
    // virDomainDestroy waits 200 ms between two looks whether QEMU is gone, and longer for one that
    // nobody reaps. To the end of a QEMU itself, libvirt attends later and by itself.
    if (process_ == 0 || ::kill(process_, SIGKILL) != 0) {
      libvirt_.virDomainDestroy(domain_.get());
      return;
    }
    for (int i = 0; i < kMillisecondsToDie && DomainQemu::running(); ++i) {
      ::poll(nullptr, 0, 1);
    }
  }

  std::string ending() override { return "libvirt has ended its domain"; }

  std::string last_words() override {
    std::ifstream file(log_);
    std::string last;
    for (std::string line; std::getline(file, line);) {
      last = line;
    }
    return last;
  }

  Result<std::string> monitor(const std::string& command_line) override {
    return monitor_says(connection_, domain_.get(), command_line,
                        VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP);
  }

  Result<nlohmann::ordered_json> execute(std::string_view command,
                                         const nlohmann::ordered_json& arguments) override {
    FARCALL_TRY(text, monitor_says(connection_, domain_.get(), qmp(command, arguments), 0));
    return returned(text);
  }

  Result<void> give(std::string_view name, int descriptor) override {
    char* text = nullptr;
    if (libvirt_.virDomainQemuMonitorCommandWithFiles(
            domain_.get(), qmp("getfd", {{"fdname", name}}).c_str(), 1, &descriptor, nullptr,
            nullptr, &text, 0) < 0) {
      return libvirt_.error(fmt::format("{} does not pass a file on to QEMU", connection_.uri()));
    }
    const std::unique_ptr<char, decltype(&free)> owner(text, free);
    FARCALL_TRYV(returned(text));
    return success();
  }

  Result<void> resume() {
    if (libvirt_.virDomainResume(domain_.get()) < 0) {
      return libvirt_.error(fmt::format("{} does not resume a machine", connection_.uri()));
    }
    return success();
  }

  std::optional<Error> abandoned() override {
    if (!connection_.lost()) {
      return std::nullopt;
    }
    return Error{ErrorCode::machine_libvirt,
                 fmt::format("the connection to {} is lost", connection_.uri())};
  }

 private:
  static std::string qmp(std::string_view command, const nlohmann::ordered_json& arguments) {
    return model::json_text(nlohmann::ordered_json{{"execute", command}, {"arguments", arguments}});
  }

  const LibvirtConnection& connection_;
  const Libvirt& libvirt_;
  LibvirtDomain domain_;
  int process_;      // 0: not to be seen
  std::string log_;  // empty: out of reach
  bool ended_ = false;
};

class LibvirtHost : public Host {
 public:
  LibvirtHost(std::optional<EmbeddedLibvirt> embedded, fs::path sockets, LastWill will,
              std::unique_ptr<LibvirtConnection> connection)
      : embedded_(std::move(embedded)),
        sockets_(std::move(sockets)),
        will_(std::move(will)),
        connection_(std::move(connection)),
        qemu_(qemu_at(*connection_)) {}
  LibvirtHost(const LibvirtHost&) = delete;
  LibvirtHost& operator=(const LibvirtHost&) = delete;
  ~LibvirtHost() override {
    // A daemon that died may have left a QEMU that it was about to tell us of.
    const std::string ours = fmt::format("{}{}-", kNameBegin, ::getpid());
    for (int qemu = 0; connection_->lost() && (qemu = find_qemu(ours)) > 0;) {
      if (::kill(qemu, SIGKILL) != 0) {
        break;  // not ours to end; farcall vm clean does it when the daemon is back
      }
      ::poll(nullptr, 0, 1);
    }
  }

  Result<StartedQemu> start(const MachineSpec& spec) override {
    const Place place = next_place();
    const std::string console = place.file("");
    FARCALL_TRY(qemu, create(place, domain_xml(spec, {.name = place.name,
                                                      .console = console,
                                                      .qemu = qemu_.abilities})));
    FARCALL_TRY(path,
                qemu->execute("qom-get", {{"path", kDomainMemory}, {"property", "mem-path"}}));
    auto opened = GuestMemory::open(path.is_string() ? path.get<std::string>() : "");
    if (!opened) {
      return with_hint(opened.error());
    }
    GuestMemory memory = std::move(opened).value();
    memory.tell(spec);
    FARCALL_TRY(socket, connect_to(console));
    FARCALL_TRYV(qemu->resume());
    return StartedQemu{std::move(memory), std::move(socket), std::move(qemu)};
  }

  Result<StartedLinux> boot(const LinuxSpec& spec, std::span<const std::byte> initramfs,
                            LinuxStart start) override {
    const Place place = next_place();
    const LinuxDomainPlace files{.name = place.name,
                                 .initramfs = place.file("-initramfs"),
                                 .log = place.file("-log"),
                                 .terminal = place.file(""),
                                 .window = place.name + kWindowEnd};
    LinuxSpec placed = spec;
    if (start == LinuxStart::boots) {
      FARCALL_TRYV(write_file(files.initramfs, initramfs));
      if (!embedded_) {
        // A system's daemon runs QEMU as a user who may not get at ours, and gives it the file.
        placed.vmlinux = place.file("-vmlinux");
        FARCALL_TRYV(copy(spec.vmlinux, placed.vmlinux));
      }
    }
    if (::geteuid() != 0) {
      FARCALL_TRYV(make_own(fs::path(kSharedMemory) / files.window));
    }
    auto created = create(place, linux_domain_xml(placed, files, start));
    std::error_code gone;
    fs::remove(files.initramfs, gone);  // QEMU has read it
    fs::remove(place.file("-vmlinux"), gone);
    auto window = take_file(fs::path(kSharedMemory) / files.window, O_RDWR);
    if (!created) {
      return with_hint(created.error());
    }
    std::unique_ptr<DomainQemu> qemu = std::move(created).value();
    if (!window) {
      return with_hint(window.error());
    }
    FARCALL_TRY(log, take_file(files.log, O_RDONLY));
    FARCALL_TRY(terminal, connect_to(files.terminal));
    if (start == LinuxStart::boots) {
      FARCALL_TRYV(qemu->resume());
    }
    return StartedLinux{.log = std::move(log),
                        .terminal = std::move(terminal),
                        .window = std::move(window).value(),
                        .qemu = std::move(qemu)};
  }

  Result<LinuxMachine> machine(const LinuxSpec& spec) override {
    if (qemu_.program.empty()) {
      return Error{ErrorCode::machine_libvirt,
                   fmt::format("{} does not say which QEMU of this machine it starts for ppc64",
                               connection_->uri())};
    }
    FARCALL_TRY(version, libvirt_version());
    return LinuxMachine{.made_of = fmt::format("libvirt {}\n{}", version,
                                               linux_domain_xml(spec, {}, LinuxStart::boots)),
                        .qemu = qemu_.program};
  }

 private:
  // Of one machine: its name, and where its files are.
  struct Place {
    std::string name;
    fs::path begin;

    std::string file(const char* end) const { return begin.string() + end; }
  };

  Place next_place() {
    const unsigned number = ++started_;
    return {.name = fmt::format("{}{}-{}", kNameBegin, ::getpid(), number),
            .begin = sockets_ / std::to_string(number)};
  }

  // Stands still.
  Result<std::unique_ptr<DomainQemu>> create(const Place& place, const std::string& xml) {
    if (connection_->lost()) {
      return Error{ErrorCode::machine_libvirt,
                   fmt::format("the connection to {} is lost", connection_->uri())};
    }
    const Libvirt& libvirt = connection_->libvirt();
    // An embedded libvirt refuses to end domains by itself.
    const unsigned flags =
        VIR_DOMAIN_START_PAUSED | (embedded_ ? 0U : unsigned{VIR_DOMAIN_START_AUTODESTROY});
    const auto orphans = embedded_ ? std::make_unique<OrphanReaper>() : nullptr;
    LibvirtDomain domain(libvirt.virDomainCreateXML(connection_->handle(), xml.c_str(), flags),
                         LibvirtFree{&libvirt});
    if (!domain) {
      return libvirt.error(fmt::format("{} does not start a machine", connection_->uri()));
    }
    return std::make_unique<DomainQemu>(
        *connection_, std::move(domain),
        embedded_ ? embedded_->qemu_of(place.name) : find_qemu(place.name + ","),
        embedded_ ? fmt::format("{}/log/qemu/{}.log", embedded_->root(), place.name) : "");
  }

  std::optional<EmbeddedLibvirt> embedded_;  // ends last
  fs::path sockets_;                         // a folder of ours: sockets and files of machines
  LastWill will_;                            // removes it
  std::unique_ptr<LibvirtConnection> connection_;
  Qemu qemu_;
  std::atomic<unsigned> started_ = 0;
};

// `farcall-PROCESS-…`
int owner_of(std::string_view name) {
  int owner = 0;
  name.remove_prefix(std::min(name.size(), kNameBegin.size()));
  std::from_chars(name.data(), name.data() + name.size(), owner);
  return owner;
}

FoundDomain found_domain(std::string name, int owner, std::string where) {
  return {.name = std::move(name),
          .where = std::move(where),
          .owner = owner,
          .owner_lives = owner > 0 && (::kill(owner, 0) == 0 || errno == EPERM)};
}

}  // namespace

Result<std::unique_ptr<Host>> libvirt_host(const std::string& uri) {
  if (is_on_another_machine(uri)) {
    return Error{.code = ErrorCode::machine_libvirt,
                 .message = fmt::format("{} is on another machine, and guests share memory with "
                                        "farcall",
                                        uri),
                 .hint = "run farcall there, or here without --connect"};
  }
  std::optional<EmbeddedLibvirt> embedded;
  if (const std::string root = embedded_root(uri); uri.empty() || !root.empty()) {
    FARCALL_TRY(prepared, EmbeddedLibvirt::prepare(root));
    embedded = std::move(prepared);
  }
  std::string sockets = (fs::temp_directory_path() / "farcall-XXXXXX").string();
  if (::mkdtemp(sockets.data()) == nullptr) {
    return process::start_error("no folder for sockets can be made");
  }
  // A system's daemon runs QEMU as another user, who has to get at what is in it.
  ::chmod(sockets.c_str(), 0711);
  FARCALL_TRY(will, LastWill::write(fmt::format("rm -rf \"$1\" {}/{}{}-*{}", kSharedMemory,
                                                kNameBegin, ::getpid(), kWindowEnd),
                                    sockets));
  const auto orphans = embedded ? std::make_unique<OrphanReaper>() : nullptr;
  FARCALL_TRY(connection, LibvirtConnection::open(embedded ? embedded->uri() : uri));
  return std::unique_ptr<Host>(
      new LibvirtHost(std::move(embedded), sockets, std::move(will), std::move(connection)));
}

Result<std::string> libvirt_version() {
  FARCALL_TRY(libvirt, Libvirt::load());
  unsigned long version = 0;
  if (libvirt->virGetVersion(&version, nullptr, nullptr) < 0) {
    return libvirt->error("libvirt does not say its version");
  }
  return fmt::format("{}.{}.{}", version / 1'000'000, version / 1000 % 1000, version % 1000);
}

Result<std::vector<FoundDomain>> list_domains(const std::string& uri) {
  std::vector<FoundDomain> found;
  if (uri.empty()) {
    for (const EmbeddedDomain& domain : embedded_domains()) {
      found.push_back(found_domain(domain.name, domain.owner, "qemu:///embed?root=" + domain.root));
    }
    return found;
  }
  FARCALL_TRY(connection, LibvirtConnection::open(uri));
  const Libvirt& libvirt = connection->libvirt();
  virDomainPtr* domains = nullptr;
  const int count = libvirt.virConnectListAllDomains(connection->handle(), &domains, 0);
  if (count < 0) {
    return libvirt.error("domains cannot be listed");
  }
  for (int i = 0; i < count; ++i) {
    const LibvirtDomain domain(domains[i], LibvirtFree{&libvirt});
    if (const std::string name = libvirt.virDomainGetName(domain.get());
        name.starts_with(kNameBegin)) {
      found.push_back(found_domain(name, owner_of(name), uri));
    }
  }
  free(static_cast<void*>(domains));  // NOLINT(cppcoreguidelines-no-malloc): libvirt's contract
  return found;
}

Result<void> end_domain(const FoundDomain& domain) {
  for (const EmbeddedDomain& embedded : embedded_domains()) {
    if (embedded.name == domain.name) {
      return remove(embedded);
    }
  }
  FARCALL_TRY(connection, LibvirtConnection::open(domain.where));
  const Libvirt& libvirt = connection->libvirt();
  const LibvirtDomain found(
      libvirt.virDomainLookupByName(connection->handle(), domain.name.c_str()),
      LibvirtFree{&libvirt});
  if (!found || libvirt.virDomainDestroy(found.get()) < 0) {
    return libvirt.error(fmt::format("{} cannot be ended", domain.name));
  }
  return success();
}

}  // namespace farcall::vm
