// What a call of the plugin asks for.
//
//   --jit | --interpreter     who runs the program; the JIT if nothing is said
//   --endian le|be            le
//   --cpu power8|power9|power10          power9
//   --placement near|far      functions 64 KiB apart, or every other one 2 PiB away; near
//   --elf                     the program is an ELF object of one global function, not slots
//   --interpret, --debug      as other plugins of the suite have them: the first is --interpreter,
//                             the second changes nothing, since errors always say all they know
#pragma once

#include <span>
#include <string_view>

#include "base/error.hpp"
#include "conformance/suite_case.hpp"

namespace farcall::conformance {

struct Options {
  bool jit = true;
  bool elf = false;
  Target target;
};

// Empty arguments count for nothing: the suite's runner may pass them. usage.bad-argument.
Result<Options> parse_options(std::span<const std::string_view> arguments);

}  // namespace farcall::conformance
