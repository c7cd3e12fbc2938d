#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "run/commands.hpp"
#include "run/files.hpp"
#include "run/options.hpp"
#include "run/pipeline.hpp"
#include "run/select.hpp"
#include "show/symbol.hpp"
#include "show/symbol_file.hpp"

namespace farcall::run {
namespace {

struct SymbolsArguments {
  std::string cell;  // FILE@CELL
  std::string format = "kallsyms";
  show::TagHash tag_hash = show::TagHash::sha1;
  std::string output;
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

ExitCode write_symbols(const SymbolsArguments& arguments) {
  auto document = select_cell(arguments.cell);
  if (!document) {
    return report_error(document.error());
  }
  if (arguments.format == "elf" && arguments.output.empty() && isatty(STDOUT_FILENO) != 0) {
    return report_error({.code = ErrorCode::usage_bad_argument,
                         .message = "an ELF file is not for a terminal",
                         .hint = "--output FILE writes it to a file"});
  }
  const Prepared prepared = prepare(document.value(), 1);
  if (!prepared.testimony.image) {
    return report_error(no_image(document.value(), prepared));
  }
  const auto written = write_output(
      arguments.output, contents(arguments, document.value().cell, *prepared.testimony.image));
  return written ? ExitCode::passed : report_error(written.error());
}

}  // namespace

Command symbols_command(CLI::App& app, const Invocation&) {
  const auto arguments = std::make_shared<SymbolsArguments>();
  CLI::App* const symbols_app =
      app.add_subcommand("symbols", "The symbols of a cell's JITed functions, for other tools");
  symbols_app->add_option("CELL", arguments->cell, "FILE@CELL, as cases/reach/far.case@imm32")
      ->required();
  symbols_app
      ->add_option("--format", arguments->format,
                   "Lines of /proc/kallsyms, a perf map, or an ELF file for debuggers")
      ->check(CLI::IsMember({"kallsyms", "perf", "elf"}));
  add_tag_hash(*symbols_app, arguments->tag_hash);
  symbols_app->add_option("--output", arguments->output, "Into this file")->type_name("FILE");
  return {symbols_app, [arguments] { return write_symbols(*arguments); }};
}

}  // namespace farcall::run
