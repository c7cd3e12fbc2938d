#include <fmt/format.h>

#include <CLI/App.hpp>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"
#include "command/commands.hpp"
#include "show/resolver.hpp"

namespace farcall::command {
namespace {

struct ResolveArguments {
  std::string symbols;
  std::vector<std::string> addresses;
};

constexpr std::size_t kShown = 20;

Result<GuestAddress> read_address(std::string_view text) {
  const std::string_view digits = text.starts_with("0x") ? text.substr(2) : text;
  GuestAddress address;
  const char* const end = digits.data() + digits.size();
  const auto [after, failure] = std::from_chars(digits.data(), end, address.value, 16);
  if (digits.empty() || after != end || failure != std::errc{}) {
    return Error{
        .code = ErrorCode::usage_bad_argument,
        .message = fmt::format("'{}' is not an address; expected up to 16 hex digits", text)};
  }
  return address;
}

class Lookup {
 public:
  explicit Lookup(const std::vector<show::Symbol>& symbols)
      : resolver_(symbols), truncating_(symbols) {}

  static void print_head() {
    fmt::print("{:<16}  {:<44} {}\n", "address", "symbol", "a comparator that truncates says");
  }

  void print(GuestAddress address) const {
    const show::Symbol* const truncated = truncating_.find(address);
    fmt::print("{}  {:<44} {}\n", to_string(address), resolver_.describe(address),
               truncated == nullptr ? "nothing" : truncated->name);
  }

  // What the comparator that truncates makes of an address where a symbol starts.
  bool is_missing(GuestAddress start) const { return truncating_.find(start) == nullptr; }
  bool is_wrong(GuestAddress start) const {
    const show::Symbol* const truncated = truncating_.find(start);
    return truncated != nullptr && truncated->address != start;
  }

 private:
  show::Resolver resolver_;
  show::TruncatingResolver truncating_;
};

// Every symbol by its own address, and where a comparator that truncates would go wrong.
void compare(const std::vector<show::Symbol>& symbols, const Lookup& lookup) {
  std::size_t wrong = 0;
  std::size_t missing = 0;
  for (const show::Symbol& symbol : symbols) {
    const bool is_wrong = lookup.is_wrong(symbol.address);
    const bool is_missing = lookup.is_missing(symbol.address);
    wrong += is_wrong ? 1U : 0U;
    missing += is_missing ? 1U : 0U;
    if ((is_wrong || is_missing) && wrong + missing <= kShown) {
      if (wrong + missing == 1) {
        Lookup::print_head();
      }
      lookup.print(symbol.address);
    }
  }
  fmt::print(
      "{}{} symbols; a comparator that truncates to 32 bits gives {} of them another's name "
      "and does not find {}\n",
      wrong + missing == 0 ? "" : "\n", symbols.size(), wrong, missing);
}

ExitCode resolve(const ResolveArguments& arguments) {
  const auto text = read_file(arguments.symbols, "`farcall symbols FILE@CELL` writes such a file");
  if (!text) {
    return report_error(text.error());
  }
  const auto symbols = show::read_kallsyms(text.value(), arguments.symbols);
  if (!symbols) {
    return report_error(symbols.error());
  }
  std::vector<GuestAddress> addresses;
  for (const std::string& one : arguments.addresses) {
    const auto address = read_address(one);
    if (!address) {
      return report_error(address.error());
    }
    addresses.push_back(address.value());
  }
  const Lookup lookup(symbols.value());
  if (addresses.empty()) {
    compare(symbols.value(), lookup);
    return ExitCode::passed;
  }
  Lookup::print_head();
  for (const GuestAddress address : addresses) {
    lookup.print(address);
  }
  return ExitCode::passed;
}

}  // namespace

Command resolve_command(CLI::App& app, const Invocation& /*unused*/) {
  const auto arguments = std::make_shared<ResolveArguments>();
  CLI::App* const resolve_app = app.add_subcommand(
      "resolve", "Names of addresses, beside what a comparator makes of them that truncates");
  resolve_app->add_option("SYMBOLS", arguments->symbols, "A file of lines as in /proc/kallsyms")
      ->required();
  resolve_app->add_option("ADDRESS", arguments->addresses,
                          "In hex; without any, every symbol is looked up by its own address");
  return {resolve_app, [arguments] { return resolve(*arguments); }};
}

}  // namespace farcall::command
