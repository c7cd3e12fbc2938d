#include "case/expression.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "case/region.hpp"

namespace farcall::cases {
namespace {

constexpr std::string_view kGrammar =
    "an address is REGION, NAME, site(FUNCTION[N]) or N, followed by any number of +N or -N, N "
    "with "
    "K, M, G, T or P, and at the end by +sweep { FIRST..LAST step N } or nothing";

// More values than this in one sweep are a slip of the pen.
constexpr std::int64_t kMaxSweep = 4096;

constexpr std::string_view kSite = "site";
constexpr std::string_view kSweep = "sweep";

unsigned unit_shift(char unit) {
  switch (unit) {
    case 'K':
      return 10;
    case 'M':
      return 20;
    case 'G':
      return 30;
    case 'T':
      return 40;
    case 'P':
      return 50;
    default:
      return 0;
  }
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// N[KMGTP].
Result<std::uint64_t> parse_amount(Word word) {
  if (word.text.empty()) {
    return error_at(word.where, ErrorCode::case_syntax, "expected a number", std::string{kGrammar});
  }
  const unsigned shift = unit_shift(word.text.back());
  const std::string_view digits = word.text.substr(0, word.text.size() - (shift == 0 ? 0 : 1));
  FARCALL_TRY(value, unsigned_number({.text = digits, .where = word.where}));
  if (value > std::numeric_limits<std::uint64_t>::max() >> shift) {
    return error_at(word.where, ErrorCode::case_bad_number,
                    fmt::format("{} does not fit 64 bits", word.text));
  }
  return value << shift;
}

// N[KMGTP] with a sign or without.
Result<std::int64_t> parse_signed_amount(Word word) {
  const bool minus = word.text.starts_with('-');
  const Word magnitude_word = {.text = word.text.substr(minus ? 1 : 0),
                               .where = {word.where.line, word.where.column + (minus ? 1U : 0U)}};
  FARCALL_TRY(magnitude, parse_amount(magnitude_word));
  if (magnitude > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return error_at(word.where, ErrorCode::case_bad_number,
                    fmt::format("{} does not fit a signed 64-bit displacement", word.text));
  }
  const auto value = static_cast<std::int64_t>(magnitude);
  return minus ? -value : value;
}

Error expected_in_sweep(Position where, std::string_view what) {
  return error_at(where, ErrorCode::case_syntax, fmt::format("expected {}", what),
                  "a sweep is such as sweep { -16..16 step 4 }");
}

// What follows the word `sweep`.
Result<Sweep> parse_sweep(Cursor& cursor) {
  if (!cursor.take('{')) {
    return expected_in_sweep(cursor.here(), "{ after sweep");
  }
  const Word range = cursor.word();
  const std::size_t dots = range.text.find("..");
  if (dots == std::string_view::npos) {
    return expected_in_sweep(range.where, "FIRST..LAST");
  }
  const Word last_word = {
      .text = range.text.substr(dots + 2),
      .where = {range.where.line, range.where.column + static_cast<unsigned>(dots) + 2}};
  FARCALL_TRY(first, parse_signed_amount({range.text.substr(0, dots), range.where}));
  FARCALL_TRY(last, parse_signed_amount(last_word));
  const Word step_keyword = cursor.name();
  if (step_keyword.text != "step") {
    return expected_in_sweep(step_keyword.where, "step after the range");
  }
  const Word step_word = cursor.name();
  FARCALL_TRY(step, parse_signed_amount(step_word));
  if (!cursor.take('}')) {
    return expected_in_sweep(cursor.here(), "} after the step");
  }
  std::int64_t length = 0;
  if (step < 1 || __builtin_sub_overflow(last, first, &length) || length < 0 ||
      length % step != 0 || length / step >= kMaxSweep) {
    return error_at(range.where, ErrorCode::case_bad_number,
                    fmt::format("expected LAST to be a whole number of steps above FIRST, and at "
                                "most {} values",
                                kMaxSweep));
  }
  return Sweep{.first = first, .last = last, .step = step};
}

Result<void> refuse_ambiguity(Word word, const Named& named) {
  if (is_reserved(word.text) && bpf::function_named(named.program, word.text)) {
    return error_at(
        word.where, ErrorCode::case_syntax,
        fmt::format("'{}' is a word of the grammar and a function of the program", word.text),
        "give the function another name");
  }
  return success();
}

std::optional<Item> find_item(std::string_view name, const Named& named) {
  const std::size_t functions = callee_count(named.program);
  const auto* const fixed = std::ranges::find(kFixedItems, name);
  if (fixed != kFixedItems.end()) {
    return static_cast<Item>(functions + static_cast<std::size_t>(fixed - kFixedItems.begin()));
  }
  if (const auto callee = bpf::callee_named(named.program, name)) {
    return function_item(*callee);
  }
  const auto data = std::ranges::find(named.data, name, &bpf::MemoryRegion::name);
  if (data != named.data.end()) {
    return data_item(functions, static_cast<std::size_t>(data - named.data.begin()));
  }
  return std::nullopt;
}

std::string known_items(const Named& named) {
  const std::size_t callees = callee_count(named.program);
  constexpr std::size_t kShown = 16;
  std::string text;
  for (std::uint32_t i = 0; i < callees && i < kShown; ++i) {
    text += callee_name(named.program, i) + ", ";
  }
  if (callees > kShown) {
    text += "..., ";
  }
  text += list(kFixedItems);
  for (std::size_t i = 0; i < named.data.size() && i < kShown; ++i) {
    text += ", " + named.data[i].name;
  }
  return text;
}

std::string known_sites(const Named& named) {
  constexpr std::size_t kShown = 16;
  if (named.calls.empty()) {
    return "the program has no call sites";
  }
  std::string text = "call sites: ";
  for (std::size_t i = 0; i < named.calls.size() && i < kShown; ++i) {
    text += (i == 0 ? "" : ", ") + to_string(named.program, named.calls[i].site);
  }
  return named.calls.size() > kShown ? text + ", ..." : text;
}

// What follows `site(`.
Result<Expression> parse_site_base(Cursor& cursor, const Named& named) {
  const Word word = cursor.until(')');
  FARCALL_TRY(call, parse_site(word, named));
  if (!cursor.take(')')) {
    return error_at(cursor.here(), ErrorCode::case_syntax, "expected ) after the call site",
                    std::string{kGrammar});
  }
  return Expression{.base = named.calls[call].site};
}

Result<Expression> parse_base(Cursor& cursor, const Named& named) {
  const Word word = cursor.name();
  if (word.text.empty()) {
    return error_at(word.where, ErrorCode::case_syntax, "expected an address",
                    std::string{kGrammar});
  }
  if (is_digit(word.text.front())) {
    FARCALL_TRY(value, parse_amount(word));
    return Expression{.base = GuestAddress{value}};
  }
  if (word.text == kSite && cursor.take('(')) {
    return parse_site_base(cursor, named);
  }
  FARCALL_TRYV(refuse_ambiguity(word, named));
  if (is_region(word.text)) {
    return Expression{.base = RegionBase{std::string{word.text}}};
  }
  if (const auto item = find_item(word.text, named)) {
    return Expression{.base = *item};
  }
  return error_at(word.where, ErrorCode::place_unknown_region,
                  fmt::format("no region and nothing placed is called '{}'", word.text),
                  fmt::format("regions: {}; placed: {}", region_names(), known_items(named)));
}

}  // namespace

std::size_t item_count(const Named& named) {
  return index(data_item(callee_count(named.program), named.data.size()));
}

std::string_view item_name(const Named& named, Item item) {
  const std::size_t functions = callee_count(named.program);
  if (index(item) < functions) {
    return callee_name(named.program, static_cast<std::uint32_t>(index(item)));
  }
  const std::size_t number = index(item) - functions;
  return number < kFixedItems.size() ? kFixedItems[number]
                                     : named.data[number - kFixedItems.size()].name;
}

bool is_reserved(std::string_view name) {
  return std::ranges::find(kFixedItems, name) != kFixedItems.end() || is_region(name);
}

Result<Item> parse_item(Word word, const Named& named) {
  FARCALL_TRYV(refuse_ambiguity(word, named));
  if (const auto item = find_item(word.text, named)) {
    return *item;
  }
  return error_at(word.where, ErrorCode::case_unknown_name,
                  fmt::format("nothing that can be placed is called '{}'", word.text),
                  fmt::format("known: {}", known_items(named)));
}

Result<std::uint32_t> parse_site(Word word, const Named& named) {
  const std::size_t open = word.text.find('[');
  if (open == std::string_view::npos || !word.text.ends_with(']')) {
    return error_at(word.where, ErrorCode::case_syntax,
                    fmt::format("expected a call site, FUNCTION[N], not '{}'", word.text),
                    known_sites(named));
  }
  const auto function = bpf::callee_named(named.program, word.text.substr(0, open));
  const std::string_view digits = word.text.substr(open + 1, word.text.size() - open - 2);
  FARCALL_TRY(ordinal,
              unsigned_number({.text = digits,
                               .where = {word.where.line,
                                         word.where.column + static_cast<unsigned>(open) + 1}}));
  const auto found = std::ranges::find_if(named.calls, [&](const bpf::CallInstruction& call) {
    return call.site.function == function && call.site.ordinal == ordinal;
  });
  if (found == named.calls.end()) {
    return error_at(word.where, ErrorCode::case_unknown_site,
                    fmt::format("there is no call site {}", word.text), known_sites(named));
  }
  return static_cast<std::uint32_t>(found - named.calls.begin());
}

Result<Expression> parse_expression(Cursor& cursor, const Named& named) {
  FARCALL_TRY(expression, parse_base(cursor, named));
  std::int64_t offset = 0;
  while (!cursor.at_end()) {
    const bool minus = cursor.peek() == '-';
    if (!cursor.take('-') && !cursor.take('+')) {
      return error_at(cursor.here(), ErrorCode::case_syntax, "expected + or -, or the end of line",
                      std::string{kGrammar});
    }
    const Word word = cursor.name();
    if (word.text == kSweep && !minus) {
      FARCALL_TRY(sweep, parse_sweep(cursor));
      expression.sweep = sweep;
      FARCALL_TRYV(expect_end(cursor, "the sweep"));
      if (std::int64_t sum = 0; __builtin_add_overflow(offset, sweep.first, &sum) ||
                                __builtin_add_overflow(offset, sweep.last, &sum)) {
        return error_at(word.where, ErrorCode::case_bad_number,
                        "what is added does not fit a signed 64-bit displacement");
      }
      break;
    }
    FARCALL_TRY(amount, parse_amount(word));
    const bool wrapped = minus ? __builtin_sub_overflow(offset, amount, &offset)
                               : __builtin_add_overflow(offset, amount, &offset);
    if (wrapped) {
      return error_at(word.where, ErrorCode::case_bad_number,
                      "what is added does not fit a signed 64-bit displacement");
    }
  }
  expression.offset = static_cast<Displacement>(offset);
  return std::move(expression);
}

}  // namespace farcall::cases
