#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Error.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

#include "command/commands.hpp"
#include "command/options.hpp"
#include "command/shell_word.hpp"
#include "debug/session.hpp"
#include "debug/trace.hpp"
#include "process/search_path.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"
#include "selection/select.hpp"
#include "vm/foreground.hpp"
#include "vm/machine.hpp"
#include "wire/mailbox.hpp"

namespace farcall::command {
namespace {

constexpr std::string_view kGdb = "gdb-multiarch";

struct DebugArguments {
  std::string cell;  // FILE@CELL
  std::string from;  // instead of it
  std::string at;    // a call site
  bool on_failure = false;
  std::string gdb_socket;
  bool print = false;
  Invocation invocation;
  vm::Host* host = &vm::direct_host();
  std::string host_words;  // how it was chosen, for a command line
};

// What farcall was asked to debug, as a word of a command line.
std::string subject(const DebugArguments& arguments) {
  return arguments.from.empty() ? shell_word(arguments.cell)
                                : "--from " + shell_word(arguments.from);
}

Result<model::Document> load(const DebugArguments& arguments) {
  return arguments.from.empty() ? selection::select_cell(arguments.cell)
                                : selection::read_document_file(arguments.from);
}

Result<debug::StopPoint> stop_point(const DebugArguments& arguments,
                                    const model::Document& document,
                                    const check::Testimony& prepared) {
  if (arguments.on_failure) {
    FARCALL_TRY(trace, debug::take_trace(document, arguments.invocation.images, *arguments.host));
    if (const auto point = debug::failure_point(trace)) {
      return *point;
    }
    return Error{
        .code = ErrorCode::usage_bad_argument,
        .message = fmt::format("--on-failure: no step of {} goes wrong; interpreter and CPU "
                               "take the same way",
                               document.cell.name),
        .hint = "farcall run says what else may be wrong with it"};
  }
  if (arguments.at.empty()) {
    return debug::StopPoint{.address = prepared.job->entry_point, .why = "At the program's entry."};
  }
  const model::CodeImage& image = *prepared.image;
  std::string known;
  for (const model::CodeCall& call : image.calls) {
    const std::string site = site_name(image, call.site);
    if (site == arguments.at) {
      return debug::StopPoint{.address = call.at, .why = fmt::format("At the call site {}.", site)};
    }
    known += " " + site;
  }
  return Error{.code = ErrorCode::usage_bad_argument,
               .message = fmt::format("--at {}: there is no such call site; expected one of:{}",
                                      arguments.at, known)};
}

// A folder that nobody else may enter, so that a name in it can be known before it is made.
Result<std::string> private_folder() {
  if (const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
      runtime != nullptr && *runtime == '/' && ::access(runtime, W_OK) == 0) {
    return std::string(runtime);
  }
  std::string folder =
      (std::filesystem::temp_directory_path() / fmt::format("farcall-{}", ::geteuid())).string();
  (void)::mkdir(folder.c_str(), S_IRWXU);  // it may be there already
  struct stat status = {};
  if (::lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
      status.st_uid != ::geteuid() || (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return Error{.code = ErrorCode::file_unwritable,
                 .message = "expected a folder that is yours and nobody else may enter (mode 0700)",
                 .where = {folder}};
  }
  return folder;
}

// A guest that holds still with the job in its hands, for a debugger at `socket`.
Result<vm::Machine> hold(const DebugArguments& arguments, const model::Cell& cell,
                         const model::Job& job, const std::string& socket) {
  FARCALL_TRY(machine, vm::Machine::start(run::machine_spec(cell.axes, arguments.invocation.images),
                                          *arguments.host));
  FARCALL_TRYV(machine.pause());
  FARCALL_TRYV(machine.submit(std::span(&job, 1)));
  FARCALL_TRYV(machine.serve_gdb(socket));
  return std::move(machine);
}

Result<ExitCode> debug(const DebugArguments& arguments) {
  const std::string gdb = process::program_on_path(kGdb);
  if (arguments.gdb_socket.empty() && !arguments.print && gdb.empty()) {
    return Error{.code = ErrorCode::machine_no_gdb,
                 .message = fmt::format("{} is not on PATH", kGdb),
                 .hint = "apt-get install gdb-multiarch"};
  }
  FARCALL_TRY(document, load(arguments));
  check::Testimony prepared = run::prepare(document, 0);
  if (!prepared.job) {
    return run::no_image(document, prepared);
  }
  FARCALL_TRY(stop, stop_point(arguments, document, prepared));
  if (arguments.print) {
    FARCALL_TRY(folder, private_folder());
    const std::string socket = shell_word(fmt::format("{}/{}.gdb", folder, ::getpid()));
    fmt::print("{} debug {}{}{} --gdb-socket {}\n{} -x {}.files/session.gdb\n",
               shell_word(arguments.invocation.program), subject(arguments),
               arguments.on_failure   ? " --on-failure"
               : arguments.at.empty() ? ""
                                      : " --at " + shell_word(arguments.at),
               arguments.host_words, socket, kGdb, socket);
    return ExitCode::passed;
  }
  // The program runs as a person steps it: without trace interrupts, and with all the time there
  // is.
  prepared.job->watch = model::Watch::nothing;
  prepared.job->budget_instructions = wire::kMaxBudget;

  if (std::error_code none; !arguments.gdb_socket.empty()) {
    const auto parent = std::filesystem::absolute(arguments.gdb_socket).parent_path();
    if (!std::filesystem::is_directory(parent, none)) {
      return Error{.code = ErrorCode::usage_bad_argument,
                   .message = fmt::format("--gdb-socket {}: there is no folder {}",
                                          arguments.gdb_socket, parent.string())};
    }
  }
  // They are removed at the end, so they must be ours.
  for (const std::string& path : {arguments.gdb_socket, arguments.gdb_socket + ".files"}) {
    std::error_code none;
    if (!arguments.gdb_socket.empty() && std::filesystem::exists(path, none)) {
      return Error{.code = ErrorCode::usage_bad_argument,
                   .message = fmt::format("--gdb-socket {}: there is {} already; expected a path "
                                          "where a socket can be made, and files beside it",
                                          arguments.gdb_socket, path),
                   .hint = fmt::format("if a killed farcall left it: rm -r {}", shell_word(path))};
    }
  }
  std::string folder = arguments.gdb_socket + ".files";
  std::string socket = arguments.gdb_socket;
  if (arguments.gdb_socket.empty()) {
    folder = (std::filesystem::temp_directory_path() / "farcall-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) {
      return process::start_error("cannot make a folder for temporary files");
    }
    socket = folder + "/gdb";
  }
  FARCALL_TRY(files, debug::SessionFiles::write(folder, socket, arguments.invocation.images,
                                                document.cell, prepared, stop));
  FARCALL_TRY(machine, hold(arguments, document.cell, *prepared.job, socket));
  if (arguments.gdb_socket.empty()) {
    FARCALL_TRY(status, vm::run_in_foreground({gdb, {"-q", "-x", files.script()}}));
    return status == 0 ? ExitCode::passed : ExitCode::harness_failed;
  }
  fmt::print("The guest (process {}) waits at {}; Ctrl-C ends it.\n{} -x {}\n",
             machine.process_id(), socket, kGdb, shell_word(files.script()));
  std::fflush(stdout);
  vm::wait_for_end();
  return ExitCode::passed;
}

}  // namespace

Command debug_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<DebugArguments>();
  arguments->invocation = invocation;
  CLI::App* const debug_app =
      app.add_subcommand("debug", "Stop a cell's program in its guest, with gdb attached");
  auto* const cell = debug_app->add_option("CELL", arguments->cell,
                                           "FILE@CELL, such as cases/scheme/beyond-2g.case@imm32");
  debug_app->add_option("--from", arguments->from, "A stage document instead of a cell")
      ->type_name("FILE")
      ->excludes(cell);
  debug_app
      ->add_option("--at", arguments->at, "Stop at this call site, as main[0], not at the entry")
      ->type_name("SITE");
  debug_app
      ->add_flag("--on-failure", arguments->on_failure,
                 "Stop where the run goes wrong: a call that lands elsewhere, a register, a fault")
      ->excludes("--at");
  auto* const print = debug_app->add_flag("--print", arguments->print,
                                          "Only print the two commands to type by hand");
  debug_app
      ->add_option("--gdb-socket", arguments->gdb_socket,
                   "Start no gdb: the guest waits at this Unix socket")
      ->type_name("PATH")
      ->excludes(print);
  debug_app->parse_complete_callback([arguments] {
    if (arguments->cell.empty() && arguments->from.empty()) {
      throw CLI::RequiredError("CELL or --from");
    }
  });
  return {debug_app, with_host(*debug_app, arguments->host, [arguments, debug_app] {
            for (const std::string name : {"--vm", "--connect"}) {
              const CLI::Option& option = *debug_app->get_option(name);
              arguments->host_words +=
                  option.empty()
                      ? ""
                      : fmt::format(" {} {}", name, shell_word(option.as<std::string>()));
            }
            const auto code = debug(*arguments);
            return code ? code.value() : report_error(code.error());
          })};
}

}  // namespace farcall::command
