// Bytes of what is read and written, in tests.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace farcall::tests {

inline std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename T>
void put(std::vector<std::byte>& bytes, const T& value) {
  const auto raw = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

}  // namespace farcall::tests
