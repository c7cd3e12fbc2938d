#include "kernel/exchange.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string_view>

#include "base/byte_order.hpp"
#include "bpf/codec.hpp"

namespace farcall::kernel {
namespace {

template <typename T>
void put(std::vector<std::byte>& bytes, const T& value) {
  const auto raw = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

void put_numbers(std::vector<std::byte>& bytes, std::initializer_list<std::uint32_t> numbers,
                 std::endian order) {
  for (const std::uint32_t number : numbers) {
    bytes.resize(bytes.size() + sizeof number);
    store(&bytes[bytes.size() - sizeof number], number, order);
  }
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

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// type_information() numbers lines from 1; the lower ten bits are the column.
std::uint32_t slot_of_line(std::uint32_t line_and_column) {
  return (line_and_column >> 10U) - 1;
}

bool has_bytes_of(const RegionAfter& after, const Region& asked) {
  if (!asked.map) {
    return after.bytes.size() == asked.bytes.size();
  }
  switch (asked.map->type) {
    case wire::KernelMapType::none:
      return false;
    case wire::KernelMapType::hash:
      return after.bytes.size() % (std::size_t{asked.map->key_bytes} + asked.map->value_bytes) == 0;
    case wire::KernelMapType::array:
      return after.bytes.size() == asked.bytes.size();
    case wire::KernelMapType::programs:
      return after.bytes.empty();
  }
  return false;
}

// How many pieces of the kernel's memory there are of a region once its program has run.
std::size_t piece_count(const Region& asked, wire::KernelMode mode) {
  if (!asked.map || mode == wire::KernelMode::interpreter) {
    return 0;
  }
  switch (asked.map->type) {
    case wire::KernelMapType::none:
    case wire::KernelMapType::hash:
      return 0;
    case wire::KernelMapType::array:
      return 1;
    case wire::KernelMapType::programs:
      return 1 + std::size_t{asked.map->entries};
  }
  return 0;
}

RegionAfter take_region(Taker& taker) {
  const auto said = taker.get<wire::KernelRegionAfter>();
  const auto bytes = taker.take(said.byte_count);
  RegionAfter after{.address = {said.address},
                    .bytes = {bytes.begin(), bytes.end()},
                    .pieces = {},
                    .values_at = said.values_at};
  for (std::uint32_t i = 0; i < said.piece_count && !taker.is_short(); ++i) {
    const auto piece = taker.get<wire::KernelPiece>();
    const auto piece_bytes = taker.take(piece.byte_count);
    after.pieces.push_back(
        {.address = {piece.address}, .bytes = {piece_bytes.begin(), piece_bytes.end()}});
  }
  return after;
}

// Where what an answer says of one more program is counted from.
struct Origin {
  std::uint32_t loaded_slot = 0;  // in the question's programs, one after the other
  std::uint32_t loaded_function = 0;
};

// Adds what is said of one program. What is cut off makes the taker short, and the answer worthless.
Result<void> read_program(Taker& taker, const wire::KernelAnswer& said, Origin origin,
                          std::endian order, Answer& answer) {
  const auto begin = static_cast<std::uint32_t>(answer.program.size());
  const std::size_t first_function = answer.functions.size();
  answer.programs.push_back(
      {.function = static_cast<std::uint32_t>(answer.function_types.size()), .slot = begin});
  std::vector<std::uint32_t> sizes;
  std::uint64_t code_bytes = 0;
  for (std::uint32_t i = 0; i < said.function_count && !taker.is_short(); ++i) {
    const auto function = taker.get<wire::KernelFunction>();
    sizes.push_back(function.code_bytes);
    code_bytes += sizes.back();
    answer.functions.push_back(
        {.address = {function.address},
         .symbol = std::string(function.symbol, strnlen(function.symbol, wire::kKernelSymbolBytes)),
         .words = {}});
  }
  if (!taker.is_short() && code_bytes != said.code_bytes) {
    return bad_answer(fmt::format("its functions have {} bytes, and their code {}", code_bytes,
                                  std::uint32_t{said.code_bytes}));
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto bytes = taker.take(sizes[i]);
    for (std::size_t at = 0; at + 4 <= bytes.size(); at += 4) {
      answer.functions[first_function + i].words.push_back(load<std::uint32_t>(&bytes[at], order));
    }
  }
  auto slots = bpf::decode_slots(taker.take(said.program_bytes), order);
  if (!slots) {
    return bad_answer(fmt::format("a program in its reply: {}", slots.error().message));
  }
  answer.program.insert(answer.program.end(), slots.value().begin(), slots.value().end());
  for (std::uint32_t i = 0; i < said.function_type_count && !taker.is_short(); ++i) {
    if (const auto bytes = taker.take(wire::kFunctionTypeBytes); !taker.is_short()) {
      answer.function_types.push_back(
          {.slot = begin + load<std::uint32_t>(bytes.data(), order),
           .type = origin.loaded_function + load<std::uint32_t>(&bytes[4], order)});
    }
  }
  for (std::uint32_t i = 0; i < said.line_count && !taker.is_short(); ++i) {
    const auto line = taker.get<wire::KernelLine>();
    answer.lines.push_back(
        {.slot = begin + line.slot,
         .address = {line.address},
         .loaded_slot = origin.loaded_slot + slot_of_line(line.line_and_column)});
  }
  return success();
}

Result<wire::KernelAnswer> take_answer(Taker& taker) {
  const auto said = taker.get<wire::KernelAnswer>();
  if (said.outcome > static_cast<std::uint32_t>(wire::KernelOutcome::not_put)) {
    return bad_answer(fmt::format("an answer has outcome {}", std::uint32_t{said.outcome}));
  }
  return said;
}

// Adds what is said of the programs that tail calls may go to.
Result<void> read_targets(Taker& taker, std::uint32_t count, const Question& question,
                          std::endian order, Answer& answer) {
  Origin origin{.loaded_slot = static_cast<std::uint32_t>(question.slots.size()),
                .loaded_function = static_cast<std::uint32_t>(question.types.functions.size())};
  for (std::uint32_t i = 0; i < count && !taker.is_short(); ++i) {
    FARCALL_TRY(said, take_answer(taker));
    if (taker.is_short()) {
      break;
    }
    if (said.outcome != static_cast<std::uint32_t>(wire::KernelOutcome::done)) {
      answer.outcome = static_cast<wire::KernelOutcome>(std::uint32_t{said.outcome});
      answer.error = said.error;
    }
    FARCALL_TRYV(read_program(taker, said, origin, order, answer));
    origin.loaded_slot += static_cast<std::uint32_t>(question.targets[i].slots.size());
    origin.loaded_function +=
        static_cast<std::uint32_t>(question.targets[i].types.functions.size());
  }
  return success();
}

Result<Answer> read_one(Taker& taker, const Question& question, std::endian order) {
  FARCALL_TRY(said, take_answer(taker));
  Answer answer{.outcome = static_cast<wire::KernelOutcome>(std::uint32_t{said.outcome}),
                .error = said.error,
                .result = said.result,
                .functions = {},
                .program = {},
                .function_types = {},
                .lines = {},
                .regions = {},
                .log = {},
                .kernel_log = {}};
  const bool is_about_one = answer.outcome == wire::KernelOutcome::no_code_of_one ||
                            answer.outcome == wire::KernelOutcome::not_put;
  if (is_about_one && answer.result > question.targets.size()) {
    return bad_answer(fmt::format("an array does not take program {}, which there is not",
                                  std::uint32_t{said.result}));
  }
  FARCALL_TRYV(read_program(taker, said, {}, order, answer));
  for (std::uint32_t i = 0; i < said.region_count && !taker.is_short(); ++i) {
    answer.regions.push_back(take_region(taker));
  }
  answer.log = text_of(taker.take(said.log_bytes));
  answer.kernel_log = text_of(taker.take(said.kernel_log_bytes));
  const bool is_done = answer.outcome == wire::KernelOutcome::done;
  const bool as_asked = std::ranges::equal(
      answer.regions, question.regions, [&](const RegionAfter& after, const Region& asked) {
        return has_bytes_of(after, asked) &&
               after.pieces.size() == piece_count(asked, question.mode);
      });
  if (!taker.is_short() && is_done && !as_asked) {
    return bad_answer("an answer has other regions than the question");
  }
  if (!taker.is_short() && is_done && said.target_count != question.targets.size()) {
    return bad_answer("an answer is about other programs than the question");
  }
  const std::uint32_t targets = is_done ? std::uint32_t{said.target_count} : 0U;
  FARCALL_TRYV(read_targets(taker, targets, question, order, answer));
  return answer;
}

void put_types(std::vector<std::byte>& bytes, const TypeInformation& types, std::endian order) {
  bytes.insert(bytes.end(), types.btf.begin(), types.btf.end());
  for (const FunctionType& function : types.functions) {
    put_numbers(bytes, {function.slot, function.type}, order);
  }
  constexpr std::uint32_t kNoText = 0;  // of file and line, in the BTF's strings
  for (const SourceLine& line : types.lines) {
    put_numbers(bytes, {line.slot, kNoText, kNoText, line.line_and_column}, order);
  }
}

void put_region(std::vector<std::byte>& bytes, const Region& region) {
  const MapDefinition map = region.map.value_or(MapDefinition{.key_bytes = 0});
  std::vector<std::byte> content = region.bytes;
  for (const ul32 number : map.programs) {
    put(content, number);
  }
  put(bytes, wire::KernelRegion{.byte_count = static_cast<std::uint32_t>(content.size()),
                                .read_only = region.writable ? 0U : 1U,
                                .map_type = static_cast<std::uint32_t>(map.type),
                                .key_bytes = map.key_bytes,
                                .value_bytes = map.value_bytes,
                                .entry_count = map.entries});
  bytes.insert(bytes.end(), content.begin(), content.end());
}

void put_target(std::vector<std::byte>& bytes, const TailProgram& target, std::endian order) {
  const TypeInformation& types = target.types;
  put(bytes,
      wire::KernelTarget{.slot_count = static_cast<std::uint32_t>(target.slots.size()),
                         .btf_bytes = static_cast<std::uint32_t>(types.btf.size()),
                         .function_type_count = static_cast<std::uint32_t>(types.functions.size()),
                         .line_count = static_cast<std::uint32_t>(types.lines.size())});
  const std::vector<std::byte> slots = bpf::encode(target.slots, order);
  bytes.insert(bytes.end(), slots.begin(), slots.end());
  put_types(bytes, types, order);
}

void put_question(std::vector<std::byte>& bytes, const Question& question, std::endian order) {
  const TypeInformation& types = question.types;
  put(bytes, wire::KernelProgram{
                 .slot_count = static_cast<std::uint32_t>(question.slots.size()),
                 .region_count = static_cast<std::uint32_t>(question.regions.size()),
                 .mode = static_cast<std::uint32_t>(question.mode),
                 .crowd_mebibytes = question.crowd_mebibytes,
                 .btf_bytes = static_cast<std::uint32_t>(types.btf.size()),
                 .function_type_count = static_cast<std::uint32_t>(types.functions.size()),
                 .line_count = static_cast<std::uint32_t>(types.lines.size()),
                 .type = static_cast<std::uint32_t>(question.type),
                 .as_listed = question.as_listed ? 1U : 0U,
                 .context_bytes = static_cast<std::uint32_t>(question.context.size()),
                 .target_count = static_cast<std::uint32_t>(question.targets.size()),
                 .observer_slot_count = static_cast<std::uint32_t>(question.observer.size())});
  const std::vector<std::byte> slots = bpf::encode(question.slots, order);
  bytes.insert(bytes.end(), slots.begin(), slots.end());
  put_types(bytes, types, order);
  bytes.insert(bytes.end(), question.context.begin(), question.context.end());
  const std::vector<std::byte> observer = bpf::encode(question.observer, order);
  bytes.insert(bytes.end(), observer.begin(), observer.end());
  for (const Region& region : question.regions) {
    put_region(bytes, region);
  }
  for (const TailProgram& target : question.targets) {
    put_target(bytes, target, order);
  }
}

}  // namespace

std::string_view name(wire::KernelMode mode) {
  constexpr std::array<std::string_view, 3> kNames = {"jit", "interpreter", "hardened"};
  return kNames[static_cast<std::size_t>(mode)];
}

Batch batch(std::span<const Question> questions, std::uint64_t nonce, std::endian order) {
  Batch batch;
  batch.bytes.resize(sizeof(wire::KernelBatch));
  for (const Question& question : questions) {
    const std::size_t before = batch.bytes.size();
    put_question(batch.bytes, question, order);
    if (batch.bytes.size() > wire::kMostBatchBytes) {
      batch.bytes.resize(before);
      break;
    }
    ++batch.question_count;
  }
  const wire::KernelBatch header{.magic = wire::kKernelBatchMagic,
                                 .nonce = nonce,
                                 .program_count = static_cast<std::uint32_t>(batch.question_count),
                                 .byte_count = static_cast<std::uint32_t>(batch.bytes.size())};
  std::memcpy(batch.bytes.data(), &header, sizeof header);
  return batch;
}

Result<Reply> read_reply(std::span<const std::byte> bytes, std::span<const Question> questions,
                         std::uint64_t nonce, std::endian order) {
  Taker taker(bytes);
  const auto is_ours = [&](std::uint64_t magic) {
    const auto header = taker.get<wire::KernelReply>();
    return !taker.is_short() && header.magic == magic && header.nonce == nonce &&
           header.program_count == questions.size();
  };
  if (!is_ours(wire::kReplyBegin)) {
    return bad_answer("its reply does not begin as one to this batch");
  }
  Reply reply;
  for (const Question& question : questions) {
    FARCALL_TRY(answer, read_one(taker, question, order));
    if (taker.is_short()) {
      return reply;
    }
    reply.answers.push_back(std::move(answer));
  }
  reply.is_whole = is_ours(wire::kReplyEnd) && taker.left() == 0;
  if (!reply.is_whole && !taker.is_short()) {
    return bad_answer(
        fmt::format("its reply of {} bytes does not end as one to this batch", bytes.size()));
  }
  return reply;
}

}  // namespace farcall::kernel
