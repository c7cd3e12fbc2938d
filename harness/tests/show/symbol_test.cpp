#include "show/symbol.hpp"

#include <gmock/gmock.h>

#include "tests/show/support.hpp"

namespace farcall::show::symbol_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Symbol> symbols_of_two(bool anonymous = false) {
  bpf::Program program = caller_and_callee();
  for (bpf::Function& function : program.functions) {
    function.anonymous = anonymous;
  }
  return symbols(image_of_two(), &program, model::Endian::little, TagHash::sha1);
}

TEST(Symbol, IsTheTagAndTheName) {
  EXPECT_THAT(symbols_of_two(),
              ElementsAre(Symbol{kMainAddress, 12, "bpf_prog_b2715c0f7f689679_main"},
                          Symbol{kCalleeAddress, 4, "bpf_prog_8923dad831f6fb51_callee"}));
}

TEST(Symbol, OfANamelessSubprogramEndsInF) {
  EXPECT_EQ(symbols_of_two(true)[0].name, "bpf_prog_b2715c0f7f689679_main");
  EXPECT_EQ(symbols_of_two(true)[1].name, "bpf_prog_8923dad831f6fb51_F");
}

TEST(Symbol, OfAnImageWithoutAProgramHasTheImagesName) {
  EXPECT_THAT(symbols(image_of_two(), nullptr, model::Endian::little, TagHash::sha1),
              ElementsAre(Symbol{kMainAddress, 12, "main"}, Symbol{kCalleeAddress, 4, "callee"}));
}

TEST(Symbol, KallsymsAndPerfMapAreInOrderOfAddresses) {
  EXPECT_EQ(kallsyms(symbols_of_two()),
            "c000000000010000 t bpf_prog_8923dad831f6fb51_callee\t[bpf]\n"
            "c008000000020000 t bpf_prog_b2715c0f7f689679_main\t[bpf]\n");
  EXPECT_EQ(perf_map(symbols_of_two()),
            "c000000000010000 4 bpf_prog_8923dad831f6fb51_callee\n"
            "c008000000020000 c bpf_prog_b2715c0f7f689679_main\n");
}

TEST(Symbol, ReadsKallsyms) {
  const auto read = read_kallsyms(
      "c008000000020000 t bpf_prog_b2715c0f7f689679_main\t[bpf]\n"
      "\n"
      "c000000000010000 T _stext",
      "symbols");
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_THAT(read.value(), ElementsAre(Symbol{kCalleeAddress, 0, "_stext"},
                                        Symbol{kMainAddress, 0, "bpf_prog_b2715c0f7f689679_main"}));
}

TEST(Symbol, RefusesWhatIsNoKallsyms) {
  for (const char* const line : {"hello", "c000000000010000", "c000000000010000 t ", "t name",
                                 "10000000000000000 t name", "c000000000010000 tt name"}) {
    const auto read = read_kallsyms(std::string("0 A zero\n") + line + "\n", "symbols");
    ASSERT_FALSE(read) << line;
    EXPECT_EQ(read.error().code, ErrorCode::file_unreadable) << line;
    EXPECT_THAT(to_string(read.error()), HasSubstr("symbols:2: ")) << line;
  }
  EXPECT_EQ(read_kallsyms("\n", "symbols").error().code, ErrorCode::file_empty);
}

}  // namespace
}  // namespace farcall::show::symbol_test
