// The architectures whose stock kernels farcall boots to see where they put JITed code.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"

namespace farcall::kernel {

inline constexpr std::string_view kPpc64el = "ppc64el";

struct Architecture {
  std::string_view name;     // Debian's
  std::string_view flavour;  // what the names of its kernels' packages end with

  // The rest is empty for ppc64el, whose guests are LinuxQemu's. Of QEMU:
  std::string_view qemu;          // its program
  std::string_view qemu_package;  // and Debian's name for what holds it
  std::string_view machine;
  std::string_view cpu;
  std::string_view console;  // Linux's name for the first serial port; empty: it knows by itself

  // Of the cross compiler that makes the first process of its guests.
  std::string_view compiler;
  std::string_view compiler_packages;

  std::string_view default_series;  // of kernels
};

// ppc64el first.
std::span<const Architecture> architectures();

// usage.bad-argument.
Result<const Architecture*> architecture(std::string_view name);

// Where a kernel puts JITed code, of one architecture.
struct Area {
  GuestAddress begin;
  GuestAddress end;

  bool contains(GuestAddress address) const { return begin <= address && address < end; }
  friend bool operator==(const Area&, const Area&) = default;
};

// The area of the JIT, and the file of Linux's that says so. `series` is the kernel's, as `6.12`;
// `start` the kernel's first byte, which some areas lie before, `_start` of /proc/kallsyms. Not of
// ppc64el, see run::end_of_area().
struct AreaRule {
  std::string_view architecture;
  std::string_view since;   // the first series that it is true of
  std::string_view source;  // where Linux says so
  std::uint64_t begin = 0;  // an address, or, if `is_before_kernel`, how far before `start`
  std::uint64_t end = 0;
  bool is_before_kernel = false;
};
// nullptr: the architecture, or so old a kernel, has no row.
const AreaRule* area_rule(std::string_view architecture, std::string_view series);
Area area_of(const AreaRule& rule, GuestAddress start);

}  // namespace farcall::kernel
