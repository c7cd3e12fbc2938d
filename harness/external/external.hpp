// Native functions: what stands for the helpers of a kernel and the functions of its modules.
//
// Each is there twice, with one meaning: as ppc64 code, which is mapped into a job like the
// program's own, and as a C++ function for the interpreter. The code is a test bed and not under
// test, so it is written down instruction by instruction, apart from the JIT.
//
//   ELFv2: +0  addis r2,r12,…     the global entry: r2 from r12
//          +4  addi  r2,r2,…
//          +8  the local entry: r2 is there already
//   ELFv1: +0  the descriptor, +24 the code
//
// After its entry, each compares r2 with the TOC pointer that it was made for and traps if they
// differ: so a call that leaves a wrong r2 is caught at the next helper.
//
// If the program's TOC pointer is too far for addis and addi, the global entry holds trap words:
// a helper must not be entered there.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "bpf/external.hpp"
#include "ppc64/abi.hpp"

namespace farcall::external {

// From the global entry to what ELFv2 calls the local entry.
inline constexpr std::uint32_t kLocalEntryBytes = 8;

// From a module's function to the module's own TOC pointer. As in an object file, that is 32 KiB
// into the TOC, which here begins at the function.
inline constexpr std::uint64_t kModuleTocBytes = 0x8000;

// What the code is for.
struct Surroundings {
  std::endian order = std::endian::little;
  const ppc64::CallingConvention& convention;
  GuestAddress address;  // where the code lies: its first word
  GuestAddress toc;      // r2, while it runs
};

// Instruction words after the entry.
using Words = std::vector<std::uint32_t>;

struct Native {
  std::string_view name;
  bpf::Signature signature;
  Result<std::uint64_t> (*meaning)(bpf::Caller& caller, const bpf::Arguments& arguments) = nullptr;
  Words (*body)(const Surroundings& surroundings) = nullptr;
  // Which word of the body is the call of a function of the program; null: it calls none.
  std::size_t (*callback)(const ppc64::CallingConvention& convention) = nullptr;
};

// All that a case may name; the one called `name`, also if it is what a kernel calls, or null.
std::span<const Native> natives();
const Native* find(std::string_view name);

// The trap of a function that finds a wrong TOC pointer in r2. The one that it was made for is in
// r11 then.
std::uint32_t toc_trap();

// The native function as an external of a program.
bpf::External external(const Native& native, bpf::ExternalKind kind, std::int32_t id);

// All words of a native function or a stub, from its descriptor or its global entry on. `log` is
// where the stub's log begins.
Words code(const bpf::External& external, const Surroundings& surroundings, GuestAddress log = {});

// Which word of that is the call with which the function calls back. It is one that does.
std::size_t callback_word(const bpf::External& external, const Surroundings& surroundings);

// weighted_sum(a, b, c, d, e): a + 2b + 3c + 5d + 7e. No two arguments can be exchanged unseen.
Words weighted_sum(const Surroundings& surroundings);
Result<std::uint64_t> weighted_sum(bpf::Caller& caller, const bpf::Arguments& arguments);

// clobber(a): a. Writes something else into every register that a callee may write: r0, r4 … r12,
// CTR, XER, CR0, CR1, CR5 … CR7, f0 … f13, v0 … v19.
Words clobber(const Surroundings& surroundings);
Result<std::uint64_t> clobber(bpf::Caller& caller, const bpf::Arguments& arguments);

// mix(int8_t a, uint16_t b, int32_t c, uint32_t d, uint64_t e) -> int16_t: 3a + 5b + 7c + 11d + e.
// It takes its arguments from whole registers, as a compiler lets it.
Words mix(const Surroundings& surroundings);
Result<std::uint64_t> mix(bpf::Caller& caller, const bpf::Arguments& arguments);

// narrow_sum(uint16_t a, int16_t b, uint32_t c, int32_t d, int8_t e) -> uint64_t:
// a + 3b + 5c + 7d + 11e. All 64 bits of what it is given show in all 64 bits of its result.
Words narrow_sum(const Surroundings& surroundings);
Result<std::uint64_t> narrow_sum(bpf::Caller& caller, const bpf::Arguments& arguments);

// loop(count, function, context, flags): as bpf_loop of Linux. Calls function(index, context) until
// it does not return 0, at most `count` times; how often it did. flags must be 0 (else −22), count
// at most 2^23 (else −7).
Words loop(const Surroundings& surroundings);
std::size_t loop_callback(const ppc64::CallingConvention& convention);
Result<std::uint64_t> loop(bpf::Caller& caller, const bpf::Arguments& arguments);

// get_stack(context, buffer, size, flags): as bpf_get_stack of Linux. Walks the stack by its back
// chains, from its own caller to the outermost function of the program, and stores the address that
// each returns to, as many as fit into `size` bytes; how many bytes it stored. flags must be 0
// (else −22).
Words get_stack(const Surroundings& surroundings);
Result<std::uint64_t> get_stack(bpf::Caller& caller, const bpf::Arguments& arguments);

// Linux's __htab_map_lookup_elem(map, key), which its code calls in place of map_lookup_elem: where its
// struct htab_elem would begin, 48 bytes before the key that is in the hash table, or 0. Not for cases.
inline constexpr std::string_view kHashElementName = "hash_element";
Words hash_element(const Surroundings& surroundings);
Result<std::uint64_t> hash_element(bpf::Caller& caller, const bpf::Arguments& arguments);

// map_lookup_elem(map, key): as bpf_map_lookup_elem of Linux: the address of the value in an array
// whose index is the 32 bits at `key`, or of that in a hash table, or 0 if there is none. An array
// and a hash table are as bpf/map_layout.hpp says.
Words map_lookup_elem(const Surroundings& surroundings);
Result<std::uint64_t> map_lookup_elem(bpf::Caller& caller, const bpf::Arguments& arguments);
// map_update_elem(map, key, value, flags): 0, or −17 (it is there and flags is 1), −2 (it is not
// and flags is 2), −7 (no element of that index, or no slot left).
Words map_update_elem(const Surroundings& surroundings);
Result<std::uint64_t> map_update_elem(bpf::Caller& caller, const bpf::Arguments& arguments);
// map_delete_elem(map, key): 0, or −2 (it is not there), −22 (elements of arrays always are).
Words map_delete_elem(const Surroundings& surroundings);
Result<std::uint64_t> map_delete_elem(bpf::Caller& caller, const bpf::Arguments& arguments);

// unrelocated(): what stands for an instruction that depends on something that a kernel does not
// have. It must not be reached.
Words unrelocated(const Surroundings& surroundings);
Result<std::uint64_t> unrelocated(bpf::Caller& caller, const bpf::Arguments& arguments);

// What the public conformance suite's programs call: suite.cpp.
//
// gather_bytes(a, b, c, d, e): the low bytes of its arguments, a the most significant.
Words gather_bytes(const Surroundings& surroundings);
Result<std::uint64_t> gather_bytes(bpf::Caller& caller, const bpf::Arguments& arguments);
// memfrob(bytes, count): inverts three bits of each byte, as glibc's; `bytes`.
Words memfrob(const Surroundings& surroundings);
Result<std::uint64_t> memfrob(bpf::Caller& caller, const bpf::Arguments& arguments);
// no_op(): 0.
Words no_op(const Surroundings& surroundings);
Result<std::uint64_t> no_op(bpf::Caller& caller, const bpf::Arguments& arguments);
// sqrti(uint32_t a): its square root, rounded down.
Words sqrti(const Surroundings& surroundings);
Result<std::uint64_t> sqrti(bpf::Caller& caller, const bpf::Arguments& arguments);
// strcmp_ext(a, b): the first bytes that differ in two strings, subtracted; 0 if none does.
Words strcmp_ext(const Surroundings& surroundings);
Result<std::uint64_t> strcmp_ext(bpf::Caller& caller, const bpf::Arguments& arguments);
// unwind(a): a, which must not be 0: to end the program from here is what uBPF does then, and no
// business of a helper. It traps; interpreter.bad-call.
Words unwind(const Surroundings& surroundings);
Result<std::uint64_t> unwind(bpf::Caller& caller, const bpf::Arguments& arguments);

}  // namespace farcall::external
