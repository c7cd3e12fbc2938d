// `farcall faults`, end to end.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "faults/fault.hpp"
#include "tests/paths.hpp"
#include "tests/run/farcall_process.hpp"

namespace farcall::run::faults_test {
namespace {

using ::testing::HasSubstr;

TEST(FaultsCommand, NamesTheWitnessAndTheCell) {
  const Finished finished = run_farcall({"faults", "truncated-address", "--format=json", "--cases",
                                         (cases_folder() / "reach/far-2p.case").string()});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  const auto fault = nlohmann::json::parse(finished.out)["faults"][0];
  EXPECT_EQ(fault["cells"], fault["caught"]);
  EXPECT_THAT(fault["first"].get<std::string>(), HasSubstr("far-2p.case@far-2p"));
  EXPECT_THAT(fault["finding"].get<std::string>(),
              HasSubstr("they lead to c00000000012a468, -2.0 PiB off"));
  EXPECT_TRUE(fault["witnesses"].contains("decoder"));
  EXPECT_TRUE(fault["witnesses"].contains("trace"));
  EXPECT_TRUE(fault["witnesses"].contains("ending"));
}

TEST(FaultsCommand, FailsWhereNoCellShowsAFault) {
  const Finished finished = run_farcall({"faults", "arsh32-wrong-register", "--cases",
                                         (cases_folder() / "reach/far-2p.case").string()});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.out, HasSubstr("arsh32-wrong-register: no cell shows it"));
}

TEST(FaultsCommand, KnowsItsNames) {
  const Finished finished = run_farcall({"faults", "truncated-adress"});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.err, HasSubstr("did you mean truncated-address?"));
}

// The page is what `farcall faults --format markdown` prints, of which ci/test compares all; this
// is about the faults that there are.
TEST(FaultsPage, HasAllFaults) {
  const std::string page = contents(tests::source_dir() / "harness/faults/README.md");
  for (const faults::Fault& fault : faults::all_faults()) {
    EXPECT_THAT(page, HasSubstr(fmt::format("| `{}` | {} | {} | {} |", fault.name, name(fault.part),
                                            fault.what, fault.source)));
  }
}

}  // namespace
}  // namespace farcall::run::faults_test
