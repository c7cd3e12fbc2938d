#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string_view>

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

constexpr auto kProgressInterval = std::chrono::milliseconds(50);

// How many words of code are shown before and after a call site.
constexpr std::uint64_t kWordsBefore = 7;
constexpr std::uint64_t kWordsAfter = 1;

constexpr std::size_t kFindingsShown = 6;

std::string cells(std::size_t count) {
  return fmt::format("{} cell{}", count, count == 1 ? "" : "s");
}

std::string times(std::optional<std::uint64_t> count) {
  return count ? fmt::format("{}×", *count) : "–";
}

class TextReport : public Report {
 public:
  TextReport(std::FILE* out, TextStyle style) : out_(out), style_(style) {}

  void begin(std::size_t cells) override {
    expected_ = cells;
    show_progress();
  }

  void cell(const CellReport& report) override {
    ++done_;
    clear_progress();
    const model::Verdict& verdict = report.verdict;
    const OutcomeStyle& style = kOutcomes[static_cast<std::size_t>(verdict.outcome)];
    fmt::print(out_, "{}  {:<40} {}\n", paint(style.word, style.colour), report.cell.name,
               summary(report));
    for (const model::SiteStory& story : verdict.sites) {
      print_story(story);
    }
    if (verdict.outcome != Outcome::pass) {
      print_evidence(report);
    }
    show_progress();
  }

  void end(const Totals& totals) override {
    clear_progress();
    fmt::print(out_,
               "\n{}: {}, {}, {} errors; at {} of {} call sites interpreter, bytes and "
               "CPU agree; {:.2f} s\n",
               cells(totals.cells()), paint(fmt::format("{} passed", totals.passed), Colour::green),
               paint(fmt::format("{} failed", totals.failed),
                     totals.failed == 0 ? Colour::plain : Colour::red),
               totals.errors, totals.agreed_sites, totals.sites, totals.seconds);
    if (totals.not_run > 0) {
      fmt::print(out_, "stopped at the first failure; {} not run\n", cells(totals.not_run));
    }
  }

 private:
  std::string paint(std::string_view text, Colour colour) const {
    if (!style_.colour || colour == Colour::plain) {
      return std::string(text);
    }
    return fmt::format("{}{}\033[0m", kEscapes[static_cast<std::size_t>(colour)], text);
  }

  static std::string summary(const CellReport& report) {
    const auto& failure = report.cell.expected.failure;
    if (report.verdict.outcome == Outcome::pass && failure) {
      return fmt::format("{}{}{}, as expected", name(failure->code),
                         failure->site.empty() ? "" : " at ", failure->site);
    }
    if (report.verdict.result) {
      return fmt::format("r0 = {:#x}", *report.verdict.result);
    }
    return "";
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

  std::string decoded(const model::SiteStory& story) const {
    if (!story.at) {
      return "no call";
    }
    if (!story.decoded) {
      return "no address";
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
      fmt::print(out_, "       {} {}{}{}{}\n", paint("•", Colour::red), finding.site,
                 finding.site.empty() ? "" : ": ", finding.text,
                 paint(fmt::format(" [{}]", name(finding.code)), Colour::dim));
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
      print_registers(report.observations->registers);
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

  void print_registers(const ppc64::Registers& registers) {
    fmt::print(out_, "       registers:\n");
    for (std::size_t i = 0; i < registers.gpr.size(); ++i) {
      fmt::print(out_, "{}{:>3} {:016x}{}", i % 4 == 0 ? "        " : " ", fmt::format("r{}", i),
                 registers.gpr[i], i % 4 == 3 ? "\n" : " ");
    }
    fmt::print(out_, "         lr {:016x}  ctr {:016x}  xer {:016x}   cr {:08x}\n", registers.lr,
               registers.ctr, registers.xer, registers.cr);
  }

  void show_progress() {
    const auto now = std::chrono::steady_clock::now();
    if (!style_.progress || now - shown_ < kProgressInterval) {
      return;
    }
    shown_ = now;
    fmt::print(stderr, "\r{} of {} cells", done_, expected_);
    std::fflush(stderr);
    visible_ = true;
  }

  void clear_progress() {
    if (visible_) {
      fmt::print(stderr, "\r\033[K");
      std::fflush(stderr);
      visible_ = false;
    }
  }

  std::FILE* out_;
  TextStyle style_;
  std::size_t expected_ = 0;
  std::size_t done_ = 0;
  bool visible_ = false;
  std::chrono::steady_clock::time_point shown_;
};

}  // namespace

bool agrees(const model::SiteStory& story) {
  const bool reached_right =
      story.executed == 0 || (story.reached.size() == 1 && story.reached.front() == story.expected);
  return story.decoded == story.expected && story.executed && reached_right &&
         (!story.interpreted || story.interpreted == story.executed);
}

std::unique_ptr<Report> text_report(std::FILE* out, TextStyle style) {
  return std::make_unique<TextReport>(out, style);
}

}  // namespace farcall::report
