// How long a program of two functions takes in each stage on the host, by Google Benchmark. What
// the guest adds is what `farcall bench` measures.
//
//   ninja -C build farcall_stages && build/harness/farcall_stages
#include <benchmark/benchmark.h>

#include <cstddef>
#include <vector>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "check/check.hpp"
#include "command/fresh_program.hpp"
#include "decode/call_sites.hpp"
#include "engine/process_jit.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"
#include "run/pipeline.hpp"
#include "selection/code_layout.hpp"
#include "vm/batch.hpp"

namespace farcall {
namespace {

// As many as a batch holds, more than caches and branch predictors remember.
constexpr std::size_t kPrograms = 1000;

// Each program as it comes out of every stage on the host.
struct Inputs {
  std::vector<std::string> texts;
  std::vector<model::Document> documents;
  std::vector<check::Testimony> prepared;
  std::vector<model::Job> jobs;
};

const Inputs& inputs() {
  static const Inputs kInputs = [] {
    Inputs made;
    for (std::size_t i = 0; i < kPrograms; ++i) {
      made.texts.push_back(command::fresh_case(i));
      made.documents.push_back(command::fresh_document(i));
      made.prepared.push_back(run::prepare(made.documents.back(), i));
      made.jobs.push_back(*made.prepared.back().job);
    }
    return made;
  }();
  return kInputs;
}

// Calls `stage` with the number of a program, each in its turn.
template <typename Stage>
void each_program(benchmark::State& state, Stage stage) {
  inputs();
  std::size_t number = 0;
  for ([[maybe_unused]] const auto _ : state) {
    benchmark::DoNotOptimize(stage(number));
    number = (number + 1) % kPrograms;
  }
  state.SetItemsProcessed(state.iterations());
}

void read_case(benchmark::State& state) {
  each_program(state, [](std::size_t number) {
    return cases::cells(cases::parse_case(inputs().texts[number], "bench.case").value()).value();
  });
}

void link_program(benchmark::State& state) {
  each_program(state, [](std::size_t number) {
    return link::link_program(inputs().documents[number].cell).value();
  });
}

void compile(benchmark::State& state) {
  each_program(state, [](std::size_t number) {
    return jit::compile(*inputs().prepared[number].linked_program,
                        inputs().documents[number].cell.axes)
        .value();
  });
}

void decode_calls(benchmark::State& state) {
  each_program(state, [](std::size_t number) {
    return decode::call_sites(*inputs().prepared[number].image,
                              {.toc = inputs().documents[number].cell.placement.toc});
  });
}

// All of the above but reading, and the interpreter twice: on the program, and as it was linked.
void prepare(benchmark::State& state) {
  each_program(state,
               [](std::size_t number) { return run::prepare(inputs().documents[number], number); });
}

void encode_job(benchmark::State& state) {
  std::vector<std::byte> area(std::size_t{32} << 20);
  vm::CodePages code(area.size(), model::Endian::little);
  vm::BatchLayout layout;
  for ([[maybe_unused]] const auto _ : state) {
    benchmark::DoNotOptimize(vm::encode_batch({}, inputs().jobs, 1, area, code, layout));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(layout.jobs.size()));
}

// An object of fifty functions that clang made, all up to its cell; and what then is to be done of it
// before it can run.
void read_object(benchmark::State& state) {
  for ([[maybe_unused]] const auto _ : state) {
    const auto parsed = cases::read_case(FARCALL_CASES "/c/fifty-le.case");
    benchmark::DoNotOptimize(cases::cells(parsed.value(), selection::code_layout()).value());
  }
}

void prepare_object(benchmark::State& state) {
  const auto parsed = cases::read_case(FARCALL_CASES "/c/fifty-le.case");
  const model::Document document{
      .cell = cases::cells(parsed.value(), selection::code_layout()).value().front()};
  for ([[maybe_unused]] const auto _ : state) {
    benchmark::DoNotOptimize(run::prepare(document, 0));
  }
}

// Programs of two instructions, there and back through the pipes of a JIT in another process that
// copies ready code.
void exec_jit(benchmark::State& state) {
  const cases::Case parsed =
      cases::parse_case("-- asm\nmov %r0, 7\nexit\n-- result\n7\n", "bench.case").value();
  const model::Document document{
      .cell = cases::cells(parsed, selection::code_layout()).value().front()};
  const auto compiler =
      engine::process_jit("bench", {.program = FARCALL_EXAMPLE_JIT, .arguments = {}}).start({});
  const std::vector<const model::Document*> batch(compiler->batch(), &document);
  for ([[maybe_unused]] const auto _ : state) {
    for (const engine::Compiled& one : compiler->compile(batch)) {
      if (!one.image) {
        state.SkipWithError(one.image.error().message.c_str());
        return;
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch.size()));
}

BENCHMARK(read_case);
BENCHMARK(link_program);
BENCHMARK(compile);
BENCHMARK(decode_calls);
BENCHMARK(prepare);
BENCHMARK(encode_job)->Unit(benchmark::kMicrosecond);
BENCHMARK(read_object)->Unit(benchmark::kMicrosecond);
BENCHMARK(prepare_object)->Unit(benchmark::kMicrosecond);
BENCHMARK(exec_jit)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace farcall

BENCHMARK_MAIN();
