// An input is a byte that chooses scheme, byte order and ABI, and slots of eight bytes after it. Few
// slots are instructions by accident: with the top bit of the first byte set, what comes after it are
// the choices of the generator of campaigns.
#include <algorithm>
#include <array>
#include <memory>

#include "bpf/address_space.hpp"
#include "bpf/assembler.hpp"
#include "bpf/codec.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"
#include "bpf/validator.hpp"
#include "campaign/generator.hpp"
#include "campaign/setting.hpp"
#include "decode/call_sites.hpp"
#include "fuzz/target.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"
#include "run/pipeline.hpp"

namespace farcall::fuzz {
namespace {

constexpr std::size_t kMostSlots = 512;
constexpr GuestAddress kMemory = {0xc000'0000'0100'0000};
constexpr GuestAddress kStack = {0xc000'0000'0200'0000};

// Functions begin where calls and pointers to functions lead.
bpf::Program divided(std::vector<bpf::Slot> slots) {
  std::vector<bpf::SlotIndex> begins = {0};
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const bpf::InstructionInfo* const row = bpf::find(slots[i]);
    const std::int64_t callee = static_cast<std::int64_t>(i) + 1 + slots[i].imm;
    if (row != nullptr && row->names_function() && callee > 0 &&
        callee < static_cast<std::int64_t>(slots.size())) {
      begins.push_back(static_cast<bpf::SlotIndex>(callee));
    }
  }
  std::ranges::sort(begins);
  begins.erase(std::unique(begins.begin(), begins.end()), begins.end());
  bpf::Program program{.slots = std::move(slots), .callx = bpf::Callx::address};
  for (std::size_t i = 0; i < begins.size(); ++i) {
    const std::size_t end = i + 1 < begins.size() ? begins[i + 1] : program.slots.size();
    program.functions.push_back({.name = i == 0 ? "main" : "f" + std::to_string(i),
                                 .begin = begins[i],
                                 .end = static_cast<bpf::SlotIndex>(end)});
  }
  return program;
}

// What a run leaves, if it ends well.
struct Left {
  std::uint64_t r0 = 0;
  std::vector<bpf::MemoryRegion> memory;

  friend bool operator==(const Left&, const Left&) = default;
};

std::optional<Left> interpreted(const bpf::Program& program, const model::Cell& cell,
                                std::uint64_t budget) {
  bpf::AddressSpace memory(cell.memory, byte_order(cell.axes.endian));
  const auto run = bpf::interpret(program, cell.placement.functions, cell.arguments,
                                  cell.placement.stack + model::kStackBytes, memory,
                                  {.instructions = budget, .call_depth = 8});
  if (!run) {
    return std::nullopt;
  }
  return Left{.r0 = run.value().r0, .memory = memory.regions()};
}

void check_text(const bpf::Program& program) {
  auto again = bpf::assemble(bpf::disassemble(program), {.file = "fuzz.asm", .line = 1});
  if (again) {
    again.value().callx = program.callx;  // nothing that the text says
  }
  require(again.has_value() && again.value() == program, "its assembly to be the same program");
}

void check_code(const model::LinkedProgram& linked, const model::Cell& cell) {
  const auto image = jit::compile(linked, cell.axes);
  if (!image) {
    return;
  }
  const auto sites =
      decode::call_sites(image.value(), {.endian = cell.axes.endian, .toc = cell.placement.toc});
  require(sites.size() == image.value().calls.size(), "as many call sites as there are calls");
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const model::CodeCall& call = image.value().calls[i];
    require(sites[i].site == call.site && sites[i].at == call.at &&
                (!call.callee || sites[i].target == call.callee->target),
            "the decoder to find each call where the JIT put it");
  }
}

// Whatever is chosen, the program means something.
void check_generated(Bytes input) {
  campaign::Choices choices(input);
  const model::AxisValues axes = campaign::machine_axes(choices);
  const campaign::Sketch sketch = campaign::generate(choices, axes);
  const auto cell = campaign::cell_of(sketch);
  require(cell.has_value(), "a generated program to be a case:\n" + campaign::case_text(sketch));
  const auto run = run::interpreted(cell.value());
  require(run.has_value() && !run.value().undefined_result,
          "a generated program to mean something:\n" + campaign::case_text(sketch));
  check_program(cell.value());
}

}  // namespace

void check_program(const model::Cell& cell) {
  constexpr std::uint64_t kBudget = 2000;
  const bpf::Program& program = *cell.program;
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    require(bpf::decode_slots(bpf::encode(program.slots, order), order).value() == program.slots,
            "its bytes to be the same program");
  }
  const auto linked = link::link_program(cell);
  if (!linked) {
    return;
  }
  require(is_consistent(linked.value()), "a linked program that is consistent");
  const std::optional<Left> source = interpreted(program, cell, kBudget);
  if (source) {  // linking may add an instruction to each call
    require(interpreted(interpreter_view(linked.value()), cell, 2 * kBudget) == source,
            "the linked program to do what the source does");
  }
  check_code(linked.value(), cell);
}

void run_program(Bytes input) {
  if (input.empty()) {
    return;
  }
  const auto choice = static_cast<std::uint8_t>(input.front());
  const auto whole = (input.size() - 1) / bpf::kSlotBytes * bpf::kSlotBytes;
  const bool big = (choice & 4) != 0;
  if ((choice & 0x80) != 0) {
    check_generated(input.subspan(1));
    return;
  }
  std::vector<bpf::Slot> slots =
      bpf::decode_slots(input.subspan(1, std::min(whole, kMostSlots * bpf::kSlotBytes)),
                        std::endian::little)
          .value();
  const auto program = std::make_shared<const bpf::Program>(divided(std::move(slots)));
  if (!bpf::validate(*program)) {
    return;
  }
  check_text(*program);
  model::Cell cell{
      .axes = {.endian = big ? model::Endian::big : model::Endian::little,
               .abi = big && (choice & 8) != 0 ? model::Abi::elfv1 : model::Abi::elfv2,
               .call = static_cast<model::CallScheme>(choice & 3)},
      .program = program,
      .placement = {.stack = kStack, .call_base = {0xc000'0000'0010'0000}},
      .memory = {{.name = "mem", .address = kMemory, .bytes = std::vector<std::byte>(64)}},
      .arguments = {kMemory.value, 64}};
  for (std::uint64_t i = 0; i < program->functions.size(); ++i) {
    const std::uint64_t spread = choice & 0x40 ? i << 44 : i << 20;
    cell.placement.functions.push_back({0xc000'0000'1000'0000 + spread});
  }
  check_program(cell);
}

std::string program_input(const bpf::Program& program) {
  std::string input(1, '\0');
  for (const std::byte byte : bpf::encode(program.slots, std::endian::little)) {
    input += static_cast<char>(byte);
  }
  return input;
}

}  // namespace farcall::fuzz
