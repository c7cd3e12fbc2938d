// Requests and answers of a JIT process as values: the bytes are farcall_jit.h's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "engine/image.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"

namespace farcall::engine {

// The largest answer that is read, in bytes: code of 64 MiB with its line table.
inline constexpr std::uint32_t kMostAnswerBytes = 512U << 20;

// How the code of an answer that is an image enters helpers.
HelperEntry helper_entry(std::span<const std::byte> answer);

std::vector<std::byte> request(const model::Cell& cell, std::uint32_t number);

// The image that an answer to the request `number` holds: the program's functions in the program's
// order, calls only if the JIT told them, without externals and their calls.
// jit.declined, jit.refused and jit.warned as the answer says; jit.bad-answer for bytes that are
// none.
Result<model::CodeImage> read_answer(std::span<const std::byte> answer, const model::Cell& cell,
                                     std::uint32_t number);

}  // namespace farcall::engine
