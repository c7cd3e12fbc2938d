#include "campaign/reduce.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <iterator>
#include <utility>

#include "run/pipeline.hpp"

namespace farcall::campaign {
namespace {

// A candidate may run so many times longer than what it comes from: not for ever.
constexpr std::uint64_t kBudgetTimes = 4;
constexpr std::uint64_t kBudgetAtLeast = 2000;

// So many candidates go to the guest at a time.
constexpr std::size_t kMostAtOnce = 512;

using Edit = std::function<void(Sketch&)>;

// A line of a program by its place, as edits name it.
struct LineAt {
  std::size_t program;
  std::size_t function;
  std::size_t line;
};

std::vector<LineAt> lines_of(const Sketch& sketch) {
  std::vector<LineAt> all;
  for (std::size_t p = 0; p < sketch.programs.size(); ++p) {
    for (std::size_t f = 0; f < sketch.programs[p].functions.size(); ++f) {
      const auto& lines = sketch.programs[p].functions[f].lines;
      for (std::size_t i = 0; i < lines.size(); ++i) {
        if (!is_label(lines[i])) {
          all.push_back({p, f, i});
        }
      }
    }
  }
  return all;
}

std::string& line(Sketch& sketch, LineAt at) {
  return sketch.programs[at.program].functions[at.function].lines[at.line];
}

// Lines that an edit takes away are empty until all edits are done.
void drop_empty_lines(Sketch& sketch) {
  for (SketchProgram& program : sketch.programs) {
    for (SketchFunction& function : program.functions) {
      std::erase_if(function.lines, [](const std::string& text) { return text.empty(); });
    }
  }
}

Error error(std::string message, std::string hint = {}) {
  return {.code = ErrorCode::usage_bad_argument,
          .message = std::move(message),
          .hint = std::move(hint)};
}

// The kind of what the verdict says, if that is a failure of the code, and not of the case.
Result<FindingKind> reducible(const model::Cell& cell, const model::Verdict& verdict) {
  if (verdict.findings.empty()) {
    return error(fmt::format("{} does not fail: there is nothing to reduce", cell.name));
  }
  const model::Finding& first = verdict.findings.front();
  const Blame blamed = blame(first.code);
  if (verdict.outcome == model::Outcome::skip ||
      (blamed != Blame::code && first.code != ErrorCode::jit_internal &&
       first.code != ErrorCode::jit_size_changed)) {
    return error(
        fmt::format("{} is no failure of the code under test: {}", cell.name, to_string(first)));
  }
  return kind_of(cell, verdict);
}

class Reducer {
 public:
  Reducer(Trial& trial, Sketch sketch, std::uint64_t seed)
      : trial_(trial), sketch_(std::move(sketch)), seed_(seed) {}

  Result<Reduced> run() {
    FARCALL_TRY(cell, cell_of(sketch_));
    const auto source = run::interpreted(cell);
    budget_ = kBudgetAtLeast + kBudgetTimes * (source ? source.value().instructions : cell.budget);
    const std::size_t from = instruction_count(sketch_);
    auto seen = trial_.run({{.document = {.cell = cell}, .seed = seed_}});
    if (!seen.front()) {
      return error("stopped");
    }
    FARCALL_TRY(kind, reducible(cell, seen.front()->verdict));
    kind_ = kind;
    last_ = std::move(*seen.front());
    reduce_all();
    mend_layout();
    return Reduced{.sketch = sketch_,
                   .seed = seed_,
                   .kind = kind_,
                   .verdict = last_->verdict,
                   .shape = shape(),
                   .from = from,
                   .candidates = candidates_};
  }

 private:
  void reduce_all() {
    if (seed_ != 0) {
      if (works(std::vector{sketch_}, 0).front()) {
        seed_ = 0;
      }
    }
    simplest_axes();
    take({[](Sketch& sketch) { sketch.places.clear(); }});
    std::size_t size = 0;
    do {
      size = case_text(sketch_).size();
      promote_functions();
      remove_lines();
      simplify_lines();
      remove_declarations();
      shrink_bytes();
      shrink_numbers();
      simplest_axes();
    } while (case_text(sketch_).size() < size);
  }

  // Where the layout is wrong as well, code of another length may have a good one: a case then fails
  // first by what it was reduced for.
  void mend_layout() {
    const auto layout_fails = [this](const Sketch& sketch) {
      return !works({sketch}, seed_).front() ||
             is_about_layout(last_->verdict.findings.front().code);
    };
    if (!is_about_layout(kind_.code) && layout_fails(sketch_)) {
      Sketch longer = sketch_;
      auto& lines = longer.programs.front().functions.front().lines;
      lines.insert(lines.begin(), "mov %r0, 0");
      if (!layout_fails(longer)) {
        sketch_ = std::move(longer);
      }
    }
  }

