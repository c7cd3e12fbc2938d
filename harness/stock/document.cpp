#include "stock/document.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "check/branch_target.hpp"
#include "engine/image.hpp"
#include "model/convention.hpp"
#include "stock/dump.hpp"
#include "stock/maps.hpp"
#include "stock/programs.hpp"

namespace farcall::stock {
namespace {

// Where Linux's JIT for ppc64 has BPF's r0 … r10.
const std::vector<std::uint8_t> kLinuxRegisters = {8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31};

// Where nothing of the kernel is.
constexpr GuestAddress kNotCalled = {0xc000'0e00'0000'0000};
constexpr std::uint64_t kBetweenNotCalled = 0x1'0000;

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
  std::vector<std::size_t> open = {function.descriptor_words};
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
  while (end > function.descriptor_words && !reached[end - 1]) {
    --end;
  }
  return static_cast<std::uint32_t>(count - end);
}

// How many of a function's words are its descriptor.
std::uint32_t descriptor_words(const kernel::JitedFunction& function, model::Abi abi) {
  const bool has_code = function.words.size() > model::kDescriptorWords;
  return abi == model::Abi::elfv1 && has_code ? model::kDescriptorWords : 0;
}

// What functions load r2 from: so far after r13. Nothing: they do not.
std::optional<std::uint32_t> toc_displacement(const model::CodeImage& image) {
  constexpr std::uint32_t kLoadToc = 0xe84d0000;  // ld r2,D(r13)
  for (const model::CodeFunction& function : image.functions) {
    for (const std::uint32_t word : std::span(function.words).subspan(function.descriptor_words)) {
      if ((word & 0xffff0003U) == kLoadToc) {
        return word & 0xfffcU;
      }
    }
  }
  return std::nullopt;
}

// What the code of tail calls reads: the structures of arrays of programs, and of the programs.
std::vector<model::KernelMemory> memory_of_tail_calls(const LinuxCell& linux_cell,
                                                      const kernel::Answer& answer) {
  std::vector<model::KernelMemory> all;
  for (std::size_t i = 0; i < linux_cell.kinds.size(); ++i) {
    if (linux_cell.kinds[i] != RegionKind::programs) {
      continue;
    }
    for (const kernel::KernelPiece& piece : answer.regions[i].pieces) {
      const bool is_new =
          std::ranges::find(all, piece.address, &model::KernelMemory::address) == all.end();
      if (!piece.bytes.empty() && is_new) {
        all.push_back({.address = piece.address, .bytes = piece.bytes});
      }
    }
  }
  return all;
}

// How many words of a program a tail call leaves out: up to the one that stores the count of tail
// calls, 0, below r1. All programs of a kernel begin alike, but those without tail calls have nops in
// its place. Nothing: none stores it.
std::optional<std::uint32_t> tail_entry_words(const model::CodeImage& image) {
  constexpr std::size_t kMostWords = 16;
  constexpr std::uint32_t kStoreBelow = 0xf8018000;  // std rX,-D(r1)
  constexpr std::uint32_t kFixed = 0xfc1f8003;
  for (const model::CodeFunction& function : image.functions) {
    const auto words = std::span(function.words).subspan(function.descriptor_words);
    const auto first = words.first(std::min(words.size(), kMostWords));
    const auto store = std::ranges::find_if(
        first, [](std::uint32_t word) { return (word & kFixed) == kStoreBelow; });
    if (store != first.end()) {
      return static_cast<std::uint32_t>(store - first.begin()) + 1;
    }
  }
  return std::nullopt;
}

// Whether what the code reads shares a page with what the program may write: no guest of ours maps
// such a page. Memory of hash tables may lie like that.
bool shares_a_page(const model::Cell& cell, const model::CodeImage& image) {
  const auto page = [](GuestAddress address) { return address.value / model::kPageBytes; };
  return std::ranges::any_of(image.kernel_memory, [&](const model::KernelMemory& memory) {
    return std::ranges::any_of(cell.memory, [&](const bpf::MemoryRegion& region) {
      return region.writable && region.address != memory.address &&
             page(region.address) <= page(memory.address + (memory.bytes.size() - 1)) &&
             page(memory.address) <= page(region.address + (region.bytes.size() - 1));
    });
  });
}

// Where farcall has a function whose code is to be called where the kernel's is. jit.declined: it does
// not say where that is.
Result<GuestAddress> code_address(const KernelSymbols& symbols, const char* name,
                                  std::uint64_t descriptor_bytes) {
  const std::string symbol = descriptor_bytes != 0 ? code_symbol(name) : std::string(name);
  const auto address = symbols.find(symbol);
  if (!address) {
    return declined(fmt::format("the kernel does not say where its {} is", name));
  }
  return GuestAddress{address->value - descriptor_bytes};
}

// Loads of addresses of that map's values, which begin there, become loads of numbers.
void load_values_by_address(bpf::Program& program, const std::string& map, GuestAddress values) {
  for (const bpf::SlotIndex at : instructions(program)) {
    bpf::Slot* const slot = &program.slots[at];
    if (slot->opcode == bpf::kLoadImmediate64 && slot->src == bpf::kPseudoMapValue &&
        program.maps[static_cast<std::size_t>(slot->imm)].name == map) {
      const std::uint64_t address = values.value + static_cast<std::uint32_t>(slot[1].imm);
      slot[0].src = 0;
      slot[0].imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(address));
      slot[1].imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(address >> 32U));
    }
  }
}

}  // namespace

