// The stages of `farcall dump` that show a cell as tools would: listings and the address space.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "check/check.hpp"
#include "model/document.hpp"
#include "model/json.hpp"
#include "show/listing.hpp"

namespace farcall::command {

struct ListingOptions {
  show::JitMode jit = show::JitMode::on;
  show::CallNames names = show::CallNames::tag;
  show::TagHash tag_hash = show::TagHash::sha1;
  bool colour = false;
  bool svg = false;          // the layout as SVG instead of text
  bool annotations = false;  // the code as annotations of a kernel selftest instead of a listing
};

// --reader, --names, --tag-hash, --svg and --jited-annotations.
void add_listing_options(CLI::App& command, ListingOptions& options);

// xlated needs a linked program, the others an image.
std::string xlated_text(const model::Document& document, const check::Testimony& prepared,
                        const ListingOptions& options);
model::Json xlated_json(const model::Document& document, const check::Testimony& prepared,
                        const ListingOptions& options);
std::string jited_text(const model::Document& document, const check::Testimony& prepared,
                       const ListingOptions& options);
model::Json jited_json(const model::Document& document, const check::Testimony& prepared,
                       const ListingOptions& options);
std::string layout_text(const model::Document& document, const check::Testimony& prepared,
                        const ListingOptions& options);
model::Json layout_json(const model::Document& document, const check::Testimony& prepared);

}  // namespace farcall::command
