#include "kernel/fetch.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "base/files.hpp"
#include "kernel/architecture.hpp"
#include "process/process.hpp"
#include "process/search_path.hpp"

namespace farcall::kernel {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
constexpr std::array kSuites = {"bookworm", "bookworm-backports", "trixie", "sid", "experimental"};

struct Ran {
  bool succeeded = false;
  std::string output;  // standard output
  std::string errors;  // standard error
};

// Runs a tool to its end, and calls `tick` now and then.
Result<Ran> run(const std::string& tool, std::vector<std::string> arguments,
                const std::function<void()>& tick, const fs::path& directory = {}) {
  const std::string program = process::program_on_path(tool);
  if (program.empty()) {
    return fetch_failed(
        fmt::format("{} is not installed", tool),
        "Debian's kernels come by apt: apt-get install apt dpkg tar xz-utils; a system "
        "without apt: unpack a kernel's source by hand and name its folder, kernel:DIR");
  }
  FARCALL_TRY(output, process::memory_file("farcall-tool", 0));
  FARCALL_TRY(child, process::Process::start({.program = program,
                                              .arguments = std::move(arguments),
                                              .environment = {{"LC_ALL", "C"}},
                                              .input = {},
                                              .output = output.number(),
                                              .directory = directory.string()},
                                             {}));
  while (child.running()) {
    tick();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  child.wait();
  return Ran{.succeeded = child.succeeded(),
             .output = process::contents(output),
             .errors = child.output()};
}

// What apt complains of, a line each.
std::vector<std::string> complaints(const std::string& errors) {
  std::istringstream lines(errors);
  std::vector<std::string> found;
  for (std::string line; std::getline(lines, line);) {
    const bool counts = line.starts_with("E: ") || line.starts_with("W: ");
    if (counts && !line.starts_with("E: Some index files") &&
        !line.starts_with("W: Some index files")) {
      found.push_back(line.substr(3));
    }
  }
  return found;
}

std::string first_of(const std::vector<std::string>& lines, const std::string& otherwise) {
  return lines.empty() ? otherwise : lines.front();
}

std::string package_of(const Download& download) {
  return download.file.substr(0, download.file.find('_'));
}

// apt, in a folder of its own.
class Apt {
 public:
  static Result<Apt> open(const fs::path& folder, const std::string& architecture,
                          const Listener& listener) {
    if (!fs::exists(kKeyring)) {
      return fetch_failed(fmt::format("{} is not there, so that apt could trust nothing", kKeyring),
                          "apt-get install debian-archive-keyring");
    }
    std::error_code error;
    fs::create_directories(folder / "lists" / "partial", error);
    fs::create_directories(folder / "archives" / "partial", error);
    std::string sources;
    for (const char* const suite : kSuites) {
      sources += fmt::format("deb [arch={} signed-by={}] http://deb.debian.org/debian {} main\n",
                             architecture, kKeyring, suite);
    }
    FARCALL_TRYV(write_output((folder / "sources.list").string(), sources));
    FARCALL_TRYV(write_output((folder / "status").string(), ""));
    return Apt(folder, architecture, listener);
  }

  // What apt complains of: an index that it does not get, it leaves as it was.
  Result<std::vector<std::string>> update() const {
    FARCALL_TRY(ran, run("apt-get", arguments({"update"}),
                         [this] { listener_->progress("reading Debian's indexes", 0, 0); }));
    std::vector<std::string> found = complaints(ran.errors);
    if (!ran.succeeded && found.empty()) {
      return fetch_failed(fmt::format("apt-get update failed: {}", ran.errors));
    }
    return found;
  }

  Result<std::vector<std::string>> package_names() const {
    FARCALL_TRY(ran, run("apt-cache", arguments({"pkgnames"}), [] {}));
    std::istringstream words(ran.output);
    std::vector<std::string> names;
    for (std::string word; words >> word;) {
      names.push_back(word);
    }
    return names;
  }

  Result<std::vector<Listed>> listed(const std::vector<std::string>& packages) const {
    std::vector<std::string> words = {"madison"};
    words.insert(words.end(), packages.begin(), packages.end());
    FARCALL_TRY(ran, run("apt-cache", arguments(std::move(words)), [] {}));
    return read_madison(ran.output);
  }

  struct Gone {
    bool is_gone = false;  // the index has it, and the archive has not
    std::vector<Download> downloads;
  };
  // Into the folder `to`, if `with_needed` with all packages that they need. kernel.fetch-failed for
  // all reasons but one.
  Result<Gone> download(const Choice& choice, const fs::path& to, bool with_needed) const {
    std::vector<std::string> packages;
    for (const std::string& package : choice.packages) {
      packages.push_back(fmt::format("{}={}", package, choice.version));
    }
    if (with_needed) {
      FARCALL_TRY(needed, needed_by(packages));
      std::ranges::copy_if(needed, std::back_inserter(packages), [&](const std::string& name) {
        return std::ranges::find(choice.packages, name) == choice.packages.end();
      });
    }
    const auto with = [&](std::vector<std::string> words) {
      words.insert(words.end(), packages.begin(), packages.end());
      return arguments(std::move(words));
    };
    FARCALL_TRY(uris, run("apt-get", with({"download", "--print-uris"}), [] {}, to));
    Gone result{.downloads = read_uris(uris.output)};
    if (!uris.succeeded || result.downloads.size() != packages.size()) {
      return fetch_failed(fmt::format("apt knows of no way to {}: {}", fmt::join(packages, ", "),
                                      first_of(complaints(uris.errors), "it does not say why")));
    }
    std::uint64_t all = 0;
    for (const Download& download : result.downloads) {
      all += download.byte_count;
    }
    const std::string what = fmt::format("fetching {}", fmt::join(packages, ", "));
    FARCALL_TRY(
        ran, run(
                 "apt-get", with({"download"}),
                 [&] { listener_->progress(what, bytes_there(result.downloads, to), all); }, to));
    if (!ran.succeeded) {
      const std::vector<std::string> why = complaints(ran.errors);
      result.is_gone = std::ranges::any_of(
          why, [](const std::string& line) { return line.find(" 404 ") != std::string::npos; });
      if (!result.is_gone) {
        return fetch_failed(
            fmt::format("apt-get download: {}", first_of(why, ran.errors)),
            "what was fetched before is still there; start it again when that is mended");
      }
    }
    return result;
  }

 private:
  // These packages and what they depend on, on a system that has nothing.
  Result<std::vector<std::string>> needed_by(const std::vector<std::string>& packages) const {
    std::vector<std::string> words = {"install", "--no-install-recommends", "--print-uris"};
    words.insert(words.end(), packages.begin(), packages.end());
    std::vector<std::string> all = arguments(std::move(words));
    all.insert(all.begin(), {"-o", "Acquire::ForceHash=SHA256"});
    FARCALL_TRY(ran, run("apt-get", std::move(all), [] {}));
    std::vector<std::string> names;
    for (const Download& download : read_uris(ran.output)) {
      names.push_back(package_of(download));
    }
    if (!ran.succeeded || names.empty()) {
      return fetch_failed(fmt::format("apt does not know what {} need: {}",
                                      fmt::join(packages, ", "),
                                      first_of(complaints(ran.errors), "it does not say why")));
    }
    return names;
  }

  Apt(fs::path folder, std::string architecture, const Listener& listener)
      : folder_(std::move(folder)), architecture_(std::move(architecture)), listener_(&listener) {}

  static std::uint64_t bytes_there(const std::vector<Download>& downloads, const fs::path& folder) {
    std::uint64_t sum = 0;
    for (const Download& download : downloads) {
      std::error_code error;
      const auto size = fs::file_size(folder / download.file, error);
      sum += error ? 0 : size;
    }
    return sum;
  }

  std::vector<std::string> arguments(std::vector<std::string> words) const {
    const std::string folder = folder_.string();
    std::vector<std::string> all = {"-q"};
    for (const std::string& option : {
             "Dir::Etc::sourcelist=" + folder + "/sources.list",
             std::string("Dir::Etc::sourceparts=-"),
             "Dir::State=" + folder,
             "Dir::State::lists=" + folder + "/lists",
             "Dir::State::status=" + folder + "/status",
             "Dir::Cache=" + folder,
             "APT::Architecture=" + architecture_,
             "APT::Architectures::=" + architecture_,
             std::string("APT::Get::AllowUnauthenticated=false"),
             std::string("Acquire::AllowInsecureRepositories=false"),
             std::string("Acquire::Languages=none"),
             // Else apt, as root, wants a user of its own to be able to write there.
             std::string("APT::Sandbox::User=root"),
         }) {
      all.insert(all.end(), {"-o", option});
    }
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }

  fs::path folder_;
  std::string architecture_;
  const Listener* listener_;
};

// The series that Debian has the source of.
std::string series_there(const std::vector<std::string>& names) {
  constexpr std::string_view kSource = "linux-source-";
  std::vector<std::string> found;
  for (const std::string& name : names) {
    if (name.starts_with(kSource) && wanted(Kind::source, name.substr(kSource.size()))) {
      found.push_back(name.substr(kSource.size()));
    }
  }
  std::ranges::sort(found, is_older);
  return fmt::format("{}", fmt::join(found, ", "));
}

// The first file in `folder` and below that `is_it` says yes to; empty: none.
fs::path find_file(const fs::path& folder, const std::function<bool(const fs::path&)>& is_it) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file(error) && is_it(entry.path())) {
      return entry.path();
    }
  }
  return {};
}

