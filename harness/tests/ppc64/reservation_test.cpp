#include "ppc64/reservation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace farcall::ppc64::reservation_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint32_t kLwarx = 0x7c80'2828;    // lwarx r4,0,r5
constexpr std::uint32_t kLdarx = 0x7c80'28a8;    // ldarx r4,0,r5
constexpr std::uint32_t kStwcx = 0x7cc0'292d;    // stwcx. r6,0,r5
constexpr std::uint32_t kStdcx = 0x7cc0'29ad;    // stdcx. r6,0,r5
constexpr std::uint32_t kMove = 0x7c87'2378;     // mr r7,r4
constexpr std::uint32_t kCompare = 0x7c24'1800;  // cmpd r4,r3
constexpr std::uint32_t kSkip = 0x4082'000c;     // bne .+12
constexpr std::uint32_t kRetry = 0x40c2'fff0;    // bne- .-16

using Words = std::vector<std::uint32_t>;

TEST(Reservation, InstructionsOfEachWidth) {
  // lbarx, lharx, lwarx, ldarx, lqarx r4,r3,r5; the last with the hint in bit 0
  for (const std::uint32_t word :
       {0x7c83'2868U, 0x7c83'28e8U, 0x7c83'2828U, 0x7c83'28a8U, 0x7c83'2a28U, 0x7c83'2a29U}) {
    EXPECT_TRUE(reserves(word)) << std::hex << word;
    EXPECT_FALSE(stores_conditionally(word)) << std::hex << word;
  }
  // stbcx., sthcx., stwcx., stdcx., stqcx. r4,r3,r5
  for (const std::uint32_t word :
       {0x7c83'2d6dU, 0x7c83'2dadU, 0x7c83'292dU, 0x7c83'29adU, 0x7c83'296dU}) {
    EXPECT_TRUE(stores_conditionally(word)) << std::hex << word;
    EXPECT_FALSE(reserves(word)) << std::hex << word;
  }
  EXPECT_FALSE(reserves(0x7c83'282eU));              // lwzx r4,r3,r5
  EXPECT_FALSE(stores_conditionally(0x7c83'292eU));  // stwx r4,r3,r5
}

TEST(GuardedStores, CompareAndExchange) {
  EXPECT_THAT(guarded_stores(Words{kLdarx, kMove, kCompare, kSkip, kStdcx, kRetry}),
              ElementsAre(GuardedStore{4, 0}));
  EXPECT_THAT(guarded_stores(Words{kMove, kLwarx, kCompare, kSkip, kStwcx, kRetry, kLdarx, kSkip,
                                   kStdcx, kRetry}),
              ElementsAre(GuardedStore{4, 1}, GuardedStore{8, 6}));
  // two conditions; the hint that only one CPU at a time wants the word
  EXPECT_THAT(guarded_stores(Words{kLwarx | 1, kSkip, kCompare, kSkip, kStwcx, kRetry}),
              ElementsAre(GuardedStore{4, 0}));
}

TEST(GuardedStores, NoBranchRightBeforeTheStore) {
  EXPECT_THAT(guarded_stores(Words{kLdarx, kMove, kStdcx, kRetry}), IsEmpty());
  EXPECT_THAT(guarded_stores(Words{kLdarx, kSkip, kMove, kStdcx, kRetry}), IsEmpty());
  EXPECT_THAT(guarded_stores(Words{kStdcx}), IsEmpty());
  EXPECT_THAT(guarded_stores(Words{}), IsEmpty());
}

// A store that has no reservation must not be given one.
TEST(GuardedStores, ReservationOfAnotherKind) {
  for (const std::uint32_t between : {
           0x3863'0008U,  // addi r3,r3,8: RA
           0x38a5'0008U,  // addi r5,r5,8: RB
           0x7c85'2378U,  // mr r5,r4
           0xe8a1'0020U,  // ld r5,32(r1)
           0xf821'ffe1U,  // stdu r1,-32(r1): no register of the address, but see below
           0x7ce3'29adU,  // stdcx. r7,r3,r5: ends it
           0x7ce1'28a8U,  // ldarx r7,r1,r5: another one
           0x0600'0000U,  // the first half of a prefixed instruction
       }) {
    const Words words = {0x7c83'28a8, between, kSkip, 0x7cc3'29ad, kRetry};
    if (between == 0xf821'ffe1) {
      EXPECT_THAT(guarded_stores(words), ElementsAre(GuardedStore{3, 0}));
      // ldarx r4,r1,r5 … stdcx. r6,r1,r5
      EXPECT_THAT(guarded_stores(Words{0x7c81'28a8, between, kSkip, 0x7cc1'29ad}), IsEmpty());
    } else {
      EXPECT_THAT(guarded_stores(words), IsEmpty()) << std::hex << between;
    }
  }
  EXPECT_THAT(guarded_stores(Words{kLwarx, kSkip, kStdcx}), IsEmpty());       // another width
  EXPECT_THAT(guarded_stores(Words{0x7c83'28a8, kSkip, kStdcx}), IsEmpty());  // another RA
  EXPECT_THAT(guarded_stores(Words{0x7c80'30a8, kSkip, kStdcx}), IsEmpty());  // another RB
  EXPECT_THAT(guarded_stores(Words{0x7ca0'28a8, kSkip, kStdcx}), IsEmpty());  // ldarx r5,0,r5
  EXPECT_THAT(guarded_stores(Words{kCompare, kSkip, kStdcx}), IsEmpty());     // none
  // r0 as RA is the number 0, so it may change.
  EXPECT_THAT(guarded_stores(Words{0x7c00'28a8, kSkip, kStdcx}), ElementsAre(GuardedStore{2, 0}));
}

}  // namespace
}  // namespace farcall::ppc64::reservation_test
