#include <filesystem>

#include "command/command_line.hpp"

namespace {

// Guest images lie beside the program, wherever the build or an installation put it.
std::filesystem::path images_folder() {
  std::error_code failure;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failure);
  return self.parent_path() / "images";
}

}  // namespace

int main(int argc, char** argv) {
  return farcall::command::command_line(argc, argv, images_folder());
}
