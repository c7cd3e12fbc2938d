// The helpers of Linux: their names, how many arguments each has, and what memory it writes. The
// list is frozen since Linux 6.2: what came later are kfuncs. Source: bpf_helper_defs.h of libbpf.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bpf/external.hpp"

namespace farcall::bpf {

struct HelperInfo {
  std::string_view name;              // after `bpf_`
  std::uint8_t arguments = 0;         // those that are always there
  std::optional<Filling> fills = {};  // what of its caller's memory it writes as a whole
};

// Null for a number that Linux does not have.
const HelperInfo* linux_helper(std::int64_t number);

// The number of `bpf_map_lookup_elem`.
std::optional<std::int32_t> helper_number(std::string_view name);

// `bpf_map_lookup_elem`; for a number that Linux does not have, `helper_999`.
std::string helper_name(std::int64_t number);

}  // namespace farcall::bpf
