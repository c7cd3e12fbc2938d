// farcall_fuzz --target=NAME [libFuzzer's own arguments]
// farcall_fuzz --seeds=FOLDER CASES    writes FOLDER/TARGET/… from the case files under CASES
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "fuzz/seeds.hpp"
#include "fuzz/target.hpp"

namespace farcall::fuzz {
namespace {

constexpr std::array kTargets = {
    Target{"case", run_case},       Target{"object", run_object}, Target{"document", run_document},
    Target{"program", run_program}, Target{"answer", run_answer}, Target{"bundle", run_bundle},
    Target{"tags", run_tags},       Target{"jit", run_jit},       Target{"kernel", run_kernel},
    Target{"plugin", run_plugin},
};

constexpr std::string_view kTarget = "--target=";
constexpr std::string_view kSeeds = "--seeds=";

// libFuzzer calls functions of fixed names, so what was chosen cannot be handed to them.
const Target* chosen = nullptr;

[[noreturn]] void usage() {
  fmt::print(stderr, "usage: farcall_fuzz --target=NAME …, or --seeds=FOLDER CASES; targets:");
  for (const Target& target : kTargets) {
    fmt::print(stderr, " {}", target.name);
  }
  fmt::print(stderr, "\n");
  std::exit(2);
}

}  // namespace

void require(bool condition, std::string_view what) {
  if (!condition) {
    fmt::print(stderr, "expected {}\n", what);
    std::abort();
  }
}

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace farcall::fuzz

// NOLINTNEXTLINE(readability-non-const-parameter): as libFuzzer declares it
extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  using namespace farcall::fuzz;
  const std::string_view first = *count > 1 ? (*arguments)[1] : "";
  if (first.starts_with(kSeeds) && *count == 3) {
    write_seeds((*arguments)[2], first.substr(kSeeds.size()));
    std::exit(0);
  }
  if (!first.starts_with(kTarget)) {
    usage();
  }
  const auto* const found =
      std::ranges::find(kTargets, first.substr(kTarget.size()), &Target::name);
  if (found == kTargets.end()) {
    usage();
  }
  chosen = &*found;
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  farcall::fuzz::chosen->run(std::as_bytes(std::span(data, size)));
  return 0;
}
