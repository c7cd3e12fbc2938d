// A small cell and what later stages make of it, written by hand, for the tests of model/.
#pragma once

#include <memory>

#include "bpf/assembler.hpp"
#include "model/json.hpp"

namespace farcall::model::samples {

inline constexpr GuestAddress kMain = {0xc000'0000'0001'0000};
inline constexpr GuestAddress kCallee = {0xc008'0000'0012'a468};

inline Cell cell() {
  const auto program = bpf::assemble(
      "call local callee\nadd %r0, 1\nexit\ncallee:\nmov %r0, 41\nexit\n", {"sample.case", 1, 1});
  Cell cell{.case_path = "sample.case",
            .name = "sample@imm32",
            .program = std::make_shared<const bpf::Program>(program.value()),
            .placement = {.functions = {kMain, kCallee},
                          .stack = {0xc000'0000'0200'0000},
                          .call_base = {0xc000'0000'0010'0000},
                          .toc = {0xc000'0000'0180'0000}},
            .memory = {{.name = "mem",
                        .address = {0xc000'0000'0100'0000},
                        .bytes = {std::byte{0x11}, std::byte{0x22}}}},
            .arguments = {0xc000'0000'0100'0000, 2, 0, 0, 0xffff'ffff'ffff'ffff}};
  cell.axes.call = CallScheme::aux64;
  cell.expected.result = 42;
  cell.expected.calls = {{.site = {0, 0}, .callee = 1, .count = 1}};
  cell.expected.memory = {{.region = "mem", .offset = 1, .bytes = {std::byte{0x22}}}};
  return cell;
}

inline LinkedProgram linked() {
  return {.scheme = CallScheme::aux64,
          .program = *cell().program,
          .addresses = {kMain, kCallee},
          .call_base = {0xc000'0000'0010'0000},
          .toc = {0xc000'0000'0180'0000},
          .calls = {{.site = {0, 0}, .slot = 0, .callee = 1, .target = kCallee}},
          .side_table = {kCallee}};
}

inline CodeImage image() {
  return {.functions =
              {{.name = "main",
                .address = kMain,
                .words = {0x3d80c008, 0x4e800421, 0x4e800020},
                .pass_words = {3, 3},
                .lines = {{0, 0}, {1, 2}, {2, 2}, {3, 2}}},
               {.name = "callee", .address = kCallee, .words = {0x4e800020}, .pass_words = {1}}},
          .entry = kMain,
          .calls = {{.site = {0, 0}, .at = kMain + 4, .callee = CodeCallee{1, kCallee}}},
          .bpf_registers = {8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31}};
}

inline Document document() {
  return {.cell = cell(), .linked = linked(), .image = image()};
}

}  // namespace farcall::model::samples
