#include "vm/images_folder.hpp"

namespace farcall::vm {

std::filesystem::path images_folder() {
  namespace fs = std::filesystem;
  std::error_code failure;
  const fs::path self = fs::read_symlink("/proc/self/exe", failure).parent_path();
  fs::path beside = self / "images";
  // From bin/, and from libexec/farcall/.
  for (const char* const prefix : {"..", "../.."}) {
    fs::path installed = (self / prefix / "share/farcall/images").lexically_normal();
    if (!fs::is_directory(beside, failure) && fs::is_directory(installed, failure)) {
      return installed;
    }
  }
  return beside;
}

}  // namespace farcall::vm
