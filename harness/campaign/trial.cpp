#include "campaign/trial.hpp"

#include <utility>

namespace farcall::campaign {
namespace {

// So many machines at most wait for work. Each has memory of its own.
constexpr std::size_t kMostMachines = 4;

// Hands on to a compiler that others use as well, one after the other.
class SharedCompiler final : public engine::Compiler {
 public:
  explicit SharedCompiler(std::shared_ptr<engine::Compiler> compiler)
      : compiler_(std::move(compiler)) {}
  std::size_t batch() const override { return compiler_->batch(); }
  std::vector<engine::Compiled> compile(
      std::span<const model::Document* const> documents) override {
    return compiler_->compile(documents);
  }

 private:
  std::shared_ptr<engine::Compiler> compiler_;
};

}  // namespace

Trial::Trial(const run::RunnerOptions& runner) : runner_(runner), jit_(runner.jit) {
  jit_.start = [compiler = std::shared_ptr<engine::Compiler>(runner.jit.start(runner.stopped))](
                   const engine::Stopped&) { return std::make_unique<SharedCompiler>(compiler); };
}

std::vector<std::optional<run::FinishedCell>> Trial::run(std::vector<Run> runs) {
  std::map<MachineKind, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    groups[kind(runs[i].document.cell.axes)].push_back(i);
  }
  const std::size_t count = runs.size();
  std::vector<std::shared_ptr<const model::Document>> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    all[i] = std::make_shared<const model::Document>(std::move(runs[i].document));
  }
  std::vector<std::optional<run::FinishedCell>> finished(count);
  const run::Documents documents(
      count, [&](std::size_t i) { return all[i]->cell.axes; },
      [&](std::size_t i) { return all[i]; }, [&](std::size_t i) { return runs[i].seed; });
  for (const auto& [machine, members] : groups) {
    if (machines_.size() >= kMostMachines && !machines_.contains(machine)) {
      machines_.erase(machines_.begin());
    }
    std::size_t next = 0;
    const auto done = run::run_on_machine(
        machines_[machine], documents,
        {.images = runner_.images, .host = *runner_.host, .jit = jit_, .allowed = runner_.allowed},
        {.next = [&]() -> std::optional<std::size_t> {
           return next < members.size() ? std::optional(members[next++]) : std::nullopt;
         },
         .finish =
             [&](run::FinishedCell cell) {
               const std::size_t index = cell.index;
               finished[index] = std::move(cell);
             },
         .stopped = [&] { return runner_.stopped && runner_.stopped(); }});
    if (!done) {
      for (; next < members.size(); ++next) {
        finished[members[next]] = run::not_run(documents, members[next], jit_, done.error());
      }
    }
  }
  return finished;
}

}  // namespace farcall::campaign
