#include "model/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "external/external.hpp"
#include "external/stub.hpp"
#include "tests/model/samples.hpp"

namespace farcall::model::json_test {
namespace {

using testing::HasSubstr;

std::string sample_text() {
  return to_json(samples::document(), "image").dump();
}

TEST(Json, DocumentsComeBackAsTheyWere) {
  const auto read = read_document(sample_text(), "image.json");
  ASSERT_TRUE(read.has_value()) << to_string(read.error());
  const Document& document = read.value();
  const Cell wanted = samples::cell();
  EXPECT_EQ(document.cell.name, wanted.name);
  EXPECT_EQ(document.cell.case_path, wanted.case_path);
  EXPECT_EQ(document.cell.axes, wanted.axes);
  EXPECT_EQ(*document.cell.program, *wanted.program);
  EXPECT_EQ(document.cell.placement, wanted.placement);
  EXPECT_EQ(document.cell.memory, wanted.memory);
  EXPECT_EQ(document.cell.arguments, wanted.arguments);
  EXPECT_EQ(document.cell.expected, wanted.expected);
  EXPECT_EQ(document.linked, samples::linked());
  EXPECT_EQ(document.image, samples::image());
}

Document with_table() {
  Document document = samples::document();
  bpf::Program program = *document.cell.program;
  program.code_pointers = {{.region = "t", .offset = 8, .slot = 1}};
  document.cell.program = std::make_shared<const bpf::Program>(std::move(program));
  document.cell.memory.push_back({.name = "t",
                                  .address = {0xc000'0000'0280'0000},
                                  .bytes = std::vector<std::byte>(16),
                                  .writable = false});
  document.image->code_pointers = {{.region = "t", .offset = 8, .address = samples::kMain + 0x10}};
  document.image->calls[0].is_jump = true;
  return document;
}

TEST(Json, JumpTablesComeBackToo) {
  const Document wanted = with_table();
  const auto read = read_document(to_json(wanted, "image").dump(), "image.json");
  ASSERT_TRUE(read.has_value()) << to_string(read.error());
  EXPECT_EQ(*read.value().cell.program, *wanted.cell.program);
  EXPECT_EQ(read.value().image, wanted.image);
}

TEST(Json, JumpTablesLieInReadOnlyMemoryOfTheCell) {
  const auto refused = [](const auto& spoil) {
    Document document = with_table();
    spoil(document);
    const auto read = read_document(to_json(document, "image").dump(), "image.json");
    return read ? std::string("accepted") : std::string(read.error().message);
  };
  const auto at_place = HasSubstr("is not eight bytes of a region of the cell that is read-only");
  EXPECT_THAT(refused([](Document& one) { one.cell.memory.back().writable = true; }), at_place);
  EXPECT_THAT(refused([](Document& one) {
                SharedBytes& bytes = one.cell.memory.back().bytes;
                bytes = SharedBytes::of(bytes, 15);
              }),
              at_place);
  EXPECT_THAT(refused([](Document& one) { one.cell.memory.pop_back(); }), at_place);
  EXPECT_THAT(refused([](Document& one) { one.image->code_pointers[0].offset = 0; }),
              HasSubstr("are not those of the program"));
}

TEST(Json, ExpectedFailuresComeBackToo) {
  Document wanted = samples::document();
  wanted.cell.expected = {};
  wanted.cell.expected.failure = {{ErrorCode::call_out_of_range, "main[0]"}};
  const auto read = read_document(to_json(wanted, "cell").dump(), "cell.json");
  ASSERT_TRUE(read.has_value()) << to_string(read.error());
  EXPECT_EQ(read.value().cell.expected, wanted.cell.expected);
}

TEST(Json, AnImageNeedsNoProgramIfItSaysWhatToExpect) {
  Document foreign = samples::document();
  foreign.cell.program = nullptr;
  foreign.linked = std::nullopt;
  const auto read = read_document(to_json(foreign, "image").dump(), "image.json");
  ASSERT_TRUE(read.has_value()) << to_string(read.error());
  EXPECT_EQ(read.value().cell.program, nullptr);

  foreign.cell.expected.result = std::nullopt;
  EXPECT_FALSE(read_document(to_json(foreign, "image").dump(), "image.json").has_value());
}

TEST(Json, DescriptorsComeBackAndMayBeLeftOut) {
  Document wanted = samples::document();
  wanted.cell.axes.endian = Endian::big;
  wanted.cell.axes.abi = Abi::elfv1;
  wanted.image->functions[0].words.insert(wanted.image->functions[0].words.begin(), 6, 0);
  wanted.image->functions[0].descriptor_words = kDescriptorWords;
  for (CodeLine& line : wanted.image->functions[0].lines) {
    line.word += kDescriptorWords;
  }
  Json json = to_json(wanted, "image");
  const auto read = read_document(json.dump(), "image.json");
  ASSERT_TRUE(read.has_value()) << to_string(read.error());
  EXPECT_EQ(read.value().image, wanted.image);

  json["cell"]["axes"]["endian"] = "le";
  EXPECT_FALSE(read_document(json.dump(), "image.json").has_value());

  json = to_json(samples::document(), "image");
  json["image"]["functions"][0].erase("descriptor_words");
  EXPECT_EQ(read_document(json.dump(), "image.json").value().image, samples::image());
}

// What an older farcall wrote, or a JIT that keeps no such tables.
TEST(Json, LinesAndRegistersMayBeLeftOut) {
  Json json = to_json(samples::document(), "image");
  json["image"]["functions"][0].erase("lines");
  json["image"].erase("bpf_registers");
  CodeImage wanted = samples::image();
  wanted.functions[0].lines.clear();
  wanted.bpf_registers.clear();
  EXPECT_EQ(read_document(json.dump(), "image.json").value().image, wanted);
}

// A document with everything that only some programs have: helpers, a kfunc, a second program,
// maps, entries that are left out, a tail call.
Document with_everything() {
  Document document = samples::document();
  bpf::Program program = *document.cell.program;
  program.functions[1].begins_program = true;
  program.externals = {
      external::external(*external::find("get_stack"), bpf::ExternalKind::helper, 67),
      external::external(*external::find("mix"), bpf::ExternalKind::kfunc, 5),
      external::stub("unknown", bpf::ExternalKind::kfunc, 6,
                     {.arguments = {bpf::ValueType{.bits = 8, .is_signed = true}},
                      .argument_count = 2,
                      .result = {.bits = 32, .is_signed = false}},
                     {.log = 2,
                      .number = 0,
                      .block = external::kFirstBlock,
                      .values = 3,
                      .fills = bpf::Filling{.pointer = 1, .length = std::uint8_t{4}}})};
  constexpr std::uint32_t kLogBytes = external::kFirstBlock + external::block_bytes(3);
  program.maps = {{"programs", 0}, {"table", 6, true}, {".stubs", kLogBytes - 8}};
  const GuestAddress helper{0xc000'0000'0400'0000};
  const GuestAddress kfunc{0xc008'0000'2000'0000};
  const GuestAddress stub{0xc008'0000'2010'0000};
  document.cell.placement.functions.insert(document.cell.placement.functions.end(),
                                           {helper, kfunc, stub});
  document.cell.memory.push_back({.name = ".stubs",
                                  .address = {0xc000'0000'02a0'0000},
                                  .bytes = std::vector<std::byte>(kLogBytes)});
  document.cell.expected.any_other_call = true;
  document.cell.expected.rejection = {.text = "too deep", .line = 7};
  document.cell.budget = 5'000'000;
  document.cell.memory.push_back({.name = "programs",
                                  .address = {0xc000'0000'0280'0000},
                                  .bytes = std::vector<std::byte>(16),
                                  .writable = false});
  document.cell.memory.push_back(
      {.name = "table", .address = {0xc000'0000'0290'0000}, .bytes = std::vector<std::byte>(14)});
  document.linked->addresses = document.cell.placement.functions;
  document.linked->maps = {
      {0xc000'0000'0280'0000}, {0xc000'0000'0290'0000}, {0xc000'0000'02a0'0000}};
  document.linked->program = program;
  document.image->functions[1].tail_entry_words = 4;
  document.image->functions.push_back(
      {.name = "get_stack", .address = helper, .words = {0x4e800020}, .local_entry_words = 2});
  document.image->functions.push_back({.name = "mix", .address = kfunc, .words = {0x4e800020}});
  document.image->functions.push_back({.name = "unknown", .address = stub, .words = {0x4e800020}});
  document.image->calls.push_back(
      {.site = {1, 0}, .at = samples::kCallee, .callee = {}, .is_tail = true});
  document.cell.program = std::make_shared<const bpf::Program>(std::move(program));
  return document;
}

TEST(Json, WhatOnlySomeProgramsHaveComesBack) {
  const Document wanted = with_everything();
  const auto read = read_document(to_json(wanted, "image").dump(), "image.json");
  ASSERT_TRUE(read.has_value()) << to_string(read.error());
  EXPECT_EQ(read.value().cell.budget, 5'000'000U);
  const bpf::Program& program = *read.value().cell.program;
  EXPECT_EQ(program, *wanted.cell.program);
  EXPECT_TRUE(program.functions[1].begins_program);
  EXPECT_EQ(program.externals[1].signature, external::find("mix")->signature);
  EXPECT_EQ(program.externals[0].meaning, external::find("get_stack")->meaning);
  EXPECT_EQ(program.externals[2].signature, wanted.cell.program->externals[2].signature);
  EXPECT_EQ(program.externals[2].meaning, &external::stub_meaning);
  EXPECT_EQ(read.value().cell.expected, wanted.cell.expected);
  EXPECT_EQ(read.value().cell.placement, wanted.cell.placement);
  EXPECT_EQ(read.value().cell.memory, wanted.cell.memory);
  EXPECT_EQ(read.value().linked, wanted.linked);
  EXPECT_EQ(read.value().image, wanted.image);
}

struct Spoiled {
  const char* pointer;  // JSON pointer of the value that is replaced
  Json value;
  const char* message;  // part of what the error says
};

void PrintTo(const Spoiled& spoiled, std::ostream* out) {
  *out << spoiled.pointer;
}

class JsonSpoiled : public testing::TestWithParam<Spoiled> {};

// What cannot be read, and what can and breaks a rule of documents.
testing::Matcher<ErrorCode> is_about_documents() {
  return testing::AnyOf(ErrorCode::json_malformed, ErrorCode::document_invalid,
                        ErrorCode::place_misaligned);
}

TEST_P(JsonSpoiled, IsRefusedWithAReason) {
  Json json = to_json(with_everything(), "image");
  json.at(Json::json_pointer(GetParam().pointer)) = GetParam().value;
  const auto read = read_document(json.dump(), "spoiled.json");
  ASSERT_FALSE(read.has_value());
  EXPECT_THAT(read.error().code, is_about_documents());
  EXPECT_EQ(read.error().where.file, "spoiled.json");
  EXPECT_THAT(read.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Values, JsonSpoiled,
    testing::Values(
        Spoiled{"/farcall/format", 2, "format 2"}, Spoiled{"/cell/axes/cpu", "power11", "power10"},
        Spoiled{"/cell/placement/stack", 12, "(/cell/placement/stack) type must be string"},
        Spoiled{"/cell/memory", 12, "(/cell/memory) type must be array"},
        Spoiled{"/cell/placement/stack", "0x", "hex"},
        Spoiled{"/cell/placement/stack", "c000", "hex"},
        Spoiled{"/cell/placement/stack", "0x12345678123456789", "hex"},
        Spoiled{"/cell/placement/functions", Json::array(), "one address for each"},
        Spoiled{"/cell/arguments", Json::array({"0x1"}), "five arguments"},
        Spoiled{"/cell/memory/0/bytes", "abc", "odd number"},
        Spoiled{"/cell/memory/0/bytes", "zz", "not a byte"},
        Spoiled{"/cell/expected/failure", Json{{"code", "no.such"}, {"site", ""}}, "no.such"},
        Spoiled{"/cell/program/slots/0", Json::array({1, 2, 3}), "slot is"},
        Spoiled{"/cell/program/slots/0/0", 256, "out of range"},
        Spoiled{"/cell/program/slots/0/1", 16, "four bits"},
        Spoiled{"/cell/program/functions/1/begin", 0, "begin"},
        Spoiled{"/cell/program/functions/1/end", 99, "end with the program"},
        Spoiled{"/cell/expected/calls/0/callee", 5, "not there"},
        Spoiled{"/cell/expected/calls/0/site/function", 5, "not there"},
        Spoiled{"/cell/program/externals/0/name", "nobody", "there is no helper called 'nobody'"},
        Spoiled{"/cell/program/externals/0/kind", "syscall", "there is no syscall"},
        Spoiled{"/cell/program/externals/0/id", 1LL << 40, "out of range"},
        Spoiled{"/cell/program/externals/2/stub/log", 1, "not in the log"},
        Spoiled{"/cell/program/externals/2/stub/values", 4, "not in the log"},
        Spoiled{"/cell/program/externals/2/stub/block", 16, "not in the log"},
        Spoiled{"/cell/program/externals/2/signature/0", 7, "8, 16, 32 or 64 bits"},
        Spoiled{"/cell/program/externals", Json::array(), "one address for each"},
        Spoiled{"/cell/program/functions/1/begins_program", 1, "type must be boolean"},
        Spoiled{"/cell/program/maps/0/name", "nobody", "map nobody is not a region"},
        Spoiled{"/cell/program/maps/0/value_bytes", -1, "out of range"},
        Spoiled{"/cell/program/maps/1/value_bytes", 7, "map table is not a region"},
        Spoiled{"/cell/memory/2/bytes", "00", "map programs is not a region"},
        Spoiled{"/linked/maps", Json::array(), "do not fit"},
        Spoiled{"/linked/maps/0", 12, "type must be string"},
        Spoiled{"/image/functions/2/local_entry_words", -1, "out of range"},
        Spoiled{"/image/functions/1/tail_entry_words", 1LL << 40, "out of range"},
        Spoiled{"/image/calls/1/is_tail", 1, "type must be boolean"},
        Spoiled{"/cell/expected/memory/0/offset", 99'999'999, "within a region"},
        Spoiled{"/cell/expected/memory/0/offset", 2, "within a region"},
        Spoiled{"/cell/expected/memory/0/region", "nothing", "within a region"},
        Spoiled{"/linked/calls/0/slot", 99, "do not fit"},
        Spoiled{"/linked/calls/0/callee", 0, "not those of its slots"},
        Spoiled{"/linked/calls", Json::array(), "do not fit"},
        Spoiled{"/linked/side_table", Json::array(), "do not fit"},
        Spoiled{"/image/functions/0/address", "0xc000000000010002", "word aligned"},
        Spoiled{"/image/functions/0/words", Json::array(), "empty"},
        Spoiled{"/image/functions/0/words/0", "0x123456789", "32 bits"},
        Spoiled{"/image/functions/0/descriptor_words", 4, "not 6 words in front"},
        Spoiled{"/image/functions/0/descriptor_words", 6, "not 6 words in front"},
        Spoiled{"/image/functions/0/lines/0", Json::array({1}), "[BPF instruction, word]"},
        Spoiled{"/image/functions/0/lines/1", Json::array({0, 2}), "do not ascend"},
        Spoiled{"/image/functions/0/lines/3", Json::array({3, 1}), "do not ascend"},
        Spoiled{"/image/functions/0/lines/3", Json::array({3, 3}), "do not ascend"},
        Spoiled{"/image/bpf_registers", Json::array({8, 3}), "eleven ppc64 registers"},
        Spoiled{"/image/bpf_registers/10", 32, "eleven ppc64 registers"},
        Spoiled{"/cell/axes/abi", "elfv1", "function descriptor"},
        Spoiled{"/cell/name", "a\x1b[31m", R"("a\u001b[31m" holds a control character)"},
        Spoiled{"/image/functions/0/name", "a\nb", "control character"},
        Spoiled{"/image/functions/0/name", "a\u009b", R"("a\u009b" holds a control character)"},
        Spoiled{"/cell/axes", Json{{"cp\x7f", "power9"}}, "control character"},
        Spoiled{"/cell/name", Json::parse(std::string(40, '[') + std::string(40, ']')), "nesting"},
        Spoiled{"/image/bpf_registers/10", 8.9e59, "expected integers only, found 8.9e+59"},
        Spoiled{"/image/calls/0/callee", 7, "calls among them"},
        Spoiled{"/image/calls/0/site/function", 7, "calls among them"}));

// Whoever looks a callee up in the image must find it.
TEST(Json, AnImageHasCodeOfEveryFunctionAndExternal) {
  Json json = to_json(with_everything(), "image");
  json["image"]["functions"].erase(3);
  const auto read = read_document(json.dump(), "few.json");
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::document_invalid);
  EXPECT_THAT(read.error().message, HasSubstr("the image has 4 functions"));
}

TEST(Json, TwoCallsOfOneSiteAreRefused) {
  Json json = to_json(samples::document(), "image");
  Json& calls = json["image"]["calls"];
  Json second = calls[0];
  second["at"] = "0xc000000000010010";
  calls.push_back(second);
  const auto read = read_document(json.dump(), "twice.json");
  ASSERT_FALSE(read.has_value());
  EXPECT_THAT(read.error().message, HasSubstr("one site"));
}

TEST(Json, WhatIsNoJsonIsLocated) {
  const auto read = read_document("{\n  \"farcall\": {]\n}", "broken.json");
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().where, (SourceLocation{"broken.json", 2, 15}));
}

TEST(Json, AProgramThatIsNoProgramIsRefused) {
  Json json = to_json(samples::document(), "cell");
  json["cell"]["program"]["slots"][2][0] = 0xff;
  const auto read = read_document(json.dump(), "bad.json");
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::bpf_unknown_opcode);
  EXPECT_EQ(read.error().where.file, "bad.json");
}

// Whatever is done to a document, reading it ends with a value or an error.
TEST(Json, NoDocumentCrashesTheReader) {
  std::mt19937 random(20261122);  // NOLINT(cert-msc51-cpp): the same documents every time
  const std::string good = sample_text();
  std::size_t refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (auto edits = 1 + (random() % 3); edits > 0; --edits) {
      const std::size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random() % 128);
          break;
        case 1:
          text.erase(at, random() % 8);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 8));
      }
    }
    refused += read_document(text, "edited.json").has_value() ? 0U : 1U;
  }
  EXPECT_GT(refused, 1000U);
}

}  // namespace
}  // namespace farcall::model::json_test
