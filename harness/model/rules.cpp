#include "model/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/validator.hpp"
#include "model/translation.hpp"

namespace farcall::model {
namespace {

// Larger than any honest image by an order of magnitude.
constexpr std::size_t kMostCodeBytes = std::size_t{40} << 20;

Error broken(std::string message, ErrorCode code = ErrorCode::document_invalid) {
  return {.code = code, .message = std::move(message)};
}

// That the functions are all of the program; what its instructions may be is for bpf::validate().
Result<void> check_functions(const bpf::Program& program) {
  bpf::SlotIndex next = 0;
  for (const bpf::Function& function : program.functions) {
    if (function.begin != next || function.end <= function.begin) {
      return broken(
          fmt::format("function {} does not begin where the one before ends", function.name));
    }
    next = function.end;
  }
  if (next != program.slots.size()) {
    return broken("the last function does not end with the program");
  }
  return success();
}

// Whether `pointer` is eight bytes of a region of the cell that nothing may write.
template <typename Pointer>
bool has_place(const Cell& cell, const Pointer& pointer) {
  const auto region = std::ranges::find(cell.memory, pointer.region, &bpf::MemoryRegion::name);
  return region != cell.memory.end() && !region->writable && region->bytes.size() >= 8 &&
         pointer.offset <= region->bytes.size() - 8;
}

template <typename Pointer>
Result<void> check_code_pointers(const Cell& cell, const std::vector<Pointer>& pointers) {
  for (const Pointer& pointer : pointers) {
    if (!has_place(cell, pointer)) {
      return broken(
          fmt::format("the address of an instruction, {}+{}, is not eight bytes of a region of the "
                      "cell that is read-only",
                      pointer.region, pointer.offset));
    }
  }
  return success();
}

bool same_place(const bpf::CodePointer& pointer, const PlacedPointer& placed) {
  return pointer.region == placed.region && pointer.offset == placed.offset;
}

Result<void> check_cell(const Cell& cell) {
  if (!cell.program) {
    return cell.expected.result || cell.expected.no_result
               ? Result<void>(success())
               : broken("without a program, the cell must say which result it expects");
  }
  FARCALL_TRYV(check_functions(*cell.program));
  if (cell.placement.functions.size() != callee_count(*cell.program)) {
    return broken(
        "the placement has not one address for each function of the program and each external");
  }
  for (const bpf::Map& map : cell.program->maps) {
    const auto region = std::ranges::find(cell.memory, map.name, &bpf::MemoryRegion::name);
    if (region == cell.memory.end() || region->bytes.size() < bpf::kArrayHeaderBytes ||
        region->bytes.size() - bpf::kArrayHeaderBytes < map.value_bytes) {
      return broken(fmt::format("map {} is not a region of the cell that holds its {} bytes",
                                map.name, map.value_bytes));
    }
  }
  return check_code_pointers(cell, cell.program->code_pointers);
}

bool same_call(const bpf::PseudoCall& found, const LinkedCall& stated) {
  return found.site == stated.site && found.slot == stated.slot && found.callee == stated.callee;
}

Result<void> check_linked(const LinkedProgram& linked) {
  FARCALL_TRYV(check_functions(linked.program));
  if (!is_consistent(linked)) {
    return broken("the linked program's addresses, maps, calls or side table do not fit it");
  }
  const bpf::Program view = interpreter_view(linked);
  FARCALL_TRYV(bpf::validate(view));
  if (!std::ranges::equal(pseudo_calls(view), linked.calls, same_call)) {
    return broken("the linked program's calls are not those of its slots");
  }
  return success();
}

// Whether both numbers of each row are at least those of the row before, and all words are words of
// the function.
bool lines_fit(const CodeFunction& function) {
  const std::span lines(function.lines);
  const auto descends = [](const CodeLine& a, const CodeLine& b) {
    return b.instruction <= a.instruction || b.word < a.word;
  };
  return std::ranges::adjacent_find(lines, descends) == lines.end() &&
         (lines.empty() || (lines.front().word >= function.descriptor_words &&
                            lines.back().word < function.words.size()));
}

Result<void> check_function(const CodeFunction& function, Mmu mmu) {
  if (function.words.empty()) {
    return broken(fmt::format("function {} is empty", function.name));
  }
  if (function.address.value % 4 != 0) {
    return broken(fmt::format("function {} at {} is not word aligned", function.name,
                              to_string(function.address)),
                  ErrorCode::place_misaligned);
  }
  if (function.descriptor_words != 0 && (function.descriptor_words != kDescriptorWords ||
                                         function.words.size() <= kDescriptorWords)) {
    return broken(fmt::format("the descriptor of function {} is not {} words in front of its code",
                              function.name, kDescriptorWords));
  }
  if (function.stub_words != 0 &&
      function.stub_words >= function.words.size() - function.descriptor_words) {
    return broken(fmt::format("function {} has no words but its {} of stubs", function.name,
                              function.stub_words));
  }
  if (!lines_fit(function)) {
    return broken(
        fmt::format("the lines of function {} do not ascend within its code", function.name));
  }
  if (!admits(mmu, function.address, function.words.size() * 4)) {
    return broken(fmt::format("function {} at {} is outside what the MMU translates", function.name,
                              to_string(function.address)),
                  ErrorCode::place_unmappable);
  }
  return success();
}

Result<void> check_overlaps(const CodeImage& image) {
  std::vector<const CodeFunction*> by_address;
  std::ranges::transform(image.functions, std::back_inserter(by_address),
                         [](const CodeFunction& function) { return &function; });
  std::ranges::sort(by_address, {}, &CodeFunction::address);
  for (std::size_t i = 1; i < by_address.size(); ++i) {
    if (by_address[i]->address.value - by_address[i - 1]->address.value <
        by_address[i - 1]->words.size() * 4) {
      return broken(fmt::format("functions {} and {} overlap at {}", by_address[i - 1]->name,
                                by_address[i]->name, to_string(by_address[i]->address)),
                    ErrorCode::place_overlap);
    }
  }
  return success();
}

template <typename Member>
bool has_twice(const std::vector<CodeCall>& calls, Member member) {
  std::vector<std::decay_t<decltype(calls.front().*member)>> all;
  all.reserve(calls.size());
  std::ranges::transform(calls, std::back_inserter(all), member);
  std::ranges::sort(all);
  return std::ranges::adjacent_find(all) != all.end();
}

Result<void> check_image(const CodeImage& image, const Cell& cell) {
  std::size_t words = 0;
  for (const CodeFunction& function : image.functions) {
    words += function.words.size();
    FARCALL_TRYV(check_function(function, cell.axes.mmu));
  }
  if (has_twice(image.calls, &CodeCall::site) || has_twice(image.calls, &CodeCall::at)) {
    return broken("two calls of the image have one site, or one branch-and-link");
  }
  const std::size_t functions = image.functions.size();
  const bool calls_fit = std::ranges::all_of(image.calls, [functions](const CodeCall& call) {
    return call.site.function < functions && (!call.callee || call.callee->function < functions);
  });
  if (functions == 0 || words * 4 > kMostCodeBytes || !calls_fit) {
    return broken("an image needs functions, at most 40 MiB of code, and calls among them");
  }
  if (!image.bpf_registers.empty() && (image.bpf_registers.size() != bpf::kRegisterCount ||
                                       std::ranges::max(image.bpf_registers) > 31)) {
    return broken("expected eleven ppc64 registers, for r0 … r10, or none");
  }
  for (const KernelMemory& memory : image.kernel_memory) {
    if (memory.bytes.empty() || memory.bytes.size() > kMostCodeBytes) {
      return broken(fmt::format("the kernel's memory at {} has {} bytes: expected 1 to 40 MiB",
                                to_string(memory.address), memory.bytes.size()));
    }
    if (!admits(cell.axes.mmu, memory.address, memory.bytes.size())) {
      return broken(fmt::format("the kernel's memory at {} is outside what the MMU translates",
                                to_string(memory.address)),
                    ErrorCode::place_unmappable);
    }
  }
  FARCALL_TRYV(check_code_pointers(cell, image.code_pointers));
  if (cell.program && !image.code_pointers.empty() &&
      !std::ranges::equal(cell.program->code_pointers, image.code_pointers, same_place)) {
    return broken("the addresses of instructions in memory are not those of the program");
  }
  FARCALL_TRYV(check_overlaps(image));
  if (cell.program && !is_complete(image, *cell.program)) {
    return broken(
        fmt::format("the image has {} functions: expected one for each of the program's and each "
                    "of its externals, {}",
                    functions, callee_count(*cell.program)));
  }
  if (cell.axes.abi == Abi::elfv1 &&
      (cell.axes.endian != Endian::big || !descriptor_at(image, image.entry))) {
    return broken("ELFv1 wants big-endian code whose entry is a function descriptor");
  }
  return success();
}

// What the case expects must be about things that there are.
Result<void> check_expectation(const Document& document) {
  const Cell& cell = document.cell;
  const std::size_t functions =
      cell.program ? callee_count(*cell.program) : document.image->functions.size();
  for (const ExpectedCall& call : cell.expected.calls) {
    if (call.site.function >= functions || call.callee >= functions) {
      return broken("an expected call is of a function that is not there");
    }
  }
  for (const CodeCall& call : document.image ? document.image->calls : std::vector<CodeCall>{}) {
    const bool told = cell.program || call.callee ||
                      std::ranges::find(cell.expected.calls, call.site, &ExpectedCall::site) !=
                          cell.expected.calls.end();
    if (!told) {
      return broken(
          fmt::format("without a program, the cell must say whom the call through a register at "
                      "{} calls",
                      site_name(*document.image, call.site)));
    }
  }
  for (const ExpectedMemory& memory : cell.expected.memory) {
    const auto region = std::ranges::find(cell.memory, memory.region, &bpf::MemoryRegion::name);
    if (region == cell.memory.end() || memory.offset > region->bytes.size() ||
        memory.bytes.size() > region->bytes.size() - memory.offset) {
      return broken("expected memory is not within a region of the cell");
    }
  }
  return success();
}

Result<void> check_stages(const Document& document) {
  if (!document.cell.program && !document.image) {
    return broken("there is neither a program nor an image to run");
  }
  FARCALL_TRYV(check_cell(document.cell));
  if (document.image) {
    FARCALL_TRYV(check_image(*document.image, document.cell));
  }
  FARCALL_TRYV(check_expectation(document));
  if (document.cell.program) {
    FARCALL_TRYV(bpf::validate(*document.cell.program));
  }
  return document.linked ? check_linked(*document.linked) : success();
}

}  // namespace

Result<void> check_document(const Document& document, const std::string& path) {
  Result<void> kept = check_stages(document);
  if (!kept) {
    kept.error().where = {path};  // a program in a document has no origins of its own
  }
  return kept;
}

}  // namespace farcall::model
