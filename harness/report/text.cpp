#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "report/report.hpp"

namespace farcall::report {
namespace {

using model::Outcome;

enum class Colour : std::uint8_t { plain, green, red, yellow, dim };

constexpr std::array<std::string_view, 5> kEscapes = {"", "\033[32m", "\033[31m", "\033[33m",
                                                      "\033[2m"};

struct OutcomeStyle {
  std::string_view word;
  Colour colour;
};

// In the order of Outcome.
constexpr std::array<OutcomeStyle, 4> kOutcomes = {{{"pass ", Colour::green},
                                                    {"FAIL ", Colour::red},
                                                    {"skip ", Colour::yellow},
                                                    {"ERROR", Colour::red}}};

// How many words of code are shown before and after a call site.
constexpr std::uint64_t kWordsBefore = 7;
constexpr std::uint64_t kWordsAfter = 1;

constexpr std::size_t kFindingsShown = 6;
constexpr std::size_t kBranchesShown = 8;

std::string cells(std::size_t count) {
  return fmt::format("{} cell{}", count, count == 1 ? "" : "s");
}

std::string times(std::optional<std::uint64_t> count) {
  return count ? fmt::format("{}×", *count) : "–";
}

class TextReport : public Report {
 public:
  TextReport(std::FILE* out, TextStyle style) : out_(out), style_(style) {}

  void begin(std::size_t cells) override { by_file_ = cells > kMostCellsShown; }

  void cell(const CellReport& report) override {
    const Outcome outcome = report.verdict.outcome;
    if (!report.jit.empty() && report.jit != jit_) {
      print_file();
      hide_progress();
      jit_ = report.jit;
      fmt::print(out_, "JIT    {}\n", jit_);
    }
    if (report.cell.control) {
      ++controls_;
      controls_found_ += outcome == Outcome::pass ? 1U : 0U;
    }
    if (by_file_) {
      count(report);
    }
    // Of many cells, those that are skipped for one reason are told once, at the end.
    if (by_file_ && outcome == Outcome::skip && !report.verdict.findings.empty()) {
      ++skips_[report.verdict.findings.front().text];
    } else if (!by_file_ || (outcome != Outcome::pass && !is_told(report.verdict))) {
      hide_progress();
      print_cell(report);
    }
  }

  void end(const Totals& totals) override {
    hide_progress();
    print_file();
    for (const auto& [reason, count] : skips_) {
      fmt::print(out_, "{}  {}: {}\n", word(Outcome::skip), cells(count), reason);
    }
    fmt::print(out_,
               "\n{}: {}, {}, {} error{}{}; at {} of {} call sites interpreter, bytes and "
               "CPU agree; {:.2f} s\n",
               cells(totals.cells()), paint(fmt::format("{} passed", totals.passed), Colour::green),
               paint(fmt::format("{} failed", totals.failed),
                     totals.failed == 0 ? Colour::plain : Colour::red),
               totals.errors, totals.errors == 1 ? "" : "s",
               totals.skipped == 0 ? "" : fmt::format(", {} skipped", totals.skipped),
               totals.agreed_sites, totals.sites, totals.seconds);
    if (controls_ > 0) {
      fmt::print(out_, "controls: {} of {} seeded fault{} found\n", controls_found_, controls_,
                 controls_ == 1 ? "" : "s");
    }
    if (totals.cells() + totals.not_run == 0 && totals.shard.count > 1) {
      fmt::print(out_, "part {} of {} has no cells: all that are selected are in other parts\n",
                 totals.shard.index, totals.shard.count);
    }
    for (const auto& [code, count] : totals.allowed) {
      fmt::print(out_, "allowed: {} finding{} of {}\n", count, count == 1 ? "" : "s", name(code));
    }
    if (totals.not_run > 0) {
      fmt::print(out_, "{}; {} not run\n",
                 totals.interrupted.empty() ? "stopped at the first failure"
                                            : "not complete: ended by " + totals.interrupted,
                 cells(totals.not_run));
    }
    if (totals.machines_lost > 0) {
      fmt::print(out_, "{} machine{} failed; what they were running was run once more\n",
                 totals.machines_lost, totals.machines_lost == 1 ? "" : "s");
    }
  }

 private:
  // The cells of one case file that came one after the other.
  struct FileTally {
    std::string path;
    Outcome worst = Outcome::pass;
    std::size_t cells = 0;
    std::size_t passed = 0;
    std::size_t sites = 0;
    std::size_t agreed_sites = 0;
    std::set<std::string> notes;
  };

  // A machine that fails makes the same error of each of its cells: among many, it is told once.
  bool is_told(const model::Verdict& verdict) {
    if (verdict.findings.empty() || blame(verdict.findings.front().code) != Blame::machine) {
      return false;
    }
    const std::string& text = verdict.findings.front().text;
    return std::exchange(told_, text) == text;
  }

