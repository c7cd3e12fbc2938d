// A call of the plugin, as it comes over the socket, as a cell.
#pragma once

#include <string_view>

#include "base/error.hpp"
#include "conformance/plugin/options.hpp"
#include "model/cell.hpp"

namespace farcall::conformance {

// `memory` and `program` are bytes in hex with blanks between; slots lie as on this host.
// usage.bad-argument for what is not such bytes, and what reading a program fails with.
Result<model::Cell> called_cell(const Options& options, std::string_view memory,
                                std::string_view program);

}  // namespace farcall::conformance
