// A program that has the terminal, such as a debugger, while farcall waits for it.
#pragma once

#include <vector>

#include "base/error.hpp"
#include "process/process.hpp"

namespace farcall::vm {

// Runs `command` with farcall's own terminal, input and output until it ends, and returns its exit
// status, or 128 and the number of the signal that ended it. Ctrl-C is the program's business
// meanwhile; a request to end (SIGTERM, SIGHUP) ends the program too, and is machine.lost. The
// program does not outlive farcall, whatever ends that. Errors: machine.start, machine.lost.
//
// For a process of one thread.
Result<int> run_in_foreground(const process::Command& command);

// Waits until farcall is asked to end (Ctrl-C, SIGTERM, SIGHUP), or a child of it has ended.
void wait_for_end();

}  // namespace farcall::vm
