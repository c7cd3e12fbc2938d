// What a run leaves when something outside of it fails: machines, its outputs, its user's patience.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/process.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "model/json.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"
#include "selection/select.hpp"
#include "tests/farcall_process.hpp"
#include "tests/run/forwarding_host.hpp"

namespace farcall::run::survival_test {
namespace {

using namespace tests;

using model::Json;
using testing::HasSubstr;
using testing::Not;
using namespace std::chrono_literals;
namespace process = boost::process;

constexpr const char* kGoodCase =
    "-- asm\ncall local f\nexit\nf:\nmov %r0, 1\nexit\n-- result\n1\n";

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++found;
  }
  return found;
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

// Almost as long as a program may run.
constexpr const char* kSlowCase =
    "-- asm\nmov %r1, 400000\nloop:\nsub %r1, 1\njne %r1, 0, loop\ncall local f\nexit\n"
    "f:\nmov %r0, 1\nexit\n-- result\n1\n";

class BadFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("good.case", kGoodCase);
    folder_.write("one.case", "-- asm\nnothing\n-- result\n1\n");
    folder_.write("two.case", "-- amts\n");
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  ScratchFolder folder_;
};

TEST_F(BadFiles, AreErrorsAmongTheResultsOfTheOthersInEveryFormat) {
  const std::string missing = path("missing.case");
  for (const auto* const format : {"text", "junit", "tap", "html", "markdown", "github"}) {
    SCOPED_TRACE(format);
    const Finished run = run_farcall({"run", folder_.path().string(), missing, "--format", format});
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_EQ(run.err, "");
    EXPECT_THAT(run.out, HasSubstr(path("one.case") + ":2:1: "));
    EXPECT_THAT(run.out, HasSubstr("[asm.unknown-mnemonic]"));
    EXPECT_THAT(run.out, HasSubstr(path("two.case") + ":1:4: "));
    EXPECT_THAT(run.out, HasSubstr("[case.unknown-section]"));
    EXPECT_THAT(run.out, HasSubstr("[file.unreadable]"));
  }
  const Json report =
      Json::parse(run_farcall({"run", folder_.path().string(), missing, "--format", "json"}).out);
  EXPECT_EQ(report.at("totals").at("passed"), 1);
  EXPECT_EQ(report.at("totals").at("errors"), 3);
  EXPECT_TRUE(report.at("complete").get<bool>());
  // In JSON a place is in members of its own.
  const auto finding_of = [&report](const std::string& file) {
    for (const Json& cell : report.at("cells")) {
      if (cell.at("case") == file) {
        return cell.at("findings").at(0);
      }
    }
    return Json::object();
  };
  const auto expect_finding = [&](const std::string& file, const char* code, int line, int column) {
    const Json finding = finding_of(file);
    EXPECT_EQ(finding.value("code", ""), code);
    EXPECT_EQ(finding.value("file", ""), file);
    EXPECT_EQ(finding.value("line", -1), line);
    EXPECT_EQ(finding.value("column", -1), column);
  };
  expect_finding(path("one.case"), "asm.unknown-mnemonic", 2, 1);
  expect_finding(path("two.case"), "case.unknown-section", 1, 4);
  expect_finding(missing, "file.unreadable", 0, 0);
}

TEST_F(BadFiles, BelongToOneShard) {
  std::size_t errors = 0;
  for (const auto* const shard : {"1/3", "2/3", "3/3"}) {
    const Finished run =
        run_farcall({"run", folder_.path().string(), "--shard", shard, "--format", "json"});
    errors += Json::parse(run.out).at("totals").at("errors").get<std::size_t>();
  }
  EXPECT_EQ(errors, 2U);
}

TEST_F(BadFiles, AreListedBesideTheNamesOfCells) {
  const Finished list = run_farcall({"list", folder_.path().string()});
  EXPECT_EQ(list.exit_code, 2);
  EXPECT_THAT(list.out, HasSubstr("good "));
  EXPECT_THAT(list.err, HasSubstr(path("one.case") + ":2:1: error: "));
  EXPECT_THAT(list.err, HasSubstr(path("two.case") + ":1:4: error: "));
}

