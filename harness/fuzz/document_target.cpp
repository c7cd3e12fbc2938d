#include <nlohmann/json.hpp>

#include "decode/call_sites.hpp"
#include "fuzz/target.hpp"
#include "jit/compile.hpp"
#include "model/json.hpp"

namespace farcall::fuzz {

void run_document(Bytes text) {
  const auto read = model::read_document(text_of(text), "fuzz.json");
  if (!read) {
    require(read.error().where.file == "fuzz.json", "an error that names the document");
    return;
  }
  const model::Document& document = read.value();
  const std::string written = model::json_text(to_json(document, "image"));
  const auto again = model::read_document(written, "again.json");
  require(again.has_value(), "a document that was read to be written as one that can be read");
  require(model::json_text(to_json(again.value(), "image")) == written, "it to say the same");
  if (document.linked) {
    static_cast<void>(jit::compile(*document.linked, document.cell.axes));
  }
  if (document.image) {
    static_cast<void>(decode::call_sites(*document.image, {.endian = document.cell.axes.endian,
                                                           .toc = document.cell.placement.toc}));
    static_cast<void>(make_job(document.cell, *document.image, 1));
  }
}

}  // namespace farcall::fuzz
