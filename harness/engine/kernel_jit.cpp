#include "engine/kernel_jit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "bpf/stack_argument.hpp"
#include "engine/kernel_build.hpp"
#include "engine/process_jit.hpp"

namespace farcall::engine {
namespace {

namespace fs = std::filesystem;

// The programs that were made of a tree; shared by all threads.
class Generators {
 public:
  Generators(fs::path tree, fs::path glue, Variant variant)
      : tree_(std::move(tree)), glue_(std::move(glue)), variant_(variant) {}

  Variant variant() const { return variant_; }

  Result<process::Command> of(model::Endian endian, const Stopped& stopped) {
    const std::scoped_lock lock(mutex_);
    std::optional<Result<process::Command>>& made = commands_[static_cast<std::size_t>(endian)];
    if (!made) {
      made = make(endian, stopped);
    }
    return *made;
  }

 private:
  Result<process::Command> make(model::Endian endian, const Stopped& stopped) const {
    FARCALL_TRY(emulator, user_emulator(endian));
    FARCALL_TRY(program, build_kernel_jit(tree_, glue_, endian, variant_, stopped));
    return process::Command{.program = emulator, .arguments = {program.string()}};
  }

  fs::path tree_;
  fs::path glue_;
  Variant variant_;
  std::mutex mutex_;
  std::array<std::optional<Result<process::Command>>, 2> commands_;
};

// Of its Makefile: `6.12.107`, `7.3.0-rc7`.
std::string kernel_version(const fs::path& tree) {
  std::ifstream makefile(tree / "Makefile");
  std::array<std::string, 4> parts;
  constexpr std::array<std::string_view, 4> kNames = {
      "VERSION =", "PATCHLEVEL =", "SUBLEVEL =", "EXTRAVERSION ="};
  for (std::string line; std::getline(makefile, line);) {
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      if (parts[i].empty() && line.starts_with(kNames[i])) {
        const auto value = line.find_first_not_of(' ', kNames[i].size());
        parts[i] = value == std::string::npos ? "" : line.substr(value);
      }
    }
  }
  return parts[0] + "." + parts[1] + "." + parts[2] + parts[3];
}

// Below it are a user's addresses, to Linux.
constexpr GuestAddress kKernelAddresses = {0xc000'0000'0000'0000};

bool has_user_memory(const model::Cell& cell) {
  return cell.placement.stack < kKernelAddresses ||
         std::ranges::any_of(
             cell.memory,
             [](const bpf::MemoryRegion& region) { return region.address < kKernelAddresses; });
}

// What no tree's JIT can be asked for, or an empty text.
std::string declined(const model::Cell& cell, Variant variant) {
  if (cell.axes.abi == model::Abi::elfv1) {
    return "code for ELFv1, which kernel:DIR is not built for";
  }
  if (variant == Variant::pcrel &&
      (cell.axes.cpu != model::Cpu::power10 || cell.axes.endian != model::Endian::little)) {
    return "a kernel without a TOC, which is one for little-endian POWER10 alone";
  }
  if (variant == Variant::probed && has_user_memory(cell)) {
    return "memory at a user's address, from where a load that may fault gets 0";
  }
  if (bpf::has_stack_arguments(*cell.program)) {
    return "arguments six and more, which Linux does not have on ppc64";
  }
  if (cell.expected.failure) {
    return "the case expects a failure, of farcall's own linker or JIT";
  }
  return {};
}

class KernelCompiler final : public Compiler {
 public:
  KernelCompiler(std::shared_ptr<Generators> generators, Stopped stopped)
      : generators_(std::move(generators)), stopped_(std::move(stopped)) {}

  std::size_t batch() const override { return 64; }

  std::vector<Compiled> compile(std::span<const model::Document* const> documents) override {
    std::vector<Compiled> all;
    std::array<std::vector<std::size_t>, 2> numbers;
    std::array<std::vector<const model::Document*>, 2> parts;
    for (std::size_t i = 0; i < documents.size(); ++i) {
      std::string why = declined(documents[i]->cell, generators_->variant());
      if (why.empty()) {
        const auto part = static_cast<std::size_t>(documents[i]->cell.axes.endian);
        numbers[part].push_back(i);
        parts[part].push_back(documents[i]);
      }
      all.push_back({.linked = std::nullopt,
                     .image = Error{.code = ErrorCode::jit_declined, .message = std::move(why)}});
    }
    for (std::size_t part = 0; part < parts.size(); ++part) {
      if (!parts[part].empty()) {
        std::vector<Compiled> some = compile_part(part, parts[part]);
        for (std::size_t i = 0; i < some.size(); ++i) {
          all[numbers[part][i]].image = std::move(some[i].image);
        }
      }
    }
    return all;
  }

 private:
  std::vector<Compiled> compile_part(std::size_t part,
                                     std::span<const model::Document* const> documents) {
    if (!processes_[part]) {
      const auto command = generators_->of(static_cast<model::Endian>(part), stopped_);
      if (!command) {
        std::vector<Compiled> none;
        for (std::size_t i = 0; i < documents.size(); ++i) {
          none.push_back({.linked = std::nullopt, .image = command.error()});
        }
        return none;
      }
      processes_[part] = process_jit("", command.value()).start(stopped_);
    }
    return processes_[part]->compile(documents);
  }

  std::shared_ptr<Generators> generators_;
  Stopped stopped_;
  std::array<std::unique_ptr<Compiler>, 2> processes_;
};

}  // namespace

Result<Jit> kernel_jit(std::string name, const fs::path& tree, const fs::path& glue,
                       Variant variant, const Stopped& stopped) {
  const auto generators = std::make_shared<Generators>(tree, glue, variant);
  FARCALL_TRYV(generators->of(model::Endian::little, stopped));
  return Jit{
      .name = std::move(name),
      .identity = "kernel:" + kernel_version(tree) +
                  (variant == Variant::plain ? "" : fmt::format("+{}", engine::name(variant))),
      .start = [generators](const Stopped& nobody_waits) {
        return std::make_unique<KernelCompiler>(generators, nobody_waits);
      }};
}

}  // namespace farcall::engine
