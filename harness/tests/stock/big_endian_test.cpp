// Big-endian kernels. Debian has none: what needs one runs where FARCALL_BIG_ENDIAN_KERNEL names its
// vmlinux, as ci/big-endian-kernel makes it, and is skipped elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "decode/call_sites.hpp"
#include "model/json.hpp"
#include "selection/select.hpp"
#include "stock/capture.hpp"
#include "stock/document.hpp"
#include "tests/farcall_process.hpp"
#include "tests/stock/stock_guest.hpp"

namespace farcall::stock::big_endian_test {
namespace {

using namespace tests;

using model::Json;
using testing::HasSubstr;

constexpr kernel::KernelFacts kElfv1 = {
    .toc = {0xc000'0000'005c'8000}, .endian = model::Endian::big, .abi = model::Abi::elfv1};

constexpr const char* kTwoFunctions =
    "# main, f: r0 = 1 + 10.\n"
    "-- matrix\n"
    "endian be\n"
    "-- asm\n"
    "mov %r6, 1\n"
    "call local f\n"
    "add %r0, %r6\n"
    "exit\n"
    "f:\n"
    "mov %r0, 10\n"
    "exit\n"
    "-- result\n"
    "11\n";

// What 6.1.176, big-endian, made of them: each function begins with its descriptor.
kernel::Answer answer() {
  kernel::Answer one;
  one.outcome = wire::KernelOutcome::done;
  one.result = 11;
  one.functions = {
      {.address = {0xc008'0000'0021'2f00},
       .symbol = {},
       .words = {0xc0080000, 0x00212f18, 0xc0000000, 0x005c8000, 0x7fe00008, 0x7fe00008, 0x60000000,
                 0x60000000, 0x7c0802a6, 0xf8010010, 0xf821ff51, 0xfb610088, 0x38600000, 0x38800000,
                 0x38a00000, 0x38c00000, 0x38e00000, 0x3b600001, 0x3d80c008, 0x798c07c6, 0x658c0027,
                 0x618c54d0, 0x60000000, 0x7d8903a6, 0x4e800421, 0x7c681b78, 0x7d08da14, 0xeb610088,
                 0x382100b0, 0xe8010010, 0x7c0803a6, 0x7d034378, 0x4e800020}},
      {.address = {0xc008'0000'0027'54b8},
       .symbol = {},
       .words = {0xc0080000, 0x002754d0, 0xc0000000, 0x005c8000, 0x7fe00008, 0x7fe00008, 0x60000000,
                 0x60000000, 0x3900000a, 0x7d034378, 0x4e800020}}};
  return one;
}

std::vector<LinuxCell> cells_of(const std::string& text, const kernel::KernelFacts& facts) {
  const ScratchFolder folder;
  const auto selected = selection::select_cells({.paths = {folder.write("two.case", text)}});
  EXPECT_TRUE(selected && selected.value().bad.empty()) << text;
  return linux_cells(selected.value().documents, facts);
}

Captured captured_of(kernel::Answer said) {
  const LinuxCell cell = cells_of(kTwoFunctions, kElfv1).front();
  said.program = cell.question.slots;
  for (bpf::Slot& slot : said.program) {  // as a kernel dumps a call
    if (slot.opcode == kCallOpcode) {
      slot.offset = static_cast<std::int16_t>(slot.imm);
      slot.imm = 1;
    }
  }
  for (std::uint32_t i = 0; i < 2; ++i) {
    said.function_types.push_back(
        {.slot = cell.cell.program->functions[i].begin, .type = kernel::kFirstFunctionType + i});
  }
  const kernel::Answered answered = std::move(said);
  return captured(cell, wire::KernelMode::jit, answered,
                  {.name = "k", .facts = kElfv1, .series = {6, 1}});
}

std::vector<ErrorCode> codes(const Captured& one) {
  std::vector<ErrorCode> all;
  for (const model::Finding& finding : one.findings) {
    if (finding.code != ErrorCode::symbol_mismatch) {  // the answer has no names
      all.push_back(finding.code);
    }
  }
  return all;
}

TEST(Descriptors, CallsOfTheKernelsCodeGoPastThem) {
  const std::vector<std::string> names = {"main", "f"};
  const model::CodeImage image = kernel_image(answer(), names, kElfv1);
  ASSERT_EQ(image.functions.size(), 2U);
  EXPECT_EQ(image.functions[1].descriptor_words, 6U);
  EXPECT_EQ(image.functions[1].stub_words, 0U);
  EXPECT_FALSE(image.thread_area);  // r2 comes of the descriptor
  const auto sites = decode::call_sites(image, {.endian = kElfv1.endian, .toc = kElfv1.toc});
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].target, image.functions[1].code());
}

// 7.2.13 loads the callee's address from its descriptor, and has stubs after the last return.
TEST(Descriptors, CallsOfNewerKernelsReadThem) {
  kernel::Answer newer;
  newer.functions = {
      {.address = {0xc008'0000'0017'045c},
       .symbol = {},
       .words = {0xc0080000, 0x00170474, 0xc0000000, 0x00718000, 0x7fe00008, 0x7fe00008, 0x60000000,
                 0x39200000, 0xf921fff8, 0x7c0802a6, 0xf8010010, 0xf821ff41, 0xfb610090, 0x3d40c008,
                 0x794a07c6, 0x654a0017, 0x614a0574, 0xe92a0000, 0x7d2903a6, 0x4e800421, 0x7c681b78,
                 0x7d08da14, 0xeb610090, 0x382100c0, 0xe8010010, 0x7c0803a6, 0x7d034378, 0x4e800020,
                 0x7c0802a6, 0x60000000, 0x4bffff8c, 0xc0000000, 0x00097bf0, 0x7d6802a6, 0x429f0005,
                 0x7d8802a6, 0xe98cfff0, 0x7d8903a6, 0x7d6803a6, 0x4e800420}},
      {.address = {0xc008'0000'0017'0574},
       .symbol = {},
       .words = {0xc0080000, 0x0017058c, 0xc0000000, 0x00718000, 0x7fe00008, 0x7fe00008, 0x3900000a,
                 0x7d034378, 0x4e800020}}};
  kernel::KernelFacts facts = kElfv1;
  facts.toc = {0xc000'0000'0071'8000};
  const std::vector<std::string> names = {"main", "f"};
  const model::CodeImage image = kernel_image(newer, names, facts);
  EXPECT_EQ(image.functions[0].stub_words, 12U);
  const auto sites = decode::call_sites(image, {.endian = facts.endian, .toc = facts.toc});
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].target, image.functions[1].code());
}

TEST(Descriptors, OfASoundKernelAreNoFinding) {
  const Captured sound = captured_of(answer());
  ASSERT_TRUE(sound.document) << (sound.findings.empty() ? "" : sound.findings.front().text);
  EXPECT_THAT(codes(sound), testing::IsEmpty());
  EXPECT_EQ(sound.document->cell.axes.abi, model::Abi::elfv1);
}

// The bare guest takes both from there, and would not notice.
TEST(Descriptors, AnotherTocOrCodeThanTheKernelsIsFound) {
  kernel::Answer other_toc = answer();
  other_toc.functions[1].words[3] += 8;
  EXPECT_THAT(codes(captured_of(other_toc)), testing::ElementsAre(ErrorCode::abi_toc));
  kernel::Answer other_code = answer();
  other_code.functions[1].words[1] += 4;
  EXPECT_THAT(codes(captured_of(other_code)),
              testing::ElementsAre(ErrorCode::call_decoded_elsewhere));
}

constexpr const char* kBothOrders =
    "-- matrix\nendian le be\nabi elfv1 elfv2\n-- asm\nmov %r0, 1\nexit\n-- result\n1\n";

TEST(ByteOrder, FollowsTheKernel) {
  const std::vector<LinuxCell> big = cells_of(kBothOrders, kElfv1);
  ASSERT_EQ(big.size(), 1U);
  EXPECT_FALSE(big[0].skipped);
  EXPECT_EQ(big[0].cell.axes.endian, model::Endian::big);
  EXPECT_EQ(big[0].cell.axes.abi, model::Abi::elfv1);
  EXPECT_THAT(big[0].origin, HasSubstr("be-elfv1"));
  const std::vector<LinuxCell> little = cells_of(kBothOrders, {});
  ASSERT_EQ(little.size(), 1U);
  EXPECT_FALSE(little[0].skipped);
  EXPECT_EQ(little[0].cell.axes.endian, model::Endian::little);
}

TEST(ByteOrder, ACellOfTheOtherOneIsSkipped) {
  const LinuxCell cell = cells_of(kTwoFunctions, {}).front();
  ASSERT_TRUE(cell.skipped);
  EXPECT_THAT(cell.skipped->message, HasSubstr("a big-endian cell; this kernel is little-endian"));
}

// Of the cells that are all skipped, the reason is that of its own byte order.
TEST(ByteOrder, IsNotTheReasonWhereThereIsACellOfIt) {
  kernel::KernelFacts facts = kElfv1;
  facts.abi = model::Abi::elfv2;
  const LinuxCell cell =
      cells_of("-- matrix\nendian le be\n-- asm\nmov %r0, 1\nexit\n-- fail\njit.unsupported\n",
               facts)
          .front();
  ASSERT_TRUE(cell.skipped);
  EXPECT_THAT(cell.skipped->message, HasSubstr("the case expects jit.unsupported"));
}

class BigEndianKernel : public testing::Test {
 protected:
  void SetUp() override {
    const char* const named = std::getenv("FARCALL_BIG_ENDIAN_KERNEL");
    if (named == nullptr) {
      GTEST_SKIP() << "FARCALL_BIG_ENDIAN_KERNEL is not set";
    }
    vmlinux_ = named;
  }

  const std::string& vmlinux() const { return vmlinux_; }

 private:
  std::string vmlinux_;
};

TEST_F(BigEndianKernel, CasesPassInIt) {
  const Finished run =
      run_farcall({"run", cases_folder().string(), "--guest", "linux", "--kernel", vmlinux(),
                   "--allow", "code.data-misaligned", "--format", "json"});
  ASSERT_EQ(run.exit_code, 0) << run.out.substr(0, 2000) << run.err;
  std::map<std::string, std::size_t> passed;  // by the mode that the name ends in
  const Json report = Json::parse(run.out);
  for (const Json& cell : report.at("cells")) {
    const std::string name = cell.at("cell");
    if (cell.at("outcome") == "pass") {
      ++passed[name.substr(name.rfind('-') + 1)];
    }
  }
  EXPECT_GE(passed["jit"], 110U);
  EXPECT_GE(passed["interpreter"], 110U);
  EXPECT_GE(passed["hardened"], 110U);
}

// Before the little-endian one is listed, which takes a minute.
TEST_F(BigEndianKernel, CannotRunBpftoolAndSaysSoAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  const Finished listing = run_farcall({"kernel", "listing", kKernel, vmlinux()});
  EXPECT_EQ(listing.exit_code, 2) << listing.out;
  EXPECT_THAT(listing.err, HasSubstr(vmlinux() + " is a big-endian kernel, which cannot run the "
                                                 "bpftool of Debian's ppc64el, a "
                                                 "little-endian program"));
  EXPECT_THAT(listing.err, HasSubstr("farcall run cases --guest linux --kernel " + vmlinux()));
  EXPECT_EQ(listing.out, "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST_F(BigEndianKernel, ItsCodeIsFollowedAndWhatIsSpoiltIsFound) {
  const ScratchFolder folder;
  const std::string document = (folder.path() / "two.json").string();
  const Finished captured =
      run_farcall({"kernel", "capture", folder.write("two.case", kTwoFunctions) + "@be", "--kernel",
                   vmlinux(), "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  std::string text = contents(document);
  const Json code = Json::parse(text);
  const bool has_descriptors = code.at("cell").at("axes").at("abi") == "elfv1";
  for (const Json& function : code.at("image").at("functions")) {
    EXPECT_EQ(function.value("descriptor_words", 0), has_descriptors ? 6 : 0);
  }
  const Finished run = run_farcall({"run", "--from", document});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("at 1 of 1 call sites interpreter, bytes and CPU agree"));
  // The top of the address that a call begins with: lis r12,0xc008 (6.1, of the callee's code), lis
  // r10,0xc008 (7.2, of its descriptor).
  const std::size_t at = std::min(text.find("0x3d80c008"), text.find("0x3d40c008"));
  ASSERT_NE(at, std::string::npos);
  text.replace(at + 6, 4, "c000");
  const Finished spoilt = run_farcall({"run", "--from", folder.write("spoilt.json", text)});
  EXPECT_EQ(spoilt.exit_code, 1) << spoilt.out << spoilt.err;
  EXPECT_THAT(spoilt.out, HasSubstr("main[0]: expected the bytes to lead to"));
}

}  // namespace
}  // namespace farcall::stock::big_endian_test
