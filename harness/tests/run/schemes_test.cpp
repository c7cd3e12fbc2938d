// `farcall schemes` and `farcall resolve` as a user sees them. What the golden files hold is
// checked here for what it must mean.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <set>

#include "scheme/measure.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::schemes_test {
namespace {

using namespace tests;

using ::testing::HasSubstr;
using Json = nlohmann::json;

const Json& study() {
  static const Json kStudy = [] {
    const Finished finished = run_farcall({"schemes", "--format=json"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    return Json::parse(finished.out);
  }();
  return kStudy;
}

std::string outcome(const Json& scheme, const char* trials, std::size_t number) {
  return scheme[trials][number]["outcome"];
}

// The call schemes, and the limits of each, worked out from its encoding by hand.
TEST(Schemes, AreWhatTheirEncodingsAllow) {
  const Json& schemes = study()["schemes"];
  ASSERT_EQ(schemes.size(), 4U);
  for (const Json& scheme : schemes) {
    const bool is_imm32 = scheme["scheme"] == "imm32";
    ASSERT_EQ(scheme["regions"].size(), 9U);
    for (std::size_t i = 0; i < 9; ++i) {
      EXPECT_EQ(outcome(scheme, "regions", i), is_imm32 && i >= 4 ? "refused" : "holds")
          << scheme["regions"][i];
    }
    EXPECT_EQ(scheme["jit"]["gets"], scheme["placed"]);
    EXPECT_EQ(scheme["slots"]["after"].get<int>() - scheme["slots"]["before"].get<int>(),
              scheme["scheme"] == "pair64" ? 1 : 0);
  }
  const std::vector<std::string> by_16_bits = {"holds", "refused", "holds", "holds"};
  const std::vector<std::string> by_32_bits = {"holds", "holds", "holds", "holds"};
  const std::vector<std::string> grown = {"refused", "refused", "holds", "refused"};
  const std::vector<std::vector<std::string>> expected = {by_16_bits, by_32_bits, grown,
                                                          by_16_bits};
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(outcome(schemes[i], "limits", j), expected[i][j]) << schemes[i]["limits"][j];
    }
  }
}

TEST(Schemes, SayWhatADumpGivesAway) {
  for (const Json& scheme : study()["schemes"]) {
    ASSERT_EQ(scheme["dumps"].size(), 3U);
    std::set<std::string> names;
    for (const Json& dump : scheme["dumps"]) {
      names.insert(dump["name"].get<std::string>());
      const bool is_shown = dump["jit"] == "on" && scheme["scheme"] != "aux64";
      EXPECT_EQ(dump["address"], is_shown ? scheme["placed"] : Json("not available")) << dump;
    }
    EXPECT_EQ(names.size(), 1U);
  }
}

TEST(Schemes, NameACellThatRuns) {
  for (const Json& scheme : study()["schemes"]) {
    const Finished finished =
        run_farcall({"dump", scheme["cell"].get<std::string>(), "--stage=verdict"});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("pass"));
  }
}

TEST(Schemes, ThatCouldNotBeRunSaySo) {
  ScratchFolder empty;
  const Finished finished = run_farcall({"schemes"}, empty.path().string());  // no QEMU in there
  EXPECT_EQ(finished.exit_code, 3);
  EXPECT_THAT(finished.out, HasSubstr("aux64   not run"));
  EXPECT_THAT(finished.out, HasSubstr("machine.no-qemu"));
}

// Whoever stops a run when all of it is done gets what it came to.
TEST(Schemes, AreNoneOfARunThatWasStoppedBeforeItsEnd) {
  const auto study = scheme::study_schemes(
      cases_folder(),
      {.images = farcall_binary().parent_path() / "images", .stopped = [] { return true; }},
      show::TagHash::sha1);
  ASSERT_FALSE(study);
  EXPECT_EQ(study.error().code, ErrorCode::machine_lost);
  EXPECT_THAT(std::string(study.error().message), HasSubstr("stopped when 0 of "));
}

