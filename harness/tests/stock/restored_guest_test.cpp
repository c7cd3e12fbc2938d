// Stock guests that are restored from a snapshot, started by farcall or by libvirt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "base/cache_folder.hpp"
#include "kernel/bpftool.hpp"
#include "kernel/store.hpp"
#include "model/json.hpp"
#include "selection/select.hpp"
#include "stock/kernel.hpp"
#include "stock/listing.hpp"
#include "tests/farcall_process.hpp"
#include "tests/stock/stock_guest.hpp"
#include "vm/libvirt_host.hpp"

namespace farcall::stock::restored_guest_test {
namespace {

using namespace tests;

using model::Json;
using testing::AllOf;
using testing::HasSubstr;

// A file that is written anew has another.
ino_t file_number(const std::filesystem::path& path) {
  struct stat status = {};
  ::stat(path.c_str(), &status);
  return status.st_ino;
}

// A cache of its own, with the kernels of the user's.
class StockSnapshot : public testing::Test {
 public:
  StockSnapshot() {
    namespace fs = std::filesystem;
    fs::create_directories(cache_ / "farcall");
    fs::create_symlink(*cache_folder() / "kernels", cache_ / "farcall/kernels");
  }

  Finished capture(const std::vector<std::string>& options = {}) const {
    std::vector<std::string> arguments = {"kernel", "capture", case_, "--kernel", kKernel};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return tests::run_program(farcall_binary(), arguments, {{"XDG_CACHE_HOME", cache_.string()}});
  }
  std::vector<std::filesystem::path> snapshots() const {
    std::vector<std::filesystem::path> found;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(cache_ / "farcall/snapshots", error)) {
      if (entry.path().extension() == ".snapshot") {
        found.push_back(entry.path());
      }
    }
    return found;
  }

  const std::filesystem::path& cache() const { return cache_; }
  const std::string& case_path() const { return case_; }

