// Where in its case file a cell's trouble is.
#pragma once

#include "model/cell.hpp"
#include "model/verdict.hpp"

namespace farcall::report {

// The line that the first finding names, or that of the call it is about; else the line where the
// program begins; 1 if that is not known either, as of objects and of documents.
unsigned source_line(const model::Cell& cell, const model::Verdict& verdict);

}  // namespace farcall::report
