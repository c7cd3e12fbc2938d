// What end-to-end tests of this folder run programs with.
#pragma once

#include "tests/farcall_process.hpp"

namespace farcall::run {

using tests::cases_folder;
using tests::children_of;
using tests::contents;
using tests::eventually;
using tests::farcall_binary;
using tests::Finished;
using tests::has_ended;
using tests::run_farcall;
using tests::run_program;
using tests::ScratchFolder;

}  // namespace farcall::run
