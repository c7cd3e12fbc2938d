// Where the slots of a program came from, for messages.
//
// A program has many slots, and they come from few files. Those of an object lie one after the other in
// it, a hundred thousand at times: they are told of as one run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace farcall::bpf {

class Origins {
 public:
  // How many slots have a place, if only that nobody knows it.
  std::size_t size() const { return size_; }

  // The next slot is from a text.
  void add(const SourceLocation& where);
  // The next `slots` slots lie one after the other in a part of an object, from so many bytes on:
  // `sample.o:prog` and 16 are told as `sample.o:prog+0x10`.
  void add(std::string_view part, std::uint64_t offset, std::size_t slots);
  // The next slots are those of `more`, the first of them at slot `at`. Of those between nobody
  // knows where they are from.
  void append(std::size_t at, const Origins& more);

  // Where the slot came from; without a file if nobody knows.
  SourceLocation at(std::size_t slot) const;

  // Those of a program that has grown: what is from slot i here are its slots begins[i] up to
  // begins[i + 1]. There is one number more than slots.
  Origins grown(std::span<const std::uint32_t> begins) const;

 private:
  // Slots from `begin` up to the next run.
  struct Run {
    std::size_t begin = 0;
    std::uint32_t file = 0;  // a number in `files_`
    unsigned line = 0;       // of a text
    unsigned column = 0;
    std::uint64_t offset = 0;    // of an object
    std::uint32_t distance = 0;  // from one slot's offset to that of the next
  };
  struct File {
    std::string name;
    bool is_object = false;
  };

  std::uint32_t number_of(std::string_view name, bool is_object);
  void put(Run run, std::size_t slots);
  Run run_at(std::size_t slot) const;

  std::vector<File> files_;
  std::vector<Run> runs_;
  std::size_t size_ = 0;
};

}  // namespace farcall::bpf
