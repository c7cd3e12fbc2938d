#include "show/resolver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

namespace farcall::show {
namespace {

// tools/bpf/bpftool/xlated_dumper.c: `return ((struct kernel_sym *)sym_a)->address -
// ((struct kernel_sym *)sym_b)->address;` in a function that returns int.
std::int32_t truncated_difference(GuestAddress a, GuestAddress b) {
  return static_cast<std::int32_t>(a.value - b.value);
}

// glibc's qsort(): a merge sort that is correct only if the comparison is an order, which this one
// is not. std::sort() might run out of bounds with it.
void merge_sort(std::vector<Symbol>& symbols, std::size_t first, std::size_t count) {
  if (count <= 1) {
    return;
  }
  const std::size_t half = count / 2;
  merge_sort(symbols, first, half);
  merge_sort(symbols, first + half, count - half);
  std::vector<Symbol> merged;
  merged.reserve(count);
  std::size_t left = first;
  std::size_t right = first + half;
  while (left < first + half && right < first + count) {
    const bool take_left = truncated_difference(symbols[left].address, symbols[right].address) <= 0;
    merged.push_back(symbols[take_left ? left++ : right++]);
  }
  for (; left < first + half; ++left) {
    merged.push_back(symbols[left]);
  }
  std::ranges::move(merged, symbols.begin() + static_cast<std::ptrdiff_t>(first));
}

}  // namespace

Resolver::Resolver(std::vector<Symbol> symbols) : symbols_(std::move(symbols)) {
  std::ranges::stable_sort(symbols_, {}, &Symbol::address);
}

const Symbol* Resolver::find(GuestAddress address) const {
  const auto after = std::ranges::upper_bound(symbols_, address, {}, &Symbol::address);
  if (after == symbols_.begin()) {
    return nullptr;
  }
  const Symbol& symbol = *std::prev(after);
  const auto offset = static_cast<std::uint64_t>(bytes(address - symbol.address));
  // Where nothing follows, no more than what the largest page of ppc64 kernels has left.
  constexpr std::uint64_t kPage = 65536;
  const bool open = symbol.bytes == 0 &&
                    (after != symbols_.end() || offset < kPage - symbol.address.value % kPage);
  return open || offset < symbol.bytes ? &symbol : nullptr;
}

std::string Resolver::describe(GuestAddress address) const {
  const Symbol* const symbol = find(address);
  if (symbol == nullptr) {
    return to_string(address);
  }
  return symbol->address == address
             ? symbol->name
             : fmt::format("{}+{:#x}", symbol->name, bytes(address - symbol->address));
}

TruncatingResolver::TruncatingResolver(std::vector<Symbol> symbols) : symbols_(std::move(symbols)) {
  merge_sort(symbols_, 0, symbols_.size());
}

// bsearch() of the C library.
const Symbol* TruncatingResolver::find(GuestAddress address) const {
  std::size_t low = 0;
  std::size_t high = symbols_.size();
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    const std::int32_t difference = truncated_difference(address, symbols_[middle].address);
    if (difference == 0) {
      return &symbols_[middle];
    }
    if (difference < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return nullptr;
}

}  // namespace farcall::show
