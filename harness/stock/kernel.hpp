// A stock kernel that the user names.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "base/error.hpp"
#include "check/kernel_dump_findings.hpp"
#include "kernel/guest_spec.hpp"
#include "kernel/kernel_file.hpp"
#include "show/tag.hpp"
#include "stock/kernel_symbols.hpp"
#include "stock/lines.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::stock {

inline constexpr const char* kDefaultKernel = "6.1";

// The kernel that was asked.
struct AskedKernel {
  std::string name;  // as `6.1.176-1`; of a file of the user's, `6.1.176-vmlinux`
  kernel::KernelFacts facts;
  show::TagHash hash{};
  check::KernelSeries series = {};
  KernelSymbols symbols = {};  // none, until the kernel was asked for them
  LineRows rows = LineRows::not_told;
};

struct StockKernel {
  std::string argument;  // what names it on the command line: its version, or its file
  std::filesystem::path vmlinux;
  std::filesystem::path modules;  // the folder of its package; empty: it is a file of the user's
  kernel::KernelFile file;
  AskedKernel asked;
  bool fresh_boot = false;  // as GuestSpec has it
};

// What it says of itself in its answer to symbols_question().
void learn(const kernel::Answered& answered, AskedKernel& kernel);

// A version that was fetched, or the file of a kernel. kernel.unknown, kernel.not-fetched,
// document.invalid.
Result<StockKernel> stock_kernel(const std::string& text, bool fresh_boot = false);

// Of kernels whose releases and files are called alike, each gets its whole path into its name.
void tell_apart(std::span<StockKernel> kernels);

// Which guest boots it: with the agent of `images` that has its byte order, and what no cell asks
// otherwise.
kernel::GuestSpec guest_of(const StockKernel& kernel, const std::filesystem::path& images,
                           vm::Host* host);

// Who makes a kernel's code, in reports: `linux:6.1.176-1`.
std::string jit_name(const StockKernel& kernel);

// What `-- known` calls who made or interpreted a cell's code: `linux:6.1.176-1/jit`.
std::string identity(const StockKernel& kernel, wire::KernelMode mode);

}  // namespace farcall::stock
