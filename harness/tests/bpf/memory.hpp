// The memory that programs of the interpreter's tests run with.
#pragma once

#include <utility>
#include <vector>

#include "bpf/address_space.hpp"
#include "bpf/interpreter.hpp"

namespace farcall::bpf::tests {

inline constexpr GuestAddress kStack{0xc000000000100000};
inline constexpr GuestAddress kStackTop = kStack + 16 * kFrameBytes;
inline constexpr GuestAddress kData{0x1000};

inline AddressSpace memory_of(std::endian order, std::vector<std::byte> data = {}) {
  return {{{.name = "data", .address = kData, .bytes = std::move(data)},
           {.name = "table",
            .address = {0x2000},
            .bytes = {std::byte{1}, std::byte{2}},
            .writable = false}},
          order};
}

}  // namespace farcall::bpf::tests
