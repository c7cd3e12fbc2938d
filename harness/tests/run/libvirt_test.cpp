#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/process.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "model/json.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::libvirt_test {
namespace {

using namespace tests;

namespace fs = std::filesystem;
namespace process = boost::process;
using model::Json;
using testing::ContainsRegex;
using testing::HasSubstr;
using namespace std::chrono_literals;

// Every kind of machine.
constexpr const char* kCase =
    "-- matrix\n"
    "endian le be\n"
    "cpu power8 power9 power10\n"
    "mmu hash radix\n"
    "-- asm\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 42\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "callee = vmalloc+64K\n"
    "-- result\n"
    "42\n";

// Whether a QEMU for a machine of farcall's process `owner` is there.
bool qemu_runs(int owner) {
  const std::string wanted = "guest=farcall-" + std::to_string(owner) + "-";
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc", gone)) {
    if (contents(entry.path() / "cmdline").find(wanted) != std::string::npos) {
      return true;
    }
  }
  return false;
}

TEST(Libvirt, TellsTheSameAsQemuDirect) {
  const ScratchFolder folder;
  const std::string path = folder.write("all.case", kCase);
  const auto report = [&path](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"run", path, "--format", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished run = run_farcall(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
    Json json = Json::parse(run.out);
    json.at("totals").erase("seconds");
    return json;
  };
  EXPECT_EQ(report({"--vm", "libvirt"}), report({}));
}

// Without a cache libvirt starts QEMU twice to ask what it can, kills it, and would wait 40 s for
// somebody who reaps these two.
TEST(Libvirt, TheFirstStartIsNoWait) {
  const auto begin = std::chrono::steady_clock::now();
  const ScratchFolder folder;
  const Finished run = tests::run_program(
      farcall_binary(), {"run", folder.write("all.case", kCase), "--vm", "libvirt"},
      {{"HOME", ""}, {"XDG_CACHE_HOME", ""}});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
}

// libvirt admits one to a folder; that does not harm the other's machines.
TEST(Libvirt, ASecondInTheSameFolderHarmsNobody) {
  const ScratchFolder folder;
  const std::string path = folder.write("all.case", kCase);
  const std::string root = "qemu:///embed?root=" + (folder.path() / "root").string();
  std::vector<std::string> words = {"run", path, "--vm", "libvirt", "--connect", root};
  words.insert(words.end(), {"--repeat", "1000"});
  process::child first(farcall_binary().string(), process::args(words),
                       process::std_out > (folder.path() / "out").string());
  EXPECT_TRUE(eventually([&first] { return qemu_runs(first.id()); }));
  const Finished second = run_farcall({"run", path, "--vm", "libvirt", "--connect", root});
  EXPECT_TRUE(first.running());
  EXPECT_EQ(second.exit_code, 3) << second.out << second.err;
  EXPECT_THAT(second.err + second.out, HasSubstr("[machine.libvirt]"));
  first.wait();
  EXPECT_EQ(first.exit_code(), 0);
}

// farcall's own PATH is for QEMU; who cleans up after it needs none.
TEST(Libvirt, NothingIsLeftWhereThereIsNoPath) {
  const ScratchFolder scratch;
  const Finished run =
      tests::run_program(farcall_binary(), {"doctor"},
                         {{"PATH", "/nonexistent"}, {"TMPDIR", scratch.path().string()}});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_TRUE(eventually([&scratch] { return fs::is_empty(scratch.path()); }));
}

// Whatever starts a machine may have libvirt start it.
TEST(Libvirt, ServesEveryCommandThatStartsMachines) {
  const ScratchFolder folder;
  const std::string cell = folder.write("all.case", kCase) + "@be-power9-radix";
  const std::string data = folder.write("four.data", "-- asm\nmov %r0, 4\nexit\n-- result\n0x4\n");
  const std::vector<std::vector<std::string>> commands = {
      {"trace", cell},       {"trace", cell, "--branches"},
      {"console", cell},     {"dump", cell, "--stage=observations"},
      {"conformance", data},
  };
  for (std::vector<std::string> command : commands) {
    const Finished direct = run_farcall(command);
    EXPECT_EQ(direct.exit_code, 0) << command[0] << direct.err;
    EXPECT_NE(direct.out, "") << command[0];
    command.insert(command.end(), {"--vm", "libvirt"});
    EXPECT_EQ(run_farcall(command), direct) << command[0];
  }
  EXPECT_EQ(run_farcall({"bench", "--programs", "3", "--vm", "libvirt"}).exit_code, 0);
  const Finished debugged =
      run_farcall({"debug", cell, "--at", "main[0]", "--vm", "libvirt"}, "", "farcall target\n");
  EXPECT_EQ(debugged.exit_code, 0) << debugged.err;
  EXPECT_THAT(debugged.out, HasSubstr("At the call site main[0].\n"));
  EXPECT_THAT(debugged.out, HasSubstr("  right\n"));
  const Finished printed = run_farcall({"debug", cell, "--print", "--vm", "libvirt"});
  EXPECT_THAT(printed.out, HasSubstr(" --vm libvirt --gdb-socket "));
}

// A library that cannot be loaded is as good as none.
TEST(Libvirt, NobodyNeedsItWhoDoesNotAskForIt) {
  const ScratchFolder folder;
  folder.write("libvirt-qemu.so.0", "");
  const tests::Environment without = {{"LD_LIBRARY_PATH", folder.path().string()}};
  const std::string path = folder.write("all.case", kCase);

  EXPECT_EQ(tests::run_program(farcall_binary(), {"run", path}, without).exit_code, 0);
  for (const std::vector<std::string>& asked :
       {std::vector<std::string>{"run", path, "--vm", "libvirt"},
        std::vector<std::string>{"vm", "list", "--connect", "qemu:///session"}}) {
    const Finished run = tests::run_program(farcall_binary(), asked, without);
    EXPECT_EQ(run.exit_code, 3) << run.out;
    EXPECT_THAT(run.err, HasSubstr("libvirt cannot be loaded: "));
    EXPECT_THAT(run.err, HasSubstr("[machine.libvirt]\n  apt-get install libvirt0 "));
  }
  const Finished doctor = tests::run_program(farcall_binary(), {"doctor"}, without);
  EXPECT_EQ(doctor.exit_code, 0);
  EXPECT_THAT(doctor.out, HasSubstr("without  libvirt "));
  EXPECT_THAT(doctor.out, HasSubstr("for --vm libvirt: apt-get install libvirt0 "));
}

TEST(Libvirt, ALackOfItsDriverIsNamed) {
  const ScratchFolder folder;
  const Finished doctor = tests::run_program(farcall_binary(), {"doctor"},
                                             {{"LIBVIRT_DRIVER_DIR", folder.path().string()}});
  EXPECT_EQ(doctor.exit_code, 0);
  EXPECT_THAT(doctor.out, ContainsRegex("without +libvirt [0-9.]+ .*no connection driver"));
  EXPECT_THAT(doctor.out, HasSubstr("for --vm libvirt: apt-get install "));
  const Finished whole = run_farcall({"doctor"});
  EXPECT_THAT(whole.out, ContainsRegex("ok +libvirt [0-9]+.* starts guests"));
  EXPECT_EQ(whole.err, "");
}

TEST(Libvirt, NothingOutlivesAKill) {
  const ScratchFolder folder;
  const std::string path = folder.write("all.case", kCase);
  process::child farcall(farcall_binary().string(),
                         process::args({"run", path, "--vm", "libvirt", "--repeat", "100000"}),
                         process::std_out > process::null);
  EXPECT_TRUE(eventually([&farcall] { return qemu_runs(farcall.id()); }));
  ::kill(farcall.id(), SIGKILL);
  farcall.wait();
  EXPECT_TRUE(eventually([&farcall] { return !qemu_runs(farcall.id()); }));
  EXPECT_TRUE(eventually([&farcall] {
    const Finished list = run_farcall({"vm", "list"});
    return list.out.find("farcall-" + std::to_string(farcall.id()) + "-") == std::string::npos;
  }));
}

// A folder of an embedded libvirt, as a farcall leaves it that dies together with who cleans up
// after it.
class LeftOver : public testing::Test {
 protected:
  LeftOver() {
    process::child dead("/bin/true");
    dead.wait();
    owner_ = dead.id();
    const fs::path scratch =
        ::access("/dev/shm", W_OK) == 0 ? fs::path("/dev/shm") : fs::temp_directory_path();
    root_ = scratch / ("farcall-libvirt-" + std::to_string(owner_) + "-abcdef");
    fs::create_directories(root_ / "run/qemu");
  }
  LeftOver(const LeftOver&) = delete;
  LeftOver& operator=(const LeftOver&) = delete;
  ~LeftOver() override {
    std::error_code gone;
    fs::remove_all(root_, gone);
  }

  std::string domain() const { return "farcall-" + std::to_string(owner_) + "-1"; }
  // A process that says on its command line which domain it is for; the file says it is domain().
  process::child qemu_of(const std::string& said) const {
    process::child qemu("/bin/bash", "-c", "exec -a 'qemu -name guest=" + said + ",' sleep 600");
    std::ofstream(root_ / "run/qemu" / (domain() + ".pid")) << qemu.id() << "\n";
    return qemu;
  }

  int owner_ = 0;
  fs::path root_;
};

TEST_F(LeftOver, IsListedAndRemoved) {
  process::child qemu = qemu_of(domain());
  EXPECT_TRUE(eventually([this] { return qemu_runs(owner_); }));
  EXPECT_THAT(run_farcall({"vm", "list"}).out, ContainsRegex(domain() + " +left over"));
  EXPECT_TRUE(qemu.running());
  EXPECT_THAT(run_farcall({"vm", "clean"}).out, ContainsRegex(domain() + " +removed"));
  EXPECT_TRUE(eventually([&qemu] { return !qemu.running(); }));
  EXPECT_FALSE(fs::exists(root_));
  EXPECT_THAT(run_farcall({"vm", "list"}).out, testing::Not(HasSubstr(domain())));
}

TEST_F(LeftOver, IsRemovedWithoutMachines) {
  const std::string name = root_.filename().string();
  EXPECT_THAT(run_farcall({"vm", "list"}).out, ContainsRegex(name + " +left over"));
  EXPECT_THAT(run_farcall({"vm", "clean"}).out, ContainsRegex(name + " +removed"));
  EXPECT_FALSE(fs::exists(root_));
}

// A number in a file may be another process's by now.
TEST_F(LeftOver, NoOtherProcessIsEnded) {
  process::child other = qemu_of("somebody-else");
  EXPECT_THAT(run_farcall({"vm", "clean"}).out, ContainsRegex(domain() + " +removed"));
  EXPECT_FALSE(fs::exists(root_));
  EXPECT_TRUE(other.running());
  other.terminate();
}

TEST_F(LeftOver, WhatIsAnotherUsersIsLeftAlone) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can give a folder away";
  }
  process::child qemu = qemu_of(domain());
  EXPECT_TRUE(eventually([this] { return qemu_runs(owner_); }));
  ASSERT_EQ(::chown(root_.c_str(), 65534, 65534), 0);
  EXPECT_THAT(run_farcall({"vm", "clean"}).out, testing::Not(HasSubstr(domain())));
  EXPECT_TRUE(fs::exists(root_));
  EXPECT_TRUE(qemu.running());
  qemu.terminate();
}

