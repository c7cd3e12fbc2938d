// Positive controls: cells that are run with a fault in them, which the witnesses must find.
#pragma once

#include "base/error.hpp"
#include "model/document.hpp"
#include "model/job.hpp"

namespace farcall::faults {

// The document of a cell with a control, as it is run: our JIT's code, with the fault. A document
// that has code, or has no control, is returned as it is.
// case.unknown-name: there is no such fault; case.selects-nothing: it does not touch this cell.
Result<model::Document> spoiled(model::Document document);

// What the guest says of such a document, where the fault is the guest's.
void falsify(const model::Document& document, model::Observations& seen);

}  // namespace farcall::faults
