#include "kernel/bpftool.hpp"

#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/files.hpp"

namespace farcall::kernel {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostLibraryBytes = std::size_t{64} << 20;

// A value of what the guest said; zeros where that has not so much.
template <typename T>
T at(std::string_view said, std::uint64_t offset) {
  T value = {};
  if (offset <= said.size() && sizeof(T) <= said.size() - offset) {
    std::memcpy(&value, said.data() + offset, sizeof(T));
  }
  return value;
}

// The names of the libraries that an ELF file for ppc64el needs, and of the dynamic linker that it
// asks for.
Result<std::vector<std::string>> needed_by(const fs::path& path, std::string file) {
  ::elf_version(EV_CURRENT);
  const std::unique_ptr<Elf, int (*)(Elf*)> elf(::elf_memory(file.data(), file.size()), ::elf_end);
  GElf_Ehdr header;
  if (elf == nullptr || ::gelf_getehdr(elf.get(), &header) == nullptr ||
      header.e_machine != EM_PPC64) {
    return Error{.code = ErrorCode::document_invalid,
                 .message = fmt::format("{} is not an ELF file for ppc64", path.string())};
  }
  std::vector<std::string> names;
  for (Elf_Scn* section = nullptr; (section = ::elf_nextscn(elf.get(), section)) != nullptr;) {
    GElf_Shdr about;
    if (::gelf_getshdr(section, &about) == nullptr) {
      continue;
    }
    Elf_Data* const data = ::elf_getdata(section, nullptr);
    const char* const name = ::elf_strptr(elf.get(), header.e_shstrndx, about.sh_name);
    if (data != nullptr && name != nullptr && std::string_view(name) == ".interp") {
      const std::string linker(static_cast<const char*>(data->d_buf), data->d_size);
      names.push_back(fs::path(linker.c_str()).filename().string());
    }
    if (data == nullptr || about.sh_type != SHT_DYNAMIC) {
      continue;
    }
    GElf_Dyn entry;
    for (int i = 0; ::gelf_getdyn(data, i, &entry) != nullptr && entry.d_tag != DT_NULL; ++i) {
      const char* const library = entry.d_tag == DT_NEEDED
                                      ? ::elf_strptr(elf.get(), about.sh_link, entry.d_un.d_val)
                                      : nullptr;
      if (library != nullptr) {
        names.emplace_back(library);
      }
    }
  }
  return names;
}

// A name may be that of several: the linker is linked to from elsewhere.
Result<fs::path> find(const fs::path& folder, const std::string& name) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (entry.path().filename() == name && fs::is_regular_file(entry.path(), error) &&
        entry.path().parent_path().filename() != "completions") {
      return entry.path();
    }
  }
  return Error{.code = ErrorCode::kernel_not_fetched,
               .message = fmt::format("there is no {} in {}", name, folder.string()),
               .hint = "farcall kernel remove --bpftool VERSION, and fetch it again"};
}

// Where the guest looks for it: the kernel for the linker, and that for libraries.
std::string guest_path(const std::string& name) {
  if (name == "bpftool") {
    return name;
  }
  return (name.starts_with("ld64.so") ? "lib64/" : "lib/") + name;
}

}  // namespace

Result<std::vector<GuestFile>> bpftool_files(const fs::path& folder) {
  std::vector<GuestFile> files;
  std::vector<std::string> names = {"bpftool"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    FARCALL_TRY(path, find(folder, names[i]));
    FARCALL_TRY(bytes, read_file(path.string(), "", kMostLibraryBytes));
    FARCALL_TRY(needed, needed_by(path, bytes));
    files.push_back({.path = guest_path(names[i]), .bytes = std::move(bytes)});
    for (std::string& name : needed) {
      if (std::ranges::find(names, name) == names.end()) {
        names.push_back(std::move(name));
      }
    }
  }
  return files;
}