  void count(const CellReport& report) {
    const model::Verdict& verdict = report.verdict;
    if (file_.path != report.cell.case_path) {
      print_file();
      file_ = {.path = report.cell.case_path};
    }
    ++file_.cells;
    file_.passed += verdict.outcome == Outcome::pass ? 1U : 0U;
    file_.worst = worse(file_.worst, verdict.outcome);
    file_.sites += verdict.sites.size();
    file_.notes.insert(verdict.notes.begin(), verdict.notes.end());
    file_.agreed_sites += static_cast<std::size_t>(std::ranges::count_if(verdict.sites, agrees));
  }

  // What stands for the cells of a file together: a skip is better than a failure.
  static Outcome worse(Outcome a, Outcome b) {
    constexpr std::array kRank = {0, 2, 1, 3};  // in the order of Outcome
    return kRank[static_cast<std::size_t>(a)] < kRank[static_cast<std::size_t>(b)] ? b : a;
  }

  void hide_progress() const {
    if (style_.progress != nullptr) {
      style_.progress->hide();
    }
  }

  void print_file() {
    if (file_.cells == 0) {
      return;
    }
    hide_progress();
    const std::string passed =
        file_.passed == file_.cells
            ? cells(file_.cells)
            : fmt::format("{} of {} passed", file_.passed, cells(file_.cells));
    fmt::print(out_, "{}  {:<44} {}; {} of {} call sites agree\n", word(file_.worst), file_.path,
               passed, file_.agreed_sites, file_.sites);
    print_notes(file_.notes);
    file_ = {};
  }

  std::string word(Outcome outcome) const {
    const OutcomeStyle& style = kOutcomes[static_cast<std::size_t>(outcome)];
    return paint(style.word, style.colour);
  }

  void print_cell(const CellReport& report) {
    const model::Verdict& verdict = report.verdict;
    fmt::print(out_, "{}  {:<40} {}\n", word(verdict.outcome), report.cell.name, summary(report));
    for (const model::SiteStory& story : verdict.sites) {
      print_story(story);
    }
    if (!by_file_) {
      print_notes(verdict.notes);
    }
    if (verdict.outcome != Outcome::pass) {
      print_evidence(report);
    }
  }

  void print_notes(const auto& notes) {
    for (const std::string& note : notes) {
      fmt::print(out_, "         {}\n", paint("note: " + note, Colour::dim));
    }
  }

  std::string paint(std::string_view text, Colour colour) const {
    if (!style_.colour || colour == Colour::plain) {
      return std::string(text);
    }
    return fmt::format("{}{}\033[0m", kEscapes[static_cast<std::size_t>(colour)], text);
  }

  static std::string summary(const CellReport& report) {
    if (report.verdict.outcome == Outcome::pass && report.cell.control) {
      return fmt::format("{}, as it must be found", name(report.cell.control->code));
    }
    const auto& failure = report.cell.expected.failure;
    if (report.verdict.outcome == Outcome::pass && failure) {
      return fmt::format("{}{}{}, as expected", name(failure->code),
                         failure->site.empty() ? "" : " at ", failure->site);
    }
    if (report.verdict.known) {
      return fmt::format("{}, as is known of this JIT", name(*report.verdict.known));
    }
    if (report.cell.expected.no_result) {
      return "no result";  // what r0 holds then is nobody's
    }
    if (report.verdict.result) {
      return fmt::format("r0 = {:#x}{}", *report.verdict.result, placed_by(report));
    }
    return "";
  }

  // The distance is that of the function which is farthest from where calls in 32 bits count from.
  static std::string placed_by(const CellReport& report) {
    if (is_placed_by_kernel(report)) {
      const auto places = places_by_kernel(report);
      const auto far = std::ranges::max_element(places, {}, [](const FunctionPlace& place) {
        return std::abs(bytes(place.from_call_base));
      });
      return far == places.end()
                 ? ""
                 : fmt::format("; placed by the kernel, {} from __bpf_call_base: {} 32 bits",
                               to_string(far->from_call_base),
                               far->fits_32_bits() ? "fits" : "does not fit");
    }
    const bool by_image =
        report.image != nullptr && report.image->placed_by == model::PlacedBy::image;
    return by_image ? "; the image chose its addresses" : "";
  }

  // What each witness says of a call site: `main[0] → callee  c008…  +2.0 PiB  interpreter 1×  …`.
  void print_story(const model::SiteStory& story) {
    const std::string call = fmt::format("{} → {}", story.name, story.callee);
    const std::string distance = story.at ? to_string(story.expected - *story.at) : "";
    // fmt counts the arrow as one column, as terminals do.
    fmt::print(out_, "         {:<24} {} {:>11}   interpreter {:<4} bytes {}  cpu {} {}\n", call,
               to_string(story.expected), distance, times(story.interpreted), decoded(story),
               times(story.executed), reached(story));
  }

