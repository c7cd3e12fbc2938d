#include "coverage/code.hpp"

#include <atomic>
#include <memory>
#include <utility>

namespace farcall::coverage {
namespace {

std::atomic<std::uint64_t> code_count = 0;

}  // namespace

Code::Code(engine::Jit jit, engine::Stopped stopped)
    : jit_(std::move(jit)), stopped_(std::move(stopped)), number_(++code_count) {}

std::vector<engine::Compiled> Code::compile(
    std::span<const model::Document* const> documents) const {
  // A process dies with the thread that asked it first, and so must what talks to it.
  static thread_local std::uint64_t number = 0;
  static thread_local std::unique_ptr<engine::Compiler> compiler;
  if (number != number_) {
    compiler = jit_.start(stopped_);
    number = number_;
  }
  return compiler->compile(documents);
}

std::optional<model::CodeImage> Code::of(const model::Cell& cell) const {
  const model::Document document{.cell = cell, .linked = {}, .image = {}};
  const model::Document* const one = &document;
  engine::Compiled compiled = std::move(compile(std::span(&one, 1)).front());
  return compiled.image ? std::optional(std::move(compiled.image).value()) : std::nullopt;
}

}  // namespace farcall::coverage
