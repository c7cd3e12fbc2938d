#include "command/kernel_listing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "command/interruption.hpp"
#include "command/shell_word.hpp"
#include "kernel/bpftool.hpp"
#include "kernel/store.hpp"
#include "selection/select.hpp"
#include "stock/kernel.hpp"
#include "stock/listing.hpp"

namespace farcall::command {
namespace {

constexpr std::array<std::string_view, 3> kReaders = {"JIT on", "JIT off", "restricted"};

// Fewer would not be what this command promises.
constexpr std::size_t kFewest = 200;

constexpr std::size_t kMostShownOfNew = 10;  // of what is new

void print(const stock::ListingDifference& difference) {
  fmt::print("  new, program {}\n    ours    {}\n    bpftool {}\n", difference.program,
             difference.ours.empty() ? "nothing" : difference.ours,
             difference.theirs.empty() ? "nothing" : difference.theirs);
}

// Whether all differences are known.
bool print(const stock::StockKernel& kernel, std::string_view reader,
           const stock::ListingComparison& found) {
  std::array<std::size_t, stock::kListingDifferences.size()> counts = {};
  std::size_t fresh = 0;
  for (const stock::ListingDifference& difference : found.differences) {
    if (difference.known) {
      ++counts[*difference.known];
    } else {
      ++fresh;
    }
  }
  fmt::print(
      "{:<20} {:<10} {} programs, {} of them instruction by instruction; {} lines, {} new "
      "differences\n",
      stock::jit_name(kernel), reader, found.programs, found.listed, found.lines, fresh);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != 0) {
      const stock::KnownListingDifference& known = stock::kListingDifferences[i];
      fmt::print("  known: {:<17} {:>4} {:<11} {}\n", known.name, counts[i],
                 fmt::format("{}{}", known.counted, counts[i] == 1 ? "" : "s"), known.summary);
    }
  }
  std::size_t shown = 0;
  for (const stock::ListingDifference& difference : found.differences) {
    if (!difference.known && ++shown <= kMostShownOfNew) {
      print(difference);
    }
  }
  if (fresh > kMostShownOfNew) {
    fmt::print("  and {} more\n", fresh - kMostShownOfNew);
  }
  return fresh == 0;
}

Error big_endian(const stock::StockKernel& kernel) {
  return {
      .code = ErrorCode::usage_bad_argument,
      .message = fmt::format("{} is a big-endian kernel, which cannot run the bpftool of "
                             "Debian's ppc64el, a little-endian program",
                             kernel.argument),
      .hint = fmt::format("farcall run cases --guest linux --kernel {} compares its dump of each "
                          "program, the names of functions and the lines with what they should "
                          "be, without bpftool",
                          shell_word(kernel.argument))};
}

Result<bool> compare(const stock::StockKernel& kernel,
                     std::span<const stock::ListedProgram> programs,
                     const ListingArguments& arguments) {
  const stock::Series series = kernel.asked.series;
  FARCALL_TRY(store, kernel::Store::of_user());
  FARCALL_TRY(wanted, kernel::wanted(kernel::Kind::bpftool,
                                     fmt::format("{}.{}", series.major, series.minor)));
  FARCALL_TRY(fetched, store.get(wanted));
  FARCALL_TRY(bpftool, kernel::bpftool_files(fetched.folder));
  note(fmt::format("bpftool {}", version_name(fetched)));
  std::vector<kernel::Question> questions;
  for (const stock::ListedProgram& program : programs) {
    questions.push_back(program.question);
  }
  bool all_known = true;
  for (std::size_t i = 0; i < kReaders.size(); ++i) {
    const auto reader = static_cast<wire::ListingReader>(i);
    FARCALL_TRY(listings,
                kernel::list_programs(
                    stock::guest_of(kernel, arguments.images, arguments.host), bpftool, questions,
                    reader, {.stopped = [] { return Interruption::signal() != 0; }, .tell = note}));
    if (!listings.trouble.empty()) {
      return Error{.code = ErrorCode::jit_warned,
                   .message = "the kernel's log says: " + listings.trouble};
    }
    const auto found =
        stock::compare_listings(programs, listings, reader, series, kernel.asked.hash);
    if (found.programs < kFewest) {
      return Error{
          .code = ErrorCode::usage_nothing_selected,
          .message = fmt::format("{} takes {} of {} programs; {} are to be there at once",
                                 kernel.asked.name, found.programs, programs.size(), kFewest),
          .hint = "--cases: all built-in cases are enough"};
    }
    all_known = print(kernel, kReaders[i], found) && all_known;
  }
  return all_known;
}

Result<bool> compare_all(const ListingArguments& arguments) {
  std::vector<stock::StockKernel> kernels;
  for (const std::string& name : arguments.kernels) {
    FARCALL_TRY(kernel, stock::stock_kernel(name));
    if (kernel.asked.facts.endian == model::Endian::big) {
      return big_endian(kernel);
    }
    kernels.push_back(std::move(kernel));
  }
  FARCALL_TRY(selected, selection::select_cells({.paths = {arguments.cases.string()}}));
  if (!selected.bad.empty()) {
    return selected.bad.front().error;
  }
  const std::vector<stock::ListedProgram> programs = stock::listed_programs(selected.documents);
  bool all_known = true;
  for (const stock::StockKernel& kernel : kernels) {
    FARCALL_TRY(known, compare(kernel, programs, arguments));
    all_known = known && all_known;
  }
  return all_known;
}

}  // namespace

ExitCode kernel_listing(const ListingArguments& arguments) {
  const Interruption interruption;
  const auto all_known = compare_all(arguments);
  if (!all_known && Interruption::signal() != 0) {
    return Interruption::report("not all listings were compared");
  }
  if (!all_known) {
    return report_error(all_known.error());
  }
  return all_known.value() ? ExitCode::passed : ExitCode::failed;
}

}  // namespace farcall::command