  // Which of these are still the same finding.
  std::vector<bool> works(const std::vector<Sketch>& sketches, std::uint64_t seed) {
    std::vector<bool> all(sketches.size(), false);
    std::vector<Trial::Run> runs;
    std::vector<std::size_t> whose;
    const auto flush = [&] {
      candidates_ += runs.size();
      const auto seen = trial_.run(std::exchange(runs, {}));
      for (std::size_t i = 0; i < seen.size(); ++i) {
        if (seen[i] && seen[i]->verdict.outcome == model::Outcome::fail &&
            kind_of(seen[i]->document->cell, seen[i]->verdict) == kind_) {
          all[whose[i]] = true;
          last_ = seen[i];
        }
      }
      whose.clear();
    };
    for (std::size_t i = 0; i < sketches.size(); ++i) {
      auto cell = cell_of(sketches[i]);
      if (!cell) {
        continue;
      }
      cell.value().budget = budget_;
      runs.push_back({.document = {.cell = std::move(cell).value()}, .seed = seed});
      whose.push_back(i);
      if (runs.size() == kMostAtOnce) {
        flush();
      }
    }
    if (!runs.empty()) {
      flush();
    }
    return all;
  }

  Sketch with(const std::vector<const Edit*>& edits) const {
    Sketch changed = sketch_;
    for (const Edit* const edit : edits) {
      (*edit)(changed);
    }
    drop_empty_lines(changed);
    return tidied(std::move(changed));
  }

  // Tries each edit by itself, and keeps as many of those that count as go together. Whether one
  // was kept.
  bool take(const std::vector<Edit>& edits) {
    std::vector<Sketch> single;
    single.reserve(edits.size());
    for (const Edit& edit : edits) {
      single.push_back(with({&edit}));
      if (single.back() == sketch_) {
        single.back() = {};  // nothing changed; no case either
      }
    }
    const std::vector<bool> good = works(single, seed_);
    std::vector<const Edit*> all;
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < edits.size(); ++i) {
      if (good[i]) {
        all.push_back(&edits[i]);
        numbers.push_back(i);
      }
    }
    if (all.empty()) {
      return false;
    }
    // The longest beginning of them that counts: 1 does.
    std::vector<std::size_t> lengths;
    std::vector<Sketch> beginnings;
    for (std::size_t length = all.size(); length > 1;
         length -= std::max<std::size_t>(length / 4, 1)) {
      lengths.push_back(length);
      beginnings.push_back(with({all.begin(), all.begin() + static_cast<std::ptrdiff_t>(length)}));
    }
    const std::vector<bool> together = works(beginnings, seed_);
    const auto best = std::ranges::find(together, true);
    sketch_ = best == together.end()
                  ? std::move(single[numbers.front()])
                  : std::move(beginnings[static_cast<std::size_t>(best - together.begin())]);
    return true;
  }

  void simplest_axes() {
    std::vector<Edit> edits = {[](Sketch& sketch) { sketch.axes = {}; }};
    for (std::size_t i = 0; i < model::kAxisCount; ++i) {
      edits.emplace_back([i](Sketch& sketch) {
        set_value(sketch.axes, static_cast<model::Axis>(i),
                  value_of(model::AxisValues{}, static_cast<model::Axis>(i)));
      });
    }
    if (sketch_.axes != model::AxisValues{}) {
      take(edits);
    }
  }

  // One function alone, instead of what calls it.
  void promote_functions() {
    std::vector<Edit> edits;
    for (std::size_t p = 0; p < sketch_.programs.size(); ++p) {
      for (std::size_t f = p == 0 ? 1 : 0; f < sketch_.programs[p].functions.size(); ++f) {
        for (const bool sets_result : {false, true}) {
          edits.emplace_back([p, f, sets_result](Sketch& sketch) {
            if (p >= sketch.programs.size() || f >= sketch.programs[p].functions.size()) {
              return;  // another one is alone already
            }
            SketchProgram program = sketch.programs[p];
            std::swap(program.functions[0], program.functions[f]);
            if (f != 0) {
              program.functions.erase(program.functions.begin() + static_cast<std::ptrdiff_t>(f));
            }
            program.functions[0].name = "main";
            if (sets_result) {
              auto& lines = program.functions[0].lines;
              lines.insert(lines.begin(), "mov %r0, 0");
            }
            sketch.programs[0] = std::move(program);
          });
        }
      }
    }
    take(edits);
  }

