#include "command/defects.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/matrix.hpp"
#include "command/commands.hpp"
#include "kernel/guest.hpp"
#include "selection/code_layout.hpp"
#include "stock/linux_cells.hpp"
#include "stock/probe.hpp"
#include "stock/run_in_kernel.hpp"

namespace farcall::command {
namespace {

using Found = DefectState::Found;

constexpr std::array kEverywhere = {ErrorCode::code_size, ErrorCode::code_data_misaligned};
constexpr std::size_t kNarrowest = 16;  // column of the table

struct KnownCase {
  std::string name;
  std::string summary;
  std::vector<model::Document> documents;
  std::vector<model::KnownFailure> known;
};

Result<KnownCase> read_known(const std::string& path) {
  FARCALL_TRY(parsed, cases::read_case(path));
  FARCALL_TRY(cells, cases::cells(parsed, selection::code_layout()));
  KnownCase read{.name = parsed.name, .summary = parsed.summary};
  for (model::Cell& cell : cells) {
    std::ranges::copy(cell.expected.known, std::back_inserter(read.known));
    cell.expected.known.clear();  // what happens is to be seen
    read.documents.push_back({.cell = std::move(cell)});
  }
  return read;
}

bool knows(const KnownCase& one, ErrorCode code) {
  return std::ranges::find(one.known, code, &model::KnownFailure::code) != one.known.end();
}

// The variant of a kernel's JIT that the case is about: `+pcrel`, or nothing.
std::string variant_of(const KnownCase& one) {
  for (const model::KnownFailure& known : one.known) {
    if (const std::size_t plus = known.jit.rfind('+'); plus != std::string::npos) {
      return known.jit.substr(plus);
    }
  }
  return {};
}

bool is_expected_of(const KnownCase& one, const std::string& jit) {
  return std::ranges::any_of(one.known, [&](const model::KnownFailure& known) {
    return fnmatch(known.jit.c_str(), jit.c_str(), 0) == 0;
  });
}

// What tells more of a case than the other: a defect that is there, before what else went wrong.
int rank(Found found) {
  constexpr std::array kOrder = {Found::not_applicable, Found::absent,    Found::gone,
                                 Found::could_not_run,  Found::otherwise, Found::there};
  return static_cast<int>(std::ranges::find(kOrder, found) - kOrder.begin());
}

// `identity`: who made the code, see model::KnownFailure.
DefectState state_of(const KnownCase& one, const std::string& identity,
                     const model::Verdict& verdict) {
  const std::string detail = verdict.findings.empty() ? "" : to_string(verdict.findings.front());
  switch (verdict.outcome) {
    case model::Outcome::pass:
      return {is_expected_of(one, identity) ? Found::gone : Found::absent, detail};
    case model::Outcome::skip:
      return {Found::not_applicable, detail};
    case model::Outcome::fail:
      return {knows(one, verdict.findings.front().code) ? Found::there : Found::otherwise, detail};
    case model::Outcome::error:
      return {Found::could_not_run, detail};
  }
  return {};
}

void keep_worse(DefectState& state, DefectState of_cell) {
  if (state.detail.empty() || rank(of_cell.found) > rank(state.found)) {
    state = std::move(of_cell);
  }
}

// What does not count in that case.
std::vector<ErrorCode> not_counted(const KnownCase& one) {
  std::vector<ErrorCode> codes;
  std::ranges::copy_if(kEverywhere, std::back_inserter(codes),
                       [&](ErrorCode code) { return !knows(one, code); });
  return codes;
}

DefectState run_case(const KnownCase& one, const engine::Jit& jit, run::RunnerOptions runner,
                     const std::function<bool()>& stopped) {
  runner.jit = jit;
  runner.stopped = stopped;
  std::ranges::copy(not_counted(one), std::back_inserter(runner.allowed));
  DefectState state{.found = Found::not_applicable};
  run_all(run::Documents(one.documents), runner, [&](const run::FinishedCell& finished) {
    keep_worse(state, state_of(one, jit.identity, finished.verdict));
  });
  return state;
}

// A guest of 512 MiB does not take all that a verifier needs for more, see stock::large_question().
constexpr std::size_t kMostStockSlots = 100'000;

// The states of the cases in a stock kernel, which boots once for all of their cells.
std::vector<DefectState> run_cases(std::span<const KnownCase> cases,
                                   const stock::StockKernel& kernel,
                                   const run::RunnerOptions& runner,
                                   const std::function<bool()>& stopped) {
  std::vector<DefectState> states(cases.size(), {.found = Found::not_applicable, .detail = {}});
  std::vector<stock::LinuxCell> linux_cells;
  std::vector<std::size_t> numbers;  // of their cases
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (!variant_of(cases[i]).empty()) {
      states[i].detail =
          fmt::format("it is about {}, which this kernel is not built as", variant_of(cases[i]));
      continue;
    }
    const model::Cell& first = cases[i].documents.front().cell;
    if (first.program && first.program->slots.size() > kMostStockSlots) {
      states[i].detail = "its program is too large for the guest's memory";
      continue;
    }
    for (stock::LinuxCell& cell : stock::linux_cells(cases[i].documents, kernel.asked.facts)) {
      linux_cells.push_back(std::move(cell));
      numbers.push_back(i);
    }
  }
  const std::vector<stock::ModeCell> cells = stock::in_modes(linux_cells, stock::kAllModes);
  const std::size_t modes = linux_cells.empty() ? 1 : cells.size() / linux_cells.size();
  const auto keep = [&](std::size_t index, const report::CellReport& report) {
    const std::size_t number = numbers[index / modes];
    const KnownCase& one = cases[number];
    keep_worse(states[number], state_of(one, stock::identity(kernel, cells[index].mode),
                                        stock::without(not_counted(one), report.verdict)));
  };
  stock::run_in_kernel(cells, kernel, runner, {.stopped = stopped, .tell = keep, .note = note});
  return states;
}

// Those of stock::kKernelDefects.
std::vector<DefectState> probe(const stock::StockKernel& kernel, const run::RunnerOptions& runner,
                               const std::function<bool()>& stopped) {
  const std::endian order = kernel.asked.facts.order();
  const std::vector<kernel::Question> questions = stock::probe_questions(order);
  const kernel::Watcher watcher{.stopped = stopped, .tell = note};
  kernel::GuestSpec spec = stock::guest_of(kernel, runner.images, runner.host);
  auto answers = kernel::ask(spec, questions, watcher);
  if (answers) {
    // A snapshot of so much memory would be taken for this program alone.
    spec.fresh_boot = true;
    spec.memory_mebibytes = stock::kMebibytesForLarge;
    const std::vector<kernel::Question> large = {stock::large_question(order)};
    auto answered = kernel::ask(spec, large, watcher);
    answers.value().push_back(answered ? std::move(answered.value().front())
                                       : kernel::Answered(answered.error()));
  }
  std::vector<DefectState> states;
  if (!answers) {
    states.resize(stock::kKernelDefects.size(),
                  {.found = Found::could_not_run, .detail = answers.error().message});
    return states;
  }
  for (const stock::ProbeStory& story : stock::probe_stories(answers.value(), kernel.asked.facts)) {
    constexpr std::array kFound = {Found::there, Found::absent, Found::not_applicable,
                                   Found::could_not_run};
    states.push_back({kFound[static_cast<std::size_t>(story.shown)], story.detail});
  }
  return states;
}

std::string_view word(Found found) {
  constexpr std::array<std::string_view, 6> kWords = {"there", "gone",      "-",
                                                      "n/a",   "could not", "otherwise"};
  return kWords[static_cast<std::size_t>(found)];
}

Error not_all() {
  return {.code = ErrorCode::machine_lost, .message = "stopped before all was looked at"};
}

}  // namespace

