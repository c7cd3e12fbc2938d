#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "fuzz/target.hpp"

namespace farcall::fuzz {
namespace {

// Objects are a target of their own, and no input shall open files.
constexpr std::string_view kOpensFiles = "elf";

void read_case(std::string_view file, const std::string& path) {
  const auto parsed = cases::parse_case(file, path);
  const auto made =
      parsed ? cases::cells(parsed.value(), {.site = some_site, .sizes = {}}) : parsed.error();
  if (!made) {
    const Error& error = made.error();
    require(error.where.file == path, "an error that is located in the file");
    require(!error.message.empty(), "a message");
    return;
  }
  require(!made.value().empty(), "cells or an error");
  check_program(made.value().front());
}

}  // namespace

Result<GuestAddress> some_site(const bpf::Program& /*program*/, const model::AxisValues& /*axes*/,
                               bpf::CallSite site, GuestAddress function) {
  return function + site.ordinal * 4;
}

// In both dialects.
void run_case(Bytes text) {
  const std::string_view file = text_of(text);
  if (file.find(kOpensFiles) != std::string_view::npos) {
    return;
  }
  read_case(file, "fuzz.case");
  read_case(file, "fuzz.data");
}

}  // namespace farcall::fuzz
