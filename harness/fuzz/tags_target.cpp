#include "fuzz/target.hpp"
#include "show/tag_list.hpp"

namespace farcall::fuzz {

void run_tags(Bytes text) {
  const auto read = show::read_tags(text_of(text), "fuzz.txt");
  if (!read) {
    require(read.error().where.file == "fuzz.txt", "an error that names the list");
    return;
  }
  require(!read.value().tags.empty(), "tags or an error");
  for (const show::NamedTag& one : read.value().tags) {
    require(show::tag_from(to_string(one.tag)) == one.tag, "a tag that reads as it is written");
  }
}

}  // namespace farcall::fuzz
