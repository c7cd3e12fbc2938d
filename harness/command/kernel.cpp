#include "stock/kernel.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "command/commands.hpp"
#include "command/defects.hpp"
#include "command/interruption.hpp"
#include "command/kernel_distance.hpp"
#include "command/kernel_listing.hpp"
#include "command/kernel_selftest.hpp"
#include "command/options.hpp"
#include "engine/jit.hpp"
#include "kernel/architecture.hpp"
#include "kernel/fetch.hpp"
#include "kernel/guest.hpp"
#include "kernel/selftest.hpp"
#include "kernel/store.hpp"
#include "kernel/version.hpp"
#include "model/json.hpp"
#include "selection/select.hpp"
#include "stock/capture.hpp"
#include "stock/run_in_kernel.hpp"

namespace farcall::command {
namespace {

constexpr double kMebibyte = 1 << 20;

struct VersionArguments {
  std::vector<std::string> versions;
  std::string architecture{kernel::kPpc64el};
  bool is_source = false;
  bool is_bpftool = false;

  kernel::Kind kind() const {
    if (is_bpftool) {
      return kernel::Kind::bpftool;
    }
    return is_source ? kernel::Kind::source : kernel::Kind::image;
  }
};

void add_kernel(CLI::App& command, std::string& kernel) {
  command
      .add_option("--kernel", kernel,
                  "A kernel that was fetched, 6.1 by default, or the file of one, vmlinux")
      ->type_name("VERSION");
}

ExitCode worse(ExitCode left, ExitCode right) {
  return static_cast<int>(left) < static_cast<int>(right) ? right : left;
}

// Does `action` for each version, and goes on after one that fails.
ExitCode for_each_version(
    const VersionArguments& arguments,
    const std::function<Result<void>(const kernel::Store&, const kernel::Wanted&)>& action) {
  const auto store = kernel::Store::of_user(arguments.architecture);
  if (!store) {
    return report_error(store.error());
  }
  ExitCode code = ExitCode::passed;
  for (const std::string& version : arguments.versions) {
    const auto wanted = kernel::wanted(arguments.kind(), version, arguments.architecture);
    const auto done = wanted ? action(store.value(), wanted.value()) : wanted.error();
    if (!done) {
      code = worse(code, report_error(done.error()));
    }
  }
  return code;
}

// One line that is written over and over on a terminal, and one for each thing elsewhere.
class ProgressLine {
 public:
  void show(const std::string& what, std::uint64_t done, std::uint64_t of) {
    if (::isatty(STDERR_FILENO) == 0) {
      if (what != what_) {
        note(what);
      }
    } else {
      std::string line = what;
      if (of != 0) {
        line += fmt::format(": {:.0f} of {:.0f} MiB", static_cast<double>(done) / kMebibyte,
                            static_cast<double>(of) / kMebibyte);
      }
      fmt::print(stderr, "\r\033[K{}", line);
      std::fflush(stderr);
      is_open_ = true;
    }
    what_ = what;
  }
  void clear() {
    if (is_open_) {
      fmt::print(stderr, "\r\033[K");
      is_open_ = false;
    }
    what_.clear();
  }

