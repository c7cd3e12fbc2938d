#include "tests/run/farcall_process.hpp"

#include "tests/paths.hpp"

namespace farcall::run {

std::filesystem::path farcall_binary() {
  return tests::build_dir() / "farcall";
}
std::filesystem::path cases_folder() {
  return tests::source_dir() / "cases";
}

Finished run_farcall(const std::vector<std::string>& arguments, const std::string& path,
                     const std::string& input) {
  return run_program(farcall_binary(), arguments,
                     path.empty() ? tests::Environment{} : tests::Environment{{"PATH", path}},
                     input);
}

}  // namespace farcall::run