  void remove_lines() {
    for (std::size_t size = std::max<std::size_t>(lines_of(sketch_).size() / 2, 1);;
         size = std::max<std::size_t>(size / 2, 1)) {
      bool some = true;
      while (some) {
        const std::vector<LineAt> lines = lines_of(sketch_);
        std::vector<Edit> edits;
        // From the end: what uses a value goes before what makes it.
        for (std::size_t end = lines.size(); end > 0; end -= std::min(size, end)) {
          const std::size_t begin = end - std::min(size, end);
          edits.emplace_back([lines, begin, end](Sketch& sketch) {
            for (std::size_t i = begin; i < end; ++i) {
              line(sketch, lines[i]).clear();
            }
          });
        }
        some = take(edits) && size == 1;
      }
      if (size == 1) {
        return;
      }
    }
  }

  // `mov`, `ja` instead of something else; 0 and 1 as numbers.
  void simplify_lines() {
    bool some = true;
    while (some) {
      std::vector<Edit> edits;
      for (const LineAt at : lines_of(sketch_)) {
        const std::string text = line(sketch_, at);
        for (std::string& simpler : simpler_lines(text)) {
          edits.emplace_back([at, text, simpler = std::move(simpler)](Sketch& sketch) {
            if (line(sketch, at) == text) {
              line(sketch, at) = simpler;
            }
          });
        }
      }
      some = take(edits);
    }
  }

  static std::vector<std::string> simpler_lines(const std::string& text) {
    std::vector<std::string> simpler;
    const std::string mnemonic = text.substr(0, text.find(' '));
    const std::string operands = text.substr(std::min(text.size(), mnemonic.size() + 1));
    const std::string first = operands.substr(0, operands.find(','));
    const std::size_t comma = text.rfind(", ");
    const bool is_jump =
        mnemonic.starts_with('j') && mnemonic != "ja" && comma != std::string::npos;
    const bool is_set = mnemonic == "mov" || mnemonic == "lddw";
    if (is_table(text)) {  // an element less
      if (comma != std::string::npos) {
        simpler.push_back(text.substr(0, comma));
      }
      return simpler;
    }
    if (is_jump) {
      simpler.push_back("ja " + text.substr(comma + 2));
    } else if (mnemonic == "call" || mnemonic == "callx") {
      simpler.emplace_back("mov %r0, 0");
    } else if (!is_set && first.starts_with("%r") && comma != std::string::npos) {
      if (text.substr(comma + 2).starts_with('%')) {
        simpler.push_back(fmt::format("mov {}, {}", first, text.substr(comma + 2)));
      }
      simpler.push_back(fmt::format("mov {}, 0", first));
      simpler.push_back(fmt::format("mov {}, -1", first));
    }
    // A smaller number in place of the last operand.
    const std::string last = comma == std::string::npos ? "" : text.substr(comma + 2);
    const bool is_number =
        !last.empty() &&
        (std::isdigit(static_cast<unsigned char>(last.front())) != 0 || last.front() == '-');
    if (is_number && !is_jump) {
      const bool negative = last.front() == '-';
      const std::uint64_t value =
          negative ? static_cast<std::uint64_t>(std::stoll(last)) : std::stoull(last, nullptr, 0);
      const std::string head = text.substr(0, comma + 2);
      const std::string mov_head = mnemonic == "lddw" ? "mov" + head.substr(4) : head;
      // `-1` is simpler than any number but 0 and 1: so nothing goes round in circles.
      if (value > 1) {
        for (const char* const number : {"0", "1"}) {
          simpler.push_back(mov_head + number);
        }
        const bool shifts =
            mnemonic.find("sh") != std::string::npos;  // -1 would be beyond the width
        if (value != UINT64_MAX && !shifts) {
          simpler.push_back(mov_head + "-1");
        }
        if (value < 1ULL << 31 && !negative) {
          simpler.push_back(fmt::format("{}{}", mov_head, value / 2));
        }
      } else if (value == 1) {
        simpler.push_back(mov_head + "0");
      }
    } else if (is_set && last.starts_with('%')) {
      simpler.push_back(text.substr(0, comma + 2) + "0");
    }
    return simpler;
  }

  template <typename List>
  void removals(std::vector<Edit>& edits, List Sketch::* list) {
    for (std::size_t i = 0; i < (sketch_.*list).size(); ++i) {
      const auto item = (sketch_.*list)[i];
      edits.emplace_back([list, item](Sketch& sketch) {
        const auto found = std::ranges::find(sketch.*list, item);
        if (found != (sketch.*list).end()) {
          (sketch.*list).erase(found);
        }
      });
    }
  }