TEST_F(BadFiles, AmongDocumentsToo) {
  const Finished dump = run_farcall({"dump", path("good.case"), "--stage=image", "--json"});
  const std::string good = folder_.write("good.json", dump.out);
  const std::string bad = folder_.write("bad.json", "{");
  const Finished run = run_farcall({"run", "--from", bad, good});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.out, HasSubstr("pass   good"));
  EXPECT_THAT(run.out, HasSubstr(bad + ":1:2: this is not JSON [json.malformed]"));
  EXPECT_THAT(run.out, HasSubstr("run --from " + bad));
}

TEST_F(BadFiles, AreRunAgainOnceTheyAreMended) {
  const std::string report = path("report.json");
  EXPECT_EQ(run_farcall({"run", path("good.case"), path("one.case"), "--format", "json", "--output",
                         report})
                .exit_code,
            2);
  folder_.write("one.case", std::string("-- matrix\nendian le be\n") + kGoodCase);
  const Finished again = run_farcall(
      {"run", path("good.case"), path("one.case"), "--rerun-failed", report, "--format", "tap"});
  EXPECT_EQ(again.exit_code, 0) << again.out << again.err;
  EXPECT_EQ(count(again.out, "ok "), 2U) << again.out;
}

// Thousands of cells, whose reports go to files that were there before. They are few enough that a
// sanitized build on a busy machine writes the reports well within the bound.
// Whoever stops a run does not wait until the code of all cells that are left has been made.
TEST(Stopped, AsksForNoMoreCells) {
  const ScratchFolder folder;
  const auto selected = selection::select_cells(
      {.paths = {folder.write("one.case", "-- asm\nmov %r0, 1\nexit\n-- result\n1\n")}});
  ASSERT_TRUE(selected) << to_string(selected.error());
  const std::vector<model::Document> documents(1000, selected.value().documents[0]);
  std::optional<vm::Machine> machine;
  std::size_t asked = 0;
  const auto next = [&asked, each = each_of(documents.size())] {
    ++asked;
    return each();
  };
  EXPECT_TRUE(run_on_machine(
      machine, Documents(documents), {.images = farcall_binary().parent_path() / "images"},
      {.next = next,
       .finish = [](const FinishedCell& cell) { ADD_FAILURE() << cell.index; },
       .stopped = [&asked] { return asked != 0; }}));
  EXPECT_EQ(asked, 1U);
}

class Interrupted : public testing::TestWithParam<int> {};

TEST_P(Interrupted, LeavesReportsOfWhatHasEnded) {
  const ScratchFolder folder;
  const std::string json = folder.write("report.json", "of an earlier run");
  const std::string xml = folder.write("report.xml", "of an earlier run");
  process::child farcall(
      farcall_binary().string(),
      process::args({"run", (cases_folder() / "abi").string(), "--repeat", "500", "--format",
                     "json", "--output", json, "--format", "junit", "--output", xml}),
      process::std_out > (folder.path() / "text").string(), process::std_err > process::null);
  ASSERT_TRUE(eventually([&] { return !contents(folder.path() / "text").empty(); }));
  EXPECT_EQ(contents(json), "of an earlier run");  // up to the end
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(::kill(farcall.id(), GetParam()), 0);
  farcall.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  EXPECT_EQ(farcall.exit_code(), 128 + GetParam());
  const Json report = Json::parse(contents(json));
  EXPECT_FALSE(report.at("complete").get<bool>());
  EXPECT_EQ(report.at("interrupted"), GetParam() == SIGINT ? "SIGINT" : "SIGTERM");
  const Json& totals = report.at("totals");
  EXPECT_GT(totals.at("passed"), 0);
  EXPECT_GT(totals.at("not_run"), 0);
  EXPECT_EQ(totals.at("errors"), 0);
  EXPECT_EQ(report.at("cells").size(), totals.at("cells").get<std::size_t>());
  EXPECT_THAT(contents(xml), HasSubstr("</testsuites>"));
  EXPECT_THAT(contents(folder.path() / "text"), HasSubstr("not complete: ended by SIG"));
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("report.json", "report.xml", "text"));

  // Whoever joins it with others is told.
  const Finished merged = run_farcall({"merge", xml, "--output", (folder.path() / "all").string()});
  EXPECT_NE(merged.exit_code, 0);
  EXPECT_THAT(merged.err, HasSubstr(xml + " is not complete"));
  EXPECT_THAT(merged.out, Not(HasSubstr("at 0 of 0 call sites")));
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupted, testing::Values(SIGINT, SIGTERM),
                         [](const auto& of) { return of.param == SIGINT ? "INT" : "TERM"; });

