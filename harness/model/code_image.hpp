// CodeImage: ppc64 code at guest addresses, as a JIT made it — ours, or anyone else's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "bpf/program.hpp"

namespace farcall::model {

struct CodeFunction {
  std::string name;
  GuestAddress address;              // of the first word, and of the symbol
  std::vector<std::uint32_t> words;  // instruction words as numbers, whatever the guest's order
  std::vector<std::uint32_t> pass_words;  // its size after each pass of the JIT, in words

  GuestAddress end() const { return address + words.size() * 4; }
  friend bool operator==(const CodeFunction&, const CodeFunction&) = default;
};

// Where the JIT says that it put a call: `at` is the address of the branch-and-link.
struct CodeCall {
  bpf::CallSite site;
  GuestAddress at;
  std::uint32_t callee = 0;
  GuestAddress target;  // where the call must go

  friend bool operator==(const CodeCall&, const CodeCall&) = default;
};

struct CodeImage {
  std::vector<CodeFunction> functions;  // in the order of the program's functions
  GuestAddress entry;
  std::vector<CodeCall> calls;  // in program order

  friend bool operator==(const CodeImage&, const CodeImage&) = default;
};

// `main[0]`, with the image's own name of the function.
std::string site_name(const CodeImage& image, bpf::CallSite site);

}  // namespace farcall::model
