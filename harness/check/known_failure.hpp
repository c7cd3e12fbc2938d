// `-- known`: what a case says that some JIT fails with.
#pragma once

#include <string_view>

#include "model/cell.hpp"
#include "model/verdict.hpp"

namespace farcall::check {

// What the case says of the JIT with that identity; null: nothing.
const model::KnownFailure* known_failure(const model::Cell& cell, std::string_view jit);

// Not about a machine, the harness, or a JIT that could not be started: only such a verdict can be
// held against what is known.
bool is_about_code(const model::Verdict& verdict);

// A pass, if the verdict begins with that failure. Else the known failure is missing, and that is a
// failure, too: expected-failure.missing. So it is seen when a defect is mended.
model::Verdict against_known_failure(const model::Cell& cell, const model::KnownFailure& known,
                                     model::Verdict verdict);

}  // namespace farcall::check
