#include "campaign/setting.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "case/hardware.hpp"
#include "model/axes.hpp"
#include "selection/edges.hpp"

namespace farcall::campaign {
namespace {

constexpr GuestAddress kText = {0xc000'0000'0000'0000};
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

// Those that go with what `axes` has else, in the order of their enum.
std::vector<model::Reach> possible_reaches(model::AxisValues axes) {
  std::vector<model::Reach> possible;
  for (std::size_t i = 0; i < model::value_names(model::Axis::reach).size(); ++i) {
    axes.reach = static_cast<model::Reach>(i);
    if (cases::is_possible(axes)) {
      possible.push_back(axes.reach);
    }
  }
  return possible;
}

// Everything of the program within what the shortest reach has, 32 MiB: helpers lie from text+64M
// on.
void near_place(Choices& choices, Sketch& sketch) {
  const auto& functions = sketch.programs.front().functions;
  for (std::size_t i = 0; i < functions.size(); ++i) {
    sketch.places.emplace_back(
        functions[i].name,
        fmt::format("text+{:#x}", 56 * kMiB + i * kMiB / 2 + 4 * choices.below(1024)));
  }
  for (const SketchProgram& program : sketch.programs) {
    const std::string& name = program.functions.front().name;
    if (&program != &sketch.programs.front()) {
      sketch.places.emplace_back(name,
                                 fmt::format("text+{:#x}", (name == "leap" ? 61 : 62) * kMiB));
    }
  }
  sketch.places.emplace_back("mix", "text+72M");
  sketch.places.emplace_back(fmt::format("kfunc_{}", kStubKfunc), "text+73M");
}

void far_place(Choices& choices, Sketch& sketch) {
  constexpr std::array<std::string_view, 4> kRegions = {"vmalloc", "io", "vmemmap", "text"};
  const auto& functions = sketch.programs.front().functions;
  for (std::size_t i = 0; i < functions.size(); ++i) {
    // Each has a window of its own in each region.
    const std::uint64_t window = (1 + i) * kGiB * (1 + choices.below(8));
    const std::uint64_t within =
        choices.below(3) == 2 ? choices.below(kGiB / 2 / 4) * 4 : choices.below(1024) * 4;
    sketch.places.emplace_back(functions[i].name, fmt::format("{}+{:#x}", choices.of(kRegions),
                                                              window * 8 + i * kGiB + within));
  }
  if (choices.one_in(8)) {
    sketch.places.emplace_back("stack", "text+0xffffe000");
  }
  if (choices.one_in(4)) {  // memory beyond all of them, across a boundary of 4 GiB
    sketch.places.emplace_back(
        "mem", fmt::format("{}+{:#x}", choices.of(kRegions), 1024 * kGiB - 8 * choices.below(16)));
  }
}

void edge_place(Choices& choices, Sketch& sketch) {
  sketch.axes.call = model::CallScheme::aux64;
  sketch.places.emplace_back("mem", "text+28M");  // by default it is where an edge has the entry
  const auto cell = cell_of(tidied(sketch));
  if (!cell) {
    return;
  }
  model::Placement to = cell.value().placement;
  if (!selection::place_at_edge(choices.below(selection::edge_count()), *cell.value().program,
                                to)) {
    return;
  }
  if (std::ranges::any_of(to.functions, [](GuestAddress at) { return at < kText; })) {
    return;  // no MMU maps that
  }
  // What moved.
  const bpf::Program& program = *cell.value().program;
  const auto moved = [&](const std::string& name, GuestAddress from, GuestAddress at) {
    if (from != at) {
      sketch.places.emplace_back(name, place_text(sketch.axes.mmu, at));
    }
  };
  for (std::uint32_t i = 0; i < to.functions.size(); ++i) {
    moved(callee_name(program, i), cell.value().placement.functions[i], to.functions[i]);
  }
  moved("stack", cell.value().placement.stack, to.stack);
  moved("callbase", cell.value().placement.call_base, to.call_base);
}

}  // namespace

model::AxisValues machine_axes(Choices& choices) {
  while (true) {
    model::AxisValues axes;
    axes.endian = static_cast<model::Endian>(choices.below(2));
    // The simplest comes first.
    constexpr std::array kCpus = {model::Cpu::power9, model::Cpu::power10, model::Cpu::power8};
    static_assert(kCpus.size() == model::kCpuCount);
    axes.cpu = choices.of(kCpus);
    axes.mmu = choices.below(2) == 0 && has_radix(axes.cpu) ? model::Mmu::radix : model::Mmu::hash;
    axes.abi = axes.endian == model::Endian::big && choices.below(2) != 0 ? model::Abi::elfv1
                                                                          : model::Abi::elfv2;
    if (cases::is_possible(axes)) {
      return axes;
    }
  }
}

void choose_places(Choices& choices, Sketch& sketch) {
  using model::CallScheme;
  using model::Reach;
  // All that carry a whole address: imm32 is the one that does not.
  constexpr std::array kFar = {CallScheme::table, CallScheme::aux64, CallScheme::pair64};
  static_assert(kFar.size() + 1 == model::kCallSchemeCount);
  switch (choices.below(4)) {
    case 0:
      sketch.axes.call = choices.of(kFar);
      break;
    case 1: {
      sketch.axes.call = static_cast<CallScheme>(choices.below(model::kCallSchemeCount));
      sketch.axes.reach = choices.of(possible_reaches(sketch.axes));
      near_place(choices, sketch);
      break;
    }
    case 2:
      sketch.axes.call = choices.of(kFar);
      far_place(choices, sketch);
      break;
    default:
      edge_place(choices, sketch);
  }
}

}  // namespace farcall::campaign
