// Cells for a stock kernel, of the text of a case.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/document.hpp"
#include "selection/select.hpp"
#include "stock/linux_cells.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::tests {

inline std::vector<model::Document> documents_of(const std::string& text) {
  const ScratchFolder folder;
  const auto selected = selection::select_cells({.paths = {folder.write("one.case", text)}});
  EXPECT_TRUE(selected && selected.value().bad.empty()) << text;
  return selected.value().documents;
}

inline stock::LinuxCell cell_of(const std::string& text) {
  return stock::linux_cells(documents_of(text), {}).front();
}

// Two programs besides, of which a tail call leads to the first.
inline constexpr const char* kTailCall = R"(-- regs
r1 = addr(number)
r2 = addr(jumps)
-- data number
28
-- asm
mov %r6, %r1
mov %r3, 1
call 12
mov %r0, 99
exit
-- program next
ldxb %r6, [%r1+0]
call local more
add %r0, %r6
exit
more:
mov %r0, 2
exit
-- program other
mov %r0, 3
exit
-- array jumps size=3
1 = next
2 = main
-- result
42
)";

}  // namespace farcall::tests
