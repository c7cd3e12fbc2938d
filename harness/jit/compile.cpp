#include "jit/compile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "external/external.hpp"
#include "jit/convention.hpp"
#include "jit/reach.hpp"
#include "jit/tail_call.hpp"
#include "jit/translate.hpp"

namespace farcall::jit {
namespace {

// An unconditional branch reaches this far, and no two points of a function are farther apart.
constexpr std::uint32_t kLargestFunctionWords = (1U << 25) / 4;

// Finds the layout of one function: passes until branches have the form that they need. Returns the
// size after each of them.
Result<std::vector<std::uint32_t>> size_function(const FunctionSource& source, Layout& layout,
                                                 Emitter& out) {
  const std::string& name = source.linked.program.functions[source.function].name;
  const GuestAddress address = source.linked.addresses[source.function];
  if (address.value % 4 != 0) {
    return Error{.code = ErrorCode::place_misaligned,
                 .message = fmt::format("{} is placed at {}, which is not a multiple of 4", name,
                                        to_string(address))};
  }
  std::vector<std::uint32_t> pass_words;
  layout.branches.clear();
  do {
    FARCALL_TRYV(run_pass(Pass::sizing, source, layout, out));
    pass_words.push_back(out.position());
  } while (widen_branches(layout));
  if (out.position() > kLargestFunctionWords) {
    return Error{.code = ErrorCode::jit_unsupported,
                 .message = fmt::format("{} needs {} words of code; branches reach over {}", name,
                                        out.position(), kLargestFunctionWords)};
  }
  return pass_words;
}

// Where the code of each instruction begins, and the epilogue.
std::vector<model::CodeLine> lines_of(const FunctionSource& source, const Layout& layout) {
  const bpf::Function& function = source.linked.program.functions[source.function];
  std::vector<model::CodeLine> lines;
  lines.reserve(function.end - function.begin + 1);
  for (bpf::SlotIndex at = function.begin; at < function.end; at += slots_at(source.linked, at)) {
    lines.push_back({.instruction = static_cast<std::uint32_t>(lines.size()),
                     .word = layout.slots[at - function.begin]});
  }
  lines.push_back({.instruction = static_cast<std::uint32_t>(lines.size()),
                   .word = layout.slots[function.end - function.begin]});
  return lines;
}

// The words of one function, and the layout of its last pass in `layout`.
Result<model::CodeFunction> compile_function(const FunctionSource& source, Layout& layout,
                                             Emitter& out) {
  model::CodeFunction code;
  code.name = source.linked.program.functions[source.function].name;
  code.address = source.linked.addresses[source.function];
  FARCALL_TRY(planned, size_function(source, layout, out));
  FARCALL_TRYV(run_pass(Pass::emitting, source, layout, out));
  if (out.position() != planned.back()) {
    return Error{.code = ErrorCode::jit_size_changed,
                 .message = fmt::format("{} came out with {} words and was planned for {}",
                                        code.name, out.position(), planned.back())};
  }
  code.pass_words = std::move(planned);
  code.pass_words.push_back(out.position());
  code.words = out.words();
  code.descriptor_words = source.target.convention.descriptor_bytes / 4U;
  code.lines = lines_of(source, layout);
  return code;
}

Result<void> check_placement(const std::vector<model::CodeFunction>& functions) {
  std::vector<const model::CodeFunction*> by_address;
  by_address.reserve(functions.size());
  for (const model::CodeFunction& function : functions) {
    if (function.end().value - 1 < function.address.value) {
      return Error{.code = ErrorCode::place_unmappable,
                   .message = fmt::format("{} at {} runs past the end of the address space",
                                          function.name, to_string(function.address))};
    }
    by_address.push_back(&function);
  }
  std::ranges::sort(by_address, {}, &model::CodeFunction::address);
  for (std::size_t i = 1; i < by_address.size(); ++i) {
    const model::CodeFunction& before = *by_address[i - 1];
    const model::CodeFunction& after = *by_address[i];
    // The last byte: the end of a function may be the end of the address space.
    if (before.end().value - 1 >= after.address.value) {
      return Error{
          .code = ErrorCode::place_overlap,
          .message = fmt::format("the code of {} ({} bytes at {}) runs into {} at {}", before.name,
                                 before.words.size() * 4, to_string(before.address), after.name,
                                 to_string(after.address))};
    }
  }
  return success();
}

const bpf::External* external_called(const model::LinkedProgram& linked,
                                     const model::LinkedCall& call) {
  const std::size_t functions = linked.program.functions.size();
  return is_external(linked, call) ? &linked.program.externals[call.callee - functions] : nullptr;
}

Target target_of(const model::LinkedProgram& linked, const model::AxisValues& axes) {
  return {.cpu = axes.cpu,
          .endian = axes.endian,
          .abi = axes.abi,
          .tail_calls = std::ranges::any_of(linked.program.slots, bpf::is_tail_call),
          .may_goto = std::ranges::any_of(linked.program.slots, is_may_goto),
          .stack_arguments = bpf::has_stack_arguments(linked.program)};
}

// Where a program's externals and maps are, by their numbers, and the externals' r2.
struct ExternalPlaces {
  std::span<const GuestAddress> addresses;
  std::span<const GuestAddress> maps;
  GuestAddress toc;
};

ExternalPlaces places_of(const model::LinkedProgram& linked) {
  return {.addresses = std::span(linked.addresses).subspan(linked.program.functions.size()),
          .maps = linked.maps,
          .toc = linked.toc};
}

external::Surroundings surroundings_of(const bpf::External& external, GuestAddress address,
                                       const ExternalPlaces& places, const Target& target) {
  const bool is_helper = external.kind == bpf::ExternalKind::helper;
  return {.order = byte_order(target.endian),
          .convention = target.convention,
          .address = address,
          .toc = is_helper ? places.toc : address + external::kModuleTocBytes};
}

// The code of external number `number`.
model::CodeFunction external_code(const bpf::Program& program, std::size_t number,
                                  const ExternalPlaces& places, const Target& target) {
  const bpf::External& external = program.externals[number];
  const GuestAddress address = places.addresses[number];
  const bool is_helper = external.kind == bpf::ExternalKind::helper;
  model::CodeFunction code{
      .name = external.name,
      .address = address,
      .words = external::code(external, surroundings_of(external, address, places, target),
                              external.stub ? places.maps[external.stub->log] : GuestAddress{}),
      .pass_words = {},
      .descriptor_words = target.convention.descriptor_bytes / 4U};
  if (is_helper && code.descriptor_words == 0) {
    code.local_entry_words = external::kLocalEntryBytes / 4;
  }
  return code;
}

// Adds the code of an external function to the image, and the call with which it calls back.
void add_external(const bpf::Program& program, std::size_t number, const ExternalPlaces& places,
                  const Target& target, model::CodeImage& image) {
  model::CodeFunction code = external_code(program, number, places, target);
  if (program.externals[number].calls_back) {
    const std::size_t at = external::callback_word(
        program.externals[number],
        surroundings_of(program.externals[number], code.address, places, target));
    image.calls.push_back(
        {.site = {.function = static_cast<std::uint32_t>(image.functions.size()), .ordinal = 0},
         .at = code.address + at * 4,
         .callee = {}});
  }
  image.functions.push_back(std::move(code));
}

Result<void> check_axes(const model::AxisValues& axes) {
  const ReachInfo& reach = reach_info(axes.reach, axes.abi);
  if (axes.cpu < reach.first_cpu) {
    return Error{
        .code = ErrorCode::jit_unsupported,
        .message = fmt::format(
            "{} lacks the instructions of the reach {}; expected {} or later",
            model::value_name(axes, model::Axis::cpu), model::value_name(axes, model::Axis::reach),
            model::value_names(model::Axis::cpu)[static_cast<std::size_t>(reach.first_cpu)])};
  }
  if (axes.abi == model::Abi::elfv1 && axes.endian != model::Endian::big) {
    return Error{.code = ErrorCode::jit_unsupported,
                 .message = "ELFv1 is an ABI of big-endian code; expected endian big"};
  }
  return success();
}

// What the code of a slot has at most; `other` if it is not arithmetic.
std::uint64_t most_bytes(const bpf::Slot& slot, std::uint64_t other) {
  constexpr std::uint64_t kMove = 24;
  constexpr std::uint64_t kArithmetic = 48;
  const auto kind = static_cast<bpf::InstructionClass>(slot.opcode & 7U);
  if (kind != bpf::InstructionClass::alu && kind != bpf::InstructionClass::alu64) {
    return other;
  }
  const bpf::InstructionInfo* const info = bpf::find(slot);
  return info != nullptr && info->operation == bpf::Operation::mov ? kMove : kArithmetic;
}

}  // namespace

Result<model::CodeImage> compile(const model::LinkedProgram& linked,
                                 const model::AxisValues& axes) {
  FARCALL_TRYV(check_axes(axes));
  const ReachInfo& reach = reach_info(axes.reach, axes.abi);
  const Target target = target_of(linked, axes);
  model::CodeImage image;
  image.functions.reserve(bpf::callee_count(linked.program));
  image.calls.reserve(linked.calls.size());
  Layout layout;
  std::size_t first_call = 0;
  Emitter out;
  for (std::uint32_t i = 0; i < linked.program.functions.size(); ++i) {
    const FunctionSource source{.linked = linked,
                                .reach = reach,
                                .target = target,
                                .function = i,
                                .first_call = first_call};
    FARCALL_TRY(code, compile_function(source, layout, out));
    std::uint32_t ordinal = 0;
    for (const CallCode& made : layout.calls) {
      model::CodeCall& call = image.calls.emplace_back(model::CodeCall{
          .site = {i, ordinal++}, .at = code.address + std::uint64_t{made.position} * 4});
      if (made.linked) {
        const model::LinkedCall& to = linked.calls[*made.linked];
        call.callee = {.function = to.callee,
                       .target = to.target + entry_bytes(axes.abi, external_called(linked, to))};
        first_call = *made.linked + 1;
      }
      call.is_tail = made.is_tail;
      call.is_jump = made.is_jump;
    }
    if (target.tail_calls && is_program(linked.program, i)) {
      code.tail_entry_words = kTailEntryWords;
    }
    if (layout.has_frame) {
      code.frame_top_bytes = std::uint32_t{target.frame.size} - target.frame.swap_buffer;
      code.frame_bytes = target.frame.size;
    }
    image.functions.push_back(std::move(code));
  }
  for (std::size_t i = 0; i < linked.program.externals.size(); ++i) {
    add_external(linked.program, i, places_of(linked), target, image);
  }
  FARCALL_TRYV(check_placement(image.functions));
  image.entry = image.functions.front().address;
  image.bpf_registers.resize(bpf::kRegisterCount);
  std::ranges::transform(kRegisterOf, image.bpf_registers.begin(),
                         [](ppc64::Gpr gpr) { return static_cast<std::uint8_t>(gpr); });
  return image;
}

void add_externals(const model::Cell& cell, model::CodeImage& image) {
  const bpf::Program& program = *cell.program;
  std::vector<GuestAddress> maps;
  for (const bpf::Map& map : program.maps) {
    maps.push_back(map_address(cell, map));
  }
  const ExternalPlaces places{
      .addresses = std::span(cell.placement.functions).subspan(program.functions.size()),
      .maps = maps,
      .toc = cell.placement.toc};
  const Target target{.cpu = cell.axes.cpu, .endian = cell.axes.endian, .abi = cell.axes.abi};
  for (std::size_t i = 0; i < program.externals.size(); ++i) {
    add_external(program, i, places, target, image);
  }
}

Result<std::vector<std::uint64_t>> code_sizes(const model::LinkedProgram& linked,
                                              const model::AxisValues& axes) {
  FARCALL_TRYV(check_axes(axes));
  const Target target = target_of(linked, axes);
  Layout layout;
  Emitter out;
  std::vector<std::uint64_t> sizes;
  std::size_t first_call = 0;
  for (std::uint32_t i = 0; i < linked.program.functions.size(); ++i) {
    const FunctionSource source{.linked = linked,
                                .reach = reach_info(axes.reach, axes.abi),
                                .target = target,
                                .function = i,
                                .first_call = first_call};
    FARCALL_TRY(pass_words, size_function(source, layout, out));
    sizes.push_back(std::uint64_t{pass_words.back()} * 4);
    for (const CallCode& made : layout.calls) {
      first_call = made.linked ? *made.linked + 1 : first_call;
    }
  }
  for (std::size_t i = 0; i < linked.program.externals.size(); ++i) {
    sizes.push_back(external_code(linked.program, i, places_of(linked), target).words.size() * 4);
  }
  return sizes;
}

std::vector<std::uint64_t> code_at_most(const bpf::Program& program) {
  // What a prologue and an epilogue have at most, what an instruction that is not arithmetic has, what
  // a call by number has for each function that it may mean, and what an external function has.
  constexpr std::uint64_t kEnds = 256;
  constexpr std::uint64_t kOther = 128;
  constexpr std::uint64_t kEachByNumber = 64;
  constexpr std::uint64_t kExternal = 4096;
  const std::uint64_t other =
      kOther + (program.callx == bpf::Callx::helper ? kEachByNumber * program.externals.size() : 0);
  std::vector<std::uint64_t> sizes;
  for (const bpf::Function& function : program.functions) {
    std::uint64_t size = kEnds;
    for (bpf::SlotIndex at = function.begin; at < function.end; ++at) {
      size += most_bytes(program.slots[at], other);
    }
    sizes.push_back(size);
  }
  sizes.resize(bpf::callee_count(program), kExternal);
  return sizes;
}

Result<GuestAddress> call_address(const model::LinkedProgram& linked, const model::AxisValues& axes,
                                  bpf::CallSite site) {
  FARCALL_TRYV(check_axes(axes));
  const auto first = std::ranges::find(linked.calls, site.function,
                                       [](const auto& call) { return call.site.function; });
  const ReachInfo& reach = reach_info(axes.reach, axes.abi);
  const Target target = target_of(linked, axes);
  const FunctionSource source{.linked = linked,
                              .reach = reach,
                              .target = target,
                              .function = site.function,
                              .first_call = static_cast<std::size_t>(first - linked.calls.begin())};
  Layout layout;
  Emitter out;
  FARCALL_TRYV(size_function(source, layout, out));
  const CallCode& call = layout.calls[site.ordinal];
  const CallPlace place{.at = linked.addresses[site.function] + std::uint64_t{call.first} * 4,
                        .toc = linked.toc};
  return call.linked && reach.counts_from_itself ? reach.origin(place) : place.at;
}

}  // namespace farcall::jit
