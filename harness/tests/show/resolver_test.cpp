#include "show/resolver.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <set>

namespace farcall::show::resolver_test {
namespace {

constexpr GuestAddress kVmalloc = {0xc008'0000'0000'0000};

// 2,000 functions all over 1 TiB of vmalloc, none in order; every tenth lies a multiple of 4 GiB
// after the one before it.
std::vector<Symbol> symbols_of_vmalloc() {
  std::vector<Symbol> symbols;
  std::uint64_t state = 1;
  GuestAddress address = kVmalloc;
  std::set<GuestAddress> taken;
  while (symbols.size() < 2000) {
    if (symbols.size() % 10 == 9) {
      address = address + (std::uint64_t{1 + symbols.size() % 7} << 32);
    } else {
      state = state * 6364136223846793005U + 1442695040888963407U;
      address = kVmalloc + ((state >> 24) & 0xff'ffff'ff00U);
    }
    if (taken.insert(address).second) {
      symbols.push_back({address, 0x100, fmt::format("f{}", symbols.size())});
    }
  }
  return symbols;
}

TEST(Resolver, NamesEveryOneOf2000SymbolsOverVmalloc) {
  const std::vector<Symbol> symbols = symbols_of_vmalloc();
  const Resolver resolver(symbols);
  const TruncatingResolver truncating(symbols);
  std::size_t wrong = 0;
  std::size_t missing = 0;
  for (const Symbol& symbol : symbols) {
    ASSERT_NE(resolver.find(symbol.address), nullptr) << symbol.name;
    EXPECT_EQ(*resolver.find(symbol.address), symbol);
    const Symbol* const other = truncating.find(symbol.address);
    missing += other == nullptr ? 1U : 0U;
    wrong += other != nullptr && other->name != symbol.name ? 1U : 0U;
  }
  // What bpftool's comparator makes of the same symbols is why this matters.
  EXPECT_GT(wrong, 50U);
  EXPECT_GT(missing, 50U);
}

TEST(Resolver, TellsApartWhatIsEqualModulo4GiB) {
  const std::vector<Symbol> symbols = {{kVmalloc, 0x100, "low"},
                                       {kVmalloc + (1ULL << 32), 0x100, "high"}};
  const Resolver resolver(symbols);
  EXPECT_EQ(resolver.describe(kVmalloc), "low");
  EXPECT_EQ(resolver.describe(kVmalloc + (1ULL << 32)), "high");
  EXPECT_EQ(resolver.describe(kVmalloc + (2ULL << 32)), "c008000200000000");
  // To the comparator of bpftool they are one, and a third address is both.
  const TruncatingResolver truncating(symbols);
  EXPECT_EQ(truncating.find(kVmalloc)->name, truncating.find(kVmalloc + (1ULL << 32))->name);
  EXPECT_NE(truncating.find(kVmalloc + (2ULL << 32)), nullptr);
}

TEST(Resolver, KnowsWhereSymbolsEnd) {
  const Resolver resolver({{{0x100}, 0x10, "a"}, {{0x200}, 0, "b"}, {{0x300}, 0, "c"}});
  EXPECT_EQ(resolver.find({0xff}), nullptr);
  EXPECT_EQ(resolver.describe({0x100}), "a");
  EXPECT_EQ(resolver.describe({0x10f}), "a+0xf");
  EXPECT_EQ(resolver.find({0x110}), nullptr);
  EXPECT_EQ(resolver.describe({0x2ff}), "b+0xff");  // of unknown size: up to the next one
  EXPECT_EQ(resolver.describe({0x300}), "c");
  EXPECT_EQ(resolver.describe({0x304}), "c+0x4");  // nothing follows: up to the page's end
  EXPECT_EQ(resolver.describe({0xffff}), "c+0xfcff");
  EXPECT_EQ(resolver.find({0x10000}), nullptr);
}

TEST(Resolver, ReachesTheTopOfTheAddressSpace) {
  const Resolver resolver({{{0xffff'ffff'ffff'fff0}, 0x10, "top"}});
  EXPECT_EQ(resolver.describe({0xffff'ffff'ffff'ffff}), "top+0xf");
  EXPECT_EQ(Resolver({}).find({0}), nullptr);
}

}  // namespace
}  // namespace farcall::show::resolver_test
