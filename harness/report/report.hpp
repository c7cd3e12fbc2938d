// What a run tells its user. One interface, one file for each form.
#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"
#include "model/job.hpp"
#include "model/landmarks.hpp"
#include "model/verdict.hpp"
#include "report/progress.hpp"

namespace farcall::report {

// One finished cell. What the cell did not come to is null.
struct CellReport {
  const model::Cell& cell;
  const model::Verdict& verdict;
  const model::CodeImage* image = nullptr;
  const model::Observations* observations = nullptr;
  std::span<const model::Landmark> landmarks = {};  // names for addresses in the observations
  std::string replay;                               // the command that runs this cell again
  double seconds = 0;                               // what it took
  std::uint64_t seed = 0;                           // of what nobody has written, see make_job()
  std::string jit = {};  // the name of the JIT under test; empty: the code was given
};

// Whether the cell's functions are where a stock kernel has put them, and it has said where its
// __bpf_call_base is.
bool is_placed_by_kernel(const CellReport& report);

// A function of the program there; calls in 32 bits count from __bpf_call_base.
struct FunctionPlace {
  std::string name;
  GuestAddress address;
  Displacement from_call_base{};

  bool fits_32_bits() const;
};
std::vector<FunctionPlace> places_by_kernel(const CellReport& report);

// One of `count` parts of a run, by cell names; numbered from 1.
struct Shard {
  unsigned index = 1;
  unsigned count = 1;

  friend bool operator==(const Shard&, const Shard&) = default;
};

// Whether 1 <= index <= count <= 10000.
bool is_sound(Shard shard);

// `I/N` of a sound shard; empty: it is not one.
std::optional<Shard> read_shard(std::string_view text);

struct Totals {
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::size_t skipped = 0;
  std::size_t errors = 0;
  std::size_t sites = 0;         // call sites of all cells that came to code
  std::size_t agreed_sites = 0;  // where interpreter, emitted bytes and CPU agree
  std::size_t not_run = 0;       // because the run was stopped before them
  std::size_t machines_lost = 0;
  std::map<ErrorCode, std::size_t> allowed;  // findings that did not count, by their codes
  double seconds = 0;
  bool harness_failed = false;  // an error of a machine or of farcall is among the errors
  std::string interrupted;      // what ended the run before its end, as SIGINT; empty: nothing
  Shard shard;                  // which part of all cells this was

  std::size_t cells() const { return passed + failed + skipped + errors; }
};

// Calls come in this order, from one thread: begin, cell for each, end.
class Report {
 public:
  Report() = default;
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
  virtual ~Report() = default;

  virtual void begin(std::size_t cells) = 0;
  virtual void cell(const CellReport& report) = 0;
  virtual void end(const Totals& totals) = 0;
};

struct TextStyle {
  bool colour = false;
  Progress* progress = nullptr;  // hidden before anything is written
};

// A run of more cells than this is told by case files.
inline constexpr std::size_t kMostCellsShown = 50;

// Lines for people on `out`: each cell with its call sites, or, in a run of many cells, each case
// file; a failure always with its evidence.
std::unique_ptr<Report> text_report(std::FILE* out, TextStyle style);

// One JSON document on `out`, format model::kJsonFormat; cells are written as they come.
std::unique_ptr<Report> json_report(std::FILE* out);

// JUnit's XML as GitLab and Jenkins read it, written at the end.
std::unique_ptr<Report> junit_report(std::FILE* out);

// Test Anything Protocol, a line a cell.
std::unique_ptr<Report> tap_report(std::FILE* out);

// One HTML page without outside resources, written at the end: totals, the matrix in colours, a
// list of cells with a filter, the evidence of failures.
std::unique_ptr<Report> html_report(std::FILE* out);

// A Markdown summary, as GitHub shows it of a job.
std::unique_ptr<Report> markdown_report(std::FILE* out);

// What did not pass as text, each with an annotation that GitHub shows at the case's line.
std::unique_ptr<Report> github_report(std::FILE* out);

// What `farcall replay` reads: the cells that did not pass with their code, listings, evidence, and
// `qemu`, the version that ran them.
std::unique_ptr<Report> bundle_report(std::FILE* out, std::string qemu);

// Whether everyone who can speak of a call site says the same.
bool agrees(const model::SiteStory& story);

}  // namespace farcall::report