  void remove_declarations() {
    std::vector<Edit> edits;
    removals(edits, &Sketch::data);
    removals(edits, &Sketch::arrays);
    removals(edits, &Sketch::externals);
    removals(edits, &Sketch::places);
    edits.emplace_back([](Sketch& sketch) { sketch.mem.reset(); });
    edits.emplace_back([](Sketch& sketch) { sketch.callx = bpf::Callx::none; });
    for (std::size_t i = 0; i < sketch_.registers.size(); ++i) {
      if (sketch_.registers[i]) {
        edits.emplace_back([i](Sketch& sketch) { sketch.registers[i].reset(); });
      }
    }
    for (const SketchExternal& item : sketch_.externals) {
      const auto change = [&](auto how) {
        edits.emplace_back([item, how](Sketch& sketch) {
          const auto found = std::ranges::find(sketch.externals, item);
          if (found != sketch.externals.end()) {
            how(*found);
          }
        });
      };
      change([](SketchExternal& external) { external.returns.clear(); });
      change([](SketchExternal& external) { external.takes = 0; });
      change([](SketchExternal& external) { external.fills.reset(); });
    }
    while (take(edits)) {
    }
    // Programs of arrays, one at a time.
    for (std::size_t a = 0; a < sketch_.arrays.size(); ++a) {
      for (std::size_t i = sketch_.arrays[a].programs.size(); i-- > 0;) {
        take({[a, i](Sketch& sketch) {
          auto& programs = sketch.arrays[a].programs;
          programs.erase(programs.begin() + static_cast<std::ptrdiff_t>(i));
        }});
      }
    }
  }

  // Memory: half of it, and zeros.
  void shrink_bytes() {
    const auto each_bytes = [](Sketch& sketch, auto visit) {
      if (sketch.mem) {
        visit(*sketch.mem);
      }
      for (SketchData& data : sketch.data) {
        visit(data.bytes);
      }
    };
    std::size_t count = 0;
    each_bytes(sketch_, [&](auto&) { ++count; });
    const auto change = [each_bytes](std::size_t number, auto how) -> Edit {
      return [each_bytes, number, how](Sketch& sketch) {
        std::size_t at = 0;
        each_bytes(sketch, [&](std::vector<std::byte>& bytes) {
          if (at++ == number) {
            how(bytes);
          }
        });
      };
    };
    for (std::size_t i = 0; i < count; ++i) {
      const auto half = [](std::vector<std::byte>& bytes) { bytes.resize((bytes.size() + 1) / 2); };
      while (take({change(i, half)})) {
      }
      const auto less = [](std::vector<std::byte>& bytes) {
        bytes.resize(std::max<std::size_t>(bytes.size(), 2) - 1);
      };
      for (int times = 0; times < 8 && take({change(i, less)}); ++times) {
      }
      take({change(i,
                   [](std::vector<std::byte>& bytes) { std::ranges::fill(bytes, std::byte{0}); })});
    }
  }

  // Places: fewer digits.
  void shrink_numbers() {
    std::vector<Edit> edits;
    for (const auto& place : sketch_.places) {
      const std::size_t plus = place.second.find("+0x");
      if (plus == std::string::npos) {
        continue;
      }
      const std::uint64_t offset = std::stoull(place.second.substr(plus + 1), nullptr, 16);
      for (unsigned bits = 60; bits >= 2; bits -= 2) {
        const std::uint64_t rounded = offset >> bits << bits;
        if (rounded != 0 && rounded != offset) {
          const std::string simpler =
              fmt::format("{}+{:#x}", place.second.substr(0, plus), rounded);
          edits.emplace_back([place, simpler](Sketch& sketch) {
            const auto found = std::ranges::find(sketch.places, place);
            if (found != sketch.places.end()) {
              found->second = simpler;
            }
          });
        }
      }
    }
    take(edits);
  }

  // Run once more as it is now: what was seen last need not be of it.
  std::string shape() {
    auto cell = cell_of(sketch_).value();
    auto seen = trial_.run({{.document = {.cell = cell}, .seed = seed_}});
    if (seen.front()) {
      last_ = std::move(seen.front());
    }
    const model::Verdict& verdict = last_->verdict;
    const std::string site = verdict.findings.empty() ? "" : most_telling(verdict).site;
    if (!site.empty() && last_->testimony.image) {
      for (const model::SiteStory& story : verdict.sites) {
        if (story.name == site && story.at) {
          return call_shape(*last_->testimony.image, *story.at);
        }
      }
    }
    return is_about_layout(kind_.code) ? ""
                                       : fmt::format("{}", fmt::join(traits(*cell.program), "; "));
  }

