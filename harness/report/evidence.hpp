// The text of one cell, for reports of other forms that hold it.
#pragma once

#include <string>

#include "report/report.hpp"

namespace farcall::report {

// What text_report() prints of a cell, without colours.
std::string evidence(const CellReport& report);

// `main[0]: expected … [call.count]` of the finding that explains the others; empty if there is
// none.
std::string first_finding(const model::Verdict& verdict);

}  // namespace farcall::report
