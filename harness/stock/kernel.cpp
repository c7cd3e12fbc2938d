#include "stock/kernel.hpp"

#include <fmt/format.h>

#include <map>
#include <set>
#include <utility>

#include "kernel/store.hpp"
#include "kernel/version.hpp"

namespace farcall::stock {
namespace {

// Linux makes tags with SHA-256 since 6.18.
show::TagHash hash_of(check::KernelSeries series) {
  return series < check::KernelSeries{6, 18} ? show::TagHash::sha1 : show::TagHash::sha256;
}

}  // namespace

Result<StockKernel> stock_kernel(const std::string& text, bool fresh_boot) {
  std::filesystem::path vmlinux;
  std::filesystem::path modules;
  std::string name;
  const bool is_path = text.find('/') != std::string::npos;  // no version has one
  if (is_path || std::filesystem::is_regular_file(text)) {
    vmlinux = std::filesystem::absolute(text);
  } else {
    FARCALL_TRY(wanted, kernel::wanted(kernel::Kind::image, text));
    FARCALL_TRY(store, kernel::Store::of_user());
    FARCALL_TRY(fetched, store.get(wanted));
    vmlinux = fetched.vmlinux;
    modules = fetched.folder;
    name = version_name(fetched);
  }
  FARCALL_TRY(file, kernel::KernelFile::read(vmlinux));
  const kernel::KernelFacts facts = file.facts();
  std::string argument = name;
  if (name.empty()) {
    argument = vmlinux.string();
    name = fmt::format("{}-{}", file.release(), vmlinux.filename().string());
  }
  const check::KernelSeries series = {facts.major, facts.minor};
  return StockKernel{
      .argument = std::move(argument),
      .vmlinux = std::move(vmlinux),
      .modules = std::move(modules),
      .file = std::move(file),
      .asked = {.name = std::move(name), .facts = facts, .hash = hash_of(series), .series = series},
      .fresh_boot = fresh_boot};
}

void tell_apart(std::span<StockKernel> kernels) {
  std::map<std::string, std::set<std::string>> paths;
  for (const StockKernel& kernel : kernels) {
    paths[kernel.asked.name].insert(kernel.argument);
  }
  for (StockKernel& kernel : kernels) {
    if (paths[kernel.asked.name].size() > 1) {
      kernel.asked.name = fmt::format("{}-{}", kernel.file.release(), kernel.argument);
    }
  }
}

kernel::GuestSpec guest_of(const StockKernel& kernel, const std::filesystem::path& images,
                           vm::Host* host) {
  const model::Endian endian = kernel.asked.facts.endian;
  return {.vmlinux = kernel.vmlinux,
          .agent = images / (endian == model::Endian::big ? "linux-agent-be" : "linux-agent"),
          .order = byte_order(endian),
          .fresh_boot = kernel.fresh_boot,
          .host = host};
}

void learn(const kernel::Answered& answered, AskedKernel& kernel) {
  kernel.symbols = symbols(answered, kernel.facts.order());
  kernel.rows = answered ? line_rows(answered.value(), kernel.facts) : LineRows::not_told;
}

std::string jit_name(const StockKernel& kernel) {
  return "linux:" + kernel.asked.name;
}

std::string identity(const StockKernel& kernel, wire::KernelMode mode) {
  return fmt::format("{}/{}", jit_name(kernel), kernel::name(mode));
}

}  // namespace farcall::stock