 private:
  std::string what_;
  bool is_open_ = false;
};

void show(const kernel::Fetched& fetched) {
  fmt::print("{:<7} {:<24} {:>6.0f} MiB  {}\n", name(fetched.kind), version_name(fetched),
             static_cast<double>(fetched.byte_count) / kMebibyte, fetched.folder.string());
}

ExitCode fetch(const VersionArguments& arguments) {
  return for_each_version(
      arguments, [](const kernel::Store& store, const kernel::Wanted& wanted) -> Result<void> {
        ProgressLine line;
        const auto fetched =
            kernel::fetch(store, wanted,
                          {.note =
                               [&line](const std::string& text) {
                                 line.clear();
                                 note(text);
                               },
                           .progress = [&line](const std::string& what, std::uint64_t done,
                                               std::uint64_t of) { line.show(what, done, of); }});
        line.clear();
        if (!fetched) {
          return fetched.error();
        }
        show(fetched.value());
        return success();
      });
}

ExitCode path(const VersionArguments& arguments) {
  return for_each_version(
      arguments, [](const kernel::Store& store, const kernel::Wanted& wanted) -> Result<void> {
        FARCALL_TRY(fetched, store.get(wanted));
        fmt::print("{}\n", fetched.folder.string());
        return success();
      });
}

ExitCode remove(const VersionArguments& arguments) {
  return for_each_version(
      arguments, [](const kernel::Store& store, const kernel::Wanted& wanted) -> Result<void> {
        const auto lock = store.lock();
        if (!lock) {
          return lock.error();
        }
        FARCALL_TRY(fetched, store.get(wanted));
        FARCALL_TRYV(store.remove(fetched));
        fmt::print("removed {}\n", fetched.folder.string());
        return success();
      });
}

ExitCode list() {
  for (const kernel::Architecture& architecture : kernel::architectures()) {
    const auto store = kernel::Store::of_user(architecture.name);
    if (!store) {
      return report_error(store.error());
    }
    for (const kernel::Fetched& fetched : store.value().all()) {
      show(fetched);
    }
  }
  return ExitCode::passed;
}

struct DefectsArguments {
  std::vector<std::string> names;  // of trees, versions, files of kernels; none: all that is there
  bool json = false;
  run::RunnerOptions runner;
};

// What is looked at: the JITs of trees, and stock kernels.
struct Suspects {
  std::vector<std::string> trees;
  std::vector<stock::StockKernel> kernels;
};

// A folder is a tree, a file is a kernel, all else a version: its source, its image, or both.
Result<void> add_suspects(const kernel::Store& store, const std::string& name, Suspects& suspects) {
  if (std::filesystem::is_directory(name)) {
    suspects.trees.push_back(name);
    return success();
  }
  const bool is_path = name.find('/') != std::string::npos;
  if (!is_path && !std::filesystem::is_regular_file(name)) {
    FARCALL_TRY(source, kernel::wanted(kernel::Kind::source, name));
    FARCALL_TRY(image, kernel::wanted(kernel::Kind::image, name));
    const auto tree = store.find(source);
    const auto kernel = store.find(image);
    if (tree) {
      suspects.trees.push_back(tree->folder.string());
    }
    if (tree && !kernel) {
      return success();
    }
    if (!tree && !kernel) {
      return Error{
          .code = ErrorCode::kernel_not_fetched,
          .message = fmt::format("neither source nor image of Linux {} is in {}", name,
                                 store.folder().string()),
          .hint = fmt::format("farcall kernel fetch --source {0}, farcall kernel fetch {0}", name)};
    }
  }
  FARCALL_TRY(kernel, stock::stock_kernel(name));
  suspects.kernels.push_back(std::move(kernel));
  return success();
}

Result<Suspects> suspects_of(const DefectsArguments& arguments) {
  FARCALL_TRY(store, kernel::Store::of_user());
  Suspects suspects;
  for (const std::string& name : arguments.names) {
    FARCALL_TRYV(add_suspects(store, name, suspects));
  }
  if (arguments.names.empty()) {
    for (const kernel::Fetched& fetched : store.all()) {
      if (fetched.kind == kernel::Kind::source) {
        suspects.trees.push_back(fetched.folder.string());
      } else {
        FARCALL_TRY(kernel, stock::stock_kernel(version_name(fetched)));
        suspects.kernels.push_back(std::move(kernel));
      }
    }
  }
  std::set<std::string> names;
  for (const stock::StockKernel& kernel : suspects.kernels) {
    if (!names.insert(kernel.asked.name).second) {
      return Error{.code = ErrorCode::usage_bad_argument,
                   .message = fmt::format("two kernels are called {}", kernel.asked.name),
                   .hint = "rename one of the files: each is a column of the table"};
    }
  }
  if (suspects.trees.empty() && suspects.kernels.empty()) {
    return Error{.code = ErrorCode::kernel_not_fetched,
                 .message = fmt::format("no source of Linux is in {}, and no image",
                                        store.folder().string()),
                 .hint = "farcall kernel fetch [--source] 6.1 6.12, or name a tree"};
  }
  return suspects;
}

Result<void> show_defects(const DefectsArguments& arguments) {
  FARCALL_TRY(suspects, suspects_of(arguments));
  FARCALL_TRY(table, find_defects(suspects.trees, suspects.kernels, arguments.runner,
                                  [] { return Interruption::signal() != 0; }));
  fmt::print("{}", arguments.json ? model::json_text(to_json(table), 1) + "\n" : text(table));
  return success();
}

ExitCode defects(const DefectsArguments& arguments) {
  const Interruption interruption;
  const auto shown = show_defects(arguments);
  if (Interruption::signal() != 0 && !shown) {
    return Interruption::report("not all defects were looked for, and no table is shown");
  }
  return shown ? ExitCode::passed : report_error(shown.error());
}

struct CaptureArguments {
  std::string cell;                            // FILE@CELL
  std::string kernel = stock::kDefaultKernel;  // a version that was fetched, or a file
  std::string output;                          // empty: standard output
  wire::KernelMode mode = wire::KernelMode::jit;
  bool fresh_boot = false;
  std::filesystem::path images;
  vm::Host* host = &vm::direct_host();
};

Result<void> write_capture(const CaptureArguments& arguments) {
  FARCALL_TRY(document, selection::select_cell(arguments.cell));
  document.cell.expected.rejection.reset();  // there is no code of what is rejected
  FARCALL_TRY(kernel, stock::stock_kernel(arguments.kernel, arguments.fresh_boot));
  const stock::LinuxCell cell = stock::linux_cell(document.cell, kernel.asked.facts);
  if (const auto why = stock::why_not_asked(cell, arguments.mode)) {
    return *why;
  }
  // Beside its code without hardening one sees whether constants are blinded.
  std::vector<kernel::Question> questions = {cell.question};
  if (arguments.mode == wire::KernelMode::hardened) {
    questions.push_back(cell.question);
    questions.back().mode = arguments.mode;
  }
  // Last: it must not change where code is placed.
  questions.push_back(stock::symbols_question(kernel.asked.facts.order()));
  kernel::GuestSpec spec = stock::guest_of(kernel, arguments.images, arguments.host);
  spec.cpu = document.cell.axes.cpu;
  spec.mmu = document.cell.axes.mmu;
  FARCALL_TRY(answers, kernel::ask(spec, questions, {.tell = note}));
  stock::learn(answers.back(), kernel.asked);
  stock::Captured captured = stock::captured(cell, arguments.mode, answers[answers.size() - 2],
                                             kernel.asked, &answers.front());
  std::erase_if(captured.findings, stock::is_of_every_kernel);
  if (captured.skipped) {
    return *captured.skipped;
  }
  if (!captured.findings.empty()) {
    return model::as_error(captured.findings.front());
  }
  for (const std::string& line : captured.notes) {
    note(line);
  }
  model::Document written = *captured.document;
  written.cell.name = fmt::format("{}-{}", captured.cell.name, kernel.asked.name);
  return write_output(arguments.output,
                      model::json_text(model::to_json(written, "image"), 1) + "\n");
}

ExitCode capture(const CaptureArguments& arguments) {
  const auto written = write_capture(arguments);
  if (written) {
    return ExitCode::passed;
  }
  const ExitCode code = report_error(written.error());
  return blame(written.error().code) == Blame::code ? ExitCode::failed : code;
}

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const kernel::Architecture& architecture : kernel::architectures()) {
    names.emplace_back(architecture.name);
  }
  return names;
}

