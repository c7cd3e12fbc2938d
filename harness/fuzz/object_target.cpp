#include "bpf/disassembler.hpp"
#include "bpf/object.hpp"
#include "bpf/validator.hpp"
#include "fuzz/target.hpp"

namespace farcall::fuzz {

void run_object(Bytes object) {
  const auto read = bpf::read_object(object, "fuzz.o", std::nullopt);
  if (!read) {
    require(read.error().where.file.starts_with("fuzz.o"), "an error that names the object");
    return;
  }
  const bpf::Program& program = read.value().program;
  require(program.origins.size() == 0 || program.origins.size() == program.slots.size(),
          "an origin for each slot");
  if (bpf::validate(program)) {
    require(!bpf::disassemble(program).empty(), "assembly");
  }
  for (const bpf::ObjectAddress& address : read.value().addresses) {
    const auto& data = read.value().data;
    const std::size_t targets =
        address.kind == bpf::ObjectTarget::function   ? program.functions.size()
        : address.kind == bpf::ObjectTarget::external ? read.value().externs.size()
                                                      : data.size();
    require(address.target < targets, "a target that is there");
    require(address.region ? *address.region < data.size() &&
                                 address.offset + 8 <= data[*address.region].bytes.size()
                           : address.offset + 2 <= program.slots.size(),
            "a place that is there");
  }
}

}  // namespace farcall::fuzz