bool is_ppc64(const fs::path& file) {
  Elf64_Ehdr header = {};
  std::ifstream(file, std::ios::binary).read(reinterpret_cast<char*>(&header), sizeof header);
  return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
         header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_machine == EM_PPC64;
}

// From the packages in `from` to what the user wants to have, in `partial`.
Result<Fetched> unpack(const Choice& choice, const std::vector<Download>& downloads,
                       const Wanted& wanted, const fs::path& from, const fs::path& partial,
                       const Listener& listener) {
  Fetched fetched{.kind = wanted.kind,
                  .version = choice.version,
                  .has_64k_pages = wanted.has_64k_pages,
                  .packages = {},
                  .folder = partial / "done",
                  .vmlinux = {}};
  const fs::path packages = wanted.kind == Kind::source ? partial / "package" : partial / "done";
  std::error_code error;
  fs::create_directories(fetched.folder, error);
  const auto tick = [&] { listener.progress(fmt::format("unpacking {}", choice.version), 0, 0); };
  for (const Download& download : downloads) {
    fetched.packages.push_back({.name = package_of(download), .sha256 = download.sha256});
    FARCALL_TRY(ran,
                run("dpkg-deb", {"-x", (from / download.file).string(), packages.string()}, tick));
    if (!ran.succeeded) {
      return fetch_failed(fmt::format("{} cannot be unpacked: {}", download.file, ran.errors));
    }
  }
  if (wanted.kind == Kind::source) {
    const fs::path archive = find_file(packages / "usr/src", [](const fs::path& file) {
      return file.filename().string().find(".tar.") != std::string::npos;
    });
    FARCALL_TRY(ran, run("tar",
                         {"-xf", archive.string(), "-C", fetched.folder.string(),
                          "--strip-components=1", "--no-same-owner"},
                         tick));
    if (!ran.succeeded) {
      return fetch_failed(
          fmt::format("the source of {} cannot be unpacked: {}", choice.version, ran.errors));
    }
    return fetched;
  }
  if (wanted.kind == Kind::bpftool) {
    return fetched;
  }
  fetched.vmlinux = find_file(fetched.folder, [](const fs::path& file) {
    const std::string name = file.filename().string();
    return name.starts_with("vmlinux-") || name.starts_with("vmlinuz");
  });
  const bool is_ppc64el = wanted.architecture == kPpc64el;
  if (fetched.vmlinux.empty() || (is_ppc64el && !is_ppc64(fetched.vmlinux))) {
    return fetch_failed(fmt::format("{} {} holds no kernel for {}",
                                    fmt::join(choice.packages, ", "), choice.version,
                                    is_ppc64el ? "ppc64" : wanted.architecture));
  }
  if (!is_ppc64el) {  // nobody loads modules into these, and they take ten times the kernel's room
    std::error_code removed;
    const fs::path kernel = fetched.folder / fetched.vmlinux.filename();
    fs::rename(fetched.vmlinux, kernel, removed);
    for (const char* const folder : {"boot", "lib", "usr"}) {
      fs::remove_all(fetched.folder / folder, removed);
    }
    fetched.vmlinux = kernel;
  }
  return fetched;
}

