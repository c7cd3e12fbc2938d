// Programs of the public conformance suite, which call helpers that they do not declare.
//
// They are those of uBPF's tests, by number: 0 gather_bytes, 1 memfrob, 2 no_op, 3 sqrti,
// 4 strcmp_ext, 5 unwind. A call through a register means the number of one of them.
#pragma once

#include <string>
#include <string_view>

#include "case/case_file.hpp"

namespace farcall::conformance {

// As cases::parse_case(). What a program calls without declaring it is the suite's.
Result<cases::Case> parse_suite_case(std::string_view text, const std::string& path);

}  // namespace farcall::conformance
