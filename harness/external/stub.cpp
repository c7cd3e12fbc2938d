#include "external/stub.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "bpf/address_space.hpp"
#include "bpf/interpreter.hpp"
#include "external/words.hpp"

namespace farcall::external {
namespace {

constexpr std::uint32_t kCalls = 8;  // where in the log
constexpr std::uint32_t kStubNumber = 40;
constexpr std::uint32_t kStackPointer = 48;
static_assert(std::has_single_bit(kEntryBytes));

Words load_address(ppc64::Gpr to, GuestAddress address) {
  const auto halfword = [address](unsigned shift) {
    return static_cast<std::uint32_t>(bit_field(address.value, shift, 16));
  };
  return {encode<Op::addis>(to, kZero, sign_extend(halfword(48), 16)),
          encode<Op::ori>(to, to, halfword(32)), encode<Op::rldicr>(to, to, 32, 31),
          encode<Op::oris>(to, to, halfword(16)), encode<Op::ori>(to, to, halfword(0))};
}

ppc64::Gpr argument_register(std::uint8_t number) {
  return static_cast<ppc64::Gpr>(3 + number);
}

Words fill(const bpf::Filling& filling) {
  return {
      // r9: what comes next. r10: how many bytes are left.
      mr(r9, argument_register(filling.pointer)),
      filling.length ? encode<Op::rldicl>(r10, argument_register(*filling.length), 0, 32)
                     : li(r10, filling.bytes),
      li(r11, 0), encode<Op::cmpldi>(cr0, r9, 0), branch_if(eq, 13),  // → done
      // doublewords:
      encode<Op::cmpldi>(cr0, r10, 8), branch_if(lt, 5),  // → bytes
      encode<Op::std_>(r11, 0, r9), encode<Op::addi>(r9, r9, 8), encode<Op::addi>(r10, r10, -8),
      encode<Op::b>(-5 * 4),  // → doublewords
      // bytes:
      encode<Op::cmpldi>(cr0, r10, 0), branch_if(eq, 5),  // → done
      encode<Op::stb>(r11, 0, r9), encode<Op::addi>(r9, r9, 1), encode<Op::addi>(r10, r10, -1),
      encode<Op::b>(-5 * 4),  // → bytes
                              // done:
  };
}

// Bytes of two frames, or of a frame and what is beside it, lie one after the other in the
// interpreter alone.
Result<void> check_frame(bpf::Caller& caller, std::uint64_t begin, std::uint64_t bytes) {
  const bpf::MemoryRegion& stack = caller.memory().regions().back();
  const std::uint64_t last = begin + bytes - 1;
  const auto frame = [top = caller.frame_pointer().value](std::uint64_t address) {
    return static_cast<std::int64_t>(top - 1 - address) >> 9U;
  };
  static_assert(bpf::kFrameBytes == 1U << 9U);
  if (begin - stack.address.value < stack.bytes.size() && frame(begin) != frame(last)) {
    return Error{.code = ErrorCode::interpreter_bad_access,
                 .message = fmt::format(
                     "{} bytes at r10{:+} are written: a frame is the {} bytes "
                     "below r10",
                     bytes, static_cast<std::int64_t>(begin - caller.frame_pointer().value),
                     bpf::kFrameBytes)};
  }
  return success();
}

Result<void> fill(bpf::Caller& caller, const bpf::Filling& filling,
                  const bpf::Arguments& arguments) {
  const std::uint64_t begin = arguments[filling.pointer];
  const std::uint64_t bytes =
      filling.length ? arguments[*filling.length] & 0xffff'ffff : filling.bytes;
  if (begin == 0 || bytes == 0) {
    return success();
  }
  FARCALL_TRYV(check_frame(caller, begin, bytes));
  for (std::uint64_t done = 0; done < bytes;) {
    const unsigned size = bytes - done >= 8 ? 8 : 1;
    FARCALL_TRYV(caller.memory().store(GuestAddress{begin} + done, size, 0));
    done += size;
  }
  return success();
}

}  // namespace

Words stub_body(const bpf::External& external, GuestAddress log) {
  constexpr auto kEntryShift = static_cast<unsigned>(std::countr_zero(kEntryBytes));
  const bpf::Stub& how = *external.stub;
  const std::int64_t arguments = external.signature.argument_count;
  // r11: the log. r9: the entry, less kFirstEntry.
  Words words = load_address(r11, log);
  append(words, {
                    encode<Op::ld>(r9, kCalls, r11),
                    encode<Op::addi>(r10, r9, 1),
                    encode<Op::std_>(r10, kCalls, r11),
                    encode<Op::cmpldi>(cr0, r9, kLoggedCalls),
                    branch_if_not(lt, arguments + 6),  // → the list
                    encode<Op::rldicr>(r9, r9, kEntryShift, 63 - kEntryShift),
                    encode<Op::add>(r9, r9, r11),
                });
  for (std::int64_t i = 0; i < arguments; ++i) {
    words.push_back(encode<Op::std_>(static_cast<ppc64::Gpr>(3 + i), kFirstEntry + 8 * i, r9));
  }
  append(words, {
                    li(r10, how.number),
                    encode<Op::std_>(r10, kFirstEntry + kStubNumber, r9),
                    encode<Op::std_>(r1, kFirstEntry + kStackPointer, r9),
                });
  if (how.fills) {
    append(words, fill(*how.fills));
  }
  // The list. r9: the block.
  append(words, load_address(r9, log + how.block));
  append(words, {
                    encode<Op::ld>(r10, 0, r9),
                    encode<Op::addi>(r11, r10, 1),
                    encode<Op::std_>(r11, 0, r9),
                    encode<Op::cmpldi>(cr0, r10, how.values),
                    branch_if(lt, 2),
                    li(r10, std::int64_t{how.values} - 1),
                    encode<Op::rldicr>(r10, r10, 3, 60),
                    encode<Op::add>(r9, r9, r10),
                    encode<Op::ld>(r3, 8, r9),
                });
  append(words, clobber({.convention = ppc64::kElfv2, .address = {}, .toc = {}}));
  return words;
}

Result<std::uint64_t> stub_meaning(bpf::Caller& caller, const bpf::Arguments& arguments) {
  const bpf::External& external = caller.callee();
  const bpf::Stub& how = *external.stub;
  bpf::AddressSpace& memory = caller.memory();
  FARCALL_TRY(log, caller.map(how.log));
  FARCALL_TRY(call, memory.load(log + kCalls, 8));
  FARCALL_TRYV(memory.store(log + kCalls, 8, call + 1));
  if (call < kLoggedCalls) {
    const GuestAddress entry = log + (kFirstEntry + call * kEntryBytes);
    for (std::size_t i = 0; i < external.signature.argument_count; ++i) {
      FARCALL_TRYV(memory.store(entry + 8 * i, 8, arguments[i]));
    }
    FARCALL_TRYV(memory.store(entry + kStubNumber, 8, how.number));
    FARCALL_TRYV(memory.store(entry + kStackPointer, 8, caller.frame_pointer().value));
  }
  if (how.fills) {
    FARCALL_TRYV(fill(caller, *how.fills, arguments));
  }
  const GuestAddress block = log + how.block;
  FARCALL_TRY(before, memory.load(block, 8));
  FARCALL_TRYV(memory.store(block, 8, before + 1));
  const std::uint64_t index = std::min<std::uint64_t>(before, how.values - 1);
  return memory.load(block + (8 + 8 * index), 8);
}

bpf::External stub(std::string name, bpf::ExternalKind kind, std::int32_t id,
                   const bpf::Signature& signature, bpf::Stub how) {
  return {.name = std::move(name),
          .kind = kind,
          .id = id,
          .signature = signature,
          .stub = how,
          .meaning = stub_meaning};
}

StubLog read_stub_log(std::span<const std::byte> region, std::endian order) {
  const auto word = [&](std::size_t at) { return load<std::uint64_t>(region.data() + at, order); };
  StubLog log{.calls = word(kCalls), .first = {}};
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(log.calls, kLoggedCalls); ++i) {
    const std::size_t entry = kFirstEntry + i * kEntryBytes;
    StubCall& call = log.first.emplace_back();
    for (std::size_t k = 0; k < call.arguments.size(); ++k) {
      call.arguments[k] = word(entry + 8 * k);
    }
    call.stub = word(entry + kStubNumber);
    call.stack = {word(entry + kStackPointer)};
  }
  return log;
}

const bpf::Map* stub_log(const bpf::Program& program) {
  const auto stub = std::ranges::find_if(
      program.externals, [](const bpf::External& external) { return external.stub.has_value(); });
  return stub == program.externals.end() ? nullptr : &program.maps[stub->stub->log];
}

}  // namespace farcall::external