// Nothing: it is listed, and gone. What is in `partial` afterwards is of no use.
Result<std::optional<Fetched>> bring(const Store& store, const Apt& apt, const Choice& choice,
                                     const Wanted& wanted, const fs::path& partial,
                                     const Listener& listener) {
  const fs::path packages = partial / "packages";
  std::error_code error;
  fs::create_directories(packages, error);
  FARCALL_TRY(result, apt.download(choice, packages, wanted.kind == Kind::bpftool));
  if (result.is_gone) {
    return std::optional<Fetched>();
  }
  FARCALL_TRY(unpacked, unpack(choice, result.downloads, wanted, packages, partial, listener));
  const fs::path done = unpacked.folder;
  FARCALL_TRY(kept, store.put(done, std::move(unpacked)));
  return std::optional(std::move(kept));
}

Error unknown(const Wanted& wanted, const std::vector<std::string>& names) {
  return {.code = ErrorCode::kernel_unknown,
          .message = fmt::format("Debian has no {} of Linux {} for {}", name(wanted.kind),
                                 to_string(wanted), wanted.architecture),
          .hint = fmt::format("it has the series {}", series_there(names))};
}

}  // namespace

std::vector<Download> read_uris(std::string_view output) {
  std::istringstream lines{std::string(output)};
  std::vector<Download> found;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string uri;
    std::string checksum;
    Download download;
    constexpr std::string_view kSha256 = "SHA256:";
    if (fields >> uri >> download.file >> download.byte_count >> checksum &&
        checksum.starts_with(kSha256) && download.file.find('/') == std::string::npos) {
      download.sha256 = checksum.substr(kSha256.size());
      found.push_back(std::move(download));
    }
  }
  return found;
}

