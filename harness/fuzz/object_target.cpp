#include "bpf/disassembler.hpp"
#include "bpf/object.hpp"
#include "bpf/validator.hpp"
#include "fuzz/target.hpp"

namespace farcall::fuzz {

void run_object(Bytes object) {
  const auto program = bpf::read_object(object, "fuzz.o", std::nullopt);
  if (!program) {
    require(program.error().where.file.starts_with("fuzz.o"), "an error that names the object");
    return;
  }
  require(program.value().origins.empty() ||
              program.value().origins.size() == program.value().slots.size(),
          "an origin for each slot");
  if (bpf::validate(program.value())) {
    require(!bpf::disassemble(program.value()).empty(), "assembly");
  }
}

}  // namespace farcall::fuzz