  Trial& trial_;
  Sketch sketch_;
  std::uint64_t seed_;
  FindingKind kind_;
  std::uint64_t budget_ = 0;
  std::size_t candidates_ = 0;
  std::optional<run::FinishedCell> last_;
};

// A name as a word of a shell pattern that matches it.
std::string as_pattern(std::string_view name) {
  std::string pattern(name);
  std::ranges::replace_if(
      pattern, [](char c) { return c == ' ' || c == '*' || c == '[' || c == '\\' || c == '#'; },
      '?');
  return pattern;
}

// A run's verdict is of this kind.
bool is_of_kind(const std::optional<run::FinishedCell>& seen, const FindingKind& kind) {
  return seen && seen->verdict.outcome == model::Outcome::fail &&
         kind_of(seen->document->cell, seen->verdict) == kind;
}

}  // namespace

Result<Reduced> reduce(Trial& trial, const Sketch& sketch, std::uint64_t seed) {
  return Reducer(trial, sketch, seed).run();
}

std::string reduced_case(const Reduced& reduced, const engine::Jit& jit,
                         std::vector<std::string> comments) {
  const model::Cell cell = cell_of(reduced.sketch).value();
  const auto run = run::interpreted(cell);
  std::string outcome = "-- result\nany\n";
  if (run && !run.value().undefined_result && run.value().r0_frame == 0) {
    outcome = fmt::format("-- result\n{:#x}\n", run.value().r0);
  }
  std::string unreached;
  for (const bpf::PseudoCall& call : pseudo_calls(*cell.program)) {
    const bool reached =
        run && std::ranges::find(run.value().calls, call.site, &bpf::PseudoCall::site) !=
                   run.value().calls.end();
    if (!reached && run) {
      unreached += fmt::format("{} {} *0\n", to_string(*cell.program, call.site),
                               callee_name(*cell.program, call.callee));
    }
  }
  outcome += unreached.empty() ? "" : "-- calls\n" + unreached;
  outcome +=
      fmt::format("-- known\n{} {}\n", as_pattern(jit.identity), farcall::name(reduced.kind.code));
  return case_text(reduced.sketch, {.comments = std::move(comments), .outcome = outcome});
}

Result<ReducedDocument> reduce_document(Trial& trial, const model::Document& document,
                                        std::uint64_t seed) {
  model::Document current = document;
  auto seen = trial.run({{.document = current, .seed = seed}});
  if (!seen.front()) {
    return error("stopped");
  }
  FARCALL_TRY(kind, reducible(current.cell, seen.front()->verdict));
  using Change = std::function<void(model::Document&)>;
  const auto take = [&](const Change& change) {
    model::Document changed = current;
    change(changed);
    const auto came = trial.run({{.document = changed, .seed = seed}});
    if (is_of_kind(came.front(), kind)) {
      current = std::move(changed);
      return true;
    }
    return false;
  };
  take([](model::Document& changed) { changed.linked.reset(); });
  take([](model::Document& changed) { changed.cell.expected = {.any_other_call = true}; });
  take([](model::Document& changed) { changed.image->calls.clear(); });
  take([](model::Document& changed) { changed.image->bpf_registers.clear(); });
  take([](model::Document& changed) { changed.image->thread_area.reset(); });
  for (std::size_t i = 0; i < current.image->functions.size(); ++i) {
    take([i](model::Document& changed) { changed.image->functions[i].lines.clear(); });
    take([i](model::Document& changed) { changed.image->functions[i].pass_words.clear(); });
  }
  if (kind.site == SiteKind::none) {
    take([](model::Document& changed) { changed.cell.program = nullptr; });
  }
  for (std::size_t i = current.cell.memory.size(); i-- > 0;) {
    const auto at = static_cast<std::ptrdiff_t>(i);
    if (take([at](model::Document& changed) {
          changed.cell.memory.erase(changed.cell.memory.begin() + at);
        })) {
      continue;
    }
    while (current.cell.memory[i].bytes.size() > 1 && take([i](model::Document& changed) {
             auto& bytes = changed.cell.memory[i].bytes;
             bytes.resize((bytes.size() + 1) / 2);
           })) {
    }
    take([i](model::Document& changed) {
      std::ranges::fill(changed.cell.memory[i].bytes, std::byte{0});
    });
  }
  for (std::size_t i = 0; i < current.cell.arguments.size(); ++i) {
    take([i](model::Document& changed) { changed.cell.arguments[i] = 0; });
  }
  return ReducedDocument{.document = std::move(current), .kind = kind, .seed = seed};
}

}  // namespace farcall::campaign
