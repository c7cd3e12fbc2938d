#include "model/json.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "report/report.hpp"
#include "report/totals.hpp"

namespace farcall::report {
namespace {

class JsonReport : public Report {
 public:
  explicit JsonReport(std::FILE* out) : out_(out) {}

  void begin(std::size_t /*cells*/) override { fmt::print(out_, "{{\"cells\": ["); }

  void cell(const CellReport& report) override {
    model::Json json = model::Json::object();
    json["cell"] = report.cell.name;
    json["case"] = report.cell.case_path;
    json["jit"] = report.jit;
    json.update(model::to_json(report.verdict));
    if (report.image != nullptr) {
      json["placement"] = report.image->placed_by == model::PlacedBy::image ? "image" : "cell";
      if (is_placed_by_kernel(report)) {
        json["placement"] = "kernel";
        json["__bpf_call_base"] = "0x" + to_string(report.cell.placement.call_base);
        json["functions"] = model::Json::array();
        for (const FunctionPlace& place : places_by_kernel(report)) {
          json["functions"].push_back({{"name", place.name},
                                       {"address", "0x" + to_string(place.address)},
                                       {"bytes_from_call_base", bytes(place.from_call_base)}});
        }
      }
    }
    json["seed"] = report.seed;
    json["replay"] = report.replay;
    // The state of the guest is evidence of a failure, and a burden otherwise.
    if (report.verdict.outcome != model::Outcome::pass && report.observations != nullptr) {
      json["observations"] = model::to_json(*report.observations);
    }
    fmt::print(out_, "{}\n{}", first_ ? "" : ",", model::json_text(json, 1));
    first_ = false;
  }

  void end(const Totals& totals) override {
    model::Json json = model::document_header();
    json["report"] = "run";
    json["shard"] = {{"index", totals.shard.index}, {"count", totals.shard.count}};
    json["harness_failed"] = totals.harness_failed;
    json["complete"] = totals.interrupted.empty();
    if (!totals.interrupted.empty()) {
      json["interrupted"] = totals.interrupted;
    }
    json["totals"] = to_json(totals);
    // The cells are members of the same object: what follows its brace ends both.
    fmt::print(out_, "\n],{}\n", model::json_text(json, 1).substr(1));
  }

 private:
  std::FILE* out_;
  bool first_ = true;
};

}  // namespace

model::Json to_json(const Totals& totals) {
  return {{"cells", totals.cells()},
          {"passed", totals.passed},
          {"failed", totals.failed},
          {"skipped", totals.skipped},
          {"errors", totals.errors},
          {"not_run", totals.not_run},
          {"call_sites", totals.sites},
          {"agreed_call_sites", totals.agreed_sites},
          {"machines_lost", totals.machines_lost},
          {"seconds", totals.seconds}};
}

std::unique_ptr<Report> json_report(std::FILE* out) {
  return std::make_unique<JsonReport>(out);
}

}  // namespace farcall::report
