#include "link/scheme.hpp"

namespace farcall::link {

Result<void> encode_aux64(model::LinkedProgram& linked) {
  linked.side_table.reserve(linked.calls.size());
  for (const model::LinkedCall& call : linked.calls) {
    linked.side_table.push_back(call.target);
  }
  return success();
}

}  // namespace farcall::link
