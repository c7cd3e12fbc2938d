#include "show/tag_list.hpp"

#include <gmock/gmock.h>

#include "tests/show/support.hpp"

namespace farcall::show::tag_list_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Tag kMain = {0xb2715c0f7f689679};  // as in tag_test.cpp
constexpr Tag kCallee = {0x8923dad831f6fb51};
constexpr Tag kOther = {0x42b30330a11835cb};

Error error_of(std::string_view text) {
  const auto list = read_tags(text, "tags");
  EXPECT_FALSE(list) << text;
  return list ? Error{} : list.error();
}

TEST(TagList, OfKallsyms) {
  const auto list = read_tags(
      "c000000000000000 T _stext\n"
      "c00800000033f43c t bpf_prog_b2715c0f7f689679_main\t[bpf]\n"
      "c00800000039626c t bpf_prog_8923dad831f6fb51_F\t[bpf]\n"
      "c00800000039636c t bpf_prog_42b30330a11835cb\t[bpf]\n"
      "c00800000039646c t bpf_prog_array_map_alloc\n",
      "tags");
  ASSERT_TRUE(list) << to_string(list.error());
  EXPECT_TRUE(list.value().has_functions);
  EXPECT_THAT(list.value().tags,
              ElementsAre(NamedTag{kMain, "main"}, NamedTag{kCallee, "F"}, NamedTag{kOther, ""}));
}

TEST(TagList, OfBpftool) {
  const std::string program =
      R"({"id": 5, "name": "main", "tag": "b2715c0f7f689679", "jited": true})";
  for (const std::string& text : {program, " [" + program + "]\n"}) {
    const auto list = read_tags(text, "tags");
    ASSERT_TRUE(list) << to_string(list.error());
    EXPECT_FALSE(list.value().has_functions);
    EXPECT_THAT(list.value().tags, ElementsAre(NamedTag{kMain, "main"}));
  }
}

TEST(TagList, RefusesWhatIsNone) {
  EXPECT_EQ(to_string(error_of("[{\"tag\": \"b2715c0f7f689679\"},\n  {]")),
            "tags:2:4: error: this is not JSON [file.unreadable]\n"
            "  `bpftool --json prog show` prints such a list");
  EXPECT_THAT(to_string(error_of("[{\"tag\": \"b2715c0f7f689679\"}, {\"tag\": 7}]")),
              HasSubstr("tags: error: program 1 has no tag"));
  EXPECT_THAT(error_of("[7]").message, HasSubstr("program 0 has no tag"));
  EXPECT_EQ(to_string(error_of("what?").where), "tags:1");
  EXPECT_EQ(error_of("[1e400]").message,
            "number overflow parsing '1e400'");  // more than a double holds
  EXPECT_EQ(error_of("[]").code, ErrorCode::file_empty);
  EXPECT_EQ(error_of("").code, ErrorCode::file_empty);
  EXPECT_EQ(error_of("c000000000000000 T _stext\n").code, ErrorCode::file_empty);
}

TEST(TagList, IsComparedFunctionByFunction) {
  const bpf::Program program = caller_and_callee();
  const ProgramTags ours = tags(program, std::endian::little, TagHash::sha1);
  const auto all =
      compare(program, ours, {.tags = {{kMain, ""}, {kOther, "callee"}}, .has_functions = true});
  ASSERT_EQ(all.size(), 2);
  EXPECT_TRUE(all[0].found);
  EXPECT_FALSE(all[1].found);
  EXPECT_EQ(all[1].ours, kCallee);
  EXPECT_THAT(all[1].theirs, ElementsAre(kOther));

  const auto whole = compare(program, ours, {.tags = {{kOther, "another"}}});
  ASSERT_EQ(whole.size(), 1);
  EXPECT_FALSE(whole[0].found);
  EXPECT_THAT(whole[0].theirs, IsEmpty());
}

TEST(TagList, KnowsThatKernelsCutNames) {
  bpf::Program program = caller_and_callee();
  program.functions[0].name = "a_name_of_twenty_two";
  const ProgramTags ours = tags(program, std::endian::little, TagHash::sha1);
  EXPECT_THAT(compare(program, ours, {.tags = {{kOther, "a_name_of_twent"}}})[0].theirs,
              ElementsAre(kOther));
  EXPECT_THAT(compare(program, ours, {.tags = {{kOther, "a_name_of_twen"}}})[0].theirs, IsEmpty());
}

}  // namespace
}  // namespace farcall::show::tag_list_test
