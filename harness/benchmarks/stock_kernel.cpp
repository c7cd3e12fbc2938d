// How many programs a second a stock kernel loads, runs and tells of, in a guest that is restored.
//
//   ninja -C build farcall_stock_kernel && build/harness/farcall_stock_kernel 6.1 cases 40
//
// asks about the cells of these files that a stock kernel takes, each so many times.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "kernel/guest.hpp"
#include "selection/select.hpp"
#include "stock/kernel.hpp"
#include "stock/linux_cells.hpp"

namespace farcall {
namespace {

// Those that the kernel takes, with the JIT on.
std::vector<kernel::Question> questions_of(const std::string& path) {
  std::vector<kernel::Question> questions;
  for (const stock::LinuxCell& cell :
       stock::linux_cells(selection::select_cells({.paths = {path}}).value().documents, {})) {
    if (!cell.skipped) {
      questions.push_back(cell.question);
    }
  }
  return questions;
}

struct Asked {
  double seconds = 0;
  std::vector<kernel::Answered> answers;
};

Asked timed(const kernel::GuestSpec& spec, const std::vector<kernel::Question>& questions) {
  const auto begin = std::chrono::steady_clock::now();
  auto answers = kernel::ask(spec, questions, {}, std::thread::hardware_concurrency());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (!answers) {
    fmt::print(stderr, "{}\n", to_string(answers.error()));
    std::exit(3);
  }
  return {.seconds = took.count(), .answers = std::move(answers).value()};
}

void measure(const std::string& version, const std::string& path, unsigned times) {
  const auto kernel = stock::stock_kernel(version).value();
  const kernel::GuestSpec spec{.vmlinux = kernel.vmlinux, .agent = FARCALL_LINUX_AGENT};
  const std::vector<kernel::Question> all = questions_of(path);
  std::vector<kernel::Question> taken;
  const Asked once = timed(spec, all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (once.answers[i] && once.answers[i].value().outcome == wire::KernelOutcome::done) {
      taken.push_back(all[i]);
    }
  }
  std::vector<kernel::Question> many;
  for (unsigned i = 0; i < times; ++i) {
    many.insert(many.end(), taken.begin(), taken.end());
  }
  const double first = timed(spec, {taken.front()}).seconds;
  const double rest = timed(spec, many).seconds - first;
  fmt::print("{}: {:.3f} s to the first answer, {:.0f} programs/s ({} in {:.3f} s)\n", version,
             first, static_cast<double>(many.size()) / rest, many.size(), rest);
}

}  // namespace
}  // namespace farcall

int main(int count, char** arguments) {
  if (count != 4) {
    fmt::print(stderr, "usage: {} KERNEL CASES TIMES\n", arguments[0]);
    return 2;
  }
  farcall::measure(arguments[1], arguments[2],
                   static_cast<unsigned>(std::strtoul(arguments[3], nullptr, 10)));
}
