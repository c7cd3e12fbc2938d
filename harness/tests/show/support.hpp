// What the tests of show/ share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bpf/assembler.hpp"
#include "model/code_image.hpp"

namespace farcall::show {

// Calls its second function; symbols bpf_prog_b2715c0f7f689679_main and
// bpf_prog_8923dad831f6fb51_callee in little-endian programs (tag_test.cpp).
inline bpf::Program caller_and_callee() {
  return bpf::assemble("call local callee\nexit\ncallee:\nmov %r0, 7\nexit\n", {"test", 1, 1})
      .value();
}

inline constexpr GuestAddress kMainAddress = {0xc008'0000'0002'0000};
inline constexpr GuestAddress kCalleeAddress = {0xc000'0000'0001'0000};

// Code for caller_and_callee(): three words, and one; with ELFv1, after their descriptors.
inline model::CodeImage image_of_two(bool elfv1 = false) {
  model::CodeImage image{.functions = {{.name = "main", .address = kMainAddress},
                                       {.name = "callee", .address = kCalleeAddress}},
                         .entry = kMainAddress};
  for (model::CodeFunction& function : image.functions) {
    if (elfv1) {
      function.descriptor_words = model::kDescriptorWords;
      function.words.assign(model::kDescriptorWords, 0);
    }
    if (function.name == "main") {
      function.words.insert(function.words.end(), {0x3d80c008, 0x4e800421});
    }
    function.words.push_back(0x4e800020);
  }
  return image;
}

}  // namespace farcall::show