Result<DefectTable> find_defects(std::span<const std::string> trees,
                                 std::span<const stock::StockKernel> kernels,
                                 const run::RunnerOptions& runner,
                                 const std::function<bool()>& stopped) {
  DefectTable table;
  std::vector<engine::Jit> jits;
  for (const std::string& tree : trees) {
    FARCALL_TRY(jit, engine::jit_named("kernel:" + tree, runner.images, stopped));
    table.jits.push_back(jit.identity);
    jits.push_back(std::move(jit));
  }
  const cases::FoundFiles files = cases::find_case_files(
      std::vector{(engine::kernel_glue(runner.images) / "defects").string()});
  if (!files.errors.empty()) {
    return files.errors.front();
  }
  std::vector<KnownCase> known_cases;
  for (const std::string& path : files.files) {
    FARCALL_TRY(one, read_known(path));
    if (!one.known.empty()) {
      known_cases.push_back(std::move(one));
    }
  }
  for (const KnownCase& one : known_cases) {
    Defect defect{.name = one.name, .summary = one.summary, .states = {}};
    const std::string variant = variant_of(one);
    for (std::size_t i = 0; i < jits.size(); ++i) {
      if (stopped()) {
        return not_all();
      }
      const auto jit = variant.empty() ? Result<engine::Jit>(jits[i])
                                       : engine::jit_named("kernel:" + trees[i] + variant,
                                                           runner.images, stopped);
      defect.states.push_back(jit ? run_case(one, jit.value(), runner, stopped)
                                  : DefectState{Found::not_applicable, jit.error().message});
    }
    table.defects.push_back(std::move(defect));
  }
  for (const stock::KernelDefect& one : stock::kKernelDefects) {
    table.defects.push_back({.name = one.name,
                             .summary = one.summary,
                             .states = std::vector<DefectState>(
                                 trees.size(), {.found = Found::not_applicable, .detail = {}})});
  }
  for (const stock::StockKernel& kernel : kernels) {
    if (stopped()) {
      return not_all();
    }
    table.jits.push_back(stock::jit_name(kernel));
    std::vector<DefectState> states = run_cases(known_cases, kernel, runner, stopped);
    std::ranges::move(probe(kernel, runner, stopped), std::back_inserter(states));
    for (std::size_t i = 0; i < states.size(); ++i) {
      table.defects[i].states.push_back(std::move(states[i]));
    }
  }
  if (stopped()) {
    return not_all();
  }
  return table;
}

