#include "command/kernel_distance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/files.hpp"
#include "command/distance_picture.hpp"
#include "command/options.hpp"
#include "kernel/architecture.hpp"
#include "kernel/distance_probe.hpp"
#include "kernel/guest.hpp"
#include "kernel/store.hpp"
#include "model/axes.hpp"
#include "model/json.hpp"
#include "stock/distance.hpp"
#include "stock/kernel.hpp"

namespace farcall::command {
namespace {

// Idle, and with other allocations where the JIT's are.
constexpr std::array kCrowdMebibytes = {0U, wire::kMostCrowdMebibytes};

void print_head() {
  fmt::print("{:<7} {:<16} {:<7} {:>4} {:>9}  {:<16}  {:<16}  {:>10}  {:>10}  {}\n", "arch",
             "kernel", "setting", "boot", "MiB taken", "JITed, farthest", "__bpf_call_base",
             "distance", "at most", "signed 32 bits");
}

void print(const DistanceRow& row) {
  fmt::print("{:<7} {:<16} {:<7} {:>4} ", row.architecture, row.kernel, row.setting, row.boot);
  if (!row.has_jit) {
    fmt::print("{:>9}  this kernel has no JIT for BPF\n", "");
  } else {
    const auto at_most = row.at_most();
    fmt::print("{:>9}  {}  {}  {:>10}  {:>10}  {}\n",
               fmt::format("{}{}", row.crowd_mebibytes, row.is_full ? " full" : ""),
               to_string(row.farthest()), to_string(row.call_base),
               to_string(row.farthest() - row.call_base),
               at_most ? to_string(*at_most) : "not known",
               row.fit_32_bits() ? "fits" : "does not fit");
  }
  std::fflush(stdout);
}

// What was measured. A boot may take a minute: the table shows each row at once.
class Rows {
 public:
  explicit Rows(bool as_table) : as_table_(as_table) {}

  void add(DistanceRow row) {
    if (as_table_) {
      if (all_.empty()) {
        print_head();
      }
      print(row);
    }
    all_.push_back(std::move(row));
  }
  const std::vector<DistanceRow>& all() const { return all_; }

