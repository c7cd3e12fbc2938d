// From an address to the symbol that it is in.
//
// bpftool sorts and searches its symbols with a comparator that returns the difference of two
// 64-bit addresses as an int. Two addresses whose difference is a multiple of 2^32 are equal to it,
// and which of two others is less depends on bit 31 of their difference: names in vmalloc are wrong
// or missing. Resolver compares addresses; truncating_lookup() is
// that comparator, to show what it would say.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "show/symbol.hpp"

namespace farcall::show {

class Resolver {
 public:
  explicit Resolver(std::vector<Symbol> symbols);

  // The last symbol that starts at or before `address`, if `address` is within it. One of unknown
  // size ends where the next one starts; the last one with the page that it starts in.
  const Symbol* find(GuestAddress address) const;

  // `bpf_prog_…_callee`, `bpf_prog_…_callee+0x18`, or the address where there is no symbol.
  std::string describe(GuestAddress address) const;

 private:
  std::vector<Symbol> symbols_;  // by address
};

// What bpftool's search finds: a symbol that starts at `address`, as its comparator has it. Sorted
// by that comparator as well, as qsort() and bsearch() of glibc do it.
class TruncatingResolver {
 public:
  explicit TruncatingResolver(std::vector<Symbol> symbols);
  const Symbol* find(GuestAddress address) const;

 private:
  std::vector<Symbol> symbols_;
};

}  // namespace farcall::show
