#include "scheme/study.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "model/schemes.hpp"

namespace farcall::scheme {
namespace {

// A table of text whose columns are as wide as their longest entry.
class Table {
 public:
  explicit Table(std::vector<std::string> heads) { rows_.push_back(std::move(heads)); }

  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  std::string text() const {
    std::string result;
    for (const auto& row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        const std::size_t width = i + 1 == row.size() ? 0 : width_of(i) + 2;
        line += fmt::format("{:<{}}", row[i], width);
      }
      result += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return result;
  }

 private:
  std::size_t width_of(std::size_t column) const {
    std::size_t width = 0;
    for (const auto& row : rows_) {
      width = std::max(width, row[column].size());
    }
    return width;
  }

  std::vector<std::vector<std::string>> rows_;
};

std::string cost(const SchemeFindings& findings) {
  return fmt::format("{:+.0f}", static_cast<double>(findings.slots_after - findings.slots_before) /
                                    static_cast<double>(findings.calls));
}

// Bytes beside the program; a side table has an entry a call, an array one a function.
std::string beside(const SchemeFindings& findings) {
  if (findings.bytes_beside == 0) {
    return "0";
  }
  const bool by_call =
      model::scheme_info(findings.scheme).beside == model::AddressesBeside::one_a_call;
  const std::uint64_t count = by_call ? findings.calls : findings.functions;
  return fmt::format("{} a {}", findings.bytes_beside / count, by_call ? "call" : "function");
}

std::string jit_gets(const SchemeFindings& findings) {
  return fmt::format("{} = {}", model::scheme_info(findings.scheme).jit_reads,
                     to_string(findings.jit_gets));
}

std::string interpreter_gets(const SchemeFindings& findings) {
  return fmt::format("pc{:+} from {}", findings.interpreter_distance,
                     model::scheme_info(findings.scheme).interpreter_reads);
}

constexpr std::string_view kNotRun = "not run";

void add_trials(std::string& text, const SchemeStudy& study,
                std::vector<Trial> SchemeFindings::* trials) {
  std::vector<std::string> heads = {"scheme"};
  for (const Trial& trial : study.schemes.front().*trials) {
    heads.push_back(trial.question);
  }
  Table table(std::move(heads));
  for (const SchemeFindings& findings : study.schemes) {
    std::vector<std::string> row = {std::string(model::scheme_info(findings.scheme).name)};
    for (const Trial& trial : findings.*trials) {
      row.emplace_back(name(trial.outcome));
    }
    table.add(std::move(row));
  }
  text += table.text();
}

std::string reasons(const SchemeStudy& study) {
  Table table({"scheme", "cell", "", "why"});
  for (const SchemeFindings& findings : study.schemes) {
    for (const auto* const trials : {&findings.regions, &findings.limits}) {
      for (const Trial& trial : *trials) {
        if (trial.outcome != TrialOutcome::holds) {
          table.add({std::string(model::scheme_info(findings.scheme).name), trial.cell,
                     std::string(name(trial.outcome)), trial.reason});
        }
      }
    }
  }
  return table.text();
}

}  // namespace

std::string_view name(TrialOutcome outcome) {
  static constexpr std::array<std::string_view, 4> kNames = {"holds", "refused", "FAILED", kNotRun};
  return kNames[static_cast<std::size_t>(outcome)];
}

std::string what_is_recovered(const DumpedCall& dumped) {
  return fmt::format("{} name, pc{:+}", dumped.call.address ? "address," : "address not available;",
                     dumped.call.distance);
}

std::string scheme_text(const SchemeStudy& study) {
  std::string text = "What it is made of\n";
  Table made({"scheme", "the JIT gets", "the interpreter gets", "slots a call", "bytes beside it",
              "by running"});
  Table dumps({"scheme", "JIT on", "JIT off", "restricted"});
  for (const SchemeFindings& findings : study.schemes) {
    const std::string scheme(model::scheme_info(findings.scheme).name);
    if (!findings.was_run()) {
      made.add({scheme, std::string(kNotRun), "", "", "", findings.cell});
      dumps.add({scheme, std::string(kNotRun), "", ""});
      continue;
    }
    made.add({scheme, jit_gets(findings), interpreter_gets(findings), cost(findings),
              beside(findings), findings.cell});
    std::vector<std::string> row = {scheme};
    for (const DumpedCall& dumped : findings.dumps) {
      row.push_back(what_is_recovered(dumped));
    }
    dumps.add(std::move(row));
  }
  text += made.text() + "\nWhat a dump gives away, of the same cells\n" + dumps.text();
  text += "\nWhere the callee may be\n";
  add_trials(text, study, &SchemeFindings::regions);
  text += "\nHow large the program may be\n";
  add_trials(text, study, &SchemeFindings::limits);
  return text + "\nWhat does not hold\n" + reasons(study);
}

std::string scheme_explanation(const SchemeFindings& findings) {
  const model::SchemeInfo& words = model::scheme_info(findings.scheme);
  std::string text = fmt::format("{}: {}\n", model::scheme_info(findings.scheme).name, words.idea);
  if (!findings.was_run()) {
    text += fmt::format("not run: {}\n", findings.cell);
    return text;
  }
  const auto limits_of = [](const std::vector<Trial>& trials) {
    std::string refused;
    for (const Trial& trial : trials) {
      if (trial.outcome != TrialOutcome::holds) {
        refused += fmt::format("{}{} ({})", refused.empty() ? "" : "; ", trial.question,
                               name(trial.outcome));
      }
    }
    return refused.empty() ? "none of those tried" : refused;
  };
  text += fmt::format(
      "  before       {}  call pc{:+}\n", findings.call_before,
      findings.interpreter_distance - static_cast<std::int64_t>(findings.call_after.size() - 1));
  text += fmt::format("  after        {}\n", fmt::join(findings.call_after, "  "));
  text += fmt::format("  JIT          {}; placed at {}\n", jit_gets(findings),
                      to_string(findings.placed));
  text += fmt::format("  interpreter  {}\n", interpreter_gets(findings));
  text += fmt::format("  code         {}\n", fmt::join(findings.code, "; "));
  std::vector<std::string> recovered;
  for (const DumpedCall& dumped : findings.dumps) {
    recovered.push_back(fmt::format("{}: {}", name(dumped.mode), what_is_recovered(dumped)));
  }
  text += fmt::format("  dump, JIT    {}\n", fmt::join(recovered, "  |  "));
  text += fmt::format("  costs        {} slots a call; bytes beside the program: {}\n",
                      cost(findings), beside(findings));
  std::vector<Trial> all = findings.regions;
  all.insert(all.end(), findings.limits.begin(), findings.limits.end());
  text += fmt::format("  cannot       {}\n", limits_of(all));
  text += fmt::format("  seen in      {}\n", findings.cell);
  return text;
}

}  // namespace farcall::scheme
