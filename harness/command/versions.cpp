#include "command/versions.hpp"

#include <boost/process/child.hpp>
#include <boost/process/io.hpp>
#include <system_error>

#include "process/search_path.hpp"

namespace farcall::command {

std::string qemu_version() {
  namespace bp = boost::process;
  const std::string qemu = process::program_on_path("qemu-system-ppc64");
  if (qemu.empty()) {
    return "";
  }
  bp::ipstream out;
  std::error_code failure;
  bp::child child(qemu, "--version", bp::std_in<bp::null, bp::std_out> out, bp::std_err > bp::null,
                  failure);
  std::string line;
  if (!failure) {
    std::getline(out, line);
    child.wait(failure);
  }
  return line;
}

}  // namespace farcall::command
