#include <charconv>

#include "report/report.hpp"

namespace farcall::report {

std::optional<Shard> read_shard(std::string_view text) {
  Shard shard;
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, shard.index);
  if (index.ec != std::errc() || index.ptr == end || *index.ptr != '/') {
    return std::nullopt;
  }
  const auto count = std::from_chars(index.ptr + 1, end, shard.count);
  const bool whole = count.ec == std::errc() && count.ptr == end;
  return whole && is_sound(shard) ? std::optional(shard) : std::nullopt;
}

bool is_sound(Shard shard) {
  constexpr unsigned kMost = 10'000;
  return shard.index >= 1 && shard.index <= shard.count && shard.count <= kMost;
}

}  // namespace farcall::report
