// What a stock kernel did not do of what it was asked, and whose doing that is: its verifier's, which may
// reject what it likes, or its JIT's, which has to make code of what the verifier accepts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "kernel/exchange.hpp"
#include "model/verdict.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {

// Why the verifier rejected a program: in the words of its log, or those of the errno if it has none.
std::string verifier_reason(std::string log, std::uint32_t error);

// What is wrong if a program that the verifier has nothing against was refused: jit.refused, the JIT made
// no code of it; machine.bad-answer, an array of programs does not take it, and nobody knows why.
std::optional<model::Finding> refusal(const LinuxCell& linux_cell, wire::KernelMode mode,
                                      const kernel::Answer& answer);

// Why a kernel's answer tells nothing of a run: jit.declined. The verifier rejected the program, or the
// kernel did not run it. Empty: it ran.
std::optional<Error> skipped(const kernel::Answer& answer);

}  // namespace farcall::stock
