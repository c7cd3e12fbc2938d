#include "bpf/address_space.hpp"

#include <gtest/gtest.h>

namespace farcall::bpf::address_space_test {
namespace {

AddressSpace space(std::endian order) {
  return {{{.name = "low",
            .address = {0x100},
            .bytes = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}}},
           {.name = "high", .address = {0x104}, .bytes = {std::byte{5}}},
           {.name = "top", .address = {0xfffffffffffffffe}, .bytes = {std::byte{6}, std::byte{7}}},
           {.name = "empty", .address = {0x200}, .bytes = {}}},
          order};
}

TEST(AddressSpace, LoadsInItsByteOrder) {
  EXPECT_EQ(space(std::endian::little).load({0x100}, 4).value(), 0x04030201);
  EXPECT_EQ(space(std::endian::big).load({0x100}, 4).value(), 0x01020304);
  EXPECT_EQ(space(std::endian::big).load({0x101}, 2).value(), 0x0203);
}

TEST(AddressSpace, StoresWhatFitsAndNothingElse) {
  AddressSpace memory = space(std::endian::big);
  ASSERT_TRUE(memory.store({0x101}, 2, 0x99aabb));
  EXPECT_EQ(memory.load({0x100}, 4).value(), 0x01aabb04);
}

TEST(AddressSpace, AnAccessMustLieInOneRegion) {
  const AddressSpace memory = space(std::endian::little);
  EXPECT_EQ(memory.load({0x101}, 4).error().code, ErrorCode::interpreter_bad_access);
  EXPECT_EQ(memory.load({0x103}, 2).error().code, ErrorCode::interpreter_bad_access);
  EXPECT_EQ(memory.load({0xff}, 1).error().code, ErrorCode::interpreter_bad_access);
  EXPECT_EQ(memory.load({0x105}, 1).error().code, ErrorCode::interpreter_bad_access);
  EXPECT_EQ(memory.load({0x200}, 1).error().code, ErrorCode::interpreter_bad_access);
}

TEST(AddressSpace, TheEndOfTheAddressSpaceDoesNotWrap) {
  const AddressSpace memory = space(std::endian::little);
  EXPECT_EQ(memory.load({0xfffffffffffffffe}, 2).value(), 0x0706);
  EXPECT_EQ(memory.load({0xffffffffffffffff}, 2).error().code, ErrorCode::interpreter_bad_access);
  EXPECT_EQ(memory.load({0xfffffffffffffffe}, 8).error().code, ErrorCode::interpreter_bad_access);
}

}  // namespace
}  // namespace farcall::bpf::address_space_test
