// Functions that a program calls and does not have itself: helpers, by number, and kfuncs,
// functions of a kernel module, by the id of their type. RFC 9669 section 4.3.1 and 4.3.2.
//
// In `call`, src is 0 for a helper and 2 for a kfunc, and `imm` is the number or the id. Arguments
// are r1 … r5, the result is r0.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/address.hpp"
#include "base/error.hpp"

namespace farcall::bpf {

class AddressSpace;
struct External;

using Arguments = std::array<std::uint64_t, 5>;

// A C type: how many low bits of a register are the value. The others must be copies of its sign,
// or zero, when a value is passed.
struct ValueType {
  std::uint8_t bits = 64;
  bool is_signed = false;

  friend bool operator==(const ValueType&, const ValueType&) = default;
};
std::uint64_t extended(std::uint64_t value, ValueType type);

struct Signature {
  std::array<ValueType, 5> arguments = {};
  std::uint8_t argument_count = 5;  // how many it looks at
  ValueType result = {};

  friend bool operator==(const Signature&, const Signature&) = default;
};

// What the program that calls lets an external function do.
class Caller {
 public:
  Caller() = default;
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  virtual AddressSpace& memory() = 0;

  // Who is called, where map number `map` of the program begins, and r10 of whoever calls.
  virtual const External& callee() const = 0;
  virtual Result<GuestAddress> map(std::uint32_t map) const = 0;
  virtual GuestAddress frame_pointer() const = 0;

  // Calls the function of the program that a function pointer points to. It has these arguments
  // and no others.
  virtual Result<std::uint64_t> call_back(GuestAddress function,
                                          std::span<const std::uint64_t> arguments) = 0;

  // How many calls are under way, the one of this external function included.
  virtual std::size_t depth() const = 0;

  // Stores the address that call number `level`, from 0 for the last call, returns to: eight bytes.
  // The interpreter has no such address; it stores 0, and InterpreterRun::return_addresses says
  // which address belongs there.
  virtual Result<void> store_return_address(GuestAddress to, std::size_t level) = 0;

 protected:
  ~Caller() = default;
};

enum class ExternalKind : std::uint8_t { helper, kfunc };

// Memory that a function sets to zeros: where an argument points to, as many bytes as the low 32
// bits of another say. A null pointer leads to none. Arguments count from 0.
struct Filling {
  std::uint8_t pointer = 0;
  std::optional<std::uint8_t> length = {};  // empty: always `bytes`
  std::uint32_t bytes = 0;

  friend bool operator==(const Filling&, const Filling&) = default;
};

// What makes an external function a stub: it writes down how it is called and returns what a list
// says. Log and list are in a map of the program, see external/stub.hpp.
struct Stub {
  std::uint32_t log = 0;     // number of that map
  std::uint32_t number = 0;  // among the program's stubs
  std::uint32_t block = 0;   // where its list is, in bytes from the map's beginning
  std::uint32_t values = 1;  // how many are in the list; the last one is for all calls that follow
  std::optional<Filling> fills = {};

  friend bool operator==(const Stub&, const Stub&) = default;
};

struct External {
  std::string name;
  ExternalKind kind = ExternalKind::helper;
  std::int32_t id = 0;  // what `imm` of a call is
  Signature signature = {};
  std::optional<Stub> stub = {};
  bool calls_back = false;  // its code calls functions of the program, from one place

  // What it does. Arguments are extended as the signature says, and so must the result be.
  Result<std::uint64_t> (*meaning)(Caller& caller, const Arguments& arguments) = nullptr;

  friend bool operator==(const External& a, const External& b) {
    return a.name == b.name && a.kind == b.kind && a.id == b.id && a.stub == b.stub;
  }
};

}  // namespace farcall::bpf
