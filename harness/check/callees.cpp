#include "check/callees.hpp"

#include <algorithm>

namespace farcall::check {

std::vector<model::CodeCallee> Callees::of_site(const model::CodeCall& call) const {
  if (call.callee) {
    return {*call.callee};
  }
  if (call.is_jump) {
    return of_jump(call);
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
  const bpf::PseudoCall& made = run_->calls[number];
  return call.is_jump ? place_of(made) : callee(image_, call, made.callee);
}

std::uint64_t Callees::made(const model::CodeCall& call, const model::CodeCallee& callee) const {
  if (run_ == nullptr) {
    return 0;
  }
  return static_cast<std::uint64_t>(
      std::ranges::count_if(run_->calls, [&](const bpf::PseudoCall& one) {
        return one.site == call.site &&
               (call.callee ||
                (call.is_jump ? place_of(one) == callee : one.callee == callee.function));
      }));
}

model::CodeCallee Callees::place_of(const bpf::PseudoCall& made) const {
  return {.function = made.callee, .target = image_.code_pointers[*made.pointer].address};
}

std::vector<model::CodeCallee> Callees::of_jump(const model::CodeCall& call) const {
  std::vector<model::CodeCallee> found;
  const auto add = [&found](model::CodeCallee place) {
    if (std::ranges::find(found, place) == found.end()) {
      found.push_back(place);
    }
  };
  if (run_ != nullptr) {
    for (const bpf::PseudoCall& made : run_->calls) {
      if (made.site == call.site) {
        add(place_of(made));
      }
    }
    return found;
  }
  const model::CodeFunction& function = image_.functions[call.site.function];
  for (const model::PlacedPointer& pointer : image_.code_pointers) {
    if (pointer.address.value - function.address.value < function.words.size() * 4) {
      add({.function = call.site.function, .target = pointer.address});
    }
  }
  return found;
}

}  // namespace farcall::check
