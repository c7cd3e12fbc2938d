#include "kernel/store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <tuple>

#include "base/cache_folder.hpp"
#include "base/files.hpp"
#include "kernel/architecture.hpp"
#include "model/json.hpp"

namespace farcall::kernel {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRecord = "farcall.json";
constexpr std::string_view kPartial = "partial-";

std::string folder_name(const Fetched& fetched) {
  return fmt::format("linux-{}-{}", name(fetched.kind), version_name(fetched));
}

std::optional<Kind> kind_of(std::string_view text) {
  for (const Kind kind : {Kind::image, Kind::source, Kind::bpftool}) {
    if (text == name(kind)) {
      return kind;
    }
  }
  return std::nullopt;
}

std::optional<Fetched> read_record(const fs::path& folder) {
  const auto text = read_file((folder / kRecord).string(), "", kMostDocumentBytes);
  if (!text) {
    return std::nullopt;
  }
  try {
    const model::Json json = model::parse_json(text.value());
    const auto kind = kind_of(json.at("kind").get<std::string>());
    if (!kind) {
      return std::nullopt;
    }
    Fetched fetched{
        .kind = *kind,
        .version = json.at("version"),
        .has_64k_pages = json.at("pages-64k"),
        .packages = {},
        .byte_count = json.at("bytes"),
        .folder = folder,
        .vmlinux = {},
    };
    for (const auto& package : json.at("packages")) {
      fetched.packages.push_back({.name = package.at("name"), .sha256 = package.at("sha256")});
    }
    if (fetched.kind == Kind::image) {
      fetched.vmlinux = folder / json.at("vmlinux").get<std::string>();
    }
    return fetched;
  } catch (const model::Json::exception&) {  // not of this version of farcall
    return std::nullopt;
  }
}

std::string record(const Fetched& fetched) {
  model::Json json = {
      {"kind", name(fetched.kind)},         {"version", fetched.version},
      {"pages-64k", fetched.has_64k_pages}, {"packages", model::Json::array()},
      {"bytes", fetched.byte_count},
  };
  for (const Package& package : fetched.packages) {
    json["packages"].push_back({{"name", package.name}, {"sha256", package.sha256}});
  }
  if (fetched.kind == Kind::image) {
    json["vmlinux"] = fetched.vmlinux.lexically_relative(fetched.folder).string();
  }
  return model::json_text(json, 1) + "\n";
}

std::uint64_t byte_count(const fs::path& folder) {
  std::uint64_t sum = 0;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file(error) && !entry.is_symlink(error)) {
      sum += entry.file_size(error);
    }
  }
  return sum;
}

}  // namespace

Error fetch_failed(std::string message, std::string hint) {
  return {.code = ErrorCode::kernel_fetch_failed,
          .message = std::move(message),
          .hint = std::move(hint)};
}

std::string version_name(const Fetched& fetched) {
  return fetched.version + (fetched.has_64k_pages ? "-64k" : "");
}

Result<Store> Store::of_user(std::string_view architecture) {
  const auto cache = cache_folder();
  if (!cache) {
    return fetch_failed("there is no folder for kernels: neither XDG_CACHE_HOME nor HOME is set");
  }
  const fs::path kernels = *cache / "kernels";
  return Store(architecture == kPpc64el ? kernels : kernels / architecture);
}

std::vector<Fetched> Store::all() const {
  std::vector<Fetched> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().filename().string().starts_with("linux-")) {
      if (auto fetched = read_record(entry.path())) {
        found.push_back(std::move(*fetched));
      }
    }
  }
  std::ranges::sort(found, [](const Fetched& left, const Fetched& right) {
    if (left.kind != right.kind) {
      return left.kind > right.kind;
    }
    return left.version == right.version ? left.has_64k_pages < right.has_64k_pages
                                         : is_older(right.version, left.version);
  });
  return found;
}

std::optional<Fetched> Store::find(const Wanted& wanted) const {
  for (Fetched& fetched : all()) {
    if (fetched.kind == wanted.kind && fetched.has_64k_pages == wanted.has_64k_pages &&
        matches(wanted, fetched.version)) {
      return std::move(fetched);
    }
  }
  return std::nullopt;
}

Result<Fetched> Store::get(const Wanted& wanted) const {
  auto found = find(wanted);
  if (!found) {
    return Error{
        .code = ErrorCode::kernel_not_fetched,
        .message = fmt::format("the {} of Linux {} is not in {}", name(wanted.kind),
                               to_string(wanted), folder_.string()),
        .hint = fmt::format(
            "farcall kernel fetch {}{}{}",
            wanted.kind == Kind::image ? "" : fmt::format("--{} ", name(wanted.kind)),
            wanted.architecture == kPpc64el ? "" : fmt::format("--arch {} ", wanted.architecture),
            to_string(wanted))};
  }
  return std::move(*found);
}

Result<process::FileDescriptor> Store::lock() const {
  std::error_code error;
  fs::create_directories(folder_, error);
  process::FileDescriptor file(
      ::open((folder_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (file.number() < 0 || ::flock(file.number(), LOCK_EX) != 0) {
    return fetch_failed(fmt::format("{} cannot be written: {}", folder_.string(),
                                    std::generic_category().message(errno)));
  }
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().filename().string().starts_with(kPartial)) {
      left.push_back(entry.path());
    }
  }
  for (const fs::path& folder : left) {
    fs::remove_all(folder, error);
  }
  return file;
}

Result<fs::path> Store::make_partial() const {
  std::string name = (folder_ / fmt::format("{}XXXXXX", kPartial)).string();
  if (::mkdtemp(name.data()) == nullptr) {
    return fetch_failed(fmt::format("no folder can be made in {}: {}", folder_.string(),
                                    std::generic_category().message(errno)));
  }
  ::chmod(name.c_str(), 0755);
  return fs::path(name);
}

Result<Fetched> Store::put(const fs::path& partial, Fetched fetched) const {
  fetched.byte_count = byte_count(partial);
  const fs::path vmlinux = fetched.vmlinux.lexically_relative(partial);
  fetched.folder = folder_ / folder_name(fetched);
  fetched.vmlinux = fetched.kind == Kind::image ? fetched.folder / vmlinux : fs::path();
  FARCALL_TRYV(write_output((partial / kRecord).string(), record(fetched)));
  std::error_code error;
  fs::remove_all(fetched.folder, error);  // one without a record
  fs::rename(partial, fetched.folder, error);
  if (error) {
    return fetch_failed(fmt::format("{}: {}", fetched.folder.string(), error.message()));
  }
  return fetched;
}

Result<void> Store::remove(const Fetched& fetched) const {
  // Nobody shall take what is half gone for whole.
  FARCALL_TRY(away, make_partial());
  std::error_code error;
  fs::rename(fetched.folder, away / "removed", error);
  if (!error) {
    fs::remove_all(away, error);
  }
  if (error) {
    return fetch_failed(
        fmt::format("{} cannot be removed: {}", fetched.folder.string(), error.message()));
  }
  return success();
}

}  // namespace farcall::kernel
