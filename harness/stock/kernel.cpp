#include "stock/kernel.hpp"

#include <fmt/format.h>

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
  if (std::filesystem::is_regular_file(text)) {
    vmlinux = std::filesystem::absolute(text);
    name = vmlinux.filename().string();
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
  const check::KernelSeries series = {facts.major, facts.minor};
  return StockKernel{.vmlinux = std::move(vmlinux),
                     .modules = std::move(modules),
                     .file = std::move(file),
                     .asked = {.name = std::move(name),
                               .toc = facts.toc,
                               .hash = hash_of(series),
                               .series = series},
                     .fresh_boot = fresh_boot};
}

void learn(const kernel::Answered& answered, AskedKernel& kernel) {
  kernel.symbols = symbols(answered);
  kernel.rows = answered ? line_rows(answered.value(), kernel.toc) : LineRows::not_told;
}

std::string jit_name(const StockKernel& kernel) {
  return "linux:" + kernel.asked.name;
}

std::string identity(const StockKernel& kernel, wire::KernelMode mode) {
  return fmt::format("{}/{}", jit_name(kernel), kernel::name(mode));
}

}  // namespace farcall::stock
