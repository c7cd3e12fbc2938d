#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "model/json.hpp"
#include "report/evidence.hpp"
#include "report/page.hpp"
#include "report/report.hpp"
#include "report/totals.hpp"

namespace farcall::report {
namespace {

// What the page's script makes everything of: see page.html for the shape of a cell.
class HtmlReport : public Report {
 public:
  explicit HtmlReport(std::FILE* out) : out_(out) {}

  void begin(std::size_t /*cells*/) override {}

  void cell(const CellReport& report) override {
    const auto [found, added] = cases_.try_emplace(report.cell.case_path, cases_.size());
    if (added) {
      case_names_.push_back(report.cell.case_path);
    }
    model::Json axes = model::Json::array();
    for (std::size_t i = 0; i < model::kAxisCount; ++i) {
      axes.push_back(model::value_of(report.cell.axes, static_cast<model::Axis>(i)));
    }
    model::Json cell = {report.cell.name, found->second,
                        static_cast<std::size_t>(report.verdict.outcome), std::move(axes)};
    if (report.verdict.outcome != model::Outcome::pass) {
      cell.push_back(first_finding(report.verdict));
      cell.push_back(evidence(report));
      cell.push_back(model::to_json(report.verdict)["sites"]);
    }
    cells_.push_back(std::move(cell));
  }

  void end(const Totals& totals) override {
    model::Json data = model::Json::object();
    data["version"] = FARCALL_VERSION;
    data["totals"] = to_json(totals);
    data["axes"] = model::Json::array();
    for (std::size_t i = 0; i < model::kAxisCount; ++i) {
      const auto axis = static_cast<model::Axis>(i);
      model::Json values = model::Json::array();
      for (const std::string_view value : model::value_names(axis)) {
        values.push_back(value);
      }
      data["axes"].push_back({{"name", name(axis)}, {"values", std::move(values)}});
    }
    data["cases"] = std::move(case_names_);
    data["cells"] = std::move(cells_);
    const std::string_view page = kPage;
    const std::size_t at = page.find(kDataMark);
    fmt::print(out_, "{}{}{}", page.substr(0, at), in_script(model::json_text(data)),
               page.substr(at + kDataMark.size()));
  }

 private:
  static constexpr std::string_view kDataMark = "@DATA@";

  // JSON that cannot end the script element that it stands in.
  static std::string in_script(const std::string& json) {
    std::string text;
    text.reserve(json.size());
    for (const char c : json) {
      text += c == '<' ? std::string("\\u003c") : std::string(1, c);
    }
    return text;
  }

  std::FILE* out_;
  std::map<std::string, std::size_t> cases_;
  model::Json case_names_ = model::Json::array();
  model::Json cells_ = model::Json::array();
};

}  // namespace

std::unique_ptr<Report> html_report(std::FILE* out) {
  return std::make_unique<HtmlReport>(out);
}

}  // namespace farcall::report
