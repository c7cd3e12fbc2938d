// The console: the guest's bell to the host and the host's to the guest, and a last word.
#pragma once

#include <cstdint>

namespace farcall::bare {

// Lets a byte from the host raise the external interrupt (which stays masked except in
// sleep_until_byte()).
[[gnu::cold]] void enable_console_interrupt();

[[gnu::cold]] void put(const char* text);
[[gnu::cold]] void put_hex(std::uint64_t value);

// Rings the host's bell: a batch is complete.
void ring_doorbell();

// Unmasks the console's interrupt. From the return on, whatever the host writes is either seen by
// the caller's next look at shared memory or ends sleep_until_byte().
void arm_wake_up();
// Sleeps until the host writes a byte (or the decrementer runs out, seconds later), takes what it
// wrote, and masks the interrupt again.
void sleep_until_byte();
// Masks the interrupt without sleeping.
void disarm_wake_up();

[[noreturn]] void power_off();

}  // namespace farcall::bare
