// Debian's bpftool in a Linux guest: what it prints of many programs that are loaded at once.
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "kernel/guest.hpp"
#include "wire/kernel_listing.hpp"

namespace farcall::kernel {

// A file that is to be in the guest, and where.
struct GuestFile {
  std::string path;  // as InitramfsFile has it
  std::string bytes;
};

// bpftool, the dynamic linker and the libraries that the two need, of the packages unpacked in
// `folder`. kernel.not-fetched: one is not there; document.invalid: one is not an ELF file.
Result<std::vector<GuestFile>> bpftool_files(const std::filesystem::path& folder);

struct ToolOutput {
  bool succeeded = false;
  std::string text;  // of both its outputs
};

// What one reader gets to see, and what the programs are that are there meanwhile.
struct Listings {
  std::array<ToolOutput, wire::kListingCommandCount> outputs;
  std::string symbols;             // what bpftool got to read as /proc/kallsyms
  std::vector<std::uint32_t> ids;  // of each program; 0: it was not loaded
  // Of each: done or rejected. As somebody sees them who may see all; without regions.
  std::vector<Answer> answers;
  std::string trouble;  // of the kernel's log; empty: none
};

// Boots, loads the programs of `questions`, whose modes do not matter, and runs bpftool. All of them
// are to be called wire::kListedName. The errors of boot(), machine.job-too-large, jit.crashed.
Result<Listings> list_programs(const GuestSpec& spec, std::span<const GuestFile> bpftool,
                               std::span<const Question> questions, wire::ListingReader reader,
                               const Watcher& watcher);

}  // namespace farcall::kernel
