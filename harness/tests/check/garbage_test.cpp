// What nobody has written, piece by piece.
#include "check/garbage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace farcall::check::garbage_test {
namespace {

model::Job job(std::uint64_t fill) {
  model::Job made;
  made.fill = fill;
  made.entry.gpr.fill(fill);
  made.entry.gpr[1] = 0x1010;
  made.entry.cr = static_cast<std::uint32_t>(fill);
  made.regions = {{.address = {0x1000},
                   .size_bytes = 16,
                   .bytes = std::vector<std::byte>(8, std::byte{1}),
                   .access = model::Access::read_write,
                   .name = "stack"},
                  {.address = {0x2000}, .size_bytes = 4, .access = model::Access::execute}};
  return made;
}

TEST(Garbage, IsMixedPieceByPiece) {
  const model::Job one = job(0x0807'0605'0403'0201);
  const model::Job other = job(~one.fill);
  const std::size_t pieces = garbage_pieces(one);
  EXPECT_EQ(pieces, 32U * 3 + 1 + 8 + 1);
  EXPECT_EQ(with_garbage(one, other, pieces).fill, other.fill);
  EXPECT_EQ(with_garbage(one, other, pieces - 1).fill, one.fill);
  const model::Job none = with_garbage(one, other, 0);
  EXPECT_EQ(none.entry, one.entry);
  EXPECT_EQ(none.regions[0].bytes[8], std::byte{1});
  EXPECT_EQ(none.regions[0].bytes[15], std::byte{8});
  EXPECT_EQ(none.regions[1].bytes.size(), 0U);
  // One more piece each time, and it is the one with that name.
  EXPECT_EQ(garbage_name(one, 14), "r14");
  EXPECT_EQ(with_garbage(one, other, 14).entry.gpr[14], one.entry.gpr[14]);
  EXPECT_EQ(with_garbage(one, other, 15).entry.gpr[14], other.entry.gpr[14]);
  EXPECT_EQ(garbage_name(one, 96), "CR");
  EXPECT_EQ(with_garbage(one, other, 96).entry.cr, one.entry.cr);
  EXPECT_EQ(with_garbage(one, other, 97).entry.cr, other.entry.cr);
  EXPECT_EQ(garbage_name(one, 98), "the byte of the stack at 0000000000001009, r1 - 7");
  EXPECT_EQ(with_garbage(one, other, 98).regions[0].bytes[9], std::byte{2});
  EXPECT_EQ(with_garbage(one, other, 99).regions[0].bytes[9], ~std::byte{2});
  EXPECT_EQ(garbage_name(one, pieces - 1), "memory that is not the program's");
}

}  // namespace
}  // namespace farcall::check::garbage_test
