#include "engine/wire.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "bpf/map_layout.hpp"
#include "engine/farcall_jit.h"
#include "external/external.hpp"

namespace farcall::engine {
namespace {

class Writer {
 public:
  template <typename T>
  void put(T value) {
    const std::size_t at = bytes.size();
    bytes.resize(at + sizeof(T));
    store(bytes.data() + at, value, std::endian::little);
  }

  std::vector<std::byte> bytes;
};

std::uint8_t type_byte(bpf::ValueType type) {
  return static_cast<std::uint8_t>(type.bits | (type.is_signed ? 0x80U : 0U));
}

// The programs of the array that `region` is, by the numbers of their functions; none if it is a hash
// table.
void append_elements(const model::Cell& cell, const bpf::MemoryRegion& region,
                     std::vector<std::uint32_t>& elements) {
  const std::endian order = byte_order(cell.axes.endian);
  if (bpf::map_layout(region.bytes, order).elements == 0) {
    return;
  }
  const auto first = cell.placement.functions.begin();
  const auto last = first + static_cast<std::ptrdiff_t>(cell.program->functions.size());
  for (std::size_t at = bpf::kArrayHeaderBytes; at + 8 <= region.bytes.size(); at += 8) {
    const GuestAddress program{load<std::uint64_t>(region.bytes.data() + at, order)};
    const auto found = std::find(first, last, program);
    elements.push_back(found == last ? static_cast<std::uint32_t>(FARCALL_NO_PROGRAM)
                                     : static_cast<std::uint32_t>(found - first));
  }
}

std::uint32_t cpu_number(model::Cpu cpu) {
  switch (cpu) {
    case model::Cpu::power8:
      return 8;
    case model::Cpu::power9:
      return 9;
    case model::Cpu::power10:
      return 10;
  }
  return 0;
}

// Numbers one after the other; reading beyond the end gives zeros, and is remembered.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  T get() {
    const std::span<const std::byte> bytes = take(sizeof(T));
    return bytes.empty() ? T{} : load<T>(bytes.data(), std::endian::little);
  }
  std::span<const std::byte> take(std::size_t count) {
    if (count > bytes_.size()) {
      short_ = true;
      bytes_ = {};
      return {};
    }
    const auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  std::vector<std::uint32_t> words(std::uint32_t count) {
    const auto bytes = take(std::size_t{count} * 4);
    std::vector<std::uint32_t> words(bytes.size() / 4);
    for (std::size_t i = 0; i < words.size(); ++i) {
      words[i] = load<std::uint32_t>(bytes.data() + i * 4, std::endian::little);
    }
    return words;
  }
  bool is_short() const { return short_; }
  std::size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  bool short_ = false;
};

Error bad_answer(std::string message) {
  return {.code = ErrorCode::jit_bad_answer, .message = std::move(message)};
}

// What the JIT said, printable and on one line.
std::string words_of(std::span<const std::byte> text) {
  constexpr std::size_t kMost = 400;
  std::string said;
  for (const std::byte byte : text.first(std::min(text.size(), kMost))) {
    const char c = static_cast<char>(byte);
    said += c >= ' ' && c != '\x7f' ? c : ' ';
  }
  const auto last = said.find_last_not_of(' ');
  said.resize(last == std::string::npos ? 0 : last + 1);
  return said.empty() ? "it does not say why" : said;
}

struct AnsweredFunction {
  model::CodeFunction code;
  std::vector<std::uint32_t> calls;
};

Result<AnsweredFunction> read_function(Reader& reader, model::Abi abi) {
  AnsweredFunction function;
  function.code.address = {reader.get<std::uint64_t>()};
  const auto word_count = reader.get<std::uint32_t>();
  function.code.descriptor_words = reader.get<std::uint32_t>();
  function.code.tail_entry_words = reader.get<std::uint32_t>();
  function.code.stub_words = reader.get<std::uint32_t>();
  const auto line_count = reader.get<std::uint32_t>();
  const auto call_count = reader.get<std::uint32_t>();
  const auto pass_count = reader.get<std::uint32_t>();
  function.code.words = reader.words(word_count);
  std::uint32_t before = 0;
  for (std::uint32_t i = 0; i < line_count && !reader.is_short(); ++i) {
    const model::CodeLine line{.instruction = reader.get<std::uint32_t>(),
                               .word = reader.get<std::uint32_t>()};
    const bool ascends = i == 0 || (line.instruction > function.code.lines.back().instruction &&
                                    line.word >= before);
    if (!ascends || line.word > word_count) {
      return bad_answer(fmt::format(
          "row {} of the line table of the function at {} has instruction {} at word {}: expected "
          "rows to ascend within its {} words",
          i, to_string(function.code.address), line.instruction, line.word, word_count));
    }
    before = line.word;
    function.code.lines.push_back(line);
  }
  function.calls = reader.words(call_count);
  function.code.pass_words = reader.words(pass_count);
  if (reader.is_short()) {
    return bad_answer("the answer ends within a function");
  }
  const std::uint32_t descriptor = abi == model::Abi::elfv1 ? model::kDescriptorWords : 0;
  if (function.code.descriptor_words != descriptor || word_count <= descriptor) {
    return bad_answer(fmt::format(
        "the function at {} has {} words, {} of them its descriptor; expected {} and some code",
        to_string(function.code.address), word_count, function.code.descriptor_words, descriptor));
  }
  if (function.code.stub_words >= word_count - descriptor) {
    return bad_answer(
        fmt::format("the function at {} has {} words, {} of them stubs; expected some code",
                    to_string(function.code.address), word_count, function.code.stub_words));
  }
  return function;
}

}  // namespace