TEST(Schemes, AreAPageOfHtml) {
  const Finished finished = run_farcall({"schemes", "--format=html"});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  pugi::xml_document page;
  ASSERT_TRUE(page.load_string(finished.out.c_str()));
  EXPECT_EQ(page.select_nodes("//table").size(), 4U);
  EXPECT_EQ(page.select_nodes("//td[@class='refused']").size(), 5U + 1U + 3U + 1U);
  EXPECT_EQ(page.select_nodes("//td[@class='holds']").size(), 4U * 13U - 10U);
  EXPECT_THAT(finished.out, HasSubstr("address not available"));
}

TEST(Schemes, UnknownWordsAreAnsweredByTheKnownOnes) {
  struct Row {
    std::vector<std::string> arguments;
    const char* known;
  };
  for (const Row& row : {
           Row{{"schemes", "--explain", "imm64"}, "pair64"},
           Row{{"schemes", "--policy", "ppc64"}, "ARCHITECTURE=SCHEME"},
           Row{{"schemes", "--policy", ""}, "ARCHITECTURE=SCHEME"},
           Row{{"schemes", "--policy", "vax=table"}, "riscv64"},
           Row{{"schemes", "--policy", "all=imm64"}, "imm32, aux64, pair64, table"},
           Row{{"schemes", "--policy", "all=table,all=imm32"}, "two schemes"},
           Row{{"schemes", "--format", "pdf"}, "html"},
           Row{{"schemes", "--tag-hash", "md5"}, "sha256"},
           Row{{"dump", "x.case", "--stage=xlated", "--names=short"}, "tag-offset"},
           Row{{"dump", "x.case", "--stage=xlated", "--reader=maybe"}, "restricted"},
       }) {
    const Finished finished = run_farcall(row.arguments);
    EXPECT_EQ(finished.exit_code, 2) << row.known;
    EXPECT_THAT(finished.err, HasSubstr(row.known));
  }
}

// 2,000 functions in vmalloc, 4 GiB and a page apart from one to the next but one.
TEST(Resolve, NamesAddressesThatAreEqualInTheirLowerHalves) {
  std::string kallsyms;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const std::uint64_t address = 0xc008000000000000 + ((i % 50) << 32) + (i / 50) * 0x1000;
    kallsyms += fmt::format("{:016x} t f{}\t[bpf]\n", address, i);
  }
  ScratchFolder folder;
  const std::string file = folder.write("kallsyms", kallsyms);
  const Finished all = run_farcall({"resolve", file});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  // Fifty addresses share their lower half: of those, all but one get another's name.
  EXPECT_THAT(all.out, HasSubstr("2000 symbols; a comparator that truncates to 32 bits gives 1960 "
                                 "of them another's name and does not find 0"));
  const Finished one = run_farcall({"resolve", file, "c008000300001000", "0xc008000300001004"});
  EXPECT_THAT(one.out, HasSubstr("c008000300001000  f53 "));
  EXPECT_THAT(one.out, HasSubstr("c008000300001004  f53+0x4 "));
}

TEST(Resolve, SaysWhatIsWrongWithAFile) {
  ScratchFolder folder;
  const Finished none = run_farcall({"resolve", (folder.path() / "none").string()});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(
      none.err,
      HasSubstr("none: error: cannot be read: No such file or directory [file.unreadable]"));
  const Finished text = run_farcall({"resolve", folder.write("text", "hello\n")});
  EXPECT_EQ(text.exit_code, 2);
  EXPECT_THAT(text.err, HasSubstr("text:1: error: 'hello' is not a symbol"));
  const std::string good = folder.write("good", "c008000000000000 t f\n");
  const Finished address = run_farcall({"resolve", good, "f"});
  EXPECT_EQ(address.exit_code, 0);  // hex
  EXPECT_EQ(run_farcall({"resolve", good, "main"}).exit_code, 2);
}

}  // namespace
}  // namespace farcall::run::schemes_test