TEST(FullDisk, OfOneReportIsAnErrorAndTheOthersAreComplete) {
  const ScratchFolder folder;
  const std::string good = folder.write("good.case", kGoodCase);
  const std::string xml = (folder.path() / "report.xml").string();
  const Finished run = run_farcall({"run", good, "--format", "json", "--output", "/dev/full",
                                    "--format", "junit", "--output", xml});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("/dev/full: error: "));
  EXPECT_THAT(run.out, HasSubstr("1 passed"));
  EXPECT_THAT(contents(xml), HasSubstr("</testsuites>"));
}

TEST(DeadPipe, LeavesTheOtherReportsComplete) {
  const ScratchFolder folder;
  const std::string json = (folder.path() / "report.json").string();
  const Finished run = run_program(
      "/bin/bash", {"-c", "set -o pipefail; \"$0\" run \"$1\" --format json --output \"$2\" | true",
                    farcall_binary().string(), cases_folder().string(), json});
  EXPECT_EQ(run.exit_code, 2) << run.err;
  EXPECT_THAT(run.err, HasSubstr("standard output could not be written"));
  EXPECT_TRUE(Json::parse(contents(json)).at("complete").get<bool>());
}

TEST(DeadPipe, EndsARunThatNobodyReads) {
  const auto begin = std::chrono::steady_clock::now();
  (void)run_program("/bin/bash", {"-c", "\"$0\" run \"$1\" --repeat 100 --format tap | head -1",
                                  farcall_binary().string(), cases_folder().string()});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);  // all of it would take minutes
}

// The QEMUs of `farcall`, without one that only says what it can do.
std::vector<int> machines_of(int farcall) {
  std::vector<int> machines = children_of(farcall);
  std::erase_if(machines, [](int child) {
    return contents(fmt::format("/proc/{}/cmdline", child)).find("pseries") == std::string::npos;
  });
  return machines;
}

// Kills the first `count` machines of `farcall`, at random. Never one that was started in place of
// another: cells that lose a second machine are errors, and rightly so.
std::size_t kill_at_random(process::child& farcall, std::size_t count) {
  std::vector<int> machines;
  if (!eventually([&] {
        machines = machines_of(farcall.id());
        return machines.size() == count || !farcall.running();
      })) {
    return 0;
  }
  std::mt19937 random(20180301);
  std::size_t killed = 0;
  for (const int machine : machines) {
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 300));
    killed += ::kill(machine, SIGKILL) == 0 ? 1U : 0U;
  }
  farcall.wait();
  return killed;
}

