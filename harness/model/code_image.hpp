// CodeImage: ppc64 code at guest addresses, as a JIT made it — ours, or anyone else's.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "bpf/address_space.hpp"
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

// A row of a function's line table: the code of BPF instruction number `instruction` begins at the
// function's word `word`. Instructions count from 0 in program order, and a 64-bit immediate load
// or a pair64 call is one: so the numbers mean the same in the source program and in the linked
// one. One more number than there are instructions stands for the epilogue. An instruction that
// needed no code has its row where the next one has.
struct CodeLine {
  std::uint32_t instruction = 0;
  std::uint32_t word = 0;

  friend bool operator==(const CodeLine&, const CodeLine&) = default;
};

struct CodeFunction {
  std::string name;
  GuestAddress address;              // of the first word, and of the symbol
  std::vector<std::uint32_t> words;  // instruction words as numbers, whatever the guest's order
  std::vector<std::uint32_t> pass_words;  // its size after each pass of the JIT, in words
  std::uint32_t descriptor_words = 0;     // how many of `words` are its descriptor: 0, or 6
  std::vector<CodeLine> lines;            // both numbers ascending; empty: the JIT does not say
  // How many words of its code are skipped by a direct call (ELFv2: r2 is set already), and by a
  // tail call (the words at the beginning of a program that start the count of tail calls).
  std::uint32_t local_entry_words = 0;
  std::uint32_t tail_entry_words = 0;
  // How many words at its end are stubs and their data, for tracers that attach to the function:
  // nothing in the function leads there.
  std::uint32_t stub_words = 0;
  // In bytes, 0 if the JIT does not say: how far BPF's r10 is below r1 at entry; and how far r1 is
  // below its value at entry when the function calls others (also 0 if it has no frame).
  std::uint32_t frame_top_bytes = 0;
  std::uint32_t frame_bytes = 0;

  GuestAddress code() const { return address + std::uint64_t{descriptor_words} * 4; }
  GuestAddress end() const { return address + words.size() * 4; }
  // The index in `words` after the last one that is not a stub's.
  std::size_t code_end() const { return words.size() - stub_words; }
  friend bool operator==(const CodeFunction&, const CodeFunction&) = default;
};

// A function of the image that is called, and where the branch to it must go: to its code.
struct CodeCallee {
  std::uint32_t function = 0;
  GuestAddress target;

  friend bool operator==(const CodeCallee&, const CodeCallee&) = default;
};

// Where the JIT says that it put a call: `at` is the address of the branch. Whom a call through a
// register calls, and where a tail call or a `gotox` goes, is for the run to say.
struct CodeCall {
  bpf::CallSite site;
  GuestAddress at;
  std::optional<CodeCallee> callee;
  bool is_tail = false;  // a branch without link, after which the caller's frame is gone
  bool is_jump = false;  // a `gotox`: a branch without link that stays in its function

  bool links() const { return !is_tail && !is_jump; }

  friend bool operator==(const CodeCall&, const CodeCall&) = default;
};

// What r13 points to while the code runs, read-only: the part of a kernel's per-CPU area (paca)
// that code of that kernel reads. Such code loads r2 from there, so that it is given none and
// leaves its own. Tail calls of such code jump by CTR, wherever r12 points.
struct ThreadArea {
  GuestAddress address;
  std::vector<std::byte> bytes;

  friend bool operator==(const ThreadArea&, const ThreadArea&) = default;
};

// Memory as code of a kernel reads it, read-only: for tail calls an array of programs, Linux's struct
// bpf_array, and what of the programs' structures is read, after it or where the kernel has them.
// What has the address of one of the cell's regions lies in its place. Tail calls of such code jump by
// CTR, wherever r12 points.
struct KernelMemory {
  GuestAddress address;
  SharedBytes bytes;

  friend bool operator==(const KernelMemory&, const KernelMemory&) = default;
};

// The address of an instruction's code that lies in memory before the code runs: eight bytes at
// `offset` of the cell's region of that name.
struct PlacedPointer {
  std::string region;
  std::uint64_t offset = 0;
  GuestAddress address;

  friend bool operator==(const PlacedPointer&, const PlacedPointer&) = default;
};

// Who said where the functions of an image lie: the cell's placement, or whoever made the image.
enum class PlacedBy : std::uint8_t { cell, image };

struct CodeImage {
  std::vector<CodeFunction> functions;  // those of the program in its order, then its externals
  GuestAddress entry;  // a pointer to the function that runs first: with ELFv1, a descriptor
  std::vector<CodeCall> calls;  // in program order
  // The numbers of the ppc64 registers that hold BPF's r0 … r10; empty: the JIT does not say.
  std::vector<std::uint8_t> bpf_registers;
  PlacedBy placed_by = PlacedBy::cell;
  std::optional<ThreadArea> thread_area = {};    // absent: the code reads nothing at r13
  std::vector<KernelMemory> kernel_memory = {};  // none: the code reads the cell's arrays
  // One for each of the program's code pointers, in their order.
  std::vector<PlacedPointer> code_pointers = {};

  friend bool operator==(const CodeImage&, const CodeImage&) = default;
};

// Whether there is code for each function of the program and each of its externals: then whatever
// number a call has, the image has a function of it.
bool is_complete(const CodeImage& image, const bpf::Program& program);

// Function number `function` called at `call`, with ELFv1 through its descriptor or straight.
CodeCallee callee(const CodeImage& image, const CodeCall& call, std::uint32_t function);

// The region's bytes with the addresses of instructions that the image has in it.
SharedBytes with_code_pointers(const CodeImage& image, const bpf::MemoryRegion& region,
                               std::endian order);

// What the descriptor at `address` holds; empty if no function of the image has its descriptor
// there.
std::optional<Descriptor> descriptor_at(const CodeImage& image, GuestAddress address);

// The text of each word: its instruction, `.long 0x…` in a descriptor, empty for the second half of
// a prefixed instruction.
std::vector<std::string> listing(const CodeFunction& function);

// `main[0]`, with the image's own name of the function.
std::string site_name(const CodeImage& image, bpf::CallSite site);

}  // namespace farcall::model
