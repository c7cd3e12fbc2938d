// Pages for the code of jobs in the middle of a batch area.
//
// QEMU takes no note of what the host writes, so a page that has been executed may get other code only
// after the guest had QEMU forget all translations (wire::BatchHeader::forget_code). That costs as much
// as thirty jobs. Hence each job takes pages that nobody has had since then. Fresh memory costs, too, so
// there are few pages at first, and thousands for whoever has many jobs.
//
// All that is not code of the job holds trap words: a job that runs off its code is seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/axes.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm {

// Fills whole words with trap words, as a guest of that byte order reads them.
void fill_with_traps(std::span<std::byte> words, model::Endian endian);

class CodePages {
 public:
  // Of an area of so many bytes: those of its second quarter.
  CodePages(std::uint64_t area_bytes, model::Endian endian);

  // Whether so many pages are left.
  bool have(std::uint64_t count) const { return next_ + count <= end_; }

  // All pages are to be had again: the guest will have forgotten them.
  void begin_anew();

  // The next pages, with trap words only: the offset of the first one in the area. There are as many.
  std::uint64_t take(std::uint64_t count, std::span<std::byte> area);

  // Code on pages that were taken.
  void put(std::uint64_t offset, std::span<const std::byte> code, std::span<std::byte> area);

  // Takes all pages: a job that is larger than others has anything anywhere in the area, code included.
  void take_all();

 private:
  // The part of a page that may hold other than trap words, as offsets in it. Empty: none.
  struct Written {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
  };
  static constexpr Written kAnything = {0, static_cast<std::uint32_t>(wire::kPageBytes)};

  std::uint64_t first_;  // offset in the area
  model::Endian endian_;
  std::size_t next_ = 0;
  std::size_t end_;
  std::vector<Written> written_;
};

}  // namespace farcall::vm
