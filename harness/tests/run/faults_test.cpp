// `farcall faults`, end to end.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "faults/fault.hpp"
#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"

namespace farcall::run::faults_test {
namespace {

using namespace tests;

using ::testing::HasSubstr;

TEST(FaultsCommand, NamesTheWitnessAndTheCell) {
  const Finished finished = run_farcall({"faults", "truncated-address", "--format=json", "--cases",
                                         (cases_folder() / "reach/far-2p.case").string()});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  const auto fault = nlohmann::json::parse(finished.out)["jits"][0]["faults"][0];
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

// The other JIT is a process, whose code differs from that of ours in one instruction.
TEST(FaultsCommand, PutsFaultsIntoOtherJits) {
  const std::string jit =
      fmt::format("exec:{} srawi", (tests::build_dir() / "harness/tests/spoiled_jit").string());
  const Finished finished =
      run_farcall({"faults", "register-not-restored", "arsh-as-rsh", "side-table-shifted",
                   "carry-forgotten", "--jit", jit, "--jit", "farcall", "--format=json", "--cases",
                   (cases_folder() / "instructions").string(), (cases_folder() / "calls").string(),
                   (cases_folder() / "reach").string()});
  const auto jits = nlohmann::json::parse(finished.out)["jits"];
  ASSERT_EQ(jits.size(), 2U);
  const auto& other = jits[0];
  EXPECT_EQ(other["jit"], jit);
  EXPECT_GT(other["cells"]["failing"], 0);  // srawi is wrong without any fault
  EXPECT_EQ(other["applicable"], 2);
  EXPECT_EQ(other["caught"], 2);
  EXPECT_GT(other["faults"][0]["caught"], 0);
  EXPECT_TRUE(other["faults"][0]["witnesses"].contains("registers"));
  EXPECT_THAT(other["faults"][2]["not_applicable"].get<std::string>(), HasSubstr("linker"));
  EXPECT_EQ(other["faults"][3]["cells"], 0);
  EXPECT_EQ(jits[1]["jit"], "farcall");
  EXPECT_EQ(jits[1]["caught"], jits[1]["applicable"]);
}

TEST(FaultsCommand, NeedsACellThatTheJitPasses) {
  const Finished finished = run_farcall(
      {"faults", "result-bit", "side-table-shifted", "--jit",
       fmt::format("exec:{}", (tests::build_dir() / "harness/tests/example_jit").string()),
       "--cases", (cases_folder() / "instructions").string()});
  EXPECT_EQ(finished.exit_code, 3) << finished.out;  // it makes code of two instructions
  EXPECT_THAT(finished.err, HasSubstr("none is left to put one into"));
}

TEST(FaultsCommand, SaysTheNumberOfTheJitLast) {
  const ScratchFolder folder;
  folder.write("two.case", "# Two.\n-- asm\nmov %r0, 2\nexit\n-- result\n2\n");
  const std::string jit =
      fmt::format("exec:{}", (tests::build_dir() / "harness/tests/example_jit").string());
  const Finished finished = run_farcall({"faults", "result-bit", "side-table-shifted", "--jit", jit,
                                         "--cases", (folder.path() / "two.case").string()});
  EXPECT_EQ(finished.exit_code, 0) << finished.out << finished.err;
  EXPECT_TRUE(finished.out.ends_with(
      jit + ": 1 of 1 faults caught; 0 have no place, 1 are not applicable\n"))
      << finished.out;
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
