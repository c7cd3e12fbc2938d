// How many machines a run boots.
#include <gtest/gtest.h>

#include <atomic>

#include "run/runner.hpp"
#include "selection/select.hpp"
#include "tests/farcall_process.hpp"
#include "tests/run/forwarding_host.hpp"
#include "vm/host.hpp"

namespace farcall::run::machines_test {
namespace {

using namespace tests;

class CountingHost : public tests::ForwardingHost {
 public:
  Result<vm::StartedQemu> start(const vm::MachineSpec& spec) override {
    ++starts_;
    return ForwardingHost::start(spec);
  }
  std::size_t starts() const { return starts_; }

 private:
  std::atomic<std::size_t> starts_ = 0;
};

TEST(Machines, OneServesBothKindsOfTranslation) {
  const ScratchFolder folder;
  const std::string path = folder.write("all.case",
                                        "-- matrix\nendian le be\ncpu power8 power9 power10\n"
                                        "mmu hash radix\n-- asm\nmov %r0, 7\nexit\n-- result\n7\n");
  const auto selected = selection::select_cells({.paths = {path}});
  ASSERT_TRUE(selected) << to_string(selected.error());
  for (const unsigned machines : {1U, 2U, 8U}) {
    CountingHost host;
    std::size_t cells = 0;
    const RunSummary summary = run_all(
        Documents(std::vector(selected.value().documents)),
        {.machines = machines, .images = farcall_binary().parent_path() / "images", .host = &host},
        [&](const FinishedCell& finished) {
          EXPECT_EQ(finished.index, cells++);
          EXPECT_EQ(finished.verdict.outcome, model::Outcome::pass) << finished.document->cell.name;
        });
    EXPECT_EQ(summary.machines_lost, 0U);
    EXPECT_EQ(cells, 10U);  // a power8 has no radix translation
    EXPECT_EQ(host.starts(), 6U);
  }
}

}  // namespace
}  // namespace farcall::run::machines_test
