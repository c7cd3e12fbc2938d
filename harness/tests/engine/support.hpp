// What the tests of JITs under test share: cells from text.
#pragma once

#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "bpf/assembler.hpp"
#include "model/document.hpp"

namespace farcall::engine {

inline model::Document document(std::string_view assembly, std::vector<GuestAddress> addresses) {
  auto program = bpf::assemble(assembly, {"test", 1, 1});
  if (!program) {
    throw std::runtime_error(to_string(program.error()));
  }
  model::Document made;
  made.cell.name = "test";
  made.cell.program = std::make_shared<const bpf::Program>(std::move(program).value());
  made.cell.placement = {.functions = std::move(addresses),
                         .stack = {0xc000'0000'1000'0000},
                         .call_base = {0xc000'0000'0020'0000},
                         .toc = {0xc000'0000'0200'0000}};
  return made;
}

}  // namespace farcall::engine
