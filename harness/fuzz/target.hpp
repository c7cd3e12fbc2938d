// What is fuzzed: each target takes any bytes at all, and ends the process if something that must
// hold of them does not. Sanitizers see to the rest.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/cell.hpp"

namespace farcall::fuzz {

using Bytes = std::span<const std::byte>;

struct Target {
  std::string_view name;
  void (*run)(Bytes input);
};

void run_case(Bytes text);       // a case file, as far as its first cells' code
void run_object(Bytes object);   // a BPF ELF object
void run_document(Bytes text);   // what `run --from` reads
void run_program(Bytes input);   // slots: validator, assembly and back, interpreter, linker, JIT
void run_answer(Bytes patches);  // what a guest leaves in a batch's memory
void run_bundle(Bytes text);     // what `replay`, `merge` and `run --rerun-failed` read
void run_tags(Bytes text);       // /proc/kallsyms, and what bpftool lists
void run_jit(Bytes input);       // a byte for the cell; what the process of `--jit exec:` answers
void run_kernel(Bytes reply);    // what the agent in a Linux guest answers
void run_plugin(Bytes call);     // what comes over the plugin's socket

// A program_target.cpp input that is this program.
std::string program_input(const bpf::Program& program);

// An answer that run_jit() takes for its first cell, and a reply that run_kernel() takes.
std::string jit_answer();
std::string kernel_reply();

// A program that validate() accepts: as text and back, in bytes and back, interpreted, linked and
// compiled for the cell, decoded; all must agree.
void check_program(const model::Cell& cell);

// Says what is wrong and ends the process.
void require(bool condition, std::string_view what);

std::string_view text_of(Bytes bytes);

// A cases::CodeLayout::site for want of one that knows.
Result<GuestAddress> some_site(const bpf::Program& program, const model::AxisValues& axes,
                               bpf::CallSite site, GuestAddress function);

}  // namespace farcall::fuzz
