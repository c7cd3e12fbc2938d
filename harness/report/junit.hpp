// What every JUnit report of farcall has after its test cases.
#pragma once

#include <pugixml.hpp>

#include "report/report.hpp"

namespace farcall::report {

// Adds the counts, and as properties what the form has no attribute for.
void finish_junit(pugi::xml_node suite, const Totals& totals);

}  // namespace farcall::report
