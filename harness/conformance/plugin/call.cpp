#include "conformance/plugin/call.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bpf/codec.hpp"
#include "bpf/divide.hpp"
#include "bpf/object.hpp"
#include "conformance/suite_case.hpp"

namespace farcall::conformance {
namespace {

Result<std::vector<std::byte>> bytes_of(std::string_view text, std::string_view what) {
  std::vector<std::byte> bytes;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    while (at != end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
      ++at;
    }
    if (at == end) {
      return bytes;
    }
    std::uint8_t value = 0;
    const auto [rest, failure] = std::from_chars(at, end, value, 16);
    if (failure != std::errc() || rest - at > 2) {
      return Error{.code = ErrorCode::usage_bad_argument,
                   .message = fmt::format("{}: expected bytes of two hex digits with blanks "
                                          "between, found '{}'",
                                          what, std::string_view(at, end).substr(0, 8))};
    }
    bytes.push_back(std::byte{value});
    at = rest;
  }
}

constexpr const char* kName = "program";

Result<cases::Case> case_of_object(std::span<const std::byte> bytes,
                                   std::optional<std::vector<std::byte>> memory) {
  FARCALL_TRY(object, bpf::read_object(bytes, kName, std::nullopt));
  return cases::case_of(kName, std::move(object), std::move(memory), suite_helpers());
}

Result<cases::Case> case_of_slots(std::span<const std::byte> bytes,
                                  std::optional<std::vector<std::byte>> memory) {
  bpf::Program program;
  FARCALL_TRY(slots, bpf::decode_slots(bytes, std::endian::native));
  program.slots = std::move(slots);
  if (program.slots.empty()) {
    return Error{.code = ErrorCode::bpf_empty, .message = "the program has no instruction"};
  }
  FARCALL_TRYV(bpf::divide_into_functions(program));
  return cases::case_of(kName, std::move(program), std::move(memory), suite_helpers());
}

}  // namespace

Result<model::Cell> called_cell(const Options& options, std::string_view memory,
                                std::string_view program) {
  FARCALL_TRY(memory_bytes, bytes_of(memory, "memory"));
  FARCALL_TRY(program_bytes, bytes_of(program, "program"));
  std::optional<std::vector<std::byte>> mem;
  if (!memory_bytes.empty()) {
    mem = std::move(memory_bytes);
  }
  FARCALL_TRY(parsed, options.elf ? case_of_object(program_bytes, std::move(mem))
                                  : case_of_slots(program_bytes, std::move(mem)));
  return suite_cell(parsed, options.target);
}

}  // namespace farcall::conformance
