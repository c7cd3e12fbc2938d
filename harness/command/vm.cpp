#include <fmt/format.h>

#include <CLI/App.hpp>
#include <memory>
#include <string>

#include "command/commands.hpp"
#include "command/options.hpp"
#include "vm/libvirt_host.hpp"

namespace farcall::command {
namespace {

struct VmArguments {
  std::string action;
  std::string connect;
};

// `clean` ends what nobody owns any more, and says the same of each domain as `list`.
ExitCode vm(const VmArguments& arguments) {
  const auto domains = vm::list_domains(arguments.connect);
  if (!domains) {
    return report_error(domains.error());
  }
  for (const vm::FoundDomain& domain : domains.value()) {
    if (arguments.action == "list" || domain.owner_lives) {
      fmt::print("{:<28} {:<9} {}\n", domain.name, domain.owner_lives ? "in use" : "left over",
                 domain.where);
      continue;
    }
    if (const auto ended = vm::end_domain(domain); !ended) {
      return report_error(ended.error());
    }
    fmt::print("{:<28} {:<9} {}\n", domain.name, "removed", domain.where);
  }
  return ExitCode::passed;
}

}  // namespace

Command vm_command(CLI::App& app, const Invocation& /*invocation*/) {
  const auto arguments = std::make_shared<VmArguments>();
  CLI::App* const vm_app =
      app.add_subcommand("vm", "Show or remove libvirt's domains that an unclean end left");
  vm_app->add_option("ACTION", arguments->action, "list or clean")
      ->required()
      ->check(one_of({"list", "clean"}));
  vm_app
      ->add_option("--connect", arguments->connect,
                   "libvirt's URI; by default those of our own that need no daemon")
      ->type_name("URI");
  return {vm_app, [arguments] { return vm(*arguments); }};
}

}  // namespace farcall::command
