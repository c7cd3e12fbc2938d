#include "report/bundle.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "model/json.hpp"
#include "model/json_error.hpp"
#include "report/evidence.hpp"
#include "report/report.hpp"

namespace farcall::report {
namespace {

class BundleReport : public Report {
 public:
  BundleReport(std::FILE* out, std::string qemu) : out_(out), qemu_(std::move(qemu)) {}

  void begin(std::size_t /*cells*/) override {}

  void cell(const CellReport& report) override {
    const bool is_file = !report.cell.program && report.image == nullptr;  // that is bad: no cell
    if (report.verdict.outcome == model::Outcome::pass || is_file) {
      return;
    }
    model::Document document{.cell = report.cell};
    if (report.image != nullptr) {
      document.image = *report.image;
    }
    model::Json one = model::Json::object();
    one["cell"] = report.cell.name;
    one["jit"] = report.jit;
    one["seed"] = report.seed;
    one["replay"] = report.replay;
    one["verdict"] = model::to_json(report.verdict);
    one["evidence"] = evidence(report);
    one["listing"] = model::Json::object();
    for (const model::CodeFunction& function :
         document.image ? document.image->functions : std::vector<model::CodeFunction>{}) {
      model::Json& lines = one["listing"][function.name] = model::Json::array();
      const std::vector<std::string> texts = listing(function);
      for (std::size_t i = 0; i < texts.size(); ++i) {
        lines.push_back(fmt::format("{}  {:08x}  {}", to_string(function.address + (i * 4)),
                                    function.words[i], texts[i]));
      }
    }
    one["document"] = model::to_json(document, document.image ? "image" : "cell");
    cells_.push_back(std::move(one));
  }

  void end(const Totals& totals) override {
    model::Json json = model::document_header();
    json["report"] = "bundle";
    json["qemu"] = qemu_;
    json["replay"] = "farcall replay FILE";
    json["of_cells"] = totals.cells();
    json["complete"] = totals.interrupted.empty();
    json["cells"] = std::move(cells_);
    fmt::print(out_, "{}\n", model::json_text(json, 1));
  }

 private:
  std::FILE* out_;
  std::string qemu_;
  model::Json cells_ = model::Json::array();
};

}  // namespace

std::unique_ptr<Report> bundle_report(std::FILE* out, std::string qemu) {
  return std::make_unique<BundleReport>(out, std::move(qemu));
}

Result<Bundle> read_bundle(std::string_view text, const std::string& path) {
  Bundle bundle;
  try {
    const model::Json json = model::parse_json(text);
    bundle.farcall = json.at("farcall").at("version").get<std::string>();
    bundle.qemu = json.at("qemu").get<std::string>();
    for (const model::Json& cell : json.at("cells")) {
      FARCALL_TRY(document, model::read_document(model::json_text(cell.at("document")), path));
      const model::Json& findings = cell.at("verdict").at("findings");
      bundle.cells.push_back(
          {.document = std::move(document),
           .seed = cell.at("seed").get<std::uint64_t>(),
           .code = findings.empty() ? "" : findings.at(0).at("code").get<std::string>()});
    }
  } catch (const model::Json::exception& error) {
    return Error{.code = ErrorCode::json_malformed,
                 .message = fmt::format("this is not a bundle: {}", model::reason(error)),
                 .where = {path},
                 .hint = "farcall run … --bundle FILE writes one"};
  }
  if (bundle.cells.empty()) {
    return Error{.code = ErrorCode::usage_nothing_selected,
                 .message = "nothing had failed: there is nothing to replay",
                 .where = {path}};
  }
  return bundle;
}

}  // namespace farcall::report