Error declined(std::string why, std::string hint) {
  return {.code = ErrorCode::jit_declined, .message = std::move(why), .hint = std::move(hint)};
}

model::CodeImage kernel_image(const kernel::Answer& answer, std::span<const std::string> names,
                              const kernel::KernelFacts& facts) {
  model::CodeImage image;
  image.placed_by = model::PlacedBy::image;
  image.bpf_registers = kLinuxRegisters;
  for (std::size_t i = 0; i < answer.functions.size(); ++i) {
    const kernel::JitedFunction& function = answer.functions[i];
    model::CodeFunction code{.name = names[i],
                             .address = function.address,
                             .words = function.words,
                             .pass_words = {},
                             .descriptor_words = descriptor_words(function, facts.abi),
                             .lines = {}};
    code.stub_words = words_after_the_last_reached(code);
    image.functions.push_back(std::move(code));
  }
  image.entry = image.functions.front().address;
  if (const auto displacement = toc_displacement(image)) {
    model::ThreadArea area{.address = {}, .bytes = std::vector<std::byte>(*displacement + 8)};
    store(&area.bytes[*displacement], facts.toc.value, facts.order());
    image.thread_area = std::move(area);
  }
  return image;
}

Result<model::Document> document_of(const LinuxCell& linux_cell, const model::Cell& cell,
                                    const kernel::Answer& answer, const AskedKernel& kernel) {
  const kernel::KernelFacts& facts = kernel.facts;
  std::vector<std::string> names;
  for (const bpf::Function& function : cell.program->functions) {
    names.push_back(function.name);
  }
  model::Document document{.cell = cell, .linked = {}, .image = kernel_image(answer, names, facts)};
  document.cell.placement.toc = facts.toc;
  if (makes_tail_calls(*cell.program)) {
    const auto words = tail_entry_words(*document.image);
    if (!words) {
      return declined("in its code no function stores a count of tail calls");
    }
    for (std::uint32_t i = 0; i < cell.program->functions.size(); ++i) {
      if (is_program(*cell.program, i)) {
        document.image->functions[i].tail_entry_words = *words;
      }
    }
    document.image->kernel_memory = memory_of_tail_calls(linux_cell, answer);
    if (shares_a_page(cell, *document.image)) {
      return declined(
          "its code cannot run in the bare guest: its array of programs is in one page with what "
          "it "
          "writes");
    }
  }
  FARCALL_TRYV(engine::complete(document.cell, *document.image));
  for (std::size_t i = 0; i < cell.program->externals.size(); ++i) {
    const std::size_t number = cell.program->functions.size() + i;
    const auto at = cell.placement.functions[number];
    if (kernel.symbols.is_without_toc_at(at)) {
      document.image->functions[number].local_entry_words = 0;
    }
  }
  return document;
}

