#include "kernel/exchange.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <optional>

#include "base/byte_order.hpp"
#include "bpf/codec.hpp"

namespace farcall::kernel {
namespace {

template <typename T>
void put(std::vector<std::byte>& bytes, const T& value) {
  const auto raw = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

Error bad_answer(std::string message) {
  return {.code = ErrorCode::machine_bad_answer,
          .message = "the agent in the Linux guest: " + std::move(message)};
}

class Taker {
 public:
  explicit Taker(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // So many bytes; none, and short from now on, if there are fewer.
  std::span<const std::byte> take(std::size_t count) {
    is_short_ = is_short_ || count > bytes_.size();
    if (is_short_) {
      return {};
    }
    const auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  template <typename T>
  T get() {
    T value = {};
    if (const auto bytes = take(sizeof(T)); !is_short_) {
      std::memcpy(&value, bytes.data(), sizeof(T));
    }
    return value;
  }

  bool is_short() const { return is_short_; }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  bool is_short_ = false;
};

Result<Answer> read_one(Taker& taker) {
  const auto said = taker.get<wire::KernelAnswer>();
  if (said.outcome > static_cast<std::uint32_t>(wire::KernelOutcome::not_known)) {
    return bad_answer(fmt::format("an answer has outcome {}", std::uint32_t{said.outcome}));
  }
  Answer answer{.outcome = static_cast<wire::KernelOutcome>(std::uint32_t{said.outcome}),
                .error = said.error,
                .result = said.result,
                .functions = {},
                .program = {},
                .context = {},
                .log = {}};
  std::vector<wire::KernelFunction> functions;
  std::uint64_t code_bytes = 0;
  for (std::uint32_t i = 0; i < said.function_count && !taker.is_short(); ++i) {
    functions.push_back(taker.get<wire::KernelFunction>());
    code_bytes += functions.back().code_bytes;
  }
  if (!taker.is_short() && code_bytes != said.code_bytes) {
    return bad_answer(fmt::format("its functions have {} bytes, and their code {}", code_bytes,
                                  std::uint32_t{said.code_bytes}));
  }
  for (const wire::KernelFunction& function : functions) {
    JitedFunction jited{.address = {function.address}, .words = {}};
    const auto bytes = taker.take(function.code_bytes);
    for (std::size_t at = 0; at + 4 <= bytes.size(); at += 4) {
      jited.words.push_back(load<std::uint32_t>(&bytes[at], std::endian::little));
    }
    answer.functions.push_back(std::move(jited));
  }
  FARCALL_TRY(slots, bpf::decode_slots(taker.take(said.program_bytes), std::endian::little));
  answer.program = std::move(slots);
  const auto context = taker.take(said.context_bytes);
  answer.context.assign(context.begin(), context.end());
  for (const std::byte byte : taker.take(said.log_bytes)) {
    answer.log += std::to_integer<char>(byte);
  }
  return answer;
}

}  // namespace

std::vector<std::byte> batch(std::span<const Question> questions, std::uint64_t nonce) {
  std::vector<std::byte> bytes;
  put(bytes, wire::KernelBatch{.magic = wire::kKernelBatchMagic,
                               .nonce = nonce,
                               .program_count = static_cast<std::uint32_t>(questions.size()),
                               .reserved = 0});
  for (const Question& question : questions) {
    put(bytes,
        wire::KernelProgram{.slot_count = static_cast<std::uint32_t>(question.slots.size()),
                            .context_bytes = static_cast<std::uint32_t>(question.context.size())});
    const std::vector<std::byte> slots = bpf::encode(question.slots, std::endian::little);
    bytes.insert(bytes.end(), slots.begin(), slots.end());
    bytes.insert(bytes.end(), question.context.begin(), question.context.end());
  }
  return bytes;
}

Result<std::vector<Answer>> read_reply(std::span<const std::byte> reply, std::size_t count,
                                       std::uint64_t nonce) {
  Taker taker(reply);
  const auto is_ours = [&](std::uint64_t magic) {
    const auto header = taker.get<wire::KernelReply>();
    return !taker.is_short() && header.magic == magic && header.nonce == nonce &&
           header.program_count == count;
  };
  if (!is_ours(wire::kReplyBegin)) {
    return bad_answer("its reply does not begin as one to this batch");
  }
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < count && !taker.is_short(); ++i) {
    FARCALL_TRY(answer, read_one(taker));
    answers.push_back(std::move(answer));
  }
  if (!is_ours(wire::kReplyEnd) || taker.left() != 0) {
    return bad_answer(
        fmt::format("its reply of {} bytes does not end as one to this batch", reply.size()));
  }
  return answers;
}

}  // namespace farcall::kernel