// farcall as an ordinary user who has a libvirt daemon of his own: for root, as nobody, with copies
// of everything where nobody can read them.
class SessionDaemon : public testing::Test {
 protected:
  SessionDaemon() {
    ::chmod(folder_.path().c_str(), 0755);
    fs::copy_file(farcall_binary(), folder_.path() / "farcall");
    fs::copy(farcall_binary().parent_path() / "images", folder_.path() / "images");
    path_ = folder_.write("all.case", kCase);
    const fs::path home = folder_.path() / "home";
    fs::create_directories(home / "run");
    fs::permissions(home / "run", fs::perms::owner_all);
    if (::geteuid() == 0) {
      constexpr unsigned kNobody = 65534;
      for (const fs::path& ours : {home, home / "run"}) {
        EXPECT_EQ(::chown(ours.c_str(), kNobody, kNobody), 0);
      }
      command_ = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
    }
    for (const char* const word : {"env", "-u", "XDG_CACHE_HOME", "-u", "XDG_CONFIG_HOME"}) {
      command_.emplace_back(word);
    }
    command_.push_back("HOME=" + home.string());
    command_.push_back("XDG_RUNTIME_DIR=" + (home / "run").string());
    daemon_ = process::child(as_user({"libvirtd", "--timeout=120"}),
                             process::std_out > process::null, process::std_err > process::null);
    EXPECT_TRUE(eventually([&home] { return fs::exists(home / "run/libvirt/libvirt-sock"); }));
  }
  ~SessionDaemon() override {
    std::error_code gone;
    ::kill(daemon_.id(), SIGTERM);
    daemon_.wait(gone);
  }

