#include "vm/libvirt_host.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
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
#include "vm/domain_xml.hpp"
#include "vm/embedded_libvirt.hpp"
#include "vm/last_will.hpp"
#include "vm/libvirt_connection.hpp"
#include "vm/qemu_process.hpp"

namespace farcall::vm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNameBegin = "farcall-";

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

Result<nlohmann::ordered_json> ask_qemu(const LibvirtConnection& connection, virDomainPtr domain,
                                        const std::string& command) {
  FARCALL_TRY(text, monitor_says(connection, domain, command, 0));
  auto answer = model::json_or_discarded(text);
  if (!answer.is_object() || !answer.contains("return")) {
    return Error{ErrorCode::machine_bad_answer, fmt::format("QEMU answers {}", text)};
  }
  return answer["return"];
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

// Of the QEMU that libvirt would start. One on another machine cannot be asked.
QemuAbilities abilities_at(const LibvirtConnection& connection) {
  const auto host = connection.uri().find("://");
  if (host != std::string::npos && !connection.uri().substr(host).starts_with(":///")) {
    return {};
  }
  const std::unique_ptr<char, decltype(&free)> text(
      connection.libvirt().virConnectGetDomainCapabilities(connection.handle(), nullptr, "ppc64",
                                                           "pseries", "qemu", 0),
      free);
  pugi::xml_document document;
  if (text == nullptr || !document.load_string(text.get())) {
    return {};  // it starts no machine, either, and then says why
  }
  const std::string qemu = document.child("domainCapabilities").child("path").text().as_string();
  return qemu.starts_with('/') ? qemu_abilities(qemu) : QemuAbilities{};
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

  std::optional<Error> abandoned() override {
    if (!connection_.lost()) {
      return std::nullopt;
    }
    return Error{ErrorCode::machine_libvirt,
                 fmt::format("the connection to {} is lost", connection_.uri())};
  }

 private:
  const LibvirtConnection& connection_;
  const Libvirt& libvirt_;
  LibvirtDomain domain_;
  int process_;      // 0: on another machine
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
        qemu_(abilities_at(*connection_)) {}
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
    if (connection_->lost()) {
      return Error{ErrorCode::machine_libvirt,
                   fmt::format("the connection to {} is lost", connection_->uri())};
    }
    const Libvirt& libvirt = connection_->libvirt();
    const unsigned number = ++started_;
    const std::string name = fmt::format("{}{}-{}", kNameBegin, ::getpid(), number);
    const std::string console = (sockets_ / std::to_string(number)).string();
    const std::string xml = domain_xml(spec, {.name = name, .console = console, .qemu = qemu_});
    // An embedded libvirt refuses to end domains by itself.
    const unsigned flags =
        VIR_DOMAIN_START_PAUSED | (embedded_ ? 0U : unsigned{VIR_DOMAIN_START_AUTODESTROY});
    auto orphans = embedded_ ? std::make_unique<OrphanReaper>() : nullptr;
    LibvirtDomain domain(libvirt.virDomainCreateXML(connection_->handle(), xml.c_str(), flags),
                         LibvirtFree{&libvirt});
    if (!domain) {
      return libvirt.error(fmt::format("{} does not start a machine", connection_->uri()));
    }
    orphans.reset();
    auto* const handle = domain.get();
    auto qemu = std::make_unique<DomainQemu>(
        *connection_, std::move(domain),
        embedded_ ? embedded_->qemu_of(name) : find_qemu(name + ","),
        embedded_ ? fmt::format("{}/log/qemu/{}.log", embedded_->root(), name) : "");
    FARCALL_TRY(path,
                ask_qemu(*connection_, handle,
                         fmt::format(R"({{"execute": "qom-get", )"
                                     R"("arguments": {{"path": "{}", "property": "mem-path"}}}})",
                                     kDomainMemory)));
    FARCALL_TRY(memory, GuestMemory::open(path.is_string() ? path.get<std::string>() : ""));
    memory.tell(spec);
    FARCALL_TRY(socket, connect_to(console));
    if (libvirt.virDomainResume(handle) < 0) {
      return libvirt.error(fmt::format("{} does not resume a machine", connection_->uri()));
    }
    return StartedQemu{std::move(memory), std::move(socket), std::move(qemu)};
  }

 private:
  std::optional<EmbeddedLibvirt> embedded_;  // ends last
  fs::path sockets_;                         // a folder of ours
  LastWill will_;                            // removes it
  std::unique_ptr<LibvirtConnection> connection_;
  QemuAbilities qemu_;
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
  std::optional<EmbeddedLibvirt> embedded;
  if (const std::string root = embedded_root(uri); uri.empty() || !root.empty()) {
    FARCALL_TRY(prepared, EmbeddedLibvirt::prepare(root));
    embedded = std::move(prepared);
  }
  std::string sockets = (fs::temp_directory_path() / "farcall-XXXXXX").string();
  if (::mkdtemp(sockets.data()) == nullptr) {
    return process::start_error("no folder for sockets can be made");
  }
  FARCALL_TRY(will, LastWill::to_remove(sockets));
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
