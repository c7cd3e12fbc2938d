// The address expressions of `-- place`: a base and what is added to it, `vmalloc+64K-4`.
//
//   EXPR = BASE { (+|-) N[K|M|G|T|P] } [+ SWEEP]
//   BASE = region | NAME | site(FUNCTION[N]) | N[K|M|G|T|P]
//   SWEEP = sweep { FIRST..LAST step N[K|M|G|T|P] }, FIRST and LAST with a sign or without
//
// NAME is one of the things that have a place of their own: a function of the program, `mem`,
// `stack`, `callbase`, `toc`, and each `-- data` region. These are numbered: functions first, in
// program order, and what it calls besides, then the four, then regions in the file's order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/address.hpp"
#include "bpf/address_space.hpp"
#include "bpf/program.hpp"
#include "case/text.hpp"

namespace farcall::cases {

inline constexpr std::array<std::string_view, 4> kFixedItems = {"mem", "stack", "callbase", "toc"};

// Number of a thing that is placed.
enum class Item : std::uint32_t {};

constexpr std::size_t index(Item item) {
  return static_cast<std::size_t>(item);
}

constexpr Item function_item(std::size_t function) {
  return static_cast<Item>(function);
}
constexpr Item mem_item(std::size_t functions) {
  return static_cast<Item>(functions);
}
constexpr Item stack_item(std::size_t functions) {
  return static_cast<Item>(functions + 1);
}
constexpr Item call_base_item(std::size_t functions) {
  return static_cast<Item>(functions + 2);
}
constexpr Item toc_item(std::size_t functions) {
  return static_cast<Item>(functions + 3);
}
constexpr Item data_item(std::size_t functions, std::size_t number) {
  return static_cast<Item>(functions + kFixedItems.size() + number);
}

// All that has a name: the program's functions, and memory regions of `-- data`.
struct Named {
  const bpf::Program& program;
  std::span<const bpf::CallInstruction> calls;  // of the program
  std::span<const bpf::MemoryRegion> data;
};

std::size_t item_count(const Named& named);
std::string_view item_name(const Named& named, Item item);

// Whether the grammar has a meaning for `name` already: one of the four, or a region.
bool is_reserved(std::string_view name);

struct RegionBase {
  std::string name;  // is_region(); short enough never to be allocated

  friend bool operator==(const RegionBase&, const RegionBase&) = default;
};

// FIRST, FIRST + STEP, … LAST: each makes a placement of its own.
struct Sweep {
  std::int64_t first = 0;
  std::int64_t last = 0;  // a whole number of steps on
  std::int64_t step = 1;  // at least 1

  friend bool operator==(const Sweep&, const Sweep&) = default;
};

struct Expression {
  std::variant<GuestAddress, RegionBase, Item, bpf::CallSite> base;
  Displacement offset = {};
  std::optional<Sweep> sweep = {};  // its values can be added to `offset`

  friend bool operator==(const Expression&, const Expression&) = default;
};

// The thing called `word`. case.unknown-name; a function that is called like one of the four or
// like a region is case.syntax, since nobody could tell which one is meant.
Result<Item> parse_item(Word word, const Named& named);

// `main[0]`: an index into `named.calls`. case.syntax, case.bad-number, case.unknown-site.
Result<std::uint32_t> parse_site(Word word, const Named& named);

// An expression up to the end of the line. case.syntax, case.bad-number, case.unknown-site,
// place.unknown-region.
Result<Expression> parse_expression(Cursor& cursor, const Named& named);

}  // namespace farcall::cases