  std::vector<std::string> as_user(std::vector<std::string> words) const {
    std::vector<std::string> all = command_;
    all.insert(all.end(), words.begin(), words.end());
    all[0] = process::search_path(all[0]).string();
    return all;
  }
  static Finished finish(const std::vector<std::string>& words, const std::string& input = "") {
    return tests::run_program(words[0], {words.begin() + 1, words.end()}, {}, input);
  }
  std::vector<std::string> farcall(std::vector<std::string> words) const {
    words.insert(words.begin(), (folder_.path() / "farcall").string());
    words.insert(words.end(), {"--connect", "qemu:///session"});
    return as_user(std::move(words));
  }

  ScratchFolder folder_;
  std::string path_;
  std::vector<std::string> command_;
  process::child daemon_;
};

TEST_F(SessionDaemon, OneThatIsNotForTheUserIsNamed) {
  const fs::path locked = folder_.path() / "locked";
  fs::create_directory(locked);
  fs::permissions(locked, fs::perms::none);
  const Finished refused =
      finish(as_user({(folder_.path() / "farcall").string(), "run", path_, "--vm", "libvirt",
                      "--connect", "qemu+unix:///system?socket=" + (locked / "socket").string()}));
  EXPECT_EQ(refused.exit_code, 3) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("this user may not use that daemon; without --connect"));
}

