#include "model/json.hpp"

#include <fmt/format.h>

#include "report/report.hpp"

namespace farcall::report {
namespace {

class JsonReport : public Report {
 public:
  explicit JsonReport(std::FILE* out) : out_(out) {}

  void begin(std::size_t /*cells*/) override {}

  void cell(const CellReport& report) override {
    model::Json json = model::Json::object();
    json["cell"] = report.cell.name;
    json["case"] = report.cell.case_path;
    json.update(model::to_json(report.verdict));
    json["replay"] = report.replay;
    // The state of the guest is evidence of a failure, and a burden otherwise.
    if (report.verdict.outcome != model::Outcome::pass && report.observations != nullptr) {
      json["observations"] = model::to_json(*report.observations);
    }
    cells_.push_back(std::move(json));
  }

  void end(const Totals& totals) override {
    model::Json json = model::document_header();
    json["report"] = "run";
    json["totals"] = {{"cells", totals.cells()},    {"passed", totals.passed},
                      {"failed", totals.failed},    {"skipped", totals.skipped},
                      {"errors", totals.errors},    {"not_run", totals.not_run},
                      {"call_sites", totals.sites}, {"agreed_call_sites", totals.agreed_sites},
                      {"seconds", totals.seconds}};
    json["cells"] = std::move(cells_);
    fmt::print(out_, "{}\n", json.dump(1));
  }

 private:
  std::FILE* out_;
  model::Json cells_ = model::Json::array();
};

}  // namespace

std::unique_ptr<Report> json_report(std::FILE* out) {
  return std::make_unique<JsonReport>(out);
}

}  // namespace farcall::report
