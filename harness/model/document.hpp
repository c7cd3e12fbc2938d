// Document: a cell and how far it has come; the unit that is run, written as JSON and read back.
#pragma once

#include <optional>

#include "model/cell.hpp"
#include "model/code_image.hpp"
#include "model/linked_program.hpp"

namespace farcall::model {

// What is absent is made by the stages that follow.
struct Document {
  Cell cell;
  std::optional<LinkedProgram> linked;
  std::optional<CodeImage> image;
};

}  // namespace farcall::model
