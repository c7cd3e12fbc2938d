#include "command/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "command/nearest.hpp"
#include "vm/libvirt_host.hpp"

namespace farcall::command {

CLI::Option* one_each(CLI::Option* option) {
  return option->expected(1)->allow_extra_args(false)->take_all();
}

void add_selection(CLI::App& command, selection::Selection& selection) {
  one_each(
      command.add_option("--filter", selection.filters,
                         "Only cells whose name matches this pattern; may be given several times"))
      ->type_name("GLOB");
  one_each(command.add_option("--where", selection.where,
                              "Only cells with these values of an axis, as cpu=power9,power10"))
      ->type_name("AXIS=VALUES");
  add_shard(command, selection.shard,
            "Only part I of N of the cells, by their names: for N machines that run one part each");
}

void add_shard(CLI::App& command, report::Shard& shard, const std::string& help) {
  command
      .add_option_function<std::string>(
          "--shard",
          [&shard](const std::string& text) {
            const auto read = report::read_shard(text);
            if (!read) {
              throw CLI::ValidationError(
                  "--shard", fmt::format("'{}' is not I/N with 1 <= I <= N <= 10000", text));
            }
            shard = *read;
          },
          help)
      ->type_name("I/N");
}

void add_jobs(CLI::App& command, run::RunnerOptions& runner) {
  command
      .add_option("--jobs", runner.machines,
                  "Machines that run at the same time; as many as cores by default")
      ->check(CLI::Range(1U, 64U));
}

void add_jit(CLI::App& command, std::string& jit) {
  command
      .add_option("--jit", jit,
                  "Who makes the code: farcall (the default), exec:COMMAND, or kernel:DIR, the JIT "
                  "of a Linux source tree")
      ->type_name("JIT");
}

void add_allow(CLI::App& command, run::RunnerOptions& runner) {
  one_each(command.add_option_function<std::vector<std::string>>(
               "--allow",
               [&runner](const std::vector<std::string>& codes) {
                 for (const std::string& text : codes) {
                   const auto code = error_code_named(text);
                   if (!code || blame(*code) != Blame::code) {
                     throw CLI::ValidationError(
                         "--allow", fmt::format("'{}' is not a code that a cell fails with", text));
                   }
                   runner.allowed.push_back(*code);
                 }
               },
               "A cell does not fail for findings with this code; they are counted, not hidden"))
      ->type_name("CODE");
}

CLI::Option* add_fresh_boot(CLI::App& command, bool& fresh_boot) {
  return command.add_flag("--fresh-boot", fresh_boot,
                          "Boot the stock kernel instead of restoring a snapshot of it: it places "
                          "things anew");
}

CLI::Validator one_of(std::vector<std::string> words) {
  const std::string all = fmt::format("{}", fmt::join(words, ", "));
  const std::string shown = fmt::format("{{{}}}", fmt::join(words, ","));
  return {[words = std::move(words), all](const std::string& word) -> std::string {
            if (std::ranges::find(words, word) != words.end()) {
              return {};
            }
            const auto near = nearest(word, words);
            return near ? fmt::format("there is no '{}'; did you mean {}? Expected one of: {}",
                                      word, *near, all)
                        : fmt::format("there is no '{}'; expected one of: {}", word, all);
          },
          shown};
}

void add_tag_hash(CLI::App& command, show::TagHash& hash) {
  static const std::map<std::string, show::TagHash> kHashes = {{"sha1", show::TagHash::sha1},
                                                               {"sha256", show::TagHash::sha256}};
  add_choice(command, "--tag-hash", hash, kHashes,
             "How tags are made: sha1, or sha256 as Linux since 6.18", "HASH");
}

std::function<ExitCode()> with_host(CLI::App& command, vm::Host*& host,
                                    std::function<ExitCode()> action) {
  struct Choice {
    std::string vm = "direct";
    std::string connect;  // URI; empty: an embedded libvirt
  };
  const auto choice = std::make_shared<Choice>();
  auto* const vm =
      command
          .add_option("--vm", choice->vm, "Who starts the guests: direct (the default) or libvirt")
          ->check(one_of({"direct", "libvirt"}));
  command
      .add_option("--connect", choice->connect,
                  "libvirt's URI, as qemu:///system; by default one of our own, without a daemon")
      ->type_name("URI")
      ->needs(vm);
  return [choice, &host, action = std::move(action)] {
    if (choice->vm == "direct") {
      return action();
    }
    const auto libvirt = vm::libvirt_host(choice->connect);
    if (!libvirt) {
      return report_error(libvirt.error());
    }
    host = libvirt.value().get();
    return action();
  };
}

run::RunnerOptions default_runner(const Invocation& invocation) {
  // Each command asks, and the answer is read from a file.
  static const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  return {.machines = cores, .images = invocation.images};
}

}  // namespace farcall::command
