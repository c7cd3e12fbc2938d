// What farcall wrote and somebody else hands back: bundles, and reports to be merged.
#include <nlohmann/json.hpp>

#include "fuzz/target.hpp"
#include "model/json.hpp"
#include "report/bundle.hpp"
#include "report/merge.hpp"

namespace farcall::fuzz {

void run_bundle(Bytes text) {
  const auto read = report::read_bundle(text_of(text), "fuzz.json");
  if (read) {
    require(!read.value().cells.empty(), "cells or an error");
    for (const report::Bundled& one : read.value().cells) {
      const std::string written = model::json_text(to_json(one.document, "image"));
      require(model::read_document(written, "again.json").has_value(),
              "a document that was read to be written as one that can be read");
    }
  } else {
    require(read.error().where.file == "fuzz.json", "an error that names the bundle");
    require(!read.error().message.empty(), "a message");
  }
  const std::string whole(text_of(text));
  const auto merged = report::merge({{"a.json", whole}, {"b.json", whole}});
  if (merged) {
    require(!merged.value().trouble.empty() || merged.value().totals.cells() == 0,
            "what is there twice to be told");
  }
}

}  // namespace farcall::fuzz