Result<void> place_helpers(const kernel::Answer& answer, const KernelSymbols& symbols,
                           model::Abi abi, model::Cell& cell) {
  const std::uint64_t descriptor_bytes = model::convention(abi).descriptor_bytes;
  const bpf::Program& program = *cell.program;
  const auto called = called_symbols(answer.program, symbols);
  for (std::size_t i = 0; i < program.externals.size(); ++i) {
    const RealHelper* const helper = real_helper(program.externals[i]);
    if (helper == nullptr) {
      continue;  // it is not called, or the kernel would not have been asked
    }
    if (!called && helper->is_of_maps()) {
      return declined("it is not known which of the kernel's functions it calls");
    }
    const char* name = called ? nullptr : helper->symbol;
    for (const CalledSymbol& one : called.value_or(std::vector<CalledSymbol>{})) {
      if (one.helper == helper && name != nullptr && std::string_view(name) != one.symbol) {
        return declined(fmt::format("it calls both {} and {}", name, one.symbol));
      }
      name = one.helper == helper ? one.symbol : name;
    }
    GuestAddress& place = cell.placement.functions[program.functions.size() + i];
    if (name == nullptr || std::string_view(name) == kHashElementSymbol) {
      // Its code does not call it; the rewritten program may call another function there.
      place = kNotCalled + i * kBetweenNotCalled;
      continue;
    }
    FARCALL_TRY(address, code_address(symbols, name, descriptor_bytes));
    place = address;
  }
  return success();
}

Result<model::Cell> rewritten_cell(const LinuxCell& linux_cell, model::Cell cell,
                                   bpf::Program program, const kernel::Answer& answer,
                                   const AskedKernel& kernel) {
  const bool has_programs =
      std::ranges::find(linux_cell.kinds, RegionKind::programs) != linux_cell.kinds.end();
  if (has_programs && program.functions.size() != cell.program->functions.size()) {
    return declined("the kernel's verifier has removed functions of programs that are in arrays");
  }
  const std::endian order = byte_order(cell.axes.endian);
  std::vector<GuestAddress> places;
  std::ranges::transform(answer.functions, std::back_inserter(places),
                         &kernel::JitedFunction::address);
  const auto helpers = std::span(cell.placement.functions).subspan(cell.program->functions.size());
  places.insert(places.end(), helpers.begin(), helpers.end());
  if (external_with_id(program, bpf::ExternalKind::helper, kHashElement)) {
    FARCALL_TRY(address, code_address(kernel.symbols, kHashElementSymbol,
                                      model::convention(kernel.facts.abi).descriptor_bytes));
    places.push_back(address);
  }
  cell.placement.functions = std::move(places);
  cell.expected.calls.clear();
  cell.expected.any_other_call = true;
  for (std::size_t i = 0; i < cell.memory.size(); ++i) {
    const kernel::RegionAfter& after = answer.regions[i];
    if (linux_cell.kinds[i] == RegionKind::hash) {
      cell.memory[i].address = after.address;  // farcall's own, which only its functions look into
    }
    if (linux_cell.kinds[i] != RegionKind::array) {
      continue;
    }
    const bpf::MemoryRegion region = cell.memory[i];
    const auto laid_out = kernel_layout(region, after, order);
    if (!laid_out) {
      return declined(fmt::format("the kernel does not tell of the memory of {}", region.name));
    }
    cell.memory[i] = *laid_out;
    std::vector<model::ExpectedMemory> expected;
    for (const model::ExpectedMemory& one : cell.expected.memory) {
      const auto pieces = one.region == region.name ? in_kernel_layout(one, region, after, order)
                                                    : std::vector{one};
      expected.insert(expected.end(), pieces.begin(), pieces.end());
    }
    cell.expected.memory = std::move(expected);
    load_values_by_address(program, region.name, laid_out->address + after.values_at);
  }
  cell.program = std::make_shared<const bpf::Program>(std::move(program));
  return cell;
}

}  // namespace farcall::stock
