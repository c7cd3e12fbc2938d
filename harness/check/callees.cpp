#include "check/callees.hpp"

#include <algorithm>

namespace farcall::check {

std::vector<model::CodeCallee> Callees::of_site(const model::CodeCall& call) const {
  if (call.callee) {
    return {*call.callee};
  }
  std::vector<model::CodeCallee> found;
  const auto add = [&](std::uint32_t function) {
    if (std::ranges::find(found, function, &model::CodeCallee::function) == found.end()) {
      found.push_back(callee(image_, call, function));
    }
  };
  if (run_ != nullptr) {
    for (const bpf::PseudoCall& made : run_->calls) {
      if (made.site == call.site) {
        add(made.callee);
      }
    }
  }
  for (const model::ExpectedCall& stated : stated_) {
    if (stated.site == call.site) {
      add(stated.callee);
    }
  }
  return found;
}

std::optional<model::CodeCallee> Callees::of_call(const model::CodeCall& call,
                                                  std::size_t number) const {
  if (call.callee) {
    return call.callee;
  }
  if (run_ == nullptr || number >= run_->calls.size() || run_->calls[number].site != call.site) {
    return std::nullopt;
  }
  return callee(image_, call, run_->calls[number].callee);
}

}  // namespace farcall::check
