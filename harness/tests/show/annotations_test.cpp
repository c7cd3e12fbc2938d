// Annotations are held against printed code as the kernel's test_loader.c does it.
#include "show/annotations.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <regex.h>

#include <algorithm>
#include <set>

#include "show/llvm_syntax.hpp"
#include "tests/show/support.hpp"

namespace farcall::show::annotations_test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr GuestAddress kMapAddress = {0xc000'0000'0400'0000};

// What jit_disasm_helpers.c prints of a function: addresses, bytes and text.
std::string printed(const model::CodeImage& image, std::size_t functions) {
  std::string text;
  for (std::size_t i = 0; i < functions; ++i) {
    text += fmt::format("func #{}:\n", i);
    const std::vector<std::uint32_t>& words = image.functions[i].words;
    for (std::size_t at = 0; at < words.size(); ++at) {
      text += fmt::format("{:x}:\t{:08x}\t{}\n", at * 4, words[at],
                          llvm_syntax(std::span(words).subspan(at)).value_or("?"));
    }
    text += "\n";
  }
  return text;
}

// compile_regex() of test_loader.c: what is not in {{}} stands for itself.
std::string regex_of(std::string_view pattern) {
  static const std::set<char> kSpecial = {'.', '[', ']', '\\', '(', ')', '*',
                                          '+', '?', '{', '}',  '|', '^', '$'};
  std::string text;
  bool in_regex = false;
  while (!pattern.empty()) {
    if (pattern.starts_with(in_regex ? "}}" : "{{")) {
      in_regex = !in_regex;
      pattern.remove_prefix(2);
      continue;
    }
    if (!in_regex && kSpecial.contains(pattern.front())) {
      text += '\\';
    }
    text += pattern.front();
    pattern.remove_prefix(1);
  }
  return text;
}

// match_positive_msgs() and validate_msgs(): the first annotation that does not match, or one that
// matches on another line than the next; empty if there is none.
std::string mismatch(std::string_view block, const std::string& text) {
  std::size_t from = 0;
  std::ptrdiff_t last_line = -1;
  bool on_next_line = false;
  for (const std::string_view kBegin = "__jited(\""; !block.empty();) {
    const std::string_view line = block.substr(0, block.find('\n'));
    block.remove_prefix(line.size() + 1);
    if (!line.starts_with(kBegin)) {
      continue;
    }
    const std::string pattern(line.substr(kBegin.size(), line.size() - kBegin.size() - 2));
    if (pattern == "...") {
      on_next_line = false;
      continue;
    }
    regex_t regex;
    EXPECT_EQ(regcomp(&regex, regex_of(pattern).c_str(), REG_EXTENDED | REG_NEWLINE), 0) << pattern;
    regmatch_t match;
    const int found = regexec(&regex, text.c_str() + from, 1, &match, 0);
    regfree(&regex);
    if (found != 0) {
      return pattern;
    }
    const auto begin = text.begin() + static_cast<std::ptrdiff_t>(from) + match.rm_so;
    const std::ptrdiff_t line_number = std::count(text.begin(), begin, '\n');
    if (on_next_line && line_number != last_line + 1) {
      return pattern;
    }
    from += static_cast<std::size_t>(match.rm_eo);
    last_line = line_number;
    on_next_line = true;
  }
  return "";
}

// Loads the address of a map and a constant, tests a value and calls `callee` twice.
model::CodeImage image() {
  return {.functions = {{.name = "main",
                         .address = kMainAddress,
                         .words =
                             {
                                 0xe84d0010,  // ld 2, 16(13)
                                 0x3c80c000,  // lis 4, -16384
                                 0x788407c6,  // sldi 4, 4, 32
                                 0x64840400,  // oris 4, 4, 1024
                                 0x60000000,  // nop
                                 0x3ca01234,  // lis 5, 4660
                                 0x60a55678,  // ori 5, 5, 22136
                                 0x2c230000,  // cmpdi 3, 0
                                 0x41820008,  // bt 2, .+8
                                 0x4bf00001,  // bl callee
                                 0x3d80c000,  // lis 12, -16384
                                 0x798c07c6,  // sldi 12, 12, 32
                                 0x658c0001,  // oris 12, 12, 1
                                 0x7d8903a6,  // mtctr 12
                                 0x4e800421,  // bctrl
                                 0x4e800020,  // blr
                                 0x7c0802a6,  // mflr 0, a stub
                                 0x00123456,  // its data
                             },
                         .stub_words = 2},
                        {.name = "callee", .address = kCalleeAddress, .words = {0x7c0802a6}},
                        {.name = "external", .address = {0x5000}, .words = {0x4e800020}}},
          .entry = kMainAddress};
}

const std::vector<bpf::MemoryRegion> kMap = {
    {.name = "map", .address = kMapAddress, .bytes = std::vector<std::byte>(8)}};

constexpr const char* kBlock =
    "__arch_powerpc64\n"
    "__jited(\"func #0:\")\n"
    "__jited(\"\tld 2, {{.*}}(13)\")\n"
    "__jited(\"\tlis 4, {{.*}}\")\n"
    "__jited(\"...\")\n"
    "__jited(\"\tlis 5, 4660\")\n"
    "__jited(\"\tori 5, 5, 22136\")\n"
    "__jited(\"\tcmpdi\t3, 0\")\n"
    "__jited(\"\tbt\t2, .+8\")\n"
    "__jited(\"\tbl {{.*}}\")\n"
    "__jited(\"\tlis 12, {{.*}}\")\n"
    "__jited(\"...\")\n"
    "__jited(\"\tmtctr 12\")\n"
    "__jited(\"\tbctrl\")\n"
    "__jited(\"\tblr\")\n"
    "__jited(\"...\")\n"
    "__jited(\"func #1:\")\n"
    "__jited(\"\tmflr 0\")\n";

TEST(Annotations, LeaveAddressesAndStubsOpen) {
  EXPECT_EQ(jited_annotations(image(), 2, kMap), kBlock);
}

TEST(Annotations, MatchTheCodeThatTheyAreOf) {
  EXPECT_EQ(mismatch(kBlock, printed(image(), 2)), "");
}

// lis 12, -16376; ori 12, 12, 5; sldi 12, 12, 32; oris 12, 12, 1, one word more; the map lies
// elsewhere as well, and the branch goes elsewhere.
TEST(Annotations, AreTheSameWhereverTheCodeLies) {
  model::CodeImage moved = image();
  moved.functions[1].address = {0xc008'0005'0001'0000};
  std::vector<std::uint32_t>& words = moved.functions[0].words;
  words[3] = 0x64840500;
  words[9] = 0x4be00001;
  words[10] = 0x3d80c008;
  words.insert(words.begin() + 11, 0x618c0005);
  std::vector<bpf::MemoryRegion> map = kMap;
  map[0].address = {0xc000'0000'0500'0000};
  EXPECT_EQ(jited_annotations(moved, 2, map), kBlock);
  EXPECT_EQ(mismatch(kBlock, printed(moved, 2)), "");
}

TEST(Annotations, DoNotMatchOtherCode) {
  struct Change {
    std::size_t word;
    std::uint32_t value;
    const char* first_mismatch;
  };
  for (const Change& change :
       {Change{5, 0x3ca04321, "\tlis 5, 4660"}, Change{7, 0x2c240000, "\tcmpdi\t3, 0"},
        Change{8, 0x40820008, "\tbt\t2, .+8"}, Change{13, 0x7d6903a6, "\tmtctr 12"},
        Change{0, 0xe84c0010, "\tld 2, {{.*}}(13)"}}) {
    model::CodeImage changed = image();
    changed.functions[0].words[change.word] = change.value;
    EXPECT_EQ(mismatch(kBlock, printed(changed, 2)), change.first_mismatch);
  }
  model::CodeImage longer = image();
  longer.functions[0].words.insert(longer.functions[0].words.begin() + 7, 0x60000000);
  EXPECT_EQ(mismatch(kBlock, printed(longer, 2)), "\tcmpdi\t3, 0");
}

// There is a `func #1:` in the text, and an empty line before it, whether or not there are stubs.
TEST(Annotations, BeginEachFunctionWithItsNumber) {
  model::CodeImage two = image_of_two();
  const std::string block =
      "__arch_powerpc64\n"
      "__jited(\"func #0:\")\n"
      "__jited(\"\tlis 12, -16376\")\n"
      "__jited(\"\tbctrl\")\n"
      "__jited(\"\tblr\")\n"
      "__jited(\"...\")\n"
      "__jited(\"func #1:\")\n"
      "__jited(\"\tblr\")\n";
  EXPECT_EQ(jited_annotations(two, 2, {}), block);
  EXPECT_EQ(mismatch(block, printed(two, 2)), "");
  two.functions[1].words.push_back(0x7c0802a6);
  two.functions[1].stub_words = 1;
  EXPECT_EQ(jited_annotations(two, 2, {}), block + "__jited(\"...\")\n");
}

// A constant that is not an address is the program's own, and so is a branch within the function.
TEST(Annotations, KeepNumbersThatAreNotAddresses) {
  EXPECT_THAT(jited_annotations(image(), 2, {}),
              HasSubstr("__jited(\"\tlis 4, -16384\")\n__jited(\"\tsldi 4, 4, 32\")\n"
                        "__jited(\"\toris 4, 4, 1024\")\n__jited(\"\tnop\")\n"));
}

TEST(Annotations, LeaveDescriptorsOpen) {
  EXPECT_THAT(jited_annotations(image_of_two(true), 2, {}),
              StartsWith("__arch_powerpc64\n__jited(\"func #0:\")\n__jited(\"...\")\n"
                         "__jited(\"\tlis 12, -16376\")\n"));
}

// mulli and addi of the program's, with an address; the latter is within the map, too.
TEST(Annotations, KeepWhatTheProgramDoesWithAnAddress) {
  model::CodeImage image = image_of_two();
  image.functions[0].words = {0x3c80c000, 0x788407c6, 0x64840400, 0x38840004, 0x1c84000a};
  EXPECT_EQ(jited_annotations(image, 1, kMap),
            "__arch_powerpc64\n"
            "__jited(\"func #0:\")\n"
            "__jited(\"\tlis 4, {{.*}}\")\n"
            "__jited(\"...\")\n"
            "__jited(\"\taddi 4, 4, 4\")\n"
            "__jited(\"\tmulli 4, 4, 10\")\n");
}

// `pla r12` or `addis r12,r2` and `addi r12,r12`: distances from the code or the TOC.
TEST(Annotations, LeaveDistancesOpen) {
  const model::CodeImage relative = {
      .functions = {{.name = "main",
                     .address = kMainAddress,
                     .words = {0x06100001, 0x3980fffe, 0x3d820001, 0x398cfff8}}},
      .entry = kMainAddress};
  EXPECT_EQ(jited_annotations(relative, 1, {}),
            "__arch_powerpc64\n"
            "__jited(\"func #0:\")\n"
            "__jited(\"\tpaddi 12, 0, {{.*}}, 1\")\n"
            "__jited(\"\taddis 12, 2, {{.*}}\")\n"
            "__jited(\"\taddi 12, 12, {{.*}}\")\n");
}

}  // namespace
}  // namespace farcall::show::annotations_test
