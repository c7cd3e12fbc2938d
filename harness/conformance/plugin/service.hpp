// What the plugin's server does for one call: bytes in hex to r0, on a guest that stays up.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "conformance/plugin/options.hpp"
#include "vm/machine.hpp"

namespace farcall::conformance {

class Service {
 public:
  // `images` is the folder of guest images.
  Service(const Options& options, std::filesystem::path images)
      : options_(options), images_(std::move(images)) {}

  // `memory` and `program` are bytes in hex with blanks between; slots lie as on this host. The
  // guest is started by the first program that the JIT is to run, and again after it was lost.
  // Anything but a program that all witnesses agree on is an error.
  Result<std::uint64_t> run(std::string_view memory, std::string_view program);

 private:
  Options options_;
  std::filesystem::path images_;
  std::optional<vm::Machine> machine_;
};

}  // namespace farcall::conformance
