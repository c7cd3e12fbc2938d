#include "case/placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/bits.hpp"
#include "case/region.hpp"
#include "model/translation.hpp"

namespace farcall::cases {
namespace {

constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kMiB = 1024 * kKiB;
constexpr std::int64_t kFirstHelper = 64 * kMiB;
constexpr std::int64_t kFirstKfunc = 512 * kMiB;
constexpr std::uint64_t kWordBytes = 4;

constexpr std::int64_t kFirstData = 40 * kMiB;
constexpr std::int64_t kMoreData = 2048 * kMiB;  // what does not fit below the helpers

// Regions of data follow each other at multiples of 1 MiB.
std::int64_t data_offset(const Case& parsed, std::size_t number) {
  std::int64_t next = kFirstData;
  for (std::size_t i = 0;; ++i) {
    const auto size = static_cast<std::int64_t>(
        align_up(std::max<std::uint64_t>(parsed.data[i].bytes.size(), 1), kMiB));
    if (next < kMoreData && next + size > kFirstHelper) {
      next = kMoreData;
    }
    if (i == number) {
      return next;
    }
    next += size;
  }
}

Expression default_address(Item item, const Case& parsed, std::span<const std::uint64_t> sizes) {
  const bpf::Program& program = *parsed.program;
  const std::size_t callees = callee_count(program);
  const auto in_text = [](std::int64_t offset) {
    return Expression{.base = RegionBase{"text"}, .offset = static_cast<Displacement>(offset)};
  };
  if (item == mem_item(callees)) {
    return in_text(16 * kMiB);
  }
  if (item == stack_item(callees)) {
    return in_text(32 * kMiB);
  }
  if (item == call_base_item(callees)) {
    return in_text(1 * kMiB);
  }
  if (item == toc_item(callees)) {
    return in_text(24 * kMiB);
  }
  if (const Item first = data_item(callees, 0); item >= first) {
    return in_text(data_offset(parsed, index(item) - index(first)));
  }
  if (index(item) >= program.functions.size()) {
    const std::size_t number = index(item) - program.functions.size();
    const bool is_kfunc = program.externals[number].kind == bpf::ExternalKind::kfunc;
    const std::int64_t first = is_kfunc ? kFirstKfunc : kFirstHelper;
    return {.base = RegionBase{is_kfunc ? "vmalloc" : "text"},
            .offset = static_cast<Displacement>(first + static_cast<std::int64_t>(number) * kMiB)};
  }
  const auto gap = static_cast<Displacement>(kFunctionGap);
  if (index(item) == 0) {
    return {.base = RegionBase{"vmalloc"}, .offset = gap};
  }
  const std::size_t before = index(item) - 1;
  const std::uint64_t size = before < sizes.size() ? sizes[before] : kWordBytes;
  return {.base = function_item(before),
          .offset = static_cast<Displacement>(align_up(size, kFunctionGap))};
}

enum class State : std::uint8_t { open, begun, done };

struct ItemState {
  GuestAddress address;
  State state = State::open;
};

struct Work {
  const Case& parsed;
  const model::AxisValues& axes;
  const CodeLayout& layout;
  std::span<const std::uint64_t> sizes;
  std::size_t callees;  // functions of the program, and what it calls besides
  const PlaceLines& lines;
  std::int64_t sweep;
  std::vector<ItemState> items;  // by number
};

std::string_view name(const Work& work, Item item) {
  return item_name(work.parsed.named(), item);
}

// The line that decides where the item is: its own, or that of the function before it.
Position where(const Work& work, Item item) {
  for (std::size_t i = index(item);; --i) {
    if (work.lines[i] != nullptr) {
      return work.lines[i]->where;
    }
    if (i == 0 || i >= work.callees) {
      return work.parsed.program_where;
    }
  }
}

Expression address_of(const Work& work, Item item) {
  const Located<PlacedItem>* const line = work.lines[index(item)];
  if (line == nullptr) {
    return default_address(item, work.parsed, work.sizes);
  }
  Expression address = line->value.address;
  if (address.sweep) {
    address.offset = static_cast<Displacement>(bytes(address.offset) + work.sweep);
  }
  return address;
}

// What the address of another thing is needed for: the item that the base is, or whose code it is
// in.
std::optional<Item> needed_for(const Expression& expression) {
  if (const auto* const site = std::get_if<bpf::CallSite>(&expression.base)) {
    return function_item(site->function);
  }
  const Item* const item = std::get_if<Item>(&expression.base);
  return item == nullptr ? std::nullopt : std::optional{*item};
}

Result<GuestAddress> nobody_knows() {
  return Error{.code = ErrorCode::case_unsupported,
               .message = "where a call lies is not known without a JIT"};
}

Result<GuestAddress> evaluate(const Work& work, Item item, const Expression& expression) {
  GuestAddress base;
  if (const auto* const absolute = std::get_if<GuestAddress>(&expression.base)) {
    base = *absolute;
  } else if (const auto* const other = std::get_if<Item>(&expression.base)) {
    base = work.items[index(*other)].address;
  } else if (const auto* const site = std::get_if<bpf::CallSite>(&expression.base)) {
    // The code of such loads is as long as their addresses make it.
    if (std::ranges::any_of(work.parsed.addresses,
                            [](const HeldAddress& held) { return !held.data; })) {
      return error_at(
          where(work, item), ErrorCode::case_unsupported,
          fmt::format("the program loads addresses of its data, and the length of those "
                      "loads depends on them: where its call {} lies is not known yet",
                      to_string(*work.parsed.program, *site)),
          "count from the function, or from another one's site");
    }
    auto address = work.layout.site ? work.layout.site(*work.parsed.program, work.axes, *site,
                                                       work.items[site->function].address)
                                    : nobody_knows();
    if (!address) {
      const Error& error = address.error();
      return error_at(where(work, item), error.code,
                      fmt::format("where {} lies is not known: {}",
                                  to_string(*work.parsed.program, *site), error.message));
    }
    base = address.value();
  } else {
    const std::string& region = std::get<RegionBase>(expression.base).name;
    const auto start = region_start(work.axes.mmu, region);
    if (!start) {
      const auto mmu = model::value_name(work.axes, model::Axis::mmu);
      return error_at(where(work, item), ErrorCode::place_unknown_region,
                      fmt::format("{} has no region '{}'", mmu, region));
    }
    base = *start;
  }
  const GuestAddress address = base + expression.offset;
  if ((bytes(expression.offset) < 0) != (address < base)) {
    return error_at(where(work, item), ErrorCode::place_unmappable,
                    fmt::format("{} is outside the 64-bit address space: {} {}", name(work, item),
                                to_string(base), to_string(expression.offset)));
  }
  return address;
}

Error cycle(const Work& work, std::span<const Item> circle) {
  std::string text;
  for (const Item item : circle) {
    text += fmt::format("{} is placed by ", name(work, item));
  }
  return error_at(where(work, circle.front()), ErrorCode::place_cycle,
                  text + std::string{name(work, circle.front())},
                  "a function that is not placed lies 64K after the one before");
}

// An item whose address is counted from another one's, and how.
struct Link {
  Item item = {};
  Expression address;
};

// Resolves `first` and what its address is counted from; a chain may be as long as there are
// functions. `chain` is only lent.
Result<void> resolve_item(Work& work, Item first, std::vector<Link>& chain) {
  chain.clear();
  for (Item item = first; work.items[index(item)].state != State::done;) {
    ItemState& state = work.items[index(item)];
    if (state.state == State::begun) {
      std::vector<Item> circle;
      for (auto link = std::ranges::find(chain, item, &Link::item); link != chain.end(); ++link) {
        circle.push_back(link->item);
      }
      return cycle(work, circle);
    }
    state.state = State::begun;
    chain.push_back({.item = item, .address = address_of(work, item)});
    const std::optional<Item> base = needed_for(chain.back().address);
    if (!base) {
      break;
    }
    item = *base;
  }
  for (; !chain.empty(); chain.pop_back()) {
    const auto& [item, expression] = chain.back();
    FARCALL_TRY(address, evaluate(work, item, expression));
    work.items[index(item)] = {.address = address, .state = State::done};
  }
  return success();
}

Result<void> check_item(const Work& work, Item item, std::uint64_t size, std::uint64_t alignment) {
  const GuestAddress address = work.items[index(item)].address;
  if (address.value % alignment != 0) {
    return error_at(where(work, item), ErrorCode::place_misaligned,
                    fmt::format("{} is at {}: expected a multiple of {}", name(work, item),
                                to_string(address), alignment));
  }
  if (!model::admits(work.axes.mmu, address, size)) {
    return error_at(where(work, item), ErrorCode::place_unmappable,
                    fmt::format("{} is at {}: not all of its {} bytes can be mapped there",
                                name(work, item), to_string(address), size),
                    fmt::format("{} maps {}", model::value_name(work.axes, model::Axis::mmu),
                                admitted_ranges(work.axes.mmu)));
  }
  return success();
}

// Addresses that no other item may begin in; `last` is one of them.
struct PageRange {
  GuestAddress first;
  GuestAddress last;
  Item item = {};
};

PageRange pages_of(const Work& work, Item item, std::uint64_t size) {
  const GuestAddress address = work.items[index(item)].address;
  return {.first = {align_down(address.value, model::kPageBytes)},
          .last = {align_down(address.value + size - 1, model::kPageBytes) + model::kPageBytes - 1},
          .item = item};
}

Error overlap(const Work& work, const PageRange& a, const PageRange& b) {
  const Position where_a = where(work, a.item);
  const Position where_b = where(work, b.item);
  return error_at(where_a.line > where_b.line ? where_a : where_b, ErrorCode::place_overlap,
                  fmt::format("{} at {} and {} at {} overlap", name(work, a.item),
                              to_string(work.items[index(a.item)].address), name(work, b.item),
                              to_string(work.items[index(b.item)].address)),
                  "mem, data and stack need pages of their own");
}

Result<void> check_items(const Work& work) {
  std::vector<PageRange> extents;
  extents.reserve(work.callees + 2);
  for (std::size_t i = 0; i < work.callees; ++i) {
    const Item item = function_item(i);
    const std::uint64_t size = i < work.sizes.size() ? work.sizes[i] : kWordBytes;
    FARCALL_TRYV(check_item(work, item, size, kWordBytes));
    const GuestAddress address = work.items[i].address;
    extents.push_back({.first = address, .last = address + (size - 1), .item = item});
  }
  const Item stack = stack_item(work.callees);
  FARCALL_TRYV(check_item(work, stack, model::kStackBytes, model::kStackAlignment));
  extents.push_back(pages_of(work, stack, model::kStackBytes));
  if (work.parsed.mem) {
    const Item mem = mem_item(work.callees);
    FARCALL_TRYV(check_item(work, mem, work.parsed.mem->size(), 1));
    extents.push_back(pages_of(work, mem, work.parsed.mem->size()));
  }
  for (std::size_t i = 0; i < work.parsed.data.size(); ++i) {
    const Item data = data_item(work.callees, i);
    const std::size_t size = work.parsed.data[i].bytes.size();
    FARCALL_TRYV(check_item(work, data, size, 1));
    extents.push_back(pages_of(work, data, size));
  }
  std::ranges::sort(extents, {}, &PageRange::first);
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].first <= extents[i - 1].last) {
      return overlap(work, extents[i - 1], extents[i]);
    }
  }
  return success();
}

}  // namespace

