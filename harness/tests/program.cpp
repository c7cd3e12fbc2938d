#include "tests/program.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/process.hpp>
#include <boost/process/extend.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <future>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace farcall::tests {
namespace process = boost::process;

Finished run_program(const std::filesystem::path& program,
                     const std::vector<std::string>& arguments, const Environment& more,
                     const std::string& input) {
  boost::asio::io_context io;
  std::future<std::string> out;
  std::future<std::string> err;
  process::environment environment = boost::this_process::environment();
  for (const auto& [name, value] : more) {
    environment.set(name, value);  // operator[] reads beyond the strings it compares
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::tmpfile(), std::fclose);
  std::fputs(input.c_str(), in.get());
  std::rewind(in.get());
  process::child child(
      program.string(), process::args(arguments), environment,
      process::std_in<in.get(), process::std_out> out, process::std_err > err, io,
      process::extend::on_exec_setup = [](auto& /*executor*/) {
        ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
      });
  io.run();
  child.wait();
  return {child.exit_code(), out.get(), err.get()};
}

ScratchFolder::ScratchFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "farcall-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error("no temporary folder");
  }
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ScratchFolder::write(const std::string& name, const std::string& text) const {
  const std::filesystem::path file = path_ / name;
  std::ofstream(file, std::ios::binary) << text;
  return file.string();
}

std::string contents(const std::filesystem::path& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();  // does not throw where a process of /proc has just gone
  return text.str();
}

std::vector<int> children_of(int parent) {
  std::vector<int> children;
  for (const auto& task :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", parent))) {
    std::ifstream list(task.path() / "children");
    for (int child = 0; list >> child;) {
      children.push_back(child);
    }
  }
  return children;
}

bool has_ended(int process) {
  const std::string status = contents(fmt::format("/proc/{}/stat", process));
  return status.empty() || status.find(") Z ") != std::string::npos;
}

bool eventually(const std::function<bool()>& holds) {
  using namespace std::chrono_literals;
  const auto end = std::chrono::steady_clock::now() + 2min;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

}  // namespace farcall::tests
