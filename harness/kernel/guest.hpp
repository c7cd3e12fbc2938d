// A Linux guest: a stock ppc64el kernel with our agent as its first process, which asks the kernel
// about a batch of programs and ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "kernel/exchange.hpp"
#include "kernel/guest_spec.hpp"
#include "kernel/initramfs.hpp"

namespace farcall::kernel {

// The first line of a kernel's log that tells of a defect of the kernel: WARN, BUG, Oops, a lockup,
// a call trace; empty: there is none.
std::string trouble_in(const std::string& log);

// What a guest leaves that has ended.
struct GuestEnd {
  std::string log;         // the kernel's, as its console has it
  std::string reply;       // what the agent wrote, not empty
  bool has_ended = false;  // by itself; else its time was up
  std::string how;         // it ended, in words
};

// Who waits for a guest.
struct Watcher {
  std::function<bool()> stopped = nullptr;               // they do not, any more
  std::function<void(std::string_view)> tell = nullptr;  // what went another way than it should
};

// One boot, with these files beside the agent, which say what it is to do, and a batch if they ask
// for one. machine.no-qemu,
// machine.no-image (no agent), machine.start, machine.timeout, machine.lost (the guest ended
// without a reply, or `stopped`), machine.bad-answer; jit.warned where there is no reply and the
// kernel's log tells of trouble.
Result<GuestEnd> boot(const GuestSpec& spec, std::span<const InitramfsFile> brought,
                      const Watcher& watcher, std::span<const std::byte> batch = {});

// The same with a batch, in a guest that is restored from a snapshot, if there is one; if not, it is
// taken of the guest that boots. One that cannot be restored is told of, and removed.
Result<GuestEnd> hand_over(const GuestSpec& spec, std::span<const std::byte> batch,
                           const Watcher& watcher);

// Of which a reply is known as one to this boot.
std::uint64_t new_nonce();

// What came of a question: the kernel's answer, or why there is none: jit.crashed, the kernel's log
// says that it did not survive it; machine.lost or machine.timeout, the guest ended or hung at it
// twice and its log does not say why; machine.job-too-large, it alone is more than a guest is given.
using Answered = Result<Answer>;

// One for each question. Many questions are asked of up to `most_guests` at the same time, if they
// are restored. A program that ends its guest is told of, and the rest is asked of another. The
// watcher is called by several threads. The errors of boot().
Result<std::vector<Answered>> ask(const GuestSpec& spec, std::span<const Question> questions,
                                  const Watcher& watcher = {}, std::size_t most_guests = 1);

}  // namespace farcall::kernel