HelperEntry helper_entry(std::span<const std::byte> answer) {
  constexpr std::size_t kFlags = 27;
  const bool has_no_toc = answer.size() > kFlags &&
                          std::to_integer<int>(answer[kFlags] & std::byte{FARCALL_NO_TOC}) != 0;
  return has_no_toc ? HelperEntry::global : HelperEntry::local;
}

std::vector<std::byte> request(const model::Cell& cell, std::uint32_t number) {
  const bpf::Program& program = *cell.program;
  Writer out;
  out.put<std::uint32_t>(0);
  out.put(number);
  out.put<std::uint32_t>(
      (cell.axes.endian == model::Endian::big ? std::uint32_t{FARCALL_BIG_ENDIAN} : 0U) |
      (cell.axes.abi == model::Abi::elfv1 ? std::uint32_t{FARCALL_ELFV1} : 0U));
  out.put(cpu_number(cell.axes.cpu));
  out.put(cell.placement.toc.value);
  out.put(cell.placement.call_base.value);
  const std::size_t functions = program.functions.size();
  out.put(static_cast<std::uint32_t>(functions));
  out.put(static_cast<std::uint32_t>(program.externals.size()));
  out.put(static_cast<std::uint32_t>(program.maps.size()));
  out.put(static_cast<std::uint32_t>(program.slots.size()));
  for (std::uint32_t i = 0; i < functions; ++i) {
    out.put(cell.placement.functions[i].value);
    out.put(program.functions[i].begin);
    out.put(program.functions[i].end);
    out.put<std::uint32_t>(is_program(program, i) ? std::uint32_t{FARCALL_PROGRAM} : 0U);
    out.put<std::uint32_t>(0);
  }
  for (std::size_t i = 0; i < program.externals.size(); ++i) {
    const bpf::External& external = program.externals[i];
    const GuestAddress address = cell.placement.functions[functions + i];
    const bool is_local =
        external.kind == bpf::ExternalKind::helper && cell.axes.abi == model::Abi::elfv2;
    out.put(address.value);
    out.put(address.value + (is_local ? external::kLocalEntryBytes : 0));
    out.put<std::uint32_t>(external.kind == bpf::ExternalKind::kfunc ? 1 : 0);
    out.put(static_cast<std::uint32_t>(external.id));
    for (const bpf::ValueType type : external.signature.arguments) {
      out.put(type_byte(type));
    }
    out.put(type_byte(external.signature.result));
    out.put<std::uint16_t>(0);
  }
  std::vector<std::uint32_t> elements;
  for (const bpf::Map& map : program.maps) {
    const auto region = std::ranges::find(cell.memory, map.name, &bpf::MemoryRegion::name);
    const std::size_t before = elements.size();
    if (map.value_bytes == 0 && region != cell.memory.end()) {
      append_elements(cell, *region, elements);
    }
    out.put(region == cell.memory.end() ? std::uint64_t{0} : region->address.value);
    out.put(map.value_bytes);
    out.put(static_cast<std::uint32_t>(elements.size() - before));
  }
  for (const bpf::Slot& slot : program.slots) {
    out.put(slot.opcode);
    out.put(static_cast<std::uint8_t>(slot.dst | slot.src << 4U));
    out.put(static_cast<std::uint16_t>(slot.offset));
    out.put(static_cast<std::uint32_t>(slot.imm));
  }
  for (const std::uint32_t element : elements) {
    out.put(element);
  }
  store(out.bytes.data(), static_cast<std::uint32_t>(out.bytes.size()), std::endian::little);
  return std::move(out.bytes);
}

