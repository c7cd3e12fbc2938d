#include "command/fresh_program.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <utility>

#include "case/case_file.hpp"
#include "case/matrix.hpp"

namespace farcall::command {

std::string fresh_case(std::size_t number, std::size_t instructions) {
  std::string more;
  for (std::size_t i = kFreshInstructions; i + 2 <= instructions; i += 2) {
    more += fmt::format("add %r0, {0}\nsub %r0, {0}\n", i + number % 1000);
  }
  constexpr std::uint64_t kHalfOfVmalloc = std::uint64_t{1} << 48;
  const std::uint64_t spread = (number * 0x9e37'79b9'7f4a'7c15) >> 16;
  const std::uint64_t caller = (spread % (kHalfOfVmalloc >> 16)) << 16;
  const std::uint64_t callee = kHalfOfVmalloc + (((spread * 7) % (kHalfOfVmalloc >> 16)) << 16);
  return fmt::format(
      "-- asm\n"
      "mov %r6, {0}\n"
      "mov %r1, {1}\n"
      "call local callee\n"
      "add %r0, %r6\n"
      "exit\n"
      "callee:\n"
      "mov %r0, %r1\n"
      "mul %r0, 3\n"
      "lsh %r0, 2\n"
      "xor %r0, {2}\n"
      "add32 %r0, 1\n"
      "{6}"
      "exit\n"
      "-- place\n"
      "main = vmalloc+{3:#x}\n"
      "callee = vmalloc+{4:#x}\n"
      "-- result\n"
      "{5:#x}\n",
      number, number * 5 % 100'003, number & 0xffff, caller + (number % 512) * 4,
      callee + (number % 256) * 4,
      static_cast<std::uint32_t>(((number * 5 % 100'003 * 3) << 2 ^ (number & 0xffff)) + 1) +
          number,
      more);
}

model::Document fresh_document(std::size_t number, std::size_t instructions) {
  const cases::Case parsed =
      cases::parse_case(fresh_case(number, instructions), "bench.case").value();
  return {.cell = std::move(cases::cells(parsed).value().front())};
}

}  // namespace farcall::command