// Adds a command with versions, which sets `action` when it is the one that was asked for.
void add_version_command(CLI::App& app, const std::string& name, const std::string& summary,
                         ExitCode (*act)(const VersionArguments&),
                         const std::shared_ptr<std::function<ExitCode()>>& action) {
  const auto arguments = std::make_shared<VersionArguments>();
  CLI::App* const command = app.add_subcommand(name, summary);
  command
      ->add_option("VERSION", arguments->versions,
                   "A series, as 6.12, or a version, as 6.12.107-1; -64k after it for pages of 64 "
                   "KiB")
      ->required();
  CLI::Option* const source =
      command->add_flag("--source", arguments->is_source,
                        "The source, for --jit kernel:VERSION, and not the ppc64el kernel");
  CLI::Option* const bpftool = command->add_flag(
      "--bpftool", arguments->is_bpftool, "The bpftool of that source, for farcall kernel listing");
  bpftool->excludes(source);
  command
      ->add_option("--arch", arguments->architecture,
                   "The kernel for another architecture, for farcall kernel distance")
      ->check(one_of(architecture_names()))
      ->type_name("NAME")
      ->excludes(source)
      ->excludes(bpftool);
  command->parse_complete_callback([=] { *action = [arguments, act] { return act(*arguments); }; });
}

}  // namespace