std::string text(const DefectTable& table) {
  std::size_t wide = 0;
  for (const Defect& defect : table.defects) {
    wide = std::max(wide, defect.name.size());
  }
  std::string text = fmt::format("{:<{}}", "", wide);
  for (const std::string& jit : table.jits) {
    text += fmt::format("  {:<{}}", jit, std::max(jit.size(), kNarrowest));
  }
  text += '\n';
  for (const Defect& defect : table.defects) {
    std::string line = fmt::format("{:<{}}", defect.name, wide);
    for (std::size_t i = 0; i < defect.states.size(); ++i) {
      line += fmt::format("  {:<{}}", word(defect.states[i].found),
                          std::max(table.jits[i].size(), kNarrowest));
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
  }
  text +=
      "\n-: absent   n/a: it does not do such programs   gone: known, and absent   could not: "
      "nothing "
      "was seen\n";
  for (const Defect& defect : table.defects) {
    text += fmt::format("\n{}: {}\n", defect.name, defect.summary);
    for (std::size_t i = 0; i < table.jits.size(); ++i) {
      if (!defect.states[i].detail.empty()) {
        text += fmt::format("  {}: {}\n", table.jits[i], defect.states[i].detail);
      }
    }
  }
  return text;
}

model::Json to_json(const DefectTable& table) {
  model::Json json = {{"jits", table.jits}, {"defects", model::Json::array()}};
  constexpr std::array<std::string_view, 6> kNames = {
      "there", "gone", "absent", "not-applicable", "could-not-run", "otherwise"};
  for (const Defect& defect : table.defects) {
    model::Json states = model::Json::object();
    for (std::size_t i = 0; i < table.jits.size(); ++i) {
      states[table.jits[i]] = {{"state", kNames[static_cast<std::size_t>(defect.states[i].found)]},
                               {"detail", defect.states[i].detail}};
    }
    json["defects"].push_back(
        {{"name", defect.name}, {"summary", defect.summary}, {"states", std::move(states)}});
  }
  return json;
}

}  // namespace farcall::command
