#include <fmt/format.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "bpf/object.hpp"
#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "command/commands.hpp"
#include "command/options.hpp"
#include "run/pipeline.hpp"
#include "run/runner.hpp"
#include "selection/code_layout.hpp"

namespace farcall::command {
namespace {

struct NewArguments {
  std::string object;  // OBJECT or OBJECT:ENTRY
  std::string output;  // a file; empty: standard output
  std::string folder;  // instead: all entries, a file each, not run
  std::string btf;     // of a kernel; empty: none
  // The case is read several times until it stands.
  std::shared_ptr<cases::KernelFiles> kernels = std::make_shared<cases::KernelFiles>();
  run::RunnerOptions runner;
};

// What a program reads through r1 whose context is a pointer to numbers, as tracing programs have.
constexpr std::uint32_t kContextBytes = 12 * 8;

constexpr std::string_view kPointerCalls = "-- extension callx-address\n";

// Stubs and contexts of zeros give a program null pointers where a kernel would have objects. Linux
// lets loads through such pointers come to zero, and so do loads from here. What the program would
// write to such an object, it writes here.
constexpr std::array<std::string_view, 2> kNulls = {
    "-- data null ro size=16384\n-- place\nnull = user\n",
    "-- data null size=16384\n-- place\nnull = user\n"};

// What of a case is known before it was run.
struct Draft {
  std::string head;          // sections up to the program
  std::string declarations;  // stubs and context
  std::string kernel;        // whose types the object was made to fit; empty: none's
  bool has_result = true;
  cases::KernelFiles* kernels = nullptr;
  cases::Case parsed;
};

std::string context_section(const bpf::Pointee& context) {
  if (context.type.empty() || context.bytes == 0) {
    return fmt::format("-- context {}\n", kContextBytes);
  }
  if (context.is_open) {
    return fmt::format("-- context {}  # {} and what follows it\n", context.bytes + kContextBytes,
                       context.type);
  }
  return fmt::format("-- context {}\n", context.type);
}

std::string stub_sections(const bpf::Program& program) {
  std::string text;
  for (const bpf::External& external : program.externals) {
    if (external.stub) {
      const bool is_helper = external.kind == bpf::ExternalKind::helper;
      text += is_helper ? fmt::format("-- stub helper {}  # {}\n", external.id, external.name)
                        : fmt::format("-- stub kfunc {}\n", external.name);
      text += "returns 0\n";
    }
  }
  return text;
}

// What the interpreter comes to with these declarations, or what is in its way.
Result<bpf::InterpreterRun> interpreted(const Draft& draft, const std::string& name);

std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

Result<Draft> draft_of(const NewArguments& arguments, const std::string& object,
                       const std::string& entry, const std::string& name) {
  Draft draft{.head = fmt::format("-- elf \"{}\" {}\n", absolute(object), entry),
              .declarations = {},
              .kernel = arguments.btf,
              .kernels = arguments.kernels.get(),
              .parsed = {}};
  if (!arguments.btf.empty()) {
    draft.head += fmt::format("-- btf \"{}\"\n", absolute(arguments.btf));
  }
  // Calls through pointers are an extension, for an object always of this kind.
  const auto parse = [&](const std::string& text) {
    return cases::parse_case(text, name, {}, draft.kernels);
  };
  Result<cases::Case> read = parse(draft.head);
  if (!read && read.error().code == ErrorCode::bpf_unknown_opcode) {
    if (auto again = parse(std::string(kPointerCalls) + draft.head)) {
      draft.head.insert(0, kPointerCalls);
      read = std::move(again);
    }
  }
  FARCALL_TRY(bare, std::move(read));
  if (bare.object_order == std::endian::big) {
    draft.head += "-- matrix\nendian be\n";
  }
  if (bare.entry_context) {
    draft.declarations += context_section(*bare.entry_context);
  }
  draft.declarations += stub_sections(*bare.program);
  draft.parsed = std::move(bare);
  auto run = interpreted(draft, name);
  const auto lacks_memory = [](const Result<bpf::InterpreterRun>& of) {
    return !of && of.error().code == ErrorCode::interpreter_bad_access;
  };
  for (std::size_t i = 0; lacks_memory(run) && i < kNulls.size(); ++i) {
    Draft with_null = draft;
    with_null.declarations += kNulls[i];
    if (auto again = interpreted(with_null, name); !lacks_memory(again)) {
      draft = std::move(with_null);
      run = std::move(again);
    }
  }
  // C calls it void; what assembly leaves in r0 may be a result even so.
  if (run && run.value().undefined_result && !draft.parsed.entry_has_result) {
    draft.has_result = false;
  }
  return draft;
}

std::string comment_on(const Draft& draft) {
  std::string text;
  if (draft.parsed.core_relocations != 0) {
    text += fmt::format(
        "# {} places depend on how a kernel's types look (CO-RE): they {}.\n",
        draft.parsed.core_relocations,
        draft.kernel.empty() ? "stand as they were compiled" : fmt::format("fit {}", draft.kernel));
  }
  return text;
}

std::string result_section(const Draft& draft, const std::string& value) {
  return draft.has_result ? fmt::format("-- result\n{}\n", value) : "-- result none\n";
}

std::string open_outcome(const Draft& draft) {
  return fmt::format("{}-- calls\nrest *any\n", result_section(draft, "any"));
}

// The text of a case that says nothing of what comes of it.
std::string open_case(const Draft& draft) {
  return fmt::format("# not run yet\n{}{}{}{}", comment_on(draft), draft.head, draft.declarations,
                     open_outcome(draft));
}

// The lines of `-- calls`: what was called, and what was not.
std::string call_lines(const model::Verdict& verdict) {
  std::vector<model::SiteStory> lines;  // a jump has a story for each place that it goes to
  for (const model::SiteStory& site : verdict.sites) {
    const auto known = std::ranges::find_if(lines, [&](const model::SiteStory& line) {
      return line.site == site.site && line.callee == site.callee;
    });
    if (known == lines.end()) {
      lines.push_back(site);
    } else {
      known->interpreted = known->interpreted.value_or(0) + site.interpreted.value_or(0);
    }
  }
  std::string text;
  for (const model::SiteStory& site : lines) {
    const std::uint64_t count = site.interpreted.value_or(0);
    text += fmt::format("{} {}{}\n", site.name, site.callee,
                        count == 1 ? "" : fmt::format(" *{}", count));
  }
  return text.empty() ? text : "-- calls\n" + text;
}

Result<std::vector<model::Cell>> cells_of(const std::string& text, const std::string& name,
                                          cases::KernelFiles* kernels) {
  FARCALL_TRY(parsed, cases::parse_case(text, name, {}, kernels));
  return cases::cells(parsed, selection::code_layout());
}

Result<bpf::InterpreterRun> interpreted(const Draft& draft, const std::string& name) {
  FARCALL_TRY(cells, cells_of(open_case(draft), name, draft.kernels));
  return run::interpreted(cells.front());
}

Result<model::Verdict> run_once(const Draft& draft, const std::string& name,
                                const run::RunnerOptions& runner) {
  FARCALL_TRY(cells, cells_of(open_case(draft), name, draft.kernels));
  std::vector<model::Document> documents;
  documents.push_back({.cell = std::move(cells.front())});
  model::Verdict verdict;
  run::run_all(run::Documents(std::move(documents)), runner,
               [&](const run::FinishedCell& finished) { verdict = finished.verdict; });
  return verdict;
}

// The case that a run comes to; one that did not pass is written without an outcome of its own.
Result<std::string> recorded_case(const NewArguments& arguments, const std::string& object,
                                  const std::string& entry) {
  const std::string name = "new.case";
  FARCALL_TRY(draft, draft_of(arguments, object, entry, name));
  FARCALL_TRY(verdict, run_once(draft, name, arguments.runner));
  if (verdict.outcome != model::Outcome::pass || !verdict.result) {
    for (const model::Finding& finding : verdict.findings) {
      fmt::print(stderr, "{}: {} [{}]\n", entry, finding.text, farcall::name(finding.code));
    }
    return fmt::format(
        "# recorded, not derived: it did not pass, so that nothing is said of what "
        "comes of it\n{}{}{}{}",
        comment_on(draft), draft.head, draft.declarations, open_outcome(draft));
  }
  return fmt::format("# recorded, not derived: interpreter and CPU agreed on it\n{}{}{}{}{}",
                     comment_on(draft), draft.head, draft.declarations,
                     result_section(draft, fmt::format("{:#x}", *verdict.result)),
                     call_lines(verdict));
}

// A file for each entry, not run; says what is refused.
ExitCode write_all(const NewArguments& arguments, const std::vector<std::string>& entries) {
  const std::filesystem::path folder = arguments.folder;
  std::string stem = std::filesystem::path(arguments.object).filename().string();
  stem = stem.substr(0, stem.find('.'));
  ExitCode code = ExitCode::passed;
  for (const std::string& entry : entries) {
    const std::string name = fmt::format("{}.{}.case", stem, entry);
    Result<Draft> draft = draft_of(arguments, arguments.object, entry, name);
    if (!draft) {
      fmt::print(stderr, "{} {}: {}\n", arguments.object, entry, to_string(draft.error()));
      code = ExitCode::bad_input;
      continue;
    }
    if (auto cells = cells_of(open_case(draft.value()), name, draft.value().kernels); !cells) {
      fmt::print(stderr, "{} {}: {}\n", arguments.object, entry, to_string(cells.error()));
      code = ExitCode::bad_input;
      continue;
    }
    if (const auto written = write_output((folder / name).string(), open_case(draft.value()));
        !written) {
      return report_error(written.error());
    }
  }
  return code;
}

// The one function that an object's program can begin with, if nobody says which.
Result<std::string> only_entry(const std::string& object) {
  FARCALL_TRY(entries, bpf::object_entries(object));
  if (entries.size() == 1) {
    return std::move(entries.front());
  }
  return Error{.code = ErrorCode::elf_unknown_entry,
               .message = entries.empty()
                              ? "no function is global: expected one that a program begins with"
                              : fmt::format("{} programs: expected '{}:ENTRY' with one of {}",
                                            entries.size(), object, fmt::join(entries, ", ")),
               .where = {.file = object},
               .hint = "'--all FOLDER' writes a case for each"};
}

ExitCode make(const NewArguments& arguments) {
  if (!arguments.folder.empty()) {
    const auto entries = bpf::object_entries(arguments.object);
    return entries ? write_all(arguments, entries.value()) : report_error(entries.error());
  }
  const std::size_t colon = arguments.object.rfind(':');
  const bool has_entry = colon != std::string::npos && !std::filesystem::exists(arguments.object);
  const std::string object = arguments.object.substr(0, has_entry ? colon : std::string::npos);
  const auto entry =
      has_entry ? Result<std::string>(arguments.object.substr(colon + 1)) : only_entry(object);
  if (!entry) {
    return report_error(entry.error());
  }
  const auto text = recorded_case(arguments, object, entry.value());
  return text ? write_or_report(arguments.output, text.value()) : report_error(text.error());
}

}  // namespace

Command new_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<NewArguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const new_app =
      app.add_subcommand("new", "Write a case for a program of an object that clang made");
  new_app
      ->add_option("OBJECT", arguments->object, "The object, or OBJECT:ENTRY, one of its functions")
      ->required();
  auto* const output =
      new_app->add_option("--output,-o", arguments->output, "The case file; else standard output")
          ->type_name("FILE");
  new_app
      ->add_option("--btf", arguments->btf,
                   "The types of a kernel, as /sys/kernel/btf/vmlinux, that CO-RE relocations are "
                   "applied against")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  new_app
      ->add_option("--all", arguments->folder,
                   "Write a case for each entry into this folder, and run none")
      ->type_name("FOLDER")
      ->check(CLI::ExistingDirectory)
      ->excludes(output);
  return {new_app,
          with_host(*new_app, arguments->runner.host, [arguments] { return make(*arguments); })};
}

}  // namespace farcall::command
