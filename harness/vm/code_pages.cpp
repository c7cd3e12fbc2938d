#include "vm/code_pages.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm {
namespace {

constexpr std::uint64_t kPagesAtFirst = 512;

}  // namespace

void fill_with_traps(std::span<std::byte> words, model::Endian endian) {
  std::array<std::byte, sizeof(wire::kTrapWord)> word = {};
  store(word.data(), wire::kTrapWord, byte_order(endian));
  for (std::size_t at = 0; at < words.size(); at += word.size()) {
    std::memcpy(&words[at], word.data(), word.size());
  }
}

CodePages::CodePages(std::uint64_t area_bytes, model::Endian endian)
    : first_(align_up(area_bytes / 4, wire::kPageBytes)),
      endian_(endian),
      end_(std::min<std::uint64_t>(kPagesAtFirst, area_bytes / 4 / wire::kPageBytes)),
      written_(area_bytes / 4 / wire::kPageBytes, kAnything) {}

void CodePages::begin_anew() {
  next_ = 0;
  end_ = written_.size();
}

std::uint64_t CodePages::take(std::uint64_t count, std::span<std::byte> area) {
  const std::uint64_t offset = first_ + next_ * wire::kPageBytes;
  for (std::uint64_t page = 0; page < count; ++page) {
    const Written written = std::exchange(written_[next_ + page], {});
    fill_with_traps(
        area.subspan(offset + page * wire::kPageBytes + written.begin, written.end - written.begin),
        endian_);
  }
  next_ += count;
  return offset;
}

void CodePages::put(std::uint64_t offset, std::span<const std::byte> code,
                    std::span<std::byte> area) {
  if (code.empty()) {
    return;
  }
  std::memcpy(&area[offset], code.data(), code.size());
  const std::uint64_t begin = offset - first_;
  const std::uint64_t end = begin + code.size();
  for (std::uint64_t at = begin; at < end;
       at = align_down(at, wire::kPageBytes) + wire::kPageBytes) {
    Written& written = written_[at / wire::kPageBytes];
    const std::uint64_t in_page = at % wire::kPageBytes;
    const Written more = {
        static_cast<std::uint32_t>(in_page),
        static_cast<std::uint32_t>(std::min(wire::kPageBytes, in_page + end - at))};
    written = written.end == 0
                  ? more
                  : Written{std::min(written.begin, more.begin), std::max(written.end, more.end)};
  }
}

void CodePages::take_all() {
  next_ = end_;
  std::ranges::fill(written_, kAnything);
}

}  // namespace farcall::vm