// Its QEMU gets copies of the kernel and of the initramfs.
TEST_F(SessionDaemon, BootsALinuxGuest) {
  const Finished kernel = run_farcall({"kernel", "path", "6.1"});
  ASSERT_EQ(kernel.exit_code, 0) << kernel.err;
  const std::string copy = (folder_.path() / "vmlinux").string();
  for (const auto& file :
       fs::directory_iterator(kernel.out.substr(0, kernel.out.find('\n')) + "/boot")) {
    if (file.path().filename().string().starts_with("vmlinux-")) {
      fs::copy_file(file.path(), copy);
    }
  }
  const Finished run = finish(farcall({"run", path_, "--filter", "*le-power9-radix", "--guest",
                                       "linux", "--kernel", copy, "--vm", "libvirt"}));
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("passed, 0 failed, 0 errors"));
}

TEST_F(SessionDaemon, ServesAndShowsAndRemovesWhatIsLeftOver) {
  const Finished run = finish(farcall({"run", path_, "--vm", "libvirt"}));
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("10 cells: 10 passed"));

  const Finished debugged =
      finish(farcall({"debug", path_ + "@be-power9-radix", "--at", "main[0]", "--vm", "libvirt"}),
             "farcall target\n");
  EXPECT_EQ(debugged.exit_code, 0) << debugged.err;
  EXPECT_THAT(debugged.out, HasSubstr("  right\n"));

  // A daemon ends the domains of a farcall that is gone, so one is made up.
  process::child dead("/bin/true");
  dead.wait();
  const std::string name = "farcall-" + std::to_string(dead.id()) + "-1";
  const std::string xml = folder_.write(
      "left.xml", "<domain type='qemu'><name>" + name +
                      "</name><memory unit='MiB'>256</memory>"
                      "<os><type arch='ppc64' machine='pseries'>hvm</type></os></domain>");
  const Finished made =
      finish(as_user({"virsh", "-c", "qemu:///session", "create", xml, "--paused"}));
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_TRUE(qemu_runs(dead.id()));
  EXPECT_THAT(finish(farcall({"vm", "list"})).out,
              ContainsRegex(name + " +left over +qemu:///session"));
  EXPECT_THAT(finish(farcall({"vm", "clean"})).out,
              ContainsRegex(name + " +removed +qemu:///session"));
  EXPECT_TRUE(eventually([&dead] { return !qemu_runs(dead.id()); }));
  EXPECT_THAT(finish(farcall({"vm", "list"})).out, testing::Not(HasSubstr(name)));
}

TEST_F(SessionDaemon, ItsLossIsNamed) {
  const fs::path out = folder_.path() / "out";
  process::child run(farcall({"run", path_, "--vm", "libvirt", "--repeat", "50000", "--fail-fast"}),
                     process::std_out > out.string(), process::std_err > process::null);
  EXPECT_TRUE(eventually([&run] { return qemu_runs(run.id()); }));
  ::kill(daemon_.id(), SIGKILL);
  run.wait();
  EXPECT_EQ(run.exit_code(), 3);
  const std::string text = contents(out);
  EXPECT_THAT(text, HasSubstr("qemu:///session"));
  EXPECT_THAT(text, HasSubstr("[machine.libvirt]"));
  EXPECT_TRUE(eventually([&run] { return !qemu_runs(run.id()); }));
}

TEST_F(SessionDaemon, NothingOutlivesAKill) {
  const fs::path scratch = folder_.path() / "home/tmp";
  fs::create_directory(scratch);
  fs::permissions(scratch, fs::perms::all);
  command_.push_back("TMPDIR=" + scratch.string());
  process::child run(farcall({"run", path_, "--vm", "libvirt", "--repeat", "50000"}),
                     process::std_out > process::null);
  EXPECT_TRUE(eventually([&run] { return qemu_runs(run.id()); }));
  EXPECT_FALSE(fs::is_empty(scratch));
  ::kill(run.id(), SIGKILL);
  run.wait();
  EXPECT_TRUE(eventually([&run] { return !qemu_runs(run.id()); }));
  EXPECT_TRUE(eventually([&scratch] { return fs::is_empty(scratch); }));
}

}  // namespace
}  // namespace farcall::run::libvirt_test
