// A Linux guest: boots a stock ppc64el kernel with our agent as its first process, which asks the
// kernel about a batch of programs and ends.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "kernel/exchange.hpp"
#include "kernel/initramfs.hpp"
#include "model/axes.hpp"
#include "process/process.hpp"

namespace farcall::kernel {

struct GuestSpec {
  std::filesystem::path vmlinux;  // an ELF file for ppc64, little-endian
  std::filesystem::path agent;    // images/linux/agent.cpp, built
  model::Cpu cpu = model::Cpu::power9;
  model::Mmu mmu = model::Mmu::radix;
  // A backstop for a guest that hangs; a boot takes 2 s of a core of its own. What QEMU waits for a
  // CPU does not count.
  std::chrono::seconds patience{180};
  unsigned log_level = 5;  // the kernel's records below it are shown on its console: 5, warnings
};

// Descriptors that QEMU inherits.
struct GuestFiles {
  int initramfs = -1;
  int console = -1;   // takes the kernel's log
  int terminal = -1;  // takes the agent's reply
};

// How to start it; `qemu` is the path of qemu-system-ppc64.
process::Command guest_command(const std::string& qemu, const GuestSpec& spec,
                               const GuestFiles& files);

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

// One boot, with these files beside the agent, which says what to do with them. machine.no-qemu,
// machine.no-image (no agent), machine.start, machine.timeout, machine.lost (the guest ended
// without a reply, or `stopped`); jit.warned where there is no reply and the kernel's log tells of
// trouble.
Result<GuestEnd> boot(const GuestSpec& spec, std::span<const InitramfsFile> brought,
                      const std::function<bool()>& stopped);

// Of which a reply is known as one to this boot.
std::uint64_t new_nonce();

// What came of a question: the kernel's answer, or why there is none: jit.crashed, the kernel's log
// says that it did not survive it; machine.lost or machine.timeout, the guest ended or hung at it
// twice and its log does not say why.
using Answered = Result<Answer>;

// One for each question, from one boot if all goes well: a program that ends the guest is told of,
// and the rest is asked after another boot. The errors of boot(), and machine.bad-answer.
Result<std::vector<Answered>> ask(const GuestSpec& spec, std::span<const Question> questions,
                                  const std::function<bool()>& stopped = nullptr);

}  // namespace farcall::kernel
