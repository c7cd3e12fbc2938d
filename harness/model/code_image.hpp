// CodeImage: ppc64 code at guest addresses, as a JIT made it — ours, or anyone else's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "bpf/program.hpp"

namespace farcall::model {

// With ELFv1 a function's symbol, and every pointer to it, is the address of its descriptor: three
// doublewords {address of the code, TOC pointer, environment}. It stands in front of the code.
inline constexpr std::uint32_t kDescriptorWords = 6;

struct Descriptor {
  GuestAddress code;
  GuestAddress toc;
  std::uint64_t environment = 0;

  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

struct CodeFunction {
  std::string name;
  GuestAddress address;              // of the first word, and of the symbol
  std::vector<std::uint32_t> words;  // instruction words as numbers, whatever the guest's order
  std::vector<std::uint32_t> pass_words;  // its size after each pass of the JIT, in words
  std::uint32_t descriptor_words = 0;     // how many of `words` are its descriptor: 0, or 6

  GuestAddress code() const { return address + std::uint64_t{descriptor_words} * 4; }
  GuestAddress end() const { return address + words.size() * 4; }
  friend bool operator==(const CodeFunction&, const CodeFunction&) = default;
};

// Where the JIT says that it put a call: `at` is the address of the branch-and-link.
struct CodeCall {
  bpf::CallSite site;
  GuestAddress at;
  std::uint32_t callee = 0;
  GuestAddress target;  // where the branch must go: the callee's code

  friend bool operator==(const CodeCall&, const CodeCall&) = default;
};

struct CodeImage {
  std::vector<CodeFunction> functions;  // in the order of the program's functions
  GuestAddress entry;  // a pointer to the function that runs first: with ELFv1, a descriptor
  std::vector<CodeCall> calls;  // in program order

  friend bool operator==(const CodeImage&, const CodeImage&) = default;
};

// What the descriptor at `address` holds; empty if no function of the image has its descriptor
// there.
std::optional<Descriptor> descriptor_at(const CodeImage& image, GuestAddress address);

// The text of each word: its instruction, `.long 0x…` in a descriptor, empty for the second half of
// a prefixed instruction.
std::vector<std::string> listing(const CodeFunction& function);

// `main[0]`, with the image's own name of the function.
std::string site_name(const CodeImage& image, bpf::CallSite site);

}  // namespace farcall::model
