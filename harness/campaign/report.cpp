#include "campaign/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "bpf/instruction.hpp"
#include "campaign/finding.hpp"
#include "model/json.hpp"

namespace farcall::campaign {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// Instructions of the table by their mnemonics, each with how many classes of operands and shapes
// of code were seen.
struct Row {
  std::set<std::string> traits;
  std::size_t shapes = 0;
};
std::map<std::string, Row> by_instruction(const std::vector<StoredCoverage>& coverage) {
  std::map<std::string, Row> rows;
  for (const bpf::InstructionInfo& info : bpf::kInstructions) {
    rows[std::string(info.mnemonic)];  // what was never reached is a row, too
  }
  for (const StoredCoverage& one : coverage) {
    if (one.kind != "code") {
      continue;
    }
    std::string best;
    for (const auto& [mnemonic, row] : rows) {
      const bool begins = one.trait == mnemonic || one.trait.starts_with(mnemonic + " ") ||
                          one.trait.starts_with(mnemonic + ",");
      if (begins && mnemonic.size() > best.size()) {
        best = mnemonic;
      }
    }
    if (one.trait == "tail call") {
      best = "call";
    }
    if (!best.empty()) {
      rows[best].traits.insert(one.trait);
      ++rows[best].shapes;
    }
  }
  return rows;
}

std::set<std::string_view> culprits_of(std::string_view text) {
  std::set<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1);
    lines.insert(text.substr(0, text[end] == '\n' ? end : end + 1));
    text.remove_prefix(end + 1);
  }
  return lines;
}

// Whether `one` is all that is wrong with `other`: instructions that do without the others of it. A
// finding at a call is told by the code of the call, whatever else is there.
bool explains(const StoredFinding& one, const StoredFinding& other) {
  const auto fewer = culprits_of(one.culprit);
  const auto more = culprits_of(other.culprit);
  return one.jit == other.jit && one.code == other.code && one.site == other.site &&
         one.site == name(SiteKind::none) && !fewer.empty() && fewer.size() < more.size() &&
         std::ranges::includes(more, fewer);
}

