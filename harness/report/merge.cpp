#include "report/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <pugixml.hpp>
#include <sstream>

#include "model/json.hpp"
#include "model/json_error.hpp"
#include "report/junit.hpp"
#include "report/totals.hpp"

namespace farcall::report {
namespace {

Error no_report(const std::string& path, const std::string& why) {
  return {.code = ErrorCode::json_malformed,
          .message = fmt::format("this is not a report that can be merged: {}", why),
          .where = {path},
          .hint = "farcall run … --format json (or junit) --output FILE writes one"};
}

void add(Totals& sum, const Totals& part) {
  sum.passed += part.passed;
  sum.failed += part.failed;
  sum.skipped += part.skipped;
  sum.errors += part.errors;
  sum.sites += part.sites;
  sum.agreed_sites += part.agreed_sites;
  sum.not_run += part.not_run;
  sum.machines_lost += part.machines_lost;
  sum.seconds += part.seconds;
  sum.interrupted = sum.interrupted.empty() ? part.interrupted : sum.interrupted;
  sum.harness_failed = sum.harness_failed || part.harness_failed;
}

void note_incomplete(const Part& part, const Totals& totals, std::vector<std::string>& trouble) {
  if (!totals.interrupted.empty()) {
    trouble.push_back(fmt::format("{} is not complete: ended by {}, {} cells were not run",
                                  part.path, totals.interrupted, totals.not_run));
  }
}

// Which shards of which number have been seen.
class Shards {
 public:
  // Whether the part's cells are new.
  bool add(Shard shard, const std::string& path) {
    if (shard.count == 1) {
      return true;  // a run of its own
    }
    const auto [found, added] = paths_[shard.count].try_emplace(shard.index, path);
    if (!added) {
      trouble_.push_back(fmt::format("shard {}/{} is doubled: {} and {}", shard.index, shard.count,
                                     found->second, path));
    }
    return added;
  }

  std::vector<std::string> trouble() const {
    std::vector<std::string> all = trouble_;
    for (const auto& [count, paths] : paths_) {
      for (unsigned index = 1; index <= count; ++index) {
        if (!paths.contains(index)) {
          all.push_back(fmt::format("shard {}/{} is missing", index, count));
        }
      }
    }
    return all;
  }

 private:
  std::map<unsigned, std::map<unsigned, std::string>> paths_;  // by count and index
  std::vector<std::string> trouble_;
};

// Which parts have which cells: none may be in two of them.
class CellsOfParts {
 public:
  explicit CellsOfParts(const std::vector<Part>& parts) : parts_(parts) {}

  void add(std::size_t part, std::string case_path, std::string cell) {
    const auto [found, added] = first_.try_emplace({std::move(case_path), std::move(cell)}, part);
    if (!added && found->second != part) {
      Doubled& doubled = doubled_[{found->second, part}];
      ++doubled.count;
      doubled.example = found->first.second;
    }
  }

  void append_trouble(std::vector<std::string>& trouble) const {
    for (const auto& [of, doubled] : doubled_) {
      trouble.push_back(
          fmt::format("{} and {} both have the cell {}{}", parts_[of.first].path,
                      parts_[of.second].path, doubled.example,
                      doubled.count == 1 ? "" : fmt::format(" and {} others", doubled.count - 1)));
    }
  }

 private:
  struct Doubled {
    std::size_t count = 0;
    std::string example;
  };