  static std::string decoded(const model::SiteStory& story) {
    if (!story.at) {
      return "no call";
    }
    if (!story.decoded) {
      return story.through_register ? "register" : "no address";
    }
    return *story.decoded == story.expected ? "✓" : to_string(*story.decoded);
  }

  static std::string reached(const model::SiteStory& story) {
    if (story.reached.empty()) {
      return story.executed ? "not reached" : "not run";
    }
    if (story.reached.size() == 1 && story.reached.front() == story.expected) {
      return "✓";
    }
    std::string text;
    for (const GuestAddress address : story.reached) {
      text += to_string(address) + " ";
    }
    return text;
  }

  // The first finding explains the others, so it is its code that is shown.
  void print_evidence(const CellReport& report) {
    const std::vector<model::Finding>& findings = report.verdict.findings;
    const std::size_t shown = std::min(findings.size(), kFindingsShown);
    for (const model::Finding& finding : std::span(findings).first(shown)) {
      fmt::print(out_, "       {} {}{}\n", paint("•", Colour::red), text_without_code(finding),
                 paint(fmt::format(" [{}]", name(finding.code)), Colour::dim));
      if (!finding.hint.empty()) {
        fmt::print(out_, "         {}\n", finding.hint);
      }
    }
    if (findings.size() > shown) {
      fmt::print(out_, "       … and {} more\n", findings.size() - shown);
    }
    if (report.image != nullptr && !findings.empty()) {
      for (const model::CodeCall& call : report.image->calls) {
        if (site_name(*report.image, call.site) == findings.front().site) {
          print_listing(report.image->functions[call.site.function], call, findings.front().site);
        }
      }
    }
    if (report.observations != nullptr && report.observations->fault) {
      print_registers(report.observations->registers, report.landmarks);
      print_branches(report.observations->last, report.landmarks);
    }
    if (!report.replay.empty()) {
      fmt::print(out_, "       replay: {}\n", report.replay);
    }
    fmt::print(out_, "\n");
  }

  void print_listing(const model::CodeFunction& function, const model::CodeCall& call,
                     const std::string& site) {
    if (call.at < function.address || call.at >= function.end()) {
      return;
    }
    const std::uint64_t at = (call.at.value - function.address.value) / 4;
    const std::uint64_t first = at - std::min(at, kWordsBefore);
    const std::uint64_t last = std::min<std::uint64_t>(at + kWordsAfter, function.words.size() - 1);
    const std::vector<std::string> texts = listing(function);
    fmt::print(out_, "       code at {}, in {}:\n", site, function.name);
    for (std::uint64_t i = first; i <= last; ++i) {
      const GuestAddress address = function.address + i * 4;
      fmt::print(out_, "       {} {}  {:08x}  {}\n", i == at ? "→" : " ", to_string(address),
                 function.words[i], texts[i]);
    }
  }

  void print_registers(const ppc64::Registers& registers,
                       std::span<const model::Landmark> landmarks) {
    fmt::print(out_, "       registers:\n");
    for (std::size_t i = 0; i < registers.gpr.size(); ++i) {
      fmt::print(out_, "{}{:>3} {:016x}{}", i % 4 == 0 ? "        " : " ", fmt::format("r{}", i),
                 registers.gpr[i], i % 4 == 3 ? "\n" : " ");
    }
    fmt::print(out_, "         ctr {:016x}  xer {:016x}  cr {:08x}  lr {}\n", registers.ctr,
               registers.xer, registers.cr, describe(landmarks, GuestAddress{registers.lr}));
  }

  void print_branches(std::span<const model::TakenBranch> branches,
                      std::span<const model::Landmark> landmarks) {
    if (branches.empty()) {
      return;
    }
    fmt::print(out_, "       last branches:\n");
    for (const model::TakenBranch& branch :
         branches.last(std::min(branches.size(), kBranchesShown))) {
      fmt::print(out_, "         {:<32} → {}\n", describe(landmarks, branch.from),
                 describe(landmarks, branch.to));
    }
  }

  std::FILE* out_;
  TextStyle style_;
  bool by_file_ = false;
  FileTally file_;
  std::string jit_ = "farcall";  // who made the code of the cells since it was last said
  std::map<std::string, std::size_t> skips_;  // by their reasons
  std::string told_;
  std::size_t controls_ = 0;  // cells with a fault in them
  std::size_t controls_found_ = 0;
};

}  // namespace

bool agrees(const model::SiteStory& story) {
  const bool reached_right =
      story.executed == 0 || (story.reached.size() == 1 && story.reached.front() == story.expected);
  const bool decoded_right =
      story.decoded ? story.decoded == story.expected : story.through_register;
  return decoded_right && story.executed && reached_right &&
         (!story.interpreted || story.interpreted == story.executed);
}

std::unique_ptr<Report> text_report(std::FILE* out, TextStyle style) {
  return std::make_unique<TextReport>(out, style);
}

}  // namespace farcall::report
