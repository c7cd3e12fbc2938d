#include <fmt/format.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/explanation.hpp"
#include "bpf/assembly_reference.hpp"
#include "command/commands.hpp"
#include "command/nearest.hpp"

namespace farcall::command {
namespace {

constexpr std::string_view kAssembly = "assembly";

struct ExplainArguments {
  std::string word;  // a code, or kAssembly; empty: all codes
  bool markdown = false;
};

// What is explained, as a table, with its head.
struct Reference {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  std::size_t codes = 1;  // so many columns at the beginning hold code
};

std::vector<std::string> all_codes() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kErrorCodeCount; ++i) {
    names.emplace_back(name(static_cast<ErrorCode>(i)));
  }
  return names;
}

// Who is to blame, and so how a run ends that had it.
std::string blamed(ErrorCode code) {
  if (code == ErrorCode::jit_declined) {
    return "nobody: the cell is skipped";
  }
  switch (blame(code)) {
    case Blame::input:
      return "the command line or a file: exit code 2";
    case Blame::test:
      return "the case: exit code 1";
    case Blame::code:
      return "the code under test: exit code 1";
    case Blame::machine:
      return "a machine: exit code 3";
    case Blame::harness:
      return "farcall: exit code 3";
  }
  return {};
}

Reference codes_table() {
  Reference table{.head = {"code", "what it means", "to blame", "for instance", "what to do"},
                  .rows = {}};
  for (std::size_t i = 0; i < kErrorCodeCount; ++i) {
    const auto code = static_cast<ErrorCode>(i);
    const Explanation& words = explanation(code);
    table.rows.push_back({std::string(name(code)), std::string(words.meaning), blamed(code),
                          std::string(words.example), std::string(words.remedy)});
  }
  return table;
}

Reference assembly_table() {
  Reference table{.head = {"instruction", "operands", "what it does"}, .rows = {}, .codes = 2};
  for (bpf::AssemblyEntry& entry : bpf::assembly_reference()) {
    table.rows.push_back(
        {std::move(entry.mnemonics), std::move(entry.operands), std::move(entry.meaning)});
  }
  return table;
}

void print_markdown(const Reference& table) {
  fmt::print("| {} |\n", fmt::join(table.head, " | "));
  fmt::print("|{}\n", fmt::join(std::vector<std::string>(table.head.size(), "---|"), ""));
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::string cell;
      for (const char c : row[i]) {
        cell += c == '|' ? "\\|" : std::string(1, c);
      }
      fmt::print("| {} ", i < table.codes && !cell.empty() ? "`" + cell + "`" : cell);
    }
    fmt::print("|\n");
  }
}

// Columns as wide as their longest entry, the last as it comes.
void print_text(const Reference& table, std::size_t columns) {
  std::vector<std::size_t> widths(columns);
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < columns; ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i + 1 < columns; ++i) {
      fmt::print("{:<{}}  ", row[i], widths[i]);
    }
    fmt::print("{}\n", row[columns - 1]);
  }
}

Result<void> explain(const ExplainArguments& arguments) {
  if (arguments.word.empty() || arguments.word == kAssembly) {
    const Reference table = arguments.word.empty() ? codes_table() : assembly_table();
    if (arguments.markdown) {
      print_markdown(table);
    } else {
      print_text(table, arguments.word.empty() ? 2 : 3);
    }
    return success();
  }
  std::string_view word = arguments.word;
  if (word.starts_with('[') && word.ends_with(']')) {  // as reports have it
    word = word.substr(1, word.size() - 2);
  }
  const auto code = error_code_named(word);
  if (!code) {
    const auto near = nearest(arguments.word, all_codes());
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("there is no code '{}'{}", arguments.word,
                                        near ? fmt::format("; did you mean {}?", *near) : ""),
                 .hint = "farcall explain lists all codes"};
  }
  const Explanation& words = explanation(*code);
  fmt::print("{}: {}\n  to blame: {}\n  for instance: {}\n  what to do: {}\n", name(*code),
             words.meaning, blamed(*code), words.example, words.remedy);
  return success();
}

}  // namespace

Command explain_command(CLI::App& app, const Invocation& /*unused*/) {
  const auto arguments = std::make_shared<ExplainArguments>();
  CLI::App* const explain_app = app.add_subcommand(
      "explain", "What an error code means and what to do; the assembly language");
  explain_app->add_option(
      "CODE", arguments->word,
      "As in [call.out-of-range], or assembly; without it all codes are listed");
  explain_app->add_flag("--markdown", arguments->markdown, "A table of Markdown, of all there is");
  return {explain_app, [arguments] {
            const auto explained = explain(*arguments);
            return explained ? ExitCode::passed : report_error(explained.error());
          }};
}

}  // namespace farcall::command
