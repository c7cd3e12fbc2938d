#include "run/code_layout.hpp"

#include <gtest/gtest.h>

#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/matrix.hpp"
#include "run/select.hpp"
#include "tests/paths.hpp"

namespace farcall::run::code_layout_test {
namespace {

// Where that much room is, nobody asks how long the code is: too little would hide an overlap.
TEST(CodeLayout, NoCodeIsLongerThanAtMost) {
  const cases::CodeLayout layout = code_layout();
  std::size_t compared = 0;
  const std::vector<std::string> folders = {(tests::source_dir() / "cases").string()};
  for (const std::string& file : cases::find_case_files(folders).files) {
    const auto parsed = cases::read_case(file);
    if (!parsed || !parsed.value().program) {
      continue;
    }
    const bpf::Program& program = *parsed.value().program;
    const std::vector<std::uint64_t> most = layout.at_most(program);
    for (const model::Abi abi : {model::Abi::elfv1, model::Abi::elfv2}) {
      for (const model::CallScheme scheme :
           {model::CallScheme::aux64, model::CallScheme::pair64, model::CallScheme::table}) {
        for (const model::Reach reach : {model::Reach::abs64, model::Reach::pcrel}) {
          const auto sizes = layout.sizes(program, {.endian = model::Endian::big,
                                                    .cpu = model::Cpu::power10,
                                                    .abi = abi,
                                                    .call = scheme,
                                                    .reach = reach});
          for (std::size_t i = 0; sizes && i < sizes.value().size(); ++i) {
            EXPECT_LE(sizes.value()[i], most.at(i)) << file << ", function " << i;
            ++compared;
          }
        }
      }
    }
  }
  EXPECT_GT(compared, 1000U);
}

TEST(MayMatch, GoesByWhatIsBeforeThePattern) {
  for (const char* const filter :
       {"far", "far@*", "far@le-power9", "f*", "*", "*@aux64", "f?r", "[f]ar", "far*", "far@"}) {
    EXPECT_TRUE(may_match(filter, "far")) << filter;
  }
  for (const char* const filter : {"near", "far-2p", "fax*", "farther@*", "far-2p@le"}) {
    EXPECT_FALSE(may_match(filter, "far")) << filter;
  }
}

}  // namespace
}  // namespace farcall::run::code_layout_test
