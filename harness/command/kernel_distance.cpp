#include "command/kernel_distance.hpp"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "command/options.hpp"
#include "kernel/guest.hpp"
#include "model/axes.hpp"
#include "model/json.hpp"
#include "stock/distance.hpp"
#include "stock/kernel.hpp"

namespace farcall::command {
namespace {

// Idle, and with other allocations where the JIT's are.
constexpr std::array kCrowdMebibytes = {0U, wire::kMostCrowdMebibytes};

struct Row {
  std::string kernel;
  model::Mmu mmu{};
  unsigned boot = 0;
  unsigned crowd_mebibytes = 0;
  stock::Distance distance;
};

std::string_view mmu_name(model::Mmu mmu) {
  return model::value_names(model::Axis::mmu)[static_cast<std::size_t>(mmu)];
}

Result<void> add_boot(const stock::StockKernel& kernel, model::Mmu mmu, unsigned boot,
                      const std::filesystem::path& images, std::vector<Row>& rows) {
  std::vector<kernel::Question> questions;
  for (const unsigned crowd : kCrowdMebibytes) {
    questions.push_back(stock::distance_question(crowd));
  }
  FARCALL_TRY(answers, kernel::ask({.vmlinux = kernel.vmlinux,
                                    .agent = images / "linux-agent",
                                    .cpu = model::Cpu::power9,
                                    .mmu = mmu,
                                    .fresh_boot = true},
                                   questions));
  for (std::size_t i = 0; i < questions.size(); ++i) {
    FARCALL_TRY(answer, answers[i]);
    FARCALL_TRY(distance, stock::distance(answer, kernel.file));
    rows.push_back({.kernel = kernel.asked.name,
                    .mmu = mmu,
                    .boot = boot,
                    .crowd_mebibytes = kCrowdMebibytes[i],
                    .distance = distance});
  }
  return success();
}

Result<std::vector<Row>> measure(const DistanceArguments& arguments) {
  std::vector<Row> rows;
  for (const std::string& name : arguments.kernels) {
    FARCALL_TRY(kernel, stock::stock_kernel(name));
    for (const model::Mmu mmu : {model::Mmu::radix, model::Mmu::hash}) {
      for (unsigned boot = 1; boot <= arguments.boots; ++boot) {
        FARCALL_TRYV(add_boot(kernel, mmu, boot, arguments.images, rows));
      }
    }
  }
  return rows;
}

std::string to_json(const std::vector<Row>& rows) {
  model::Json all = model::Json::array();
  for (const Row& row : rows) {
    all.push_back({{"kernel", row.kernel},
                   {"architecture", "ppc64el"},
                   {"mmu", mmu_name(row.mmu)},
                   {"boot", row.boot},
                   {"other allocations, MiB", row.crowd_mebibytes},
                   {"function", "0x" + to_string(row.distance.function)},
                   {"__bpf_call_base", "0x" + to_string(row.distance.call_base)},
                   {"distance", row.distance.bytes()},
                   {"end of the area", "0x" + to_string(stock::end_of_area(row.distance.function))},
                   {"fits 32 bits", row.distance.fits_32_bits()}});
  }
  return model::Json{{"distances", all}}.dump(1) + "\n";
}

void print(const std::vector<Row>& rows) {
  fmt::print("{:<16} {:<5} {:>4} {:>9}  {:<16}  {:<16}  {:>10}  {:>10}  {}\n", "kernel", "mmu",
             "boot", "MiB taken", "JITed function", "__bpf_call_base", "distance", "at most",
             "signed 32 bits");
  for (const Row& row : rows) {
    const GuestAddress end = stock::end_of_area(row.distance.function);
    fmt::print("{:<16} {:<5} {:>4} {:>9}  {}  {}  {:>10}  {:>10}  {}\n", row.kernel,
               mmu_name(row.mmu), row.boot, row.crowd_mebibytes, to_string(row.distance.function),
               to_string(row.distance.call_base),
               to_string(row.distance.function - row.distance.call_base),
               to_string(end - row.distance.call_base),
               row.distance.fits_32_bits() ? "fits" : "does not fit");
  }
}

}  // namespace

ExitCode kernel_distance(const DistanceArguments& arguments) {
  const auto rows = measure(arguments);
  if (!rows) {
    return report_error(rows.error());
  }
  if (arguments.json) {
    fmt::print("{}", to_json(rows.value()));
  } else {
    print(rows.value());
  }
  return ExitCode::passed;
}

}  // namespace farcall::command
