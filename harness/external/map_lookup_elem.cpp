// The native function that finds a value in an array.
#include "bpf/address_space.hpp"
#include "bpf/program.hpp"
#include "external/words.hpp"

namespace farcall::external {

Words map_lookup_elem(const Surroundings& /*surroundings*/) {
  return {
      encode<Op::lwz>(r4, 0, r4),  // the index
      encode<Op::lwz>(r9, 0, r3),  // how many elements
      encode<Op::cmplw>(cr0, r4, r9),
      branch_if(lt, 3),
      li(r3, 0),
      kBlr,
      encode<Op::lwz>(r9, 4, r3),  // how many bytes each
      encode<Op::mulld>(r4, r4, r9),
      encode<Op::addi>(r3, r3, std::int64_t{bpf::kArrayHeaderBytes}),
      encode<Op::add>(r3, r3, r4),
      kBlr,
  };
}

Result<std::uint64_t> map_lookup_elem(bpf::Caller& caller, const bpf::Arguments& arguments) {
  const GuestAddress map{arguments[0]};
  FARCALL_TRY(index, caller.memory().load({arguments[1]}, 4));
  FARCALL_TRY(elements, caller.memory().load(map, 4));
  if (index >= elements) {
    return 0;
  }
  FARCALL_TRY(element_bytes, caller.memory().load(map + 4, 4));
  return (map + (bpf::kArrayHeaderBytes + index * element_bytes)).value;
}

}  // namespace farcall::external
