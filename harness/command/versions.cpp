#include "command/versions.hpp"

#include <boost/process/child.hpp>
#include <boost/process/io.hpp>
#include <boost/process/search_path.hpp>

namespace farcall::command {
namespace process = boost::process;

std::string qemu_version() {
  const auto qemu = process::search_path("qemu-system-ppc64");
  if (qemu.empty()) {
    return "";
  }
  process::ipstream out;
  std::error_code failure;
  process::child child(qemu, "--version", process::std_in<process::null, process::std_out> out,
                       process::std_err > process::null, failure);
  std::string line;
  if (!failure) {
    std::getline(out, line);
    child.wait(failure);
  }
  return line;
}

}  // namespace farcall::command