Result<Listings> list_programs(const GuestSpec& spec, std::span<const GuestFile> bpftool,
                               std::span<const Question> questions, wire::ListingReader reader,
                               const Watcher& watcher) {
  const auto refused = [](std::string message) {
    return Error{.code = ErrorCode::machine_bad_answer,
                 .message = "the agent in the Linux guest: " + std::move(message)};
  };
  if (questions.size() > wire::kMostListed) {
    return Error{.code = ErrorCode::machine_job_too_large,
                 .message = fmt::format("{} programs are to be listed, {} are the most",
                                        questions.size(), wire::kMostListed)};
  }
  const wire::KernelListing wanted{.magic = wire::kListingMagic,
                                   .nonce = new_nonce(),
                                   .reader = static_cast<std::uint32_t>(reader),
                                   .reserved = 0};
  std::vector<InitramfsFile> files = {
      {.path = "listing", .mode = S_IFREG | 0644, .bytes = std::as_bytes(std::span(&wanted, 1))},
      {.path = "lib", .mode = S_IFDIR | 0755, .bytes = {}},
      {.path = "lib64", .mode = S_IFDIR | 0755, .bytes = {}}};
  for (const GuestFile& file : bpftool) {
    files.push_back(
        {.path = file.path, .mode = S_IFREG | 0755, .bytes = std::as_bytes(std::span(file.bytes))});
  }
  const Batch programs = batch(questions, wanted.nonce, spec.order);
  if (programs.question_count != questions.size()) {
    return Error{
        .code = ErrorCode::machine_job_too_large,
        .message = fmt::format("of {} programs to be listed, a Linux guest can be given {}",
                               questions.size(), programs.question_count)};
  }
  FARCALL_TRY(guest, boot(spec, files, watcher, programs.bytes));
  Listings listings{
      .outputs = {}, .symbols = {}, .ids = {}, .answers = {}, .trouble = trouble_in(guest.log)};
  std::string_view rest = guest.reply;
  bool is_short = false;
  const auto take = [&](std::size_t size) {
    is_short = is_short || size > rest.size();
    const std::string_view taken = rest.substr(0, is_short ? 0 : size);
    rest.remove_prefix(taken.size());
    return taken;
  };
  const auto head = take(sizeof(wire::KernelListingReply));
  const auto begin = at<wire::KernelListingReply>(head, 0);
  if (begin.magic != wire::kListingBegins || begin.nonce != wanted.nonce ||
      begin.command_count != wire::kListingCommandCount ||
      begin.program_count != questions.size()) {
    return refused("its reply is not one to this boot");
  }
  const auto take_output = [&] {
    const auto said = at<wire::KernelToolOutput>(take(sizeof(wire::KernelToolOutput)), 0);
    const auto status = static_cast<int>(std::uint32_t{said.status});
    return ToolOutput{.succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0,
                      .text = std::string(take(said.byte_count))};
  };
  for (ToolOutput& output : listings.outputs) {
    output = take_output();
  }
  listings.symbols = take_output().text;
  const std::string_view ids = take(questions.size() * sizeof(ul32));
  for (std::size_t i = 0; i < questions.size(); ++i) {
    listings.ids.push_back(at<ul32>(ids, i * sizeof(ul32)));
  }
  std::vector<Question> without_regions(questions.begin(), questions.end());
  for (Question& question : without_regions) {
    question.regions.clear();
  }
  Reply reply;
  if (!is_short) {
    FARCALL_TRY(answers, read_reply(std::as_bytes(std::span(rest)), without_regions, wanted.nonce,
                                    spec.order));
    reply = std::move(answers);
  }
  if (is_short || !reply.is_whole) {
    if (!listings.trouble.empty()) {
      return Error{.code = ErrorCode::jit_crashed,
                   .message = "the kernel did not survive it: " + listings.trouble};
    }
    return refused("it ended before its reply did: " + guest.how);
  }
  listings.answers = std::move(reply.answers);
  return listings;
}

}  // namespace farcall::kernel
