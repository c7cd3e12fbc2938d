#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "command/commands.hpp"
#include "command/options.hpp"
#include "run/pipeline.hpp"
#include "selection/select.hpp"
#include "show/symbol.hpp"
#include "show/symbol_file.hpp"
#include "show/tag_list.hpp"

namespace farcall::command {
namespace {

struct SymbolsArguments {
  std::string cell;  // FILE@CELL
  std::string format = "kallsyms";
  show::TagHash tag_hash = show::TagHash::sha1;
  std::string output;
  std::string against;  // a file of tags; empty: symbols are written
};

std::string contents(const SymbolsArguments& arguments, const model::Cell& cell,
                     const model::CodeImage& image) {
  const std::vector<show::Symbol> symbols =
      show::symbols(image, cell.program.get(), cell.axes.endian, arguments.tag_hash);
  if (arguments.format == "kallsyms") {
    return show::kallsyms(symbols);
  }
  if (arguments.format == "perf") {
    return show::perf_map(symbols);
  }
  const std::vector<std::byte> file = show::symbol_file(image, symbols, cell.axes);
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

bool all_found(const std::vector<show::TagComparison>& comparisons) {
  return std::ranges::all_of(comparisons, &show::TagComparison::found);
}

std::string text_of(const show::TagComparison& one) {
  if (one.found) {
    return "the same";
  }
  std::vector<std::string> theirs;
  for (const show::Tag tag : one.theirs) {
    theirs.push_back(show::to_string(tag));
  }
  return theirs.empty() ? "not there" : fmt::format("{}: differs", fmt::join(theirs, ", "));
}

// Holds the cell's tags against those that a kernel gave.
ExitCode compare_tags(const SymbolsArguments& arguments, const model::Cell& cell) {
  const auto text = read_file(arguments.against, "/proc/kallsyms and `bpftool --json prog show`");
  if (!text) {
    return report_error(text.error());
  }
  const auto theirs = show::read_tags(text.value(), arguments.against);
  if (!theirs) {
    return report_error(theirs.error());
  }
  const bpf::Program& program = *cell.program;
  const auto compared = [&](show::TagHash hash) {
    return show::compare(program, show::tags(program, byte_order(cell.axes.endian), hash),
                         theirs.value());
  };
  const auto comparisons = compared(arguments.tag_hash);
  fmt::print("{:<24} {:<17} there\n", "function", "tag here");
  for (const show::TagComparison& one : comparisons) {
    fmt::print("{:<24} {:<17} {}\n", one.function, show::to_string(one.ours), text_of(one));
  }
  if (all_found(comparisons)) {
    return ExitCode::passed;
  }
  const bool is_sha1 = arguments.tag_hash == show::TagHash::sha1;
  if (all_found(compared(is_sha1 ? show::TagHash::sha256 : show::TagHash::sha1))) {
    fmt::print("They are those of --tag-hash={}.\n", is_sha1 ? "sha256" : "sha1");
  }
  return ExitCode::failed;
}

ExitCode write_symbols(const SymbolsArguments& arguments) {
  auto document = selection::select_cell(arguments.cell);
  if (!document) {
    return report_error(document.error());
  }
  if (!arguments.against.empty()) {
    return compare_tags(arguments, document.value().cell);
  }
  if (arguments.format == "elf" && arguments.output.empty() && isatty(STDOUT_FILENO) != 0) {
    return report_error({.code = ErrorCode::usage_bad_argument,
                         .message = "an ELF file is not for a terminal",
                         .hint = "--output FILE writes it to a file"});
  }
  const check::Testimony prepared = run::prepare(document.value(), 0);
  if (!prepared.image) {
    return report_error(run::no_image(document.value(), prepared));
  }
  const auto written =
      write_output(arguments.output, contents(arguments, document.value().cell, *prepared.image));
  return written ? ExitCode::passed : report_error(written.error());
}

}  // namespace

Command symbols_command(CLI::App& app, const Invocation& /*unused*/) {
  const auto arguments = std::make_shared<SymbolsArguments>();
  CLI::App* const symbols_app =
      app.add_subcommand("symbols", "The symbols of a cell's JITed functions, for other tools");
  symbols_app
      ->add_option("CELL", arguments->cell, "FILE@CELL, such as cases/scheme/beyond-2g.case@imm32")
      ->required();
  symbols_app
      ->add_option("--format", arguments->format,
                   "Lines of /proc/kallsyms, a perf map, or an ELF file for debuggers")
      ->check(one_of({"kallsyms", "perf", "elf"}));
  add_tag_hash(*symbols_app, arguments->tag_hash);
  CLI::Option* const output =
      symbols_app->add_option("--output", arguments->output, "Into this file")->type_name("FILE");
  symbols_app
      ->add_option(
          "--against", arguments->against,
          "Instead: hold the tags against a kernel's, from a copy of its /proc/kallsyms or "
          "what `bpftool --json prog show` prints")
      ->type_name("FILE")
      ->excludes(output);
  return {symbols_app, [arguments] { return write_symbols(*arguments); }};
}

}  // namespace farcall::command
