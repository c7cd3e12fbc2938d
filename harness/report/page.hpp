// The page of the HTML report, page.html, which the build makes a string of.
#pragma once

#include <string_view>

namespace farcall::report {

extern const std::string_view kPage;

}  // namespace farcall::report
