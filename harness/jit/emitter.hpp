// The words of one function as they are emitted.
#pragma once

#include <cstdint>
#include <vector>

#include "ppc64/encoder.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::jit {

class Emitter {
 public:
  template <ppc64::Op op, typename... Operands>
  void emit(Operands... operands) {
    words_.push_back(ppc64::encode<op>(operands...));
  }

  void emit_prefixed(ppc64::PrefixedWords words) {
    words_.push_back(words.prefix);
    words_.push_back(words.suffix);
  }
  // Data, most significant word first.
  void emit_big_endian(std::uint64_t doubleword) {
    words_.push_back(static_cast<std::uint32_t>(doubleword >> 32));
    words_.push_back(static_cast<std::uint32_t>(doubleword));
  }

  // How many words there are: the position of the next one.
  std::uint32_t position() const { return static_cast<std::uint32_t>(words_.size()); }
  void clear() { words_.clear(); }
  const std::vector<std::uint32_t>& words() const { return words_; }

 private:
  std::vector<std::uint32_t> words_;
};

}  // namespace farcall::jit
