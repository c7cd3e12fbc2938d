// Where functions of a stock kernel are that BPF programs refer to, in the kernel's own words.
//
// A program asks for them, by the helper bpf_kallsyms_lookup_name: once for each machine, as they are
// the same in each boot of a kernel. /proc/kallsyms would take seconds.
#pragma once

#include <bit>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/address.hpp"
#include "kernel/guest.hpp"

namespace farcall::stock {

// From here the `imm` of calls in a dump counts: of calls of helpers, and, with the JIT off, of
// functions. __bpf_call_base_args is the same with another type, a macro and not a symbol.
inline constexpr const char* kCallBaseSymbol = "__bpf_call_base";

// The function that interprets a callee with so many bytes of stack: 32, 64 … 512.
inline constexpr std::uint32_t kMostInterpretedStack = 512;
inline constexpr std::uint32_t kInterpretedStackStep = 32;
std::string interpreter_symbol(std::uint32_t stack_bytes);

// Of a function's code, where an ELFv1 kernel gives its name to the descriptor.
std::string code_symbol(const std::string& function);

class KernelSymbols {
 public:
  KernelSymbols() = default;
  explicit KernelSymbols(std::map<std::string, GuestAddress, std::less<>> all,
                         std::set<std::string, std::less<>> without_toc = {})
      : all_(std::move(all)), without_toc_(std::move(without_toc)) {}

  // Nothing: the kernel has no such symbol, or was not asked, or did not answer.
  std::optional<GuestAddress> find(std::string_view name) const;

  // Whether a function is there whose code does not begin with setting r2: it has one entry.
  bool is_without_toc_at(GuestAddress address) const;

 private:
  std::map<std::string, GuestAddress, std::less<>> all_;
  std::set<std::string, std::less<>> without_toc_;
};

// Asks for all that a dump and a cell may name.
kernel::Question symbols_question(std::endian order);

// What the kernel said to it: none, if it did not run the program.
KernelSymbols symbols(const kernel::Answered& answered, std::endian order);

}  // namespace farcall::stock
