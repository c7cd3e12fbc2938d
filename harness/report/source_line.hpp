// Where in its case file a cell's trouble is.
#pragma once

#include "model/cell.hpp"
#include "model/verdict.hpp"

namespace farcall::report {

// The line that the first finding names, or the line of the call that it is about; else the line
// where the program begins; 1 if that is not known either, as in objects and documents.
unsigned source_line(const model::Cell& cell, const model::Verdict& verdict);

}  // namespace farcall::report
