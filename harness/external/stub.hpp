// Stubs: what stands for a function of a kernel of which nobody says what it does.
//
// A stub writes down its arguments, sets memory to zeros if it is one that fills some, returns the
// next value of a list, and writes something else into every register that a callee may write. What
// it needs is in a map of the program, the log, in doublewords of the guest's order after the
// header that every map has:
//
//   +8            how many calls of stubs there were
//   +16           kLoggedCalls entries of kEntryBytes, one for each of the first calls:
//                 +0 … +32  r1 … r5, as many as the callee looks at; the others 0
//                 +40       number of the stub
//                 +48       the caller's stack pointer: r1 of the CPU, r10 in the interpreter
//   +kFirstBlock  a block for each stub: how often it was called, and the values of its list
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bpf/external.hpp"
#include "bpf/program.hpp"
#include "external/external.hpp"

namespace farcall::external {

inline constexpr std::uint32_t kLoggedCalls = 256;
inline constexpr std::uint32_t kEntryBytes = 64;
inline constexpr std::uint32_t kFirstEntry = 16;
inline constexpr std::uint32_t kFirstBlock = kFirstEntry + kLoggedCalls * kEntryBytes;

// As many as an immediate counts.
inline constexpr std::uint32_t kMostStubs = 1000;
inline constexpr std::uint32_t kMostValues = 1000;
inline constexpr std::uint32_t kMostFilledBytes = 4096;  // where no argument says how many

// Bytes of the block of a stub that returns so many values.
constexpr std::uint32_t block_bytes(std::uint32_t values) {
  return 8 * (1 + values);
}

// A stub, as a program knows it.
bpf::External stub(std::string name, bpf::ExternalKind kind, std::int32_t id,
                   const bpf::Signature& signature, bpf::Stub how);

// Its code after the entry; the log begins at `log`.
Words stub_body(const bpf::External& external, GuestAddress log);

// What it does.
Result<std::uint64_t> stub_meaning(bpf::Caller& caller, const bpf::Arguments& arguments);

struct StubCall {
  bpf::Arguments arguments = {};
  std::uint64_t stub = 0;
  GuestAddress stack;

  friend bool operator==(const StubCall&, const StubCall&) = default;
};

struct StubLog {
  std::uint64_t calls = 0;
  std::vector<StubCall> first;  // kLoggedCalls of them at most
};

// What the bytes of the log's region say, which are at least kFirstBlock.
StubLog read_stub_log(std::span<const std::byte> region, std::endian order);

// The map with the log; null if the program calls no stub.
const bpf::Map* stub_log(const bpf::Program& program);

}  // namespace farcall::external
