// Tags: the eight bytes by which Linux names a BPF program, in kallsyms, stack traces and dumps.
//
// A tag is the first eight bytes of a digest over instructions in the byte order of the machine, so
// that one program has two of them. Source: kernel/bpf/core.c (bpf_prog_calc_tag), and
// kernel/bpf/verifier.c for what a subprogram looks like when its tag is taken.
//
//   the whole program's tag   over the program as loaded, the imm of both halves of a load of a
//                             map or of a map's value zeroed; part of the main function's name
//   a function's tag          over the function's own slots, after the verifier's rewriting: a
//                             pseudo call has off = number of the callee and imm = 1, a load of a
//                             function's address the same off, and 1 in both halves (Linux 6.1;
//                             newer kernels put an address there, see `placeholder`). Function 0 has one too: prog_tags[0].
//
// Not modelled: instructions that the verifier inserts or replaces (checks of a division by a
// register, zero extensions), and the addresses of helpers that it puts into calls. A function that
// has such gets another tag from a kernel; the whole program's tag is taken before, and is the
// same.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/program.hpp"

namespace farcall::show {

// SHA-1 up to Linux 6.17, SHA-256 since.
enum class TagHash : std::uint8_t { sha1, sha256 };

// The first byte of the digest is the most significant one, as the kernel prints it.
struct Tag {
  std::uint64_t value = 0;

  friend bool operator==(const Tag&, const Tag&) = default;
};

// Sixteen lower-case hex digits.
std::string to_string(Tag tag);
std::optional<Tag> tag_from(std::string_view text);

struct ProgramTags {
  Tag program;
  std::vector<Tag> functions;  // one for each function

  // The tag that is in the name of a function's symbol: the whole program's for the first one.
  Tag of_symbol(std::size_t function) const {
    return function == 0 ? program : functions[function];
  }
};

// The tags of a source program: calls are pc-relative, as validate() accepts them. They do not
// depend on a call scheme, nor on whether the JIT is on.
// `placeholder` is what a load of a function's address has when tags are taken.
inline constexpr std::uint64_t kOneInBothHalves = 0x0000'0001'0000'0001;
ProgramTags tags(const bpf::Program& program, std::endian order, TagHash hash,
                 std::uint64_t placeholder = kOneInBothHalves);

}  // namespace farcall::show
