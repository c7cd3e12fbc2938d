#include "tests/farcall_process.hpp"

#include "tests/paths.hpp"

namespace farcall::tests {

std::filesystem::path farcall_binary() {
  return build_dir() / "farcall";
}
std::filesystem::path cases_folder() {
  return source_dir() / "cases";
}

Finished run_farcall(const std::vector<std::string>& arguments, const std::string& path,
                     const std::string& input) {
  return run_program(farcall_binary(), arguments,
                     path.empty() ? Environment{} : Environment{{"PATH", path}}, input);
}

}  // namespace farcall::tests
