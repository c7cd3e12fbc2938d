#include "console.hpp"

#include "base/byte_order.hpp"
#include "hypercall.hpp"
#include "wire/mailbox.hpp"

namespace farcall::bare {
namespace {

constexpr std::uint64_t kTerminal = 0x71000000;       // unit address of QEMU's first spapr-vty
constexpr std::uint32_t kTerminalInterrupt = 0x1100;  // its interrupt source
constexpr std::uint32_t kInterruptPriority = 5;       // lower numbers are more urgent
constexpr std::uint64_t kAdmitAll = 0xff;
constexpr std::uint64_t kAdmitNone = 0;
constexpr unsigned kBytesPerCall = 16;  // H_PUT_TERM_CHAR carries two registers of them

void put_bytes(const char* bytes, unsigned count) {
  for (unsigned done = 0; done < count;) {
    const unsigned chunk = count - done < kBytesPerCall ? count - done : kBytesPerCall;
    std::uint64_t registers[2] = {0, 0};
    for (unsigned i = 0; i < chunk; ++i) {
      const auto byte = static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[done + i]));
      registers[i / 8] |= byte << (56 - 8 * (i % 8));
    }
    hypercall(Hypercall::put_term_char, kTerminal, chunk, registers[0], registers[1]);
    done += chunk;
  }
}

constexpr unsigned kMaxRtasWords = 8;

// A call of run-time services: its token, then how many arguments and results there are, then
// these.
struct RtasBlock {
  ub32 token;
  ub32 arguments;
  ub32 results;
  ub32 words[kMaxRtasWords];
};

void call_rtas(const RtasBlock& block) {
  hypercall(Hypercall::rtas, reinterpret_cast<std::uint64_t>(&block));
}

constexpr std::uint32_t kRtasPowerOff = 0x2003;
constexpr std::uint32_t kRtasSetXive = 0x200a;

}  // namespace

void put(const char* text) {
  unsigned length = 0;
  while (text[length] != '\0') {
    ++length;
  }
  put_bytes(text, length);
}

void put_hex(std::uint64_t value) {
  char digits[kBytesPerCall];
  for (unsigned i = 0; i < kBytesPerCall; ++i) {
    digits[i] = "0123456789abcdef"[(value >> (60 - 4 * i)) & 15];
  }
  put_bytes(digits, kBytesPerCall);
}

void ring_doorbell() {
  put_bytes(&wire::kDoorbell, 1);
}

void enable_console_interrupt() {
  call_rtas({kRtasSetXive, 3, 1, {kTerminalInterrupt, 0U, kInterruptPriority}});
  hypercall(Hypercall::vio_signal, kTerminal, 1);
  hypercall(Hypercall::set_priority, kAdmitNone);
}

void arm_wake_up() {
  hypercall(Hypercall::set_priority, kAdmitAll);
}

void disarm_wake_up() {
  hypercall(Hypercall::set_priority, kAdmitNone);
}

void sleep_until_byte() {
  sleep_until_interrupt(Hypercall::cede);
  // Zero here means that it was the decrementer.
  const std::uint64_t interrupt = hypercall(Hypercall::accept_interrupt).value;
  // The terminal only raises an interrupt when its buffer was empty: empty it.
  while (hypercall(Hypercall::get_term_char, kTerminal).value != 0) {
  }
  if (interrupt != 0) {
    hypercall(Hypercall::end_of_interrupt, interrupt);
  }
  disarm_wake_up();
}

void power_off() {
  const std::uint32_t all = ~0U;
  call_rtas({kRtasPowerOff, 2, 1, {all, all}});
  for (;;) {
  }
}

}  // namespace farcall::bare
