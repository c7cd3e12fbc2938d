#include "command/kernel_listing.hpp"

#include <fmt/format.h>

#include "command/interruption.hpp"
#include "command/stock_kernel.hpp"
#include "kernel/bpftool.hpp"
#include "kernel/store.hpp"
#include "run/linux_cells.hpp"
#include "run/select.hpp"

namespace farcall::command {

ExitCode kernel_listing(const ListingArguments& arguments) {
  auto kernel = stock_kernel(arguments.kernels.front()).value();
  auto store = kernel::Store::of_user().value();
  auto wanted = kernel::wanted(kernel::Kind::bpftool,
                               fmt::format("{}.{}", kernel.file.facts().major, kernel.file.facts().minor)).value();
  auto tool = store.get(wanted);
  if (!tool) return report_error(tool.error());
  auto files = kernel::bpftool_files(tool.value().folder);
  if (!files) return report_error(files.error());
  auto selected = run::select_cells({.paths = {arguments.cases.string()}});
  if (!selected) return report_error(selected.error());
  std::vector<kernel::Question> questions;
  for (auto& cell : run::linux_cells(selected.value().documents)) {
    if (!cell.skipped) {
      questions.push_back(cell.question);
      questions.push_back(cell.question);
      questions.back().types = {};
    }
  }
  fmt::print("{} questions\n", questions.size());
  for (auto reader : {wire::ListingReader::jit_on, wire::ListingReader::jit_off, wire::ListingReader::restricted}) {
    auto got = kernel::list_programs({.vmlinux = kernel.vmlinux, .agent = arguments.runner.images / "linux-agent", .fresh_boot = true},
                                     files.value(), questions, reader, {});
    if (!got) return report_error(got.error());
    auto& l = got.value();
    fmt::print("== reader {} trouble '{}'\n", (int)reader, l.trouble);
    for (auto& o : l.outputs) fmt::print("-- {} bytes, ok {}\n{}\n", o.text.size(), o.succeeded, o.text);
    for (auto id : l.ids) fmt::print("{} ", id);
    fmt::print("\n");
  }
  return ExitCode::passed;
}

}  // namespace farcall::command
