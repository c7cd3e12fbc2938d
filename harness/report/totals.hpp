// Totals as JSON, for the reports that hold them.
#pragma once

#include "model/json.hpp"
#include "report/report.hpp"

namespace farcall::report {

model::Json to_json(const Totals& totals);

}  // namespace farcall::report
