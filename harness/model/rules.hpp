// The rules that a document keeps, whoever made it: asked of what is read from a file, of what a
// program hands over, and by the pipeline before anything of a foreign image or linked program is
// relied on.
#pragma once

#include "base/error.hpp"
#include "model/document.hpp"

namespace farcall::model {

// Everything that later stages rely on: indices, sizes, alignment, what is there once and what must
// be there. document.invalid, place.overlap, place.misaligned and place.unmappable of an image, a
// code of bpf::validate(); located in `path`.
Result<void> check_document(const Document& document, const std::string& path);

}  // namespace farcall::model
