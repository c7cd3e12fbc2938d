// `-- known`: what a case says that some JIT fails with.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "model/cell.hpp"
#include "model/verdict.hpp"

namespace farcall::check {

// What the case says of the JIT with that identity: each is one way to fail.
std::vector<model::KnownFailure> known_failures(const model::Cell& cell, std::string_view jit);

// Whether the verdict is about the code: not about a machine, the harness, or a JIT that could not
// be started. Only then is it compared with the known failure.
bool is_about_code(const model::Verdict& verdict);

// A pass, if the first finding of the verdict is one of `known`, which are not empty. Else the known
// failure is missing, which is a failure itself (expected-failure.missing): so a defect that was
// fixed is noticed.
model::Verdict against_known_failures(const model::Cell& cell,
                                      std::span<const model::KnownFailure> known,
                                      model::Verdict verdict);

}  // namespace farcall::check
