#include "bpf/origins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "bpf/codec.hpp"

namespace farcall::bpf {

void Origins::add(const SourceLocation& where) {
  put({.file = number_of(where.file, false), .line = where.line, .column = where.column}, 1);
}

void Origins::add(std::string_view part, std::uint64_t offset, std::size_t slots) {
  put({.file = number_of(part, true), .offset = offset, .distance = kSlotBytes}, slots);
}

void Origins::append(std::size_t at, const Origins& more) {
  put({.file = number_of({}, false)}, at - size_);
  std::vector<std::uint32_t> numbers;
  for (const File& file : more.files_) {
    numbers.push_back(number_of(file.name, file.is_object));
  }
  for (std::size_t i = 0; i < more.runs_.size(); ++i) {
    Run run = more.runs_[i];
    const bool is_last = i + 1 == more.runs_.size();
    const std::size_t end = is_last ? more.size_ : more.runs_[i + 1].begin;
    const std::size_t slots = end - run.begin;
    run.file = numbers[run.file];
    put(run, slots);
  }
}

SourceLocation Origins::at(std::size_t slot) const {
  if (slot >= size_) {
    return {};
  }
  const Run run = run_at(slot);
  const File& file = files_[run.file];
  if (file.is_object) {
    return {.file = fmt::format("{}+{:#x}", file.name, run.offset)};
  }
  return {.file = file.name, .line = run.line, .column = run.column};
}

Origins Origins::grown(std::span<const std::uint32_t> begins) const {
  Origins all;
  all.files_ = files_;
  for (std::size_t i = 0; i < size_; ++i) {
    Run run = run_at(i);
    run.distance = begins[i + 1] - begins[i] == 1 ? run.distance : 0;
    all.put(run, begins[i + 1] - begins[i]);
  }
  return all;
}

// Slots come from the same file as the one before, nearly always.
std::uint32_t Origins::number_of(std::string_view name, bool is_object) {
  const auto is_it = [&](const File& file) {
    return file.is_object == is_object && file.name == name;
  };
  if (!runs_.empty() && is_it(files_[runs_.back().file])) {
    return runs_.back().file;
  }
  const auto found = std::ranges::find_if(files_, is_it);
  const auto number = static_cast<std::uint32_t>(found - files_.begin());
  if (found == files_.end()) {
    files_.push_back({.name = std::string(name), .is_object = is_object});
  }
  return number;
}

// The next `slots` slots are those of `run`, wherever it begins.
void Origins::put(Run run, std::size_t slots) {
  if (slots == 0) {
    return;
  }
  run.begin = size_;
  const bool goes_on =
      !runs_.empty() && runs_.back().file == run.file && run.distance != 0 &&
      runs_.back().distance == run.distance &&
      runs_.back().offset + run.distance * (size_ - runs_.back().begin) == run.offset;
  if (!goes_on) {
    runs_.push_back(run);
  }
  size_ += slots;
}

// The run that would begin at a slot.
Origins::Run Origins::run_at(std::size_t slot) const {
  Run run = *std::prev(std::ranges::upper_bound(runs_, slot, {}, &Run::begin));
  run.offset += run.distance * (slot - run.begin);
  return run;
}

}  // namespace farcall::bpf
