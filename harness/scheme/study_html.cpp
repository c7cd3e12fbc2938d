// One page without anything beside it: a row for each scheme. Each entry's cell is its tooltip.
#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

#include "model/schemes.hpp"
#include "scheme/study.hpp"

namespace farcall::scheme {
namespace {

constexpr const char* kStyle =
    "body{font:15px/1.4 sans-serif;margin:2em;color:#222}"
    "table{border-collapse:collapse;margin:.5em 0 2em}"
    "th,td{border:1px solid #ccd;padding:.35em .7em;text-align:left;vertical-align:top}"
    ".scroll{overflow-x:auto}tr>th:first-child{position:sticky;left:0;min-width:7em}"
    "@media(max-width:40em){body{margin:1em}}"
    "th{background:#eef2f7}code{font-size:.92em;white-space:pre}"
    ".holds{background:#e3f4e5}.refused{background:#fdeccf}.FAILED{background:#f8cfcf}"
    ".not-run{background:#eee;color:#666}.cell{color:#667;font-size:.85em;font-weight:normal;"
    "overflow-wrap:anywhere}";

pugi::xml_node add(pugi::xml_node parent, const char* tag, const std::string& text) {
  pugi::xml_node node = parent.append_child(tag);
  node.text().set(text.c_str());
  return node;
}

pugi::xml_node add_table(pugi::xml_node body, const std::string& title,
                         const std::vector<std::string>& heads) {
  add(body, "h2", title);
  pugi::xml_node scroll = body.append_child("div");
  scroll.append_attribute("class") = "scroll";
  pugi::xml_node table = scroll.append_child("table");
  pugi::xml_node row = table.append_child("tr");
  for (const std::string& head : heads) {
    add(row, "th", head);
  }
  return table;
}

std::string css_class(TrialOutcome outcome) {
  return outcome == TrialOutcome::not_run ? "not-run" : std::string(name(outcome));
}

void add_trials(pugi::xml_node body, const std::string& title, const SchemeStudy& study,
                std::vector<Trial> SchemeFindings::* trials) {
  std::vector<std::string> heads = {"scheme"};
  for (const Trial& trial : study.schemes.front().*trials) {
    heads.push_back(trial.question);
  }
  const pugi::xml_node table = add_table(body, title, heads);
  for (const SchemeFindings& findings : study.schemes) {
    pugi::xml_node row = pugi::xml_node(table).append_child("tr");
    add(row, "th", std::string(model::scheme_info(findings.scheme).name));
    for (const Trial& trial : findings.*trials) {
      pugi::xml_node entry = add(row, "td", std::string(name(trial.outcome)));
      entry.append_attribute("class") = css_class(trial.outcome).c_str();
      entry.append_attribute("title") =
          (trial.cell + (trial.reason.empty() ? "" : ": " + trial.reason)).c_str();
      if (!trial.reason.empty()) {
        entry.append_child("br");
        add(entry, "span", trial.reason).append_attribute("class") = "cell";
      }
    }
  }
}

void add_code(pugi::xml_node row, const std::string& text) {
  add(row.append_child("td"), "code", text);
}

void add_made(pugi::xml_node body, const SchemeStudy& study) {
  const pugi::xml_node table =
      add_table(body, "What it is made of",
                {"scheme", "the call before", "the call after", "the JIT gets",
                 "the interpreter gets", "slots in all", "bytes beside it", "idea"});
  for (const SchemeFindings& findings : study.schemes) {
    pugi::xml_node row = pugi::xml_node(table).append_child("tr");
    pugi::xml_node scheme = add(row, "th", std::string(model::scheme_info(findings.scheme).name));
    scheme.append_child("br");
    add(scheme, "span", findings.cell).append_attribute("class") = "cell";
    if (!findings.was_run()) {
      add(row, "td", "not run: " + findings.cell).append_attribute("class") = "not-run";
      continue;
    }
    const model::SchemeInfo& words = model::scheme_info(findings.scheme);
    add_code(row, findings.call_before);
    add_code(row, fmt::format("{}", fmt::join(findings.call_after, "\n")));
    add(row, "td", fmt::format("{} = {}", words.jit_reads, to_string(findings.jit_gets)));
    add(row, "td",
        fmt::format("pc{:+} from {}", findings.interpreter_distance, words.interpreter_reads));
    add(row, "td", fmt::format("{} → {}", findings.slots_before, findings.slots_after));
    add(row, "td", fmt::format("{}", findings.bytes_beside));
    add(row, "td", std::string(words.idea));
  }
}

void add_dumps(pugi::xml_node body, const SchemeStudy& study) {
  const pugi::xml_node table = add_table(body, "What a dump gives away, of the same cells",
                                         {"scheme", "JIT on", "JIT off", "restricted"});
  for (const SchemeFindings& findings : study.schemes) {
    pugi::xml_node row = pugi::xml_node(table).append_child("tr");
    add(row, "th", std::string(model::scheme_info(findings.scheme).name));
    for (const DumpedCall& dumped : findings.dumps) {
      pugi::xml_node entry = row.append_child("td");
      add(entry, "div",
          dumped.call.address ? to_string(*dumped.call.address) : "address not available");
      add(entry, "code", fmt::format("pc{:+}#{}", dumped.call.distance, dumped.name));
    }
    if (!findings.was_run()) {
      add(row, "td", "not run").append_attribute("class") = "not-run";
    }
  }
}

}  // namespace

std::string scheme_html(const SchemeStudy& study) {
  pugi::xml_document document;
  document.append_child(pugi::node_doctype).set_value("html");
  pugi::xml_node html = document.append_child("html");
  html.append_attribute("lang") = "en";
  pugi::xml_node head = html.append_child("head");
  head.append_child("meta").append_attribute("charset") = "utf-8";
  add(head, "title", "farcall schemes");
  add(head, "style", kStyle);
  pugi::xml_node body = html.append_child("body");
  add(body, "h1", "How a BPF call carries its callee's address");
  add(body, "p",
      "Every entry was linked, compiled, run in a guest and dumped. The cell that shows it is "
      "named "
      "beside it or in its tooltip: farcall run and farcall dump take it.");
  add_made(body, study);
  add_dumps(body, study);
  add_trials(body, "Where the callee may be", study, &SchemeFindings::regions);
  add_trials(body, "How large the program may be", study, &SchemeFindings::limits);
  std::ostringstream text;
  document.save(text, "", pugi::format_raw | pugi::format_no_declaration);
  return text.str() + "\n";
}

}  // namespace farcall::scheme
