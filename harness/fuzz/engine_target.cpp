// What other processes and guests answer: the one behind `--jit exec:`, and the agent in a Linux
// guest.
#include <memory>
#include <string>
#include <vector>

#include "base/byte_order.hpp"
#include "bpf/assembler.hpp"
#include "decode/call_sites.hpp"
#include "engine/wire.hpp"
#include "fuzz/target.hpp"
#include "kernel/exchange.hpp"
#include "model/job.hpp"
#include "model/rules.hpp"

namespace farcall::fuzz {
namespace {

constexpr std::uint32_t kNumber = 7;
constexpr std::uint64_t kGuestNonce = 0x1234'5678'0000'0000;

// Two functions, one call.
model::Cell small_cell(model::Endian endian, model::Abi abi) {
  auto program =
      bpf::assemble("call local callee\nexit\ncallee:\nmov %r0, 1\nexit\n", {"fuzz", 1, 1});
  require(program.has_value(), "a program");
  model::Cell cell{.name = "fuzz"};
  cell.axes.endian = endian;
  cell.axes.abi = abi;
  cell.program = std::make_shared<const bpf::Program>(std::move(program).value());
  cell.placement = {.functions = {{0xc008'0000'0001'0000}, {0xc008'0000'0002'0000}},
                    .stack = {0xc000'0000'0200'0000},
                    .call_base = {0xc000'0000'0010'0000},
                    .toc = {0xc000'0000'0180'0000}};
  return cell;
}

std::vector<kernel::Question> questions() {
  return {
      {.slots = std::vector<bpf::Slot>(2), .regions = {}},
      {.slots = std::vector<bpf::Slot>(1),
       .regions = {{.bytes = std::vector<std::byte>(8)}, {.bytes = std::vector<std::byte>(3)}}}};
}

template <typename T>
void put(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

std::string jit_answer() {
  const model::Cell cell = small_cell(model::Endian::little, model::Abi::elfv2);
  std::string answer(1, '\0');
  const std::string zeros(16, '\0');
  for (const std::uint32_t word : {36U + 2 * 40U, kNumber, 0U, 2U}) {
    put(answer, ul32(word));
  }
  answer += zeros;
  put(answer, ul32(0));
  for (const GuestAddress address : cell.placement.functions) {
    put(answer, ul64(address.value));
    put(answer, ul32(1));  // words
    for (int i = 0; i < 6; ++i) {
      put(answer, ul32(0));
    }
    put(answer, ul32(0x4e80'0020));
  }
  return answer;
}

std::string kernel_reply() {
  std::string reply;
  const auto frame = [&reply](std::uint64_t magic) {
    put(reply,
        wire::KernelReply{.magic = magic, .nonce = kGuestNonce, .program_count = 2, .reserved = 0});
  };
  frame(wire::kReplyBegin);
  for (const kernel::Question& question : questions()) {
    put(reply,
        wire::KernelAnswer{.region_count = static_cast<std::uint32_t>(question.regions.size())});
    for (const kernel::Region& region : question.regions) {
      put(reply,
          wire::KernelRegionAfter{.byte_count = static_cast<std::uint32_t>(region.bytes.size())});
      reply.append(region.bytes.size(), '\1');
    }
  }
  frame(wire::kReplyEnd);
  return reply;
}

// The first byte says what the cell is like; the answer follows.
void run_jit(Bytes input) {
  if (input.empty()) {
    return;
  }
  const bool big = (std::to_integer<unsigned>(input[0]) & 1) != 0;
  const bool descriptors = (std::to_integer<unsigned>(input[0]) & 3) == 3;
  const model::Cell cell = small_cell(big ? model::Endian::big : model::Endian::little,
                                      descriptors ? model::Abi::elfv1 : model::Abi::elfv2);
  auto image = engine::read_answer(input.subspan(1), cell, kNumber);
  if (!image) {
    require(name(image.error().code).starts_with("jit."), "an error of the JIT");
    return;
  }
  require(image.value().functions.size() == cell.program->functions.size(), "its functions");
  static_cast<void>(decode::call_sites(image.value(), {.endian = cell.axes.endian, .toc = {}}));
  if (model::check_document({.cell = cell, .linked = {}, .image = image.value()}, "fuzz")) {
    static_cast<void>(make_job(cell, image.value(), 1));
  }
}

void run_kernel(Bytes reply) {
  static const std::vector<kernel::Question> kQuestions = questions();
  const auto read = kernel::read_reply(reply, kQuestions, kGuestNonce, std::endian::little);
  if (!read) {
    require(name(read.error().code) == "machine.bad-answer", "machine.bad-answer");
    return;
  }
  require(read.value().answers.size() <= kQuestions.size(), "no more answers than questions");
  require(!read.value().is_whole || read.value().answers.size() == kQuestions.size(),
          "an answer for each question of a whole reply");
  for (std::size_t i = 0; i < read.value().answers.size(); ++i) {
    const kernel::Answer& answer = read.value().answers[i];
    require(answer.outcome != wire::KernelOutcome::done ||
                answer.regions.size() == kQuestions[i].regions.size(),
            "the regions that were asked for");
  }
}

}  // namespace farcall::fuzz
