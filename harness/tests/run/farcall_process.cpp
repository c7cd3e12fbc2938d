#include "tests/run/farcall_process.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/process.hpp>
#include <cstdio>
#include <fstream>
#include <future>
#include <memory>
#include <stdexcept>

#include "tests/paths.hpp"

namespace farcall::run {
namespace process = boost::process;

std::filesystem::path farcall_binary() {
  return tests::build_dir() / "farcall";
}
std::filesystem::path cases_folder() {
  return tests::source_dir() / "cases";
}

Finished run_farcall(const std::vector<std::string>& arguments, const std::string& path,
                     const std::string& input) {
  return run_program(farcall_binary(), arguments, path, input);
}

Finished run_program(const std::filesystem::path& program,
                     const std::vector<std::string>& arguments, const std::string& path,
                     const std::string& input) {
  boost::asio::io_context io;
  std::future<std::string> out;
  std::future<std::string> err;
  process::environment environment = boost::this_process::environment();
  if (!path.empty()) {
    environment["PATH"] = path;
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::tmpfile(), std::fclose);
  std::fputs(input.c_str(), in.get());
  std::rewind(in.get());
  process::child child(program.string(), process::args(arguments), environment,
                       process::std_in<in.get(), process::std_out> out, process::std_err > err, io);
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

}  // namespace farcall::run
