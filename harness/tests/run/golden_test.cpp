// What commands print, to the letter: harness/tests/golden/ holds the text of each. `ci/bless`
// shows what has changed and takes it over when told to.
//
// These files say that output changed, not that it is right: that is what the tests of show/ are
// for, whose expectations are worked out by hand.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>

#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"

namespace farcall::run::golden_test {
namespace {

using namespace tests;

using ::testing::HasSubstr;

struct Golden {
  const char* name;
  std::vector<std::string> arguments;
};

std::string cell(const char* path) {
  return (cases_folder() / path).string();
}

const std::vector<Golden>& goldens() {
  static const std::vector<Golden> kGoldens = {
      {"schemes", {"schemes"}},
      {"schemes-imm32", {"schemes", "--explain", "imm32"}},
      {"schemes-aux64", {"schemes", "--explain", "aux64"}},
      {"schemes-pair64", {"schemes", "--explain", "pair64"}},
      {"schemes-table", {"schemes", "--explain", "table"}},
      {"policies", {"schemes", "--policy", "ppc64=table,others=imm32", "--policy", "all=table"}},
      {"symbols", {"symbols", cell("reach/every-region.case")}},
      {"xlated", {"dump", cell("scheme/all-near.case@pair64"), "--stage=xlated"}},
      {"xlated-tag-offset",
       {"dump", cell("reach/every-region.case"), "--stage=xlated", "--names=tag-offset"}},
      {"xlated-kernel-off",
       {"dump", cell("reach/every-region.case"), "--stage=xlated", "--names=kernel",
        "--reader=jit-off"}},
      {"xlated-kernel-restricted",
       {"dump", cell("reach/every-region.case"), "--stage=xlated", "--names=kernel",
        "--reader=restricted"}},
      {"jited", {"dump", cell("reach/every-region.case"), "--stage=jited"}},
      {"jited-annotations",
       {"dump", cell("reach/every-region.case"), "--stage=jited", "--jited-annotations"}},
      {"layout", {"dump", cell("reach/every-region.case"), "--stage=layout"}},
      {"layout-svg", {"dump", cell("reach/far-2p.case"), "--stage=layout", "--svg"}},
  };
  return kGoldens;
}

// Paths as they are in the checkout, wherever that and the current folder are.
std::string without_folders(const std::string& text) {
  static const std::regex kFolders("[^ \"]*cases/(scheme|c|reach)/");
  return std::regex_replace(text, kFolders, "cases/$1/");
}

std::string blessed(const std::string& name) {
  return contents(tests::source_dir() / "harness/tests/golden" / (name + ".txt"));
}

// Runs farcall where ci/bless runs it: paths are relative to the current folder, and columns are as
// wide as they are.
class InTheCheckout {
 public:
  InTheCheckout() { std::filesystem::current_path(tests::source_dir()); }
  ~InTheCheckout() { std::filesystem::current_path(before_); }
  InTheCheckout(const InTheCheckout&) = delete;
  InTheCheckout& operator=(const InTheCheckout&) = delete;

 private:
  std::filesystem::path before_ = std::filesystem::current_path();
};

TEST(Golden, OutputIsAsBlessed) {
  const InTheCheckout in_the_checkout;
  const char* const new_folder = std::getenv("FARCALL_GOLDEN_OUTPUT");
  for (const Golden& golden : goldens()) {
    const Finished finished = run_farcall(golden.arguments);
    EXPECT_EQ(finished.exit_code, 0) << golden.name << "\n" << finished.err;
    const std::string said = without_folders(finished.out);
    if (new_folder != nullptr) {
      const auto file = std::filesystem::path(new_folder) / (std::string(golden.name) + ".txt");
      std::ofstream(file, std::ios::binary) << said;
    }
    EXPECT_EQ(said, blessed(golden.name))
        << golden.name << ": if this is meant, ci/bless takes it over";
  }
}

TEST(Golden, ExplanationsAreTenLines) {
  for (const char* const scheme : {"imm32", "aux64", "pair64", "table"}) {
    const std::string text = blessed(std::string("schemes-") + scheme);
    EXPECT_EQ(std::ranges::count(text, '\n'), 10) << text;
  }
  // RFC 9669: 85, then src = 1 in the high nibble, off and imm, little-endian; two slots ahead.
  // Then off = 3 over the second slot, imm = -1, and the address as a number.
  EXPECT_THAT(blessed("schemes-pair64"), HasSubstr("before       85 10 00 00 02 00 00 00"));
  EXPECT_THAT(blessed("schemes-pair64"),
              HasSubstr("after        85 10 03 00 ff ff ff ff  68 a4 12 00 00 00 08 c0"));
}

TEST(Golden, ReadmeShowsWhatIsBlessed) {
  const std::string readme = contents(tests::source_dir() / "harness/scheme/README.md");
  const std::string schemes = blessed("schemes");
  EXPECT_THAT(readme, HasSubstr(schemes.substr(0, schemes.find("\n\nWhat does not hold"))));
  const std::string policies = blessed("policies");
  EXPECT_THAT(readme, HasSubstr(policies.substr(0, policies.find("\n\nDistances"))));
}

// A listing must not depend on what a kernel may show.
TEST(Golden, XlatedIsTheSameInEveryMode) {
  for (const char* const mode : {"--reader=jit-on", "--reader=jit-off", "--reader=restricted"}) {
    const Finished finished =
        run_farcall({"dump", cell("scheme/all-near.case@pair64"), "--stage=xlated", mode});
    EXPECT_EQ(finished.out, blessed("xlated")) << mode;
  }
}

}  // namespace
}  // namespace farcall::run::golden_test
