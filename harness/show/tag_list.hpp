// Tags that a kernel gave, as tools print them, held against our own.
//
// Two forms are read: lines as in /proc/kallsyms, of which those named `bpf_prog_<tag>_<name>`
// count, and what `bpftool --json prog show` prints, whose objects have `tag` and `name`. The
// latter names whole programs only; functions are in kallsyms, when net.core.bpf_jit_kallsyms is 1.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "bpf/program.hpp"
#include "show/tag.hpp"

namespace farcall::show {

struct NamedTag {
  Tag tag;
  std::string name;

  friend bool operator==(const NamedTag&, const NamedTag&) = default;
};

struct TagList {
  std::vector<NamedTag> tags;
  bool has_functions = false;  // not only whole programs
};

// file.unreadable with the place, where `text` is neither of the forms; file.empty without a tag.
Result<TagList> read_tags(std::string_view text, const std::string& path);

// A function's tag here, and those of functions of its name there.
struct TagComparison {
  std::string function;
  Tag ours;
  std::vector<Tag> theirs;
  bool found = false;  // ours is there, under whatever name
};

// Each function of which the list could know.
std::vector<TagComparison> compare(const bpf::Program& program, const ProgramTags& ours,
                                   const TagList& theirs);

}  // namespace farcall::show
