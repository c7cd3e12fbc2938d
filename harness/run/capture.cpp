#include "run/capture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "check/branch_target.hpp"
#include "engine/image.hpp"
#include "run/pipeline.hpp"

namespace farcall::run {
namespace {

constexpr std::uint8_t kCall = 0x85;
constexpr std::uint8_t kCallx = 0x8d;
constexpr std::uint8_t kLoad64 = 0x18;

// Where Linux's JIT for ppc64 has BPF's r0 … r10.
const std::vector<std::uint8_t> kLinuxRegisters = {8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31};

Error declined(std::string why, std::string hint = {}) {
  return {.code = ErrorCode::jit_declined, .message = std::move(why), .hint = std::move(hint)};
}

// The region that r1 points to the beginning of; null: none.
const bpf::MemoryRegion* context_of(const model::Cell& cell) {
  const auto found =
      std::ranges::find(cell.memory, GuestAddress{cell.arguments[0]}, &bpf::MemoryRegion::address);
  return found == cell.memory.end() || found->bytes.empty() ? nullptr : &*found;
}

// What of a slot a stock kernel has no counterpart for, or an empty text.
std::string foreign(const bpf::Slot& slot) {
  if (slot.opcode == kCallx) {
    return "a call through a register";
  }
  if (slot.opcode == kCall && slot.src == bpf::kHelperCall) {
    return slot.imm == bpf::kTailCall ? std::string("a tail call")
                                      : fmt::format("a call of helper {}", slot.imm);
  }
  if (slot.opcode == kCall && slot.src != bpf::kPseudoCall) {
    return "a call of a kfunc";
  }
  if (slot.opcode == kLoad64 && slot.src != 0) {
    return slot.src == bpf::kPseudoFunction ? "a function pointer" : "a map";
  }
  return {};
}

// Function by function, whom its calls call, in program order.
using Census = std::vector<std::vector<std::uint32_t>>;

Census census(const bpf::Program& program) {
  Census all(program.functions.size());
  for (const bpf::PseudoCall& call : pseudo_calls(program)) {
    all[call.site.function].push_back(call.callee);
  }
  return all;
}

// The same of a program as the kernel dumps it: `off` of a call leads to its callee. Nothing: a call
// leads to no function.
std::optional<Census> census(const std::vector<bpf::Slot>& dumped) {
  std::vector<std::int64_t> begins = {0};
  const auto calls = [&](std::size_t i) {
    return dumped[i].opcode == kCall && dumped[i].src == bpf::kPseudoCall;
  };
  const auto callee = [&](std::size_t i) {
    return static_cast<std::int64_t>(i) + 1 + dumped[i].offset;
  };
  for (std::size_t i = 0; i < dumped.size(); ++i) {
    if (calls(i)) {
      begins.push_back(callee(i));
    }
  }
  std::ranges::sort(begins);
  begins.erase(std::ranges::unique(begins).begin(), begins.end());
  if (begins.front() < 0 || begins.back() >= static_cast<std::int64_t>(dumped.size())) {
    return std::nullopt;
  }
  Census all(begins.size());
  for (std::size_t i = 0; i < dumped.size(); ++i) {
    if (calls(i)) {
      const auto caller = std::ranges::upper_bound(begins, static_cast<std::int64_t>(i));
      const auto called = std::ranges::lower_bound(begins, callee(i));
      all[static_cast<std::size_t>(caller - begins.begin()) - 1].push_back(
          static_cast<std::uint32_t>(called - begins.begin()));
    }
  }
  return all;
}

// Whether execution never goes on after this word: b, blr, bctr, without a condition and a link.
bool ends_a_path(std::uint32_t word) {
  constexpr std::uint32_t kAlways = 20;  // of the field BO
  const std::uint32_t opcode = word >> 26U;
  const std::uint32_t extended = word >> 1U & 0x3ffU;
  const bool to_register =
      opcode == 19 && (extended == 16 || extended == 528) && (word >> 21U & kAlways) == kAlways;
  return (opcode == 18 || to_register) && (word & 1U) == 0;
}

// How many words at the end no way from the function's beginning leads to: stubs, their data, what
// fills up.
std::uint32_t words_after_the_last_reached(const model::CodeFunction& function) {
  const std::size_t count = function.words.size();
  std::vector<bool> reached(count);
  std::vector<std::size_t> open = {0};
  while (!open.empty()) {
    std::size_t at = open.back();
    open.pop_back();
    while (at < count && !reached[at]) {
      reached[at] = true;
      if (const auto target = check::branch_target(function, at);
          target && *target >= 0 && *target < static_cast<std::int64_t>(count)) {
        open.push_back(static_cast<std::size_t>(*target));
      }
      if (ends_a_path(function.words[at])) {
        break;
      }
      ++at;
    }
  }
  std::size_t end = count;
  while (end > 0 && !reached[end - 1]) {
    --end;
  }
  return static_cast<std::uint32_t>(count - end);
}

// What functions load r2 from: so far after r13. Nothing: they do not.
std::optional<std::uint32_t> toc_displacement(const model::CodeImage& image) {
  constexpr std::uint32_t kLoadToc = 0xe84d0000;  // ld r2,D(r13)
  for (const model::CodeFunction& function : image.functions) {
    for (const std::uint32_t word : function.words) {
      if ((word & 0xffff0003U) == kLoadToc) {
        return word & 0xfffcU;
      }
    }
  }
  return std::nullopt;
}

Result<void> check_outcome(const kernel::Answer& answer) {
  switch (answer.outcome) {
    case wire::KernelOutcome::done:
      break;
    case wire::KernelOutcome::rejected: {
      // Its last line counts what it did; before it stands why.
      std::string log = answer.log.substr(0, answer.log.rfind("processed "));
      log.resize(log.find_last_not_of('\n') + 1);
      const std::size_t line = log.rfind('\n');
      return declined(fmt::format("the kernel's verifier rejects it: {}",
                                  log.empty() ? std::strerror(static_cast<int>(answer.error))
                                              : log.substr(line == log.npos ? 0 : line + 1)),
                      "of its registers, a program has r1 with what -- mem gives it, and r10");
    }
    case wire::KernelOutcome::not_run:
      return declined(fmt::format("the kernel does not run it: {}",
                                  std::strerror(static_cast<int>(answer.error))));
    case wire::KernelOutcome::not_known:
      return declined(fmt::format("the kernel does not tell of it: {}",
                                  std::strerror(static_cast<int>(answer.error))));
  }
  if (answer.functions.empty()) {
    return Error{.code = ErrorCode::jit_refused,
                 .message = "the kernel interprets it: its JIT made no code"};
  }
  return success();
}

// What of a run does not depend on where the memory lies that r1 points to: in the kernel that is
// elsewhere.
struct Portable {
  std::optional<std::uint32_t> result;  // the lower half of r0
  std::optional<std::vector<std::byte>> context;
};

Result<Portable> portable(const model::Cell& cell) {
  constexpr std::uint64_t kElsewhere = 0x1'0000'1008;
  const auto run = [](const model::Cell& one) -> Result<Portable> {
    const Prepared prepared = prepare(model::Document{.cell = one, .linked = {}, .image = {}}, 0);
    if (!*prepared.testimony.source) {
      return prepared.testimony.source->error();
    }
    const check::Interpretation& source = prepared.testimony.source->value();
    Portable all{.result = static_cast<std::uint32_t>(source.run.r0), .context = {}};
    if (const bpf::MemoryRegion* const context = context_of(one)) {
      all.context =
          std::ranges::find(source.memory, context->address, &bpf::MemoryRegion::address)->bytes;
    }
    return all;
  };
  FARCALL_TRY(here, run(cell));
  if (const bpf::MemoryRegion* const context = context_of(cell)) {
    model::Cell moved = cell;
    moved.memory[static_cast<std::size_t>(context - cell.memory.data())].address.value +=
        kElsewhere;
    moved.arguments[0] += kElsewhere;
    FARCALL_TRY(there, run(moved));
    if (here.result != there.result) {
      here.result.reset();
    }
    if (here.context != there.context) {
      here.context.reset();
    }
  }
  if (cell.expected.no_result) {
    here.result.reset();
  }
  return std::move(here);
}

// The kernel's run against the interpreter's.
Result<void> check_run(const model::Cell& cell, const kernel::Answer& answer) {
  FARCALL_TRY(expected, portable(cell));
  const auto differs = [](ErrorCode code, std::string message) {
    return Error{.code = code, .message = std::move(message)};
  };
  if (expected.result && *expected.result != answer.result) {
    return differs(ErrorCode::result_mismatch,
                   fmt::format("expected the kernel's run to return {:#x} in the lower half of r0, "
                               "as the interpreter; it returned {:#x}",
                               *expected.result, answer.result));
  }
  if (expected.context && *expected.context != answer.context) {
    const auto at = std::ranges::mismatch(*expected.context, answer.context).in1;
    return differs(
        ErrorCode::memory_mismatch,
        fmt::format("the kernel's run leaves another byte {} at r1 than the interpreter's",
                    at - expected.context->begin()));
  }
  return success();
}

}  // namespace

Result<kernel::Question> kernel_question(const model::Cell& cell) {
  if (!cell.program) {
    return declined("a document without a program");
  }
  if (cell.axes.endian == model::Endian::big || cell.axes.abi == model::Abi::elfv1) {
    return declined("a big-endian cell: Debian's ppc64el kernel is little-endian, ELFv2");
  }
  if (cell.expected.failure) {
    return declined("the case expects a failure, of farcall's own linker or JIT");
  }
  const bpf::Program& program = *cell.program;
  for (std::uint32_t i = 0; i < program.slots.size(); ++i) {
    if (const std::string what = foreign(program.slots[i]); !what.empty()) {
      Error error =
          declined(fmt::format("{}: the kernel is asked for programs of local calls alone", what));
      if (i < program.origins.size()) {
        error.where = program.origins[i];
      }
      return error;
    }
    if (program.slots[i].opcode == kLoad64) {
      ++i;
    }
  }
  if (std::ranges::any_of(program.functions, &bpf::Function::begins_program)) {
    return declined("several programs");
  }
  kernel::Question question{.slots = program.slots, .context = {}};
  if (const bpf::MemoryRegion* const context = context_of(cell)) {
    question.context = context->bytes;
  }
  return question;
}

Result<model::Document> captured(const model::Cell& cell, const kernel::Answer& answer,
                                 const std::string& kernel, GuestAddress toc) {
  FARCALL_TRYV(check_outcome(answer));
  const bpf::Program& program = *cell.program;
  const auto calls = census(answer.program);
  if (answer.functions.size() != program.functions.size() || !calls || *calls != census(program)) {
    return declined("the kernel's verifier has changed which calls the program makes",
                    "it takes away what can never be reached");
  }
  model::Document document{.cell = cell, .linked = {}, .image = model::CodeImage{}};
  document.cell.name +=
      fmt::format("{}linux-{}", cell.name.find('@') == std::string::npos ? '@' : '-', kernel);
  document.cell.placement.toc = toc;
  model::CodeImage& image = *document.image;
  image.placed_by = model::PlacedBy::image;
  image.bpf_registers = kLinuxRegisters;
  for (std::size_t i = 0; i < answer.functions.size(); ++i) {
    const kernel::JitedFunction& function = answer.functions[i];
    model::CodeFunction code{.name = program.functions[i].name,
                             .address = function.address,
                             .words = function.words,
                             .pass_words = {},
                             .lines = {}};
    code.stub_words = words_after_the_last_reached(code);
    document.cell.placement.functions[i] = function.address;
    image.functions.push_back(std::move(code));
  }
  image.entry = image.functions.front().address;
  if (const auto displacement = toc_displacement(image)) {
    model::ThreadArea area{.address = {}, .bytes = std::vector<std::byte>(*displacement + 8)};
    store(&area.bytes[*displacement], toc.value, std::endian::little);
    image.thread_area = std::move(area);
  }
  FARCALL_TRYV(engine::complete(document.cell, image));
  FARCALL_TRYV(check_run(cell, answer));
  return document;
}

}  // namespace farcall::run
