#include "bpf/origins.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bpf/codec.hpp"

namespace farcall::bpf {

void Origins::add(const SourceLocation& where) {
  places_.push_back(
      {.file = number_of(where.file, false), .line = where.line, .column = where.column});
}

void Origins::add(std::string_view part, std::uint64_t offset, std::size_t slots) {
  const std::uint32_t file = number_of(part, true);
  for (std::size_t i = 0; i < slots; ++i) {
    places_.push_back(
        {.file = file, .offset = static_cast<std::uint32_t>(offset + i * kSlotBytes)});
  }
}

void Origins::append(std::size_t at, const Origins& more) {
  const std::uint32_t unknown = number_of({}, false);
  places_.resize(at, {.file = unknown});
  std::vector<std::uint32_t> numbers;
  for (const File& file : more.files_) {
    numbers.push_back(number_of(file.name, file.is_object));
  }
  for (const Place& place : more.places_) {
    places_.push_back(place);
    places_.back().file = numbers[place.file];
  }
}

SourceLocation Origins::at(std::size_t slot) const {
  if (slot >= places_.size()) {
    return {};
  }
  const Place& place = places_[slot];
  const File& file = files_[place.file];
  if (file.is_object) {
    return {.file = fmt::format("{}+{:#x}", file.name, place.offset)};
  }
  return {.file = file.name, .line = place.line, .column = place.column};
}

Origins Origins::grown(std::span<const std::uint32_t> begins) const {
  Origins all;
  if (places_.empty()) {
    return all;
  }
  all.files_ = files_;
  all.places_.reserve(begins.back());
  for (std::size_t i = 0; i < places_.size(); ++i) {
    all.places_.resize(begins[i + 1], places_[i]);
  }
  return all;
}

// Slots come from the same file as the one before, nearly always.
std::uint32_t Origins::number_of(std::string_view name, bool is_object) {
  const auto is_it = [&](const File& file) {
    return file.is_object == is_object && file.name == name;
  };
  if (!places_.empty() && is_it(files_[places_.back().file])) {
    return places_.back().file;
  }
  const auto found = std::ranges::find_if(files_, is_it);
  const auto number = static_cast<std::uint32_t>(found - files_.begin());
  if (found == files_.end()) {
    files_.push_back({.name = std::string(name), .is_object = is_object});
  }
  return number;
}

}  // namespace farcall::bpf
