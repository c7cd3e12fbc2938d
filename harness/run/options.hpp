// Options that several commands have.
#pragma once

#include <CLI/App.hpp>

#include "run/commands.hpp"
#include "run/runner.hpp"
#include "run/select.hpp"
#include "show/tag.hpp"

namespace farcall::run {

// --filter and --where.
void add_selection(CLI::App& command, Selection& selection);

// --jobs; `runner` has its default.
void add_jobs(CLI::App& command, RunnerOptions& runner);

// --tag-hash; `hash` has its default.
void add_tag_hash(CLI::App& command, show::TagHash& hash);

// As many machines as cores, guest images from where farcall has them.
RunnerOptions default_runner(const Invocation& invocation);

}  // namespace farcall::run