Result<model::CodeImage> read_answer(std::span<const std::byte> answer, const model::Cell& cell,
                                     std::uint32_t number) {
  Reader reader(answer);
  reader.get<std::uint32_t>();  // bytes
  const auto answered = reader.get<std::uint32_t>();
  const auto status = reader.get<std::uint32_t>();
  if (reader.is_short() || answered != number) {
    return bad_answer(
        fmt::format("it answered request {}; expected an answer to {}", answered, number));
  }
  switch (status) {
    case FARCALL_IMAGE:
      break;
    case FARCALL_UNSUPPORTED:
      return Error{.code = ErrorCode::jit_declined,
                   .message = words_of(reader.take(reader.left()))};
    case FARCALL_REFUSED:
      return Error{.code = ErrorCode::jit_refused, .message = words_of(reader.take(reader.left()))};
    case FARCALL_WARNED:
      return Error{.code = ErrorCode::jit_warned, .message = words_of(reader.take(reader.left()))};
    default:
      return bad_answer(fmt::format(
          "the answer has status {}; expected 0 (done), 1 (unsupported), 2 (refused) or 3 (warned)",
          status));
  }
  const bpf::Program& program = *cell.program;
  model::CodeImage image;
  const auto function_count = reader.get<std::uint32_t>();
  for (const std::byte gpr : reader.take(12)) {
    if (image.bpf_registers.size() < bpf::kRegisterCount) {
      image.bpf_registers.push_back(std::to_integer<std::uint8_t>(gpr));
    }
  }
  if (std::ranges::any_of(image.bpf_registers, [](std::uint8_t gpr) { return gpr > 31; })) {
    image.bpf_registers.clear();
  }
  const auto array_count = reader.get<std::uint32_t>();
  const auto area_bytes = reader.get<std::uint32_t>();
  if (area_bytes > model::kPageBytes) {
    return bad_answer(fmt::format("the thread area has {} bytes; expected at most {}", area_bytes,
                                  model::kPageBytes));
  }
  if (area_bytes != 0) {
    const auto bytes = reader.take(area_bytes);
    image.thread_area = {.address = {}, .bytes = {bytes.begin(), bytes.end()}};
  }
  for (std::uint32_t i = 0; i < array_count && !reader.is_short(); ++i) {
    model::KernelMemory array{.address = {reader.get<std::uint64_t>()}, .bytes = {}};
    const auto byte_count = reader.get<std::uint32_t>();
    reader.get<std::uint32_t>();
    const auto bytes = reader.take(byte_count);
    array.bytes = SharedBytes::of(bytes, bytes.size());
    if (std::ranges::find(cell.memory, array.address, &bpf::MemoryRegion::address) ==
        cell.memory.end()) {
      return bad_answer(fmt::format("an array of programs is at {}; expected the address of a map",
                                    to_string(array.address)));
    }
    image.kernel_memory.push_back(std::move(array));
  }
  std::vector<AnsweredFunction> answered_functions;
  for (std::uint32_t i = 0; i < function_count && !reader.is_short(); ++i) {
    FARCALL_TRY(function, read_function(reader, cell.axes.abi));
    answered_functions.push_back(std::move(function));
  }
  if (reader.is_short() || reader.left() != 0) {
    return bad_answer(reader.is_short() ? std::string("the answer is too short")
                                        : fmt::format("{} bytes follow the answer's last function",
                                                      reader.left()));
  }
  for (std::uint32_t i = 0; i < program.functions.size(); ++i) {
    const GuestAddress address = cell.placement.functions[i];
    const auto found = std::ranges::find(
        answered_functions, address, [](const AnsweredFunction& one) { return one.code.address; });
    if (found == answered_functions.end()) {
      return bad_answer(fmt::format("expected code of {} at {}; there is none",
                                    program.functions[i].name, to_string(address)));
    }
    found->code.name = program.functions[i].name;
    std::uint32_t ordinal = 0;
    for (const std::uint32_t word : found->calls) {
      image.calls.push_back({.site = {.function = i, .ordinal = ordinal++},
                             .at = address + std::uint64_t{word} * 4,
                             .callee = {}});
    }
    image.functions.push_back(found->code);
  }
  image.entry = image.functions.front().address;
  return image;
}

}  // namespace farcall::engine
