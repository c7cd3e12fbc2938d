#include "conformance/plugin/service.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bpf/codec.hpp"
#include "case/matrix.hpp"
#include "conformance/suite_case.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"
#include "vm/file_descriptor.hpp"

namespace farcall::conformance {
namespace {

constexpr std::uint64_t kFarPlaces = 0xc000'0000'4000'0000;  // a GiB into text
constexpr std::uint64_t kBetweenPlaces = std::uint64_t{1} << 20;

// The suite's runner takes 1 to 2 ms from one call to the next: the guest is awake for the next
// one.
constexpr std::chrono::microseconds kBetweenCalls{5000};

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

// The program's section of a case file. `object` keeps the bytes of an ELF object readable.
Result<std::string> program_section(bool elf, std::span<const std::byte> bytes,
                                    vm::FileDescriptor& object) {
  if (elf) {
    FARCALL_TRY(file, vm::memory_file("farcall-object", 0));
    object = std::move(file);
    if (::write(object.number(), bytes.data(), bytes.size()) != std::ssize(bytes)) {
      return Error{.code = ErrorCode::file_unwritable, .message = "no room for the object"};
    }
    return fmt::format("-- elf /proc/self/fd/{}\n", object.number());
  }
  FARCALL_TRY(slots, bpf::decode_slots(bytes, std::endian::native));
  if (slots.empty()) {
    return Error{.code = ErrorCode::bpf_empty, .message = "the program has no instruction"};
  }
  std::string text = "-- raw\n";
  for (const bpf::Slot& slot : slots) {
    text += fmt::format("{:#018x}\n", bpf::word_of(slot, std::endian::little));
  }
  return text;
}

Result<model::Cell> cell_of(const Options& options, std::string_view memory,
                            std::string_view program) {
  FARCALL_TRY(memory_bytes, bytes_of(memory, "memory"));
  FARCALL_TRY(program_bytes, bytes_of(program, "program"));
  vm::FileDescriptor object;
  FARCALL_TRY(text, program_section(options.elf, program_bytes, object));
  if (!memory_bytes.empty()) {
    text += "-- mem\n";
    for (const std::byte byte : memory_bytes) {
      text += fmt::format("{:02x} ", std::to_integer<unsigned>(byte));
    }
    text += '\n';
  }
  text +=
      "-- result\n0\n";  // a case needs one; what comes of the program is for the suite to judge
  FARCALL_TRY(parsed, conformance::parse_suite_case(text, "program"));
  FARCALL_TRY(cells, cases::cells(parsed));
  model::Cell cell = std::move(cells.front());
  cell.axes = options.axes;
  cell.expected.result.reset();
  if (options.far) {
    for (std::size_t i = 1; i < cell.placement.functions.size(); i += 2) {
      cell.placement.functions[i] = {kFarPlaces + i * kBetweenPlaces};
    }
  }
  run::expect_calls_as_interpreted(cell);
  return cell;
}

}  // namespace

Result<std::uint64_t> Service::run(std::string_view memory, std::string_view program) {
  FARCALL_TRY(cell, cell_of(options_, memory, program));
  if (!options_.jit) {
    return run::interpreted_result(cell);
  }
  std::vector<model::Document> documents;
  documents.push_back({.cell = std::move(cell)});
  model::Verdict verdict;
  const auto done = run::run_on_machine(
      machine_, std::move(documents), images_,
      {.next = run::each_of(1),
       .finish = [&](run::FinishedCell finished) { verdict = std::move(finished.verdict); },
       .stopped = [] { return false; }});
  if (machine_) {
    machine_->stay_awake(kBetweenCalls);
  }
  FARCALL_TRYV(done);
  if (verdict.outcome != model::Outcome::pass || !verdict.result) {
    return verdict.findings.empty()
               ? Error{.code = ErrorCode::machine_lost, .message = "no result came of the program"}
               : as_error(verdict.findings.front());
  }
  return *verdict.result;
}

}  // namespace farcall::conformance