Command kernel_command(CLI::App& app, const Invocation& invocation) {
  const auto action = std::make_shared<std::function<ExitCode()>>();
  CLI::App* const kernel_app =
      app.add_subcommand("kernel", "Debian's kernels, and what is known of Linux's powerpc JIT");
  kernel_app->require_subcommand(1);
  add_version_command(*kernel_app, "fetch", "Bring kernels of Debian into the cache", fetch,
                      action);
  kernel_app->add_subcommand("list", "Show the kernels that are there")
      ->parse_complete_callback([action] { *action = list; });
  add_version_command(*kernel_app, "path", "Print the folder of a kernel that is there", path,
                      action);
  add_version_command(*kernel_app, "remove", "Remove kernels from the cache", remove, action);

  const auto to_capture = std::make_shared<CaptureArguments>();
  to_capture->images = invocation.images;
  CLI::App* const capture_app = kernel_app->add_subcommand(
      "capture",
      "Boot a stock kernel, and write its code of a cell as a document for farcall run --from");
  capture_app
      ->add_option("CELL", to_capture->cell, "FILE@CELL, such as cases/scheme/beyond-2g.case@imm32")
      ->required();
  add_kernel(*capture_app, to_capture->kernel);
  static const std::map<std::string, wire::KernelMode> kModesWithCode = {
      {"jit", wire::KernelMode::jit}, {"hardened", wire::KernelMode::hardened}};
  add_choice(*capture_app, "--mode", to_capture->mode, kModesWithCode,
             "jit (the default), or hardened: bpf_jit_harden=2, constants are blinded", "MODE");
  add_fresh_boot(*capture_app, to_capture->fresh_boot);
  capture_app->add_option("--output", to_capture->output, "Where to write it")->type_name("FILE");
  const auto do_capture =
      with_host(*capture_app, to_capture->host, [to_capture] { return capture(*to_capture); });
  capture_app->parse_complete_callback([=] { *action = do_capture; });

  const auto to_measure = std::make_shared<DistanceArguments>();
  to_measure->images = invocation.images;
  CLI::App* const distance_app = kernel_app->add_subcommand(
      "distance", "How far from __bpf_call_base stock kernels put JITed code");
  distance_app
      ->add_option("VERSION", to_measure->kernels,
                   "Kernels that were fetched, 6.1 by default (6.12 of riscv64), or files of "
                   "ppc64el kernels")
      ->type_name("VERSION...");
  distance_app
      ->add_option("--arch", to_measure->architectures,
                   "Architectures: ppc64el, which is the default, arm64, amd64, riscv64, s390x; "
                   "each other than ppc64el needs an emulator and a cross compiler")
      ->check(one_of(architecture_names()))
      ->type_name("NAME...");
  distance_app->add_option("--boots", to_measure->boots, "How often each is booted, 3 by default")
      ->check(CLI::Range(1U, 100U));
  distance_app->add_flag("--json", to_measure->json, "The same as one JSON document");
  distance_app
      ->add_option("--picture", to_measure->picture, "Draw them as well, beside the table (.svg)")
      ->type_name("FILE");
  const auto do_measure = with_host(*distance_app, to_measure->host,
                                    [to_measure] { return kernel_distance(*to_measure); });
  distance_app->parse_complete_callback([=] {
    if (to_measure->architectures.empty()) {
      to_measure->architectures.emplace_back(kernel::kPpc64el);
    }
    *action = do_measure;
  });

  const auto to_test = std::make_shared<SelftestArguments>();
  to_test->images = invocation.images;
  CLI::App* const selftest_app = kernel_app->add_subcommand(
      "selftest", "Run the kernel's own module test_bpf in its stock guest, JIT on and off");
  add_kernel(*selftest_app, to_test->kernel);
  selftest_app->add_option("--modules", to_test->modules, "Where the modules of that file are")
      ->type_name("DIR");
  one_each(selftest_app->add_option("--suite", to_test->suites,
                                    "test_bpf, test_tail_calls, test_skb_segment"))
      ->check(one_of(
          std::vector<std::string>(kernel::kSelftestSuites.begin(), kernel::kSelftestSuites.end())))
      ->type_name("SUITE");
  add_formats(*selftest_app, to_test->reports);
  const auto do_test =
      with_host(*selftest_app, to_test->host, [to_test] { return kernel_selftest(*to_test); });
  selftest_app->parse_complete_callback([=] {
    check_pairs(*selftest_app);
    *action = do_test;
  });

  const auto to_list = std::make_shared<ListingArguments>();
  to_list->images = invocation.images;
  CLI::App* const listing_app = kernel_app->add_subcommand(
      "listing", "Compare what Debian's bpftool prints of programs in stock kernels with farcall");
  listing_app
      ->add_option("VERSION", to_list->kernels,
                   "Kernels that were fetched, 6.1 by default, or files of kernels; of each series "
                   "the bpftool, too: farcall kernel fetch --bpftool 6.1")
      ->type_name("VERSION...");
  one_each(listing_app->add_option("--cases", to_list->cases, "Whose programs: `cases` by default"))
      ->type_name("PATH");
  const auto do_list =
      with_host(*listing_app, to_list->host, [to_list] { return kernel_listing(*to_list); });
  listing_app->parse_complete_callback([=] {
    if (to_list->kernels.empty()) {
      to_list->kernels.emplace_back(stock::kDefaultKernel);
    }
    *action = do_list;
  });

  const auto arguments = std::make_shared<DefectsArguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const defects_app = kernel_app->add_subcommand(
      "defects", "Show which known defects Linux's JITs and stock kernels have");
  defects_app->add_option("VERSION", arguments->names,
                          "Versions: of each its source's JIT and its stock kernel, as they were "
                          "fetched; or a source tree, or the file of a kernel; without any, all "
                          "that was fetched");
  defects_app->add_flag("--json", arguments->json, "The table as JSON");
  const auto do_defects =
      with_host(*defects_app, arguments->runner.host, [arguments] { return defects(*arguments); });
  defects_app->parse_complete_callback([=] { *action = do_defects; });
  return {kernel_app, [action] { return (*action)(); }};
}

}  // namespace farcall::command
