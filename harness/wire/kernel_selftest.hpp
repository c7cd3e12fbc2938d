// What host and the agent in a Linux guest exchange about a module of the kernel's own tests: the
// file /selftest of the initramfs, beside the modules /module0, /module1 …, and a reply through the
// window of kernel_batch.hpp. What the tests say is in the kernel's log.
//
// Freestanding: images/linux compiles this header too. Everything is little-endian.
//
//   reply   KernelSelftestReply with kSelftestBegins, before the first module is loaded;
//           another with kSelftestEnds after the last one
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/byte_order.hpp"

namespace farcall::wire {

inline constexpr std::uint64_t kSelftestMagic = 0x66617263'73656c66;   // "farcself"
inline constexpr std::uint64_t kSelftestBegins = 0x66617263'73626567;  // "farcsbeg"
inline constexpr std::uint64_t kSelftestEnds = 0x66617263'73656e64;    // "farcsend"
inline constexpr std::size_t kModuleParameterBytes = 64;

struct KernelSelftest {
  ul64 magic;
  ul64 nonce;
  ul32 mode;          // KernelMode
  ul32 module_count;  // loaded in this order, the last one with the parameters; at most 10
  char parameters[kModuleParameterBytes];  // up to a zero byte
};
static_assert(sizeof(KernelSelftest) == 24 + kModuleParameterBytes);

struct KernelSelftestReply {
  ul64 magic;
  ul64 nonce;
  ul32 loaded_count;  // modules that the kernel took
  ul32 error;         // its errno for the next one; 0: it took them all
};
static_assert(sizeof(KernelSelftestReply) == 24);

}  // namespace farcall::wire