  const std::vector<Part>& parts_;
  std::map<std::pair<std::string, std::string>, std::size_t> first_;  // by case and cell
  std::map<std::pair<std::size_t, std::size_t>, Doubled> doubled_;    // by numbers of parts
};

Totals read_totals(const model::Json& report) {
  const model::Json& json = report.at("totals");
  return {.passed = json.at("passed").get<std::size_t>(),
          .failed = json.at("failed").get<std::size_t>(),
          .skipped = json.at("skipped").get<std::size_t>(),
          .errors = json.at("errors").get<std::size_t>(),
          .sites = json.at("call_sites").get<std::size_t>(),
          .agreed_sites = json.at("agreed_call_sites").get<std::size_t>(),
          .not_run = json.at("not_run").get<std::size_t>(),
          .machines_lost = json.at("machines_lost").get<std::size_t>(),
          .seconds = json.at("seconds").get<double>(),
          .harness_failed = report.at("harness_failed").get<bool>(),
          .interrupted = report.value("interrupted", ""),
          .shard = {.index = report.at("shard").at("index").get<unsigned>(),
                    .count = report.at("shard").at("count").get<unsigned>()}};
}

Result<Merged> merge_json(const std::vector<Part>& parts) {
  Merged merged;
  Shards shards;
  CellsOfParts cells_of_parts(parts);
  model::Json cells = model::Json::array();
  for (std::size_t number = 0; number < parts.size(); ++number) {
    const Part& part = parts[number];
    try {
      model::Json report = model::parse_json(part.text);
      const Totals totals = read_totals(report);
      if (report.at("report") != "run" || !report.at("cells").is_array() ||
          !is_sound(totals.shard)) {
        return no_report(part.path, "it is not of farcall run");
      }
      if (report.at("cells").size() != totals.cells()) {
        return no_report(part.path, fmt::format("it has {} cells and says that they are {}",
                                                report.at("cells").size(), totals.cells()));
      }
      if (!shards.add(totals.shard, part.path)) {
        continue;
      }
      add(merged.totals, totals);
      note_incomplete(part, totals, merged.trouble);
      for (model::Json& cell : report["cells"]) {
        cells_of_parts.add(number, cell.at("case").get<std::string>(),
                           cell.at("cell").get<std::string>());
        cells.push_back(std::move(cell));
      }
    } catch (const model::Json::exception& error) {
      return no_report(part.path, model::reason(error));
    }
  }
  model::Json json = model::document_header();
  json["report"] = "run";
  json["shard"] = {{"index", 1}, {"count", 1}};
  json["harness_failed"] = merged.totals.harness_failed;
  json["complete"] = merged.totals.interrupted.empty();
  if (!merged.totals.interrupted.empty()) {
    json["interrupted"] = merged.totals.interrupted;
  }
  json["totals"] = to_json(merged.totals);
  json["cells"] = std::move(cells);
  merged.text = model::json_text(json, 1) + "\n";
  std::ranges::move(shards.trouble(), std::back_inserter(merged.trouble));
  cells_of_parts.append_trouble(merged.trouble);
  return merged;
}

// The value of a property of the suite; empty if it has none.
std::string_view property(pugi::xml_node suite, const char* name) {
  return suite.child("properties")
      .find_child_by_attribute("property", "name", name)
      .attribute("value")
      .as_string();
}

std::size_t count_of(pugi::xml_node suite, const char* name) {
  return suite.child("properties")
      .find_child_by_attribute("property", "name", name)
      .attribute("value")
      .as_ullong();
}

// Counted anew, so that the totals are those of the cells that are there.
void count_cases(pugi::xml_node suite, Totals& totals) {
  for (const pugi::xml_node test : suite.children("testcase")) {
    if (test.child("failure")) {
      ++totals.failed;
    } else if (test.child("error")) {
      ++totals.errors;
    } else if (test.child("skipped")) {
      ++totals.skipped;
    } else {
      ++totals.passed;
    }
  }
}

Result<Merged> merge_junit(const std::vector<Part>& parts) {
  Merged merged;
  Shards shards;
  CellsOfParts cells_of_parts(parts);
  pugi::xml_document document;
  pugi::xml_node all = document.append_child("testsuites").append_child("testsuite");
  all.append_attribute("name").set_value("farcall");
  for (std::size_t number = 0; number < parts.size(); ++number) {
    const Part& part = parts[number];
    pugi::xml_document read;
    const auto parsed = read.load_buffer(part.text.data(), part.text.size());
    if (!parsed) {
      return no_report(part.path, parsed.description());
    }
    const pugi::xml_node suite = read.child("testsuites").child("testsuite");
    const auto shard = read_shard(property(suite, "farcall.shard"));
    if (!shard) {
      return no_report(part.path, "it is not of farcall run");
    }
    Totals totals{.sites = count_of(suite, "farcall.call-sites"),
                  .agreed_sites = count_of(suite, "farcall.agreed-call-sites"),
                  .not_run = count_of(suite, "farcall.not-run"),
                  .machines_lost = count_of(suite, "farcall.machines-lost"),
                  .seconds = suite.attribute("time").as_double(),
                  .harness_failed = property(suite, "farcall.harness-failed") == "true",
                  .interrupted = std::string(property(suite, "farcall.interrupted"))};
    count_cases(suite, totals);
    if (totals.cells() != suite.attribute("tests").as_uint()) {
      return no_report(part.path,
                       fmt::format("it has {} cells and says that they are {}", totals.cells(),
                                   suite.attribute("tests").as_string()));
    }
    if (!shards.add(*shard, part.path)) {
      continue;
    }
    add(merged.totals, totals);
    note_incomplete(part, totals, merged.trouble);
    for (const pugi::xml_node test : suite.children("testcase")) {
      cells_of_parts.add(number, test.attribute("classname").as_string(),
                         test.attribute("name").as_string());
      all.append_copy(test);
    }
  }
  finish_junit(all, merged.totals);
  std::ostringstream text;
  document.save(text, " ");
  merged.text = text.str();
  std::ranges::move(shards.trouble(), std::back_inserter(merged.trouble));
  cells_of_parts.append_trouble(merged.trouble);
  return merged;
}

}  // namespace

Result<Merged> merge(const std::vector<Part>& parts) {
  const auto is_xml = [](const Part& part) {
    const auto first = part.text.find_first_not_of(" \t\r\n");
    return first != std::string::npos && part.text[first] == '<';
  };
  const bool xml = is_xml(parts.front());
  for (const Part& part : parts) {
    if (is_xml(part) != xml) {
      return no_report(part.path, fmt::format("{} is of another form", parts.front().path));
    }
  }
  return xml ? merge_junit(parts) : merge_json(parts);
}

}  // namespace farcall::report