 private:
  bool as_table_;
  std::vector<DistanceRow> all_;
};

std::string_view mmu_name(model::Mmu mmu) {
  return model::value_names(model::Axis::mmu)[static_cast<std::size_t>(mmu)];
}

Result<void> add_boot(const stock::StockKernel& kernel, model::Mmu mmu, unsigned boot,
                      const DistanceArguments& arguments, Rows& rows) {
  std::vector<kernel::Question> questions;
  for (const unsigned crowd : kCrowdMebibytes) {
    questions.push_back(stock::distance_question(crowd));
  }
  kernel::GuestSpec spec = stock::guest_of(kernel, arguments.images, arguments.host);
  spec.mmu = mmu;
  spec.fresh_boot = true;
  FARCALL_TRY(answers, kernel::ask(spec, questions));
  for (std::size_t i = 0; i < questions.size(); ++i) {
    FARCALL_TRY(answer, answers[i]);
    FARCALL_TRY(distance, stock::distance(answer, kernel.file));
    const bool is_big = kernel.asked.facts.endian == model::Endian::big;
    rows.add({.architecture = is_big ? "ppc64" : std::string(kernel::kPpc64el),
              .kernel = kernel.asked.name,
              .setting = std::string(mmu_name(mmu)),
              .boot = boot,
              .crowd_mebibytes = kCrowdMebibytes[i],
              .call_base = distance.call_base,
              .functions = {distance.function},
              .area = std::pair(stock::begin_of_area(distance.function),
                                stock::end_of_area(distance.function))});
  }
  return success();
}

Result<void> add_ppc64el(const std::vector<std::string>& kernels,
                         const DistanceArguments& arguments, Rows& rows) {
  for (const std::string& name : kernels) {
    FARCALL_TRY(kernel, stock::stock_kernel(name));
    for (const model::Mmu mmu : {model::Mmu::radix, model::Mmu::hash}) {
      for (unsigned boot = 1; boot <= arguments.boots; ++boot) {
        FARCALL_TRYV(add_boot(kernel, mmu, boot, arguments, rows));
      }
    }
  }
  return success();
}

// Where the JIT of this kernel puts code, if that is known and true of all its functions.
std::optional<std::pair<GuestAddress, GuestAddress>> area_of(
    const kernel::Architecture& architecture, std::string_view version,
    const kernel::ProbeReport& said) {
  const kernel::AreaRule* const rule =
      kernel::area_rule(architecture.name, kernel::series_of(version));
  const std::optional<GuestAddress> start = said.start ? said.start : said.text;
  if (rule == nullptr || (rule->is_before_kernel && !start)) {
    return std::nullopt;
  }
  const kernel::Area area = kernel::area_of(*rule, start.value_or(GuestAddress{}));
  const auto is_inside = [&](GuestAddress function) { return area.contains(function); };
  if (!std::ranges::all_of(said.idle, is_inside) || !std::ranges::all_of(said.crowded, is_inside)) {
    return std::nullopt;
  }
  return std::pair(area.begin, area.end);
}

void add_report(const kernel::Architecture& architecture, const kernel::Fetched& fetched,
                std::string setting, unsigned boot, const kernel::ProbeReport& said, Rows& rows) {
  DistanceRow row{.architecture = std::string(architecture.name),
                  .kernel = version_name(fetched),
                  .setting = std::move(setting),
                  .boot = boot,
                  .has_jit = said.has_jit,
                  .call_base = said.call_base,
                  .functions = said.idle,
                  .area = area_of(architecture, fetched.version, said)};
  rows.add(row);
  if (said.has_jit) {
    row.crowd_mebibytes = static_cast<unsigned>(said.crowd_bytes >> 20U);
    row.is_full = said.is_full;
    row.functions = said.crowded;
    rows.add(std::move(row));
  }
}

Result<void> add_other(const kernel::Architecture& architecture,
                       const std::vector<std::string>& kernels, const DistanceArguments& arguments,
                       Rows& rows) {
  FARCALL_TRY(tools, kernel::find_probe_tools(architecture));
  FARCALL_TRY(store, kernel::Store::of_user(architecture.name));
  FARCALL_TRY(probe,
              kernel::compile_probe(architecture, tools, arguments.images / "distance_probe.c"));
  for (const std::string& name : kernels) {
    FARCALL_TRY(wanted, kernel::wanted(kernel::Kind::image, name, architecture.name));
    FARCALL_TRY(fetched, store.get(wanted));
    for (const bool kaslr : {true, false}) {
      for (unsigned boot = 1; boot <= arguments.boots; ++boot) {
        note(fmt::format("{} {}, {}, boot {}", architecture.name, version_name(fetched),
                         kaslr ? "kaslr" : "nokaslr", boot));
        FARCALL_TRY(said, kernel::boot_probe(architecture, tools,
                                             {.kernel = fetched.vmlinux, .kaslr = kaslr}, probe));
        add_report(architecture, fetched, kaslr ? "kaslr" : "nokaslr", boot, said, rows);
      }
    }
  }
  return success();
}

Result<void> measure(const DistanceArguments& arguments, Rows& rows) {
  std::vector<const kernel::Architecture*> architectures;
  for (const std::string& name : arguments.architectures) {
    FARCALL_TRY(architecture, kernel::architecture(name));
    if (architecture->name != kernel::kPpc64el && arguments.host != &vm::direct_host()) {
      return Error{.code = ErrorCode::usage_bad_argument,
                   .message = fmt::format("--vm libvirt does not start guests of {}: only those of "
                                          "ppc64el",
                                          name),
                   .hint = "without --vm, farcall starts that emulator itself"};
    }
    if (architecture->name != kernel::kPpc64el) {  // what is missing is said before anything boots
      FARCALL_TRYV(kernel::find_probe_tools(*architecture));
    }
    architectures.push_back(architecture);
  }
  for (const kernel::Architecture* const architecture : architectures) {
    std::vector<std::string> kernels = arguments.kernels;
    if (kernels.empty()) {
      kernels.emplace_back(architecture->default_series);
    }
    FARCALL_TRYV(architecture->name == kernel::kPpc64el
                     ? add_ppc64el(kernels, arguments, rows)
                     : add_other(*architecture, kernels, arguments, rows));
  }
  return success();
}

model::Json to_json(const DistanceRow& row) {
  model::Json json = {{"kernel", row.kernel},
                      {"architecture", row.architecture},
                      {"setting", row.setting},
                      {"boot", row.boot},
                      {"has a JIT", row.has_jit}};
  if (!row.has_jit) {
    return json;
  }
  json["other allocations, MiB"] = row.crowd_mebibytes;
  json["no room for more"] = row.is_full;
  json["__bpf_call_base"] = "0x" + to_string(row.call_base);
  json["functions"] = model::Json::array();
  for (const GuestAddress function : row.functions) {
    json["functions"].push_back(
        {{"address", "0x" + to_string(function)}, {"distance", bytes(function - row.call_base)}});
  }
  if (row.area) {
    json["area"] = {{"begin", "0x" + to_string(row.area->first)},
                    {"end", "0x" + to_string(row.area->second)}};
    json["distance at most"] = bytes(*row.at_most());
  }
  json["fits 32 bits"] = row.fit_32_bits();
  return json;
}

std::string to_json(const std::vector<DistanceRow>& rows) {
  model::Json all = model::Json::array();
  for (const DistanceRow& row : rows) {
    all.push_back(to_json(row));
  }
  return model::json_text(model::Json{{"distances", all}}, 1) + "\n";
}

}  // namespace

ExitCode kernel_distance(const DistanceArguments& arguments) {
  Rows rows(!arguments.json);
  const auto measured = measure(arguments, rows);
  if (!measured) {
    return report_error(measured.error());
  }
  if (arguments.json) {
    fmt::print("{}", to_json(rows.all()));
  }
  return arguments.picture.empty() ? ExitCode::passed
                                   : write_or_report(arguments.picture, distance_svg(rows.all()));
}

}  // namespace farcall::command