Result<Fetched> fetch(const Store& store, const Wanted& wanted, const Listener& listener) {
  const auto lock = store.lock();
  if (!lock) {
    return lock.error();
  }
  if (auto found = store.find(wanted)) {
    listener.note(fmt::format("{} {} is there already", name(wanted.kind), version_name(*found)));
    return std::move(*found);
  }
  FARCALL_TRY(apt, Apt::open(store.folder() / "apt", wanted.architecture, listener));
  FARCALL_TRY(complaints_of_update, apt.update());
  FARCALL_TRY(names, apt.package_names());
  std::vector<std::string> parts;
  std::ranges::copy_if(names, std::back_inserter(parts),
                       [&](const std::string& name) { return is_part(wanted, name); });
  std::vector<Choice> found;
  if (!parts.empty()) {
    FARCALL_TRY(listed, apt.listed(parts));
    found = choices(listed, wanted);
  }
  if (found.empty() && !complaints_of_update.empty()) {
    return fetch_failed(
        fmt::format("Debian's indexes cannot be read: {}", complaints_of_update.front()),
        "is the network there, and the proxy set?");
  }
  if (found.empty()) {
    return unknown(wanted, names);
  }
  for (const std::string& line : complaints_of_update) {
    listener.note("apt: " + line);
  }
  for (const Choice& choice : found) {
    FARCALL_TRY(partial, store.make_partial());
    auto brought = bring(store, apt, choice, wanted, partial, listener);
    std::error_code error;
    fs::remove_all(partial, error);
    if (!brought) {
      return brought.error();
    }
    if (brought.value()) {
      return std::move(*brought.value());
    }
    const std::string gone = fmt::format("{} {} is listed, and gone from Debian's archive",
                                         name(wanted.kind), choice.version);
    if (!wanted.is_series) {
      return Error{.code = ErrorCode::kernel_unknown,
                   .message = gone,
                   .hint = fmt::format("farcall kernel fetch {}: the newest of that series that is "
                                       "there",
                                       series_of(wanted.version))};
    }
    listener.note(gone + "; trying the one before");
  }
  return Error{
      .code = ErrorCode::kernel_unknown,
      .message = fmt::format("every {} of Linux {} that Debian lists is gone from its archive",
                             name(wanted.kind), to_string(wanted))};
}

}  // namespace farcall::kernel