 private:
  ScratchFolder folder_;
  std::filesystem::path cache_ = folder_.path() / "cache";
  std::string case_ = folder_.write("three.case", kThreeFunctions);
};

TEST_F(StockSnapshot, IsTakenOnceAndThenRestored) {
  const Finished booted = capture();
  ASSERT_EQ(booted.exit_code, 0) << booted.err;
  EXPECT_EQ(booted.err, "");
  ASSERT_EQ(snapshots().size(), 1U);
  const ino_t taken = file_number(snapshots().front());
  const Finished restored = capture();
  EXPECT_EQ(restored.exit_code, 0);
  EXPECT_EQ(restored.err, "");
  EXPECT_EQ(restored.out, booted.out);                 // it places functions where it did before
  EXPECT_EQ(file_number(snapshots().front()), taken);  // it was not written anew
}

TEST_F(StockSnapshot, OneThatIsDamagedMeansABootAndANewOne) {
  ASSERT_EQ(capture().exit_code, 0);
  const auto size = std::filesystem::file_size(snapshots().front());
  std::filesystem::resize_file(snapshots().front(), size / 2);
  const Finished booted = capture();
  EXPECT_EQ(booted.exit_code, 0) << booted.err;
  EXPECT_THAT(booted.err, HasSubstr("a snapshot of a Linux guest cannot be restored, it boots"));
  ASSERT_EQ(snapshots().size(), 1U);
  EXPECT_GT(std::filesystem::file_size(snapshots().front()), size * 3 / 4);
  const Finished restored = capture();
  EXPECT_EQ(restored.exit_code, 0);
  EXPECT_EQ(restored.err, "");
}

TEST_F(StockSnapshot, AFreshBootNeedsNone) {
  const Finished booted = capture({"--fresh-boot"});
  EXPECT_EQ(booted.exit_code, 0) << booted.err;
  EXPECT_TRUE(snapshots().empty());
}

// libvirt boots a guest, has it saved, and restores it; the cells come to the same as without it.
class StockByLibvirt : public StockSnapshot {
 public:
  Finished run(std::vector<std::string> more, const tests::Environment& changes = {}) const {
    std::vector<std::string> arguments = {"run",      case_path(), "--guest",  "linux",
                                          "--kernel", kKernel,     "--format", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    tests::Environment environment = {{"XDG_CACHE_HOME", cache().string()}};
    environment.insert(changes.begin(), changes.end());
    return tests::run_program(farcall_binary(), arguments, environment);
  }
  // That were left: those of farcalls that have ended. Others may run beside this test.
  static std::size_t windows() {
    const std::string begin = "farcall-";  // and the number of the process
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
      const std::string name = entry.path().filename().string();
      count += name.starts_with(begin) && name.ends_with("-window") &&
                       has_ended(std::atoi(name.c_str() + begin.size()))
                   ? 1U
                   : 0U;
    }
    return count;
  }
};

TEST_F(StockByLibvirt, CellsPassInAGuestThatBootsAndInOneThatIsRestored) {
  const Finished booted = run({"--vm", "libvirt"});
  ASSERT_EQ(booted.exit_code, 0) << booted.out << booted.err;
  EXPECT_EQ(booted.err, "");
  ASSERT_EQ(snapshots().size(), 1U);
  const ino_t taken = file_number(snapshots().front());
  const Finished restored = run({"--vm", "libvirt"});
  EXPECT_EQ(restored.exit_code, 0) << restored.out << restored.err;
  EXPECT_EQ(restored.err, "");
  EXPECT_EQ(file_number(snapshots().front()), taken);  // it was not written anew
  const Finished direct = run({});
  EXPECT_EQ(snapshots().size(), 2U);  // that of another machine
  EXPECT_EQ(outcomes(Json::parse(booted.out)), outcomes(Json::parse(direct.out)));
  EXPECT_EQ(outcomes(Json::parse(restored.out)), outcomes(Json::parse(direct.out)));
  EXPECT_EQ(outcomes(Json::parse(direct.out)).at("three@linux-hardened"), "pass");
  EXPECT_EQ(windows(), 0U);
}

TEST_F(StockByLibvirt, WithoutLibvirtNothingBoots) {
  const Finished none = run({"--vm", "libvirt"}, {{"LIBVIRT_DRIVER_DIR", cache().string()}});
  EXPECT_EQ(none.exit_code, 3) << none.out;
  EXPECT_THAT(none.err, HasSubstr("[machine.libvirt]"));
  EXPECT_TRUE(snapshots().empty());
}

TEST_F(StockByLibvirt, OneOnAnotherMachineIsRefused) {
  const Finished far =
      run({"--vm", "libvirt", "--connect", "qemu+ssh://somebody@host.invalid/system"});
  EXPECT_EQ(far.exit_code, 3) << far.out;
  EXPECT_THAT(far.err, AllOf(HasSubstr("is on another machine"), HasSubstr("without --connect")));
  EXPECT_TRUE(snapshots().empty());
}

// bpftool's guest is another than that of cells: it boots with files beside the agent.
TEST_F(StockByLibvirt, BpftoolListsWhatIsLoaded) {
  const auto store = kernel::Store::of_user().value();
  const auto bpftool = kernel::bpftool_files(
      store.get(kernel::wanted(kernel::Kind::bpftool, kKernel).value()).value().folder);
  ASSERT_TRUE(bpftool.has_value()) << to_string(bpftool.error());
  const std::unique_ptr<vm::Host> libvirt = vm::libvirt_host("").value();
  const kernel::Question question =
      listed_programs(selection::select_cells({.paths = {case_path()}}).value().documents)
          .at(0)
          .question;
  const auto listed = kernel::list_programs(
      {.vmlinux = stock_kernel(kKernel).value().vmlinux,
       .agent = farcall_binary().parent_path() / "images/linux-agent",
       .host = libvirt.get()},
      bpftool.value(), std::vector{question, question}, wire::ListingReader::jit_on, {});
  ASSERT_TRUE(listed.has_value()) << to_string(listed.error());
  EXPECT_EQ(listed.value().trouble, "");
  ASSERT_EQ(listed.value().ids.size(), 2U);
  for (const std::uint32_t id : listed.value().ids) {
    EXPECT_THAT(listed.value().outputs[0].text, HasSubstr(std::to_string(id) + ": syscall  name "));
  }
}

TEST_F(StockByLibvirt, GuestsOfOtherArchitecturesAreNotItsOwn) {
  const Finished arm = run_farcall({"kernel", "distance", "--arch", "arm64", "--vm", "libvirt"});
  EXPECT_EQ(arm.exit_code, 2);
  EXPECT_THAT(arm.err, HasSubstr("--vm libvirt does not start guests of arm64"));
}

}  // namespace
}  // namespace farcall::stock::restored_guest_test
