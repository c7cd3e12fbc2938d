#include "run/options.hpp"

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <thread>

namespace farcall::run {

void add_selection(CLI::App& command, Selection& selection) {
  command.add_option("--filter", selection.filter, "Only cells whose name matches this pattern")
      ->type_name("GLOB");
  command
      .add_option("--where", selection.where,
                  "Only cells with these values of an axis, as cpu=power9,power10")
      ->type_name("AXIS=VALUES")
      ->take_all();
}

void add_jobs(CLI::App& command, RunnerOptions& runner) {
  command
      .add_option("--jobs", runner.machines,
                  "Machines that run at the same time; as many as cores by default")
      ->check(CLI::Range(1U, 64U));
}

void add_tag_hash(CLI::App& command, show::TagHash& hash) {
  static const std::map<std::string, show::TagHash> kHashes = {{"sha1", show::TagHash::sha1},
                                                               {"sha256", show::TagHash::sha256}};
  add_choice(command, "--tag-hash", hash, kHashes,
             "How tags are made: sha1, or sha256 as Linux since 6.18", "HASH");
}

RunnerOptions default_runner(const Invocation& invocation) {
  return {.machines = std::max(1U, std::thread::hardware_concurrency()),
          .images = invocation.images};
}

}  // namespace farcall::run
