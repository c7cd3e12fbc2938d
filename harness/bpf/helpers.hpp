// The helpers of Linux: their names and how many arguments each has. The list is frozen since Linux
// 6.2: what came later are kfuncs. Source: bpf_helper_defs.h of libbpf.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace farcall::bpf {

struct HelperInfo {
  std::string_view name;       // behind `bpf_`
  std::uint8_t arguments = 0;  // those that are always there
};

// Null for a number that Linux does not have.
const HelperInfo* linux_helper(std::int64_t number);

// The number of `bpf_map_lookup_elem`.
std::optional<std::int32_t> helper_number(std::string_view name);

// `bpf_map_lookup_elem`; for a number that Linux does not have, `helper_999`.
std::string helper_name(std::int64_t number);

}  // namespace farcall::bpf