TEST(LostMachines, CostNoCell) {
  const ScratchFolder folder;
  const std::string json = (folder.path() / "report.json").string();
  process::child farcall(farcall_binary().string(),
                         process::args({"run", cases_folder().string(), "--repeat", "3", "--jobs",
                                        "6", "--format", "json", "--output", json}),
                         process::std_out > (folder.path() / "text").string(),
                         process::std_err > process::null);
  const std::size_t killed = kill_at_random(farcall, 6);
  ASSERT_GT(killed, 0U);
  const Json totals = Json::parse(contents(json)).at("totals");
  EXPECT_EQ(farcall.exit_code(), 0) << totals.dump(1);
  EXPECT_GT(totals.at("cells"), 20'000);
  EXPECT_EQ(totals.at("passed"), totals.at("cells"));
  EXPECT_GT(totals.at("machines_lost"), 0);
  EXPECT_LE(totals.at("machines_lost"), killed);
  EXPECT_THAT(contents(folder.path() / "text"), HasSubstr("what they were running was run once"));
}

// What a process has used of the CPU, which does not depend on what else the machine does.
std::chrono::milliseconds cpu_time(int process) {
  const std::string status = contents(fmt::format("/proc/{}/stat", process));
  std::istringstream fields(status.substr(std::min(status.size(), status.rfind(')') + 1)));
  std::string skipped;
  for (int i = 0; i < 11; ++i) {
    fields >> skipped;  // from the state to the page faults
  }
  long user = 0;
  long system = 0;
  fields >> user >> system;
  return std::chrono::milliseconds((user + system) * 1000 / ::sysconf(_SC_CLK_TCK));
}

// Kills each machine that uses more of the CPU than booting and short programs need, as an
// out-of-memory killer takes who takes too much: only who runs something endless is.
class Watchdog : public tests::ForwardingHost {
 public:
  Result<vm::StartedQemu> start(const vm::MachineSpec& spec) override {
    auto started = ForwardingHost::start(spec);
    if (started) {
      ++starts_;
      watch_ = std::jthread([id = started.value().qemu->process_id()](const std::stop_token& stop) {
        while (!stop.stop_requested() && cpu_time(id) < 1s) {
          std::this_thread::sleep_for(5ms);
        }
        if (!stop.stop_requested()) {
          ::kill(id, SIGKILL);
        }
      });
    }
    return started;
  }
  std::size_t starts() const { return starts_; }
  void rest() { watch_ = {}; }

 private:
  std::size_t starts_ = 0;
  std::jthread watch_;  // of the machine that was started last
};

TEST(LostMachines, ACellThatTwoMachinesFailedWithIsItsErrorAndNoneElses) {
  const ScratchFolder folder;
  auto selected = selection::select_cells({.paths = {
                                               folder.write("good.case", kGoodCase),
                                               folder.write("slow.case", kSlowCase),
                                           }});
  ASSERT_TRUE(selected) << to_string(selected.error());
  ASSERT_TRUE(selected.value().bad.empty());
  const model::Document good = selected.value().documents[0];
  // An endless loop that has as many instructions as a long program.
  model::Document endless = selected.value().documents[1];
  endless.image = prepare(endless, 1).image;
  ASSERT_TRUE(endless.image);
  std::ranges::fill(endless.image->functions[1].words, 0x48000000);  // b .
  std::vector<model::Document> documents(20, good);
  documents[7] = endless;

  Watchdog host;
  std::optional<vm::Machine> machine;
  std::map<std::size_t, FinishedCell> finished;
  std::size_t lost = 0;
  const auto images = farcall_binary().parent_path() / "images";
  const auto done = run_on_machine(
      machine, Documents(documents), {.images = images, .host = host},
      {.next = each_of(documents.size()),
       .finish = [&](FinishedCell cell) { finished.emplace(cell.index, std::move(cell)); },
       .stopped = [] { return false; },
       .lost = [&] { ++lost; }});
  host.rest();
  EXPECT_TRUE(done);
  EXPECT_EQ(lost, 2U);
  EXPECT_EQ(host.starts(), 3U);
  ASSERT_EQ(finished.size(), documents.size());
  for (const auto& [index, cell] : finished) {
    if (index != 7) {
      EXPECT_EQ(cell.verdict.outcome, model::Outcome::pass) << index;
      continue;
    }
    EXPECT_EQ(cell.verdict.outcome, model::Outcome::error);
    ASSERT_EQ(cell.verdict.findings.size(), 1U);
    // On a loaded machine farcall loses its patience before the watchdog does.
    EXPECT_THAT(cell.verdict.findings[0].code,
                testing::AnyOf(ErrorCode::machine_lost, ErrorCode::machine_timeout));
    EXPECT_THAT(cell.verdict.findings[0].text, HasSubstr("two machines failed with this cell"));
    EXPECT_TRUE(cell.testimony.image);  // its document is kept
  }
}

struct Redirected {
  const char* redirection;
  int exit_code;
};

TEST(ClosedDescriptors, AreNotBorrowedAndEndNothing) {
  const ScratchFolder folder;
  const std::string good = folder.write("good.case", kGoodCase);
  const std::string json = (folder.path() / "report.json").string();
  for (const Redirected& redirected :
       {Redirected{"<&-", 0}, Redirected{">&-", 2}, Redirected{"2>&-", 0},
        Redirected{"<&- 2>&-", 0}, Redirected{"<&- >&- 2>&-", 2}, Redirected{"2>/dev/full", 0},
        Redirected{">/dev/full", 2}, Redirected{">/dev/full 2>/dev/full", 2}}) {
    SCOPED_TRACE(redirected.redirection);
    std::filesystem::remove(json);
    const Finished run = run_program(
        "/bin/bash", {"-c",
                      std::string("timeout 60 \"$0\" run \"$1\" --format json --output \"$2\" ") +
                          redirected.redirection,
                      farcall_binary().string(), good, json});
    EXPECT_EQ(run.exit_code, redirected.exit_code) << run.err;
    const Json report = Json::parse(contents(json));
    EXPECT_EQ(report.at("totals").at("passed"), 1);
    EXPECT_TRUE(report.at("complete").get<bool>());
  }
  const Finished refused = run_program(
      "/bin/bash", {"-c", "\"$0\" list /no/such.case 2>/dev/full", farcall_binary().string()});
  EXPECT_EQ(refused.exit_code, 2);
}

// A QEMU on the PATH that is a script and stays one.
class WrappedQemu : public testing::Test {
 protected:
  void SetUp() override {
    const std::string script =
        folder_.write("qemu-system-ppc64",
                      "#!/bin/sh\n" + boost::process::search_path("qemu-system-ppc64").string() +
                          " -pidfile '" + pid_file() + "' \"$@\"\n:\n");
    std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  }
  std::string pid_file() const { return (folder_.path() / "pid").string(); }
  int qemu() const { return std::atoi(contents(pid_file()).c_str()); }

  ScratchFolder folder_;
};

TEST_F(WrappedQemu, IsNotLeftBehind) {
  const std::string good = folder_.write("good.case", kGoodCase);
  // QEMU removes its file when it ends by itself; here it is killed.
  const Finished run = run_farcall({"run", good}, folder_.path().string() + ":/usr/bin:/bin");
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  ASSERT_GT(qemu(), 0);
  EXPECT_TRUE(eventually([this] { return has_ended(qemu()); }));
}

TEST_F(WrappedQemu, IsNotLeftBehindByAFarcallThatIsKilled) {
  process::environment environment = boost::this_process::environment();
  environment.set("PATH", folder_.path().string() + ":/usr/bin:/bin");
  process::child farcall(
      farcall_binary().string(), process::args({"bench", "--programs", "200000", "--jobs", "1"}),
      environment, process::std_out > process::null, process::std_err > process::null);
  ASSERT_TRUE(eventually([this] { return qemu() > 0; }));
  ASSERT_EQ(::kill(farcall.id(), SIGKILL), 0);
  farcall.wait();
  EXPECT_TRUE(eventually([this] { return has_ended(qemu()); })) << qemu();
}

TEST(IgnoredOptions, AreRefused) {
  const ScratchFolder folder;
  const std::string good = folder.write("good.case", kGoodCase);
  const std::string out = (folder.path() / "out").string();
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"dump", good, "--stage=image", "--svg"},
           {"dump", good, "--stage=layout", "--svg", "--json"},
           {"dump", good, "--stage=image", "--jit=off"},
           {"dump", good, "--stage=jited", "--jit=off"},
           {"dump", good, "--stage=layout", "--names=kernel"},
           {"dump", good, "--stage=xlated", "--jited-annotations"},
           {"dump", good, "--stage=jited", "--jited-annotations", "--json"},
           {"dump", good, "--stage=jited", "--jited-annotations", "--names=kernel"},
           {"schemes", "--policy", "all=table", "--format", "html"},
           {"schemes", "--policy", "all=table", "--jobs", "1"},
           {"schemes", "--policy", "all=table,others=imm32"},
           {"schemes", "--explain", "table", "--format", "json"},
           {"run", good, "--format", "json", "--format", "junit", "--output", out},
           {"run", good, "--format", "json", "--output", out, "--format", "tap", "--output", out},
           {"run", good, "--format", "json", "--output", out, "--bundle", out}}) {
    const Finished run = run_farcall(arguments);
    EXPECT_EQ(run.exit_code, 2) << testing::PrintToString(arguments);
    EXPECT_EQ(run.out, "") << testing::PrintToString(arguments);
    EXPECT_FALSE(std::filesystem::exists(out));
  }
}

}  // namespace
}  // namespace farcall::run::survival_test