Result<ResolvedPlacement> resolve_placement(const Case& parsed, const model::AxisValues& axes,
                                            const CodeLayout& layout,
                                            std::span<const std::uint64_t> sizes,
                                            const PlaceLines& lines, std::int64_t sweep) {
  const std::size_t callees = callee_count(*parsed.program);
  Work work{.parsed = parsed,
            .axes = axes,
            .layout = layout,
            .sizes = sizes,
            .callees = callees,
            .lines = lines,
            .sweep = sweep,
            .items = std::vector<ItemState>(item_count(parsed.named()))};
  std::vector<Link> chain;
  for (std::size_t i = 0; i < work.items.size(); ++i) {
    FARCALL_TRYV(resolve_item(work, static_cast<Item>(i), chain));
  }
  FARCALL_TRYV(check_items(work));

  ResolvedPlacement resolved;
  resolved.items.reserve(work.items.size());
  for (const ItemState& item : work.items) {
    resolved.items.push_back(item.address);
  }
  resolved.placement = {
      .functions = {resolved.items.begin(),
                    resolved.items.begin() + static_cast<std::ptrdiff_t>(callees)},
      .stack = resolved.of(stack_item(callees)),
      .call_base = resolved.of(call_base_item(callees)),
      .toc = resolved.of(toc_item(callees))};
  return resolved;
}

}  // namespace farcall::cases