constexpr std::string_view kHead = R"(<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">{}<title>farcall: campaign</title><style>
body{{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}}
pre{{background:#8881;padding:.7rem;overflow-x:auto}}table{{border-collapse:collapse}}
h2,h3{{overflow-wrap:anywhere}}td{{overflow-wrap:break-word}}table{{display:block;overflow-x:auto}}
td,th{{padding:.15rem .7rem;text-align:left;border-bottom:1px solid #8883}}
.never{{background:#d334;}}.map span{{display:inline-block;padding:0 .4rem;margin:1px;background:#2a72}}
.map .never{{background:#d336}}.bar{{display:inline-block;background:#47a;width:.6rem;margin-right:1px}}
</style></head><body><h1>Campaign</h1>
)";

}  // namespace

std::vector<DistinctFinding> distinct_findings(const Store& store) {
  std::vector<DistinctFinding> all;
  for (StoredFinding& finding : store.findings()) {
    const std::uint64_t times = store.times(finding);
    all.push_back({std::move(finding), times});
  }
  std::ranges::stable_sort(all, std::ranges::greater(), [](const DistinctFinding& one) {
    return culprits_of(one.finding.culprit).size();
  });
  std::vector<DistinctFinding> left;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto simpler = std::find_if(
        all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end(),
        [&](const DistinctFinding& one) { return explains(one.finding, all[i].finding); });
    if (simpler == all.end()) {
      left.push_back(std::move(all[i]));
    } else {
      simpler->times += all[i].times;
    }
  }
  std::ranges::sort(left, {}, [](const DistinctFinding& one) {
    return std::pair(one.finding.jit, one.finding.seconds);
  });
  return left;
}

nlohmann::ordered_json to_json(const Store& store) {
  nlohmann::ordered_json json = model::document_header();
  json["findings"] = nlohmann::ordered_json::array();
  for (const auto& [finding, times] : distinct_findings(store)) {
    json["findings"].push_back({{"jit", finding.jit},
                                {"code", finding.code},
                                {"site", finding.site},
                                {"shape", finding.shape},
                                {"times", times},
                                {"seed", finding.seed},
                                {"program", finding.program},
                                {"seconds", finding.seconds},
                                {"instructions", finding.instructions},
                                {"case", finding.text}});
  }
  json["jits"] = nlohmann::ordered_json::array();
  for (const Store::Totals& totals : store.totals()) {
    nlohmann::ordered_json coverage = nlohmann::ordered_json::array();
    for (const StoredCoverage& one : store.coverage(totals.jit)) {
      coverage.push_back({{"kind", one.kind}, {"trait", one.trait}, {"shape", one.shape}});
    }
    json["jits"].push_back({{"jit", totals.jit},
                            {"programs", totals.programs},
                            {"passed", totals.passed},
                            {"failed", totals.failed},
                            {"skipped", totals.skipped},
                            {"errors", totals.errors},
                            {"seconds", totals.seconds},
                            {"coverage", std::move(coverage)}});
  }
  json["programs_by_minute"] = store.throughput();
  return json;
}

std::string summary(const Store& store) {
  std::string text;
  const std::vector<DistinctFinding> findings = distinct_findings(store);
  for (const Store::Totals& totals : store.totals()) {
    const auto of_jit = std::ranges::count(
        findings, totals.jit, [](const DistinctFinding& one) { return one.finding.jit; });
    text += fmt::format(
        "{}: {} programs, {} passed, {} failed, {} skipped, {} errors; {} distinct findings; "
        "{:.0f} programs a second of each worker\n",
        totals.jit, totals.programs, totals.passed, totals.failed, totals.skipped, totals.errors,
        of_jit, totals.seconds > 0 ? static_cast<double>(totals.programs) / totals.seconds : 0.0);
  }
  return text;
}

std::string html(const Store& store, bool running) {
  std::string page =
      fmt::format(kHead, running ? R"(<meta http-equiv="refresh" content="10">)" : "");
  const std::vector<DistinctFinding> findings = distinct_findings(store);
  page += fmt::format("<h2>{} distinct finding{}</h2>\n", findings.size(),
                      findings.size() == 1 ? "" : "s");
  for (const auto& [finding, times] : findings) {
    page += fmt::format(
        "<h3>{}: {} <small>at {}</small></h3><p>{}<br>seen {}×, first in program {} of seed "
        "{} after {:.1f} s</p><pre>{}</pre>\n",
        escaped(finding.jit), escaped(finding.code), escaped(finding.site), escaped(finding.shape),
        times, finding.program, finding.seed, finding.seconds, escaped(finding.text));
  }
  page +=
      "<h2>Programs</h2><table><tr><th>JIT<th>programs<th>passed<th>failed<th>skipped<th>errors"
      "<th>seconds</tr>\n";
  for (const Store::Totals& totals : store.totals()) {
    page += fmt::format("<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{:.0f}</tr>\n",
                        escaped(totals.jit), totals.programs, totals.passed, totals.failed,
                        totals.skipped, totals.errors, totals.seconds);
  }
  page += "</table><h2>Programs by minute</h2><p>";
  const std::vector<std::uint64_t> minutes = store.throughput();
  const std::uint64_t most =
      std::max<std::uint64_t>(minutes.empty() ? 0 : *std::ranges::max_element(minutes), 1);
  for (const std::uint64_t count : minutes) {
    page += fmt::format(R"(<span class="bar" title="{0}" style="height:{1}px"></span>)", count,
                        1 + 80 * count / most);
  }
  page += "</p>\n";
  for (const Store::Totals& totals : store.totals()) {
    const auto coverage = store.coverage(totals.jit);
    const auto rows = by_instruction(coverage);
    page += fmt::format("<h2>Coverage: {}</h2><p class=\"map\">", escaped(totals.jit));
    for (const auto& [mnemonic, row] : rows) {
      page += fmt::format("<span{}>{}</span>", row.traits.empty() ? " class=\"never\"" : "",
                          escaped(mnemonic));
    }
    page += "</p><table><tr><th>instruction<th>classes of operands<th>shapes of code</tr>\n";
    for (const auto& [mnemonic, row] : rows) {
      page += fmt::format("<tr{}><td>{}<td>{}<td>{}</tr>\n",
                          row.traits.empty() ? " class=\"never\"" : "", escaped(mnemonic),
                          row.traits.size(), row.shapes);
    }
    page += "</table><table><tr><th>call<th>from, to, distance, reach</tr>\n";
    for (const StoredCoverage& one : coverage) {
      if (one.kind == "call") {
        page += fmt::format("<tr><td>{}<td>{}</tr>\n", escaped(one.trait), escaped(one.shape));
      }
    }
    page += "</table>\n";
  }
  return page + "</body></html>\n";
}

}  // namespace farcall::campaign
