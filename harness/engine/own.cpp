#include "engine/guarded.hpp"
#include "engine/jit.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"

namespace farcall::engine {
namespace {

Compiled compile_one(const model::Document& document) {
  std::optional<model::LinkedProgram> linked = document.linked;
  auto image = guarded([&]() -> Result<model::CodeImage> {
    if (!linked) {
      FARCALL_TRY(made, link::link_program(document.cell));
      linked = std::move(made);
    }
    return jit::compile(*linked, document.cell.axes);
  });
  return {.linked = std::move(linked), .image = std::move(image)};
}

class OwnCompiler final : public Compiler {
 public:
  std::size_t batch() const override { return 1; }
  std::vector<Compiled> compile(std::span<const model::Document* const> documents) override {
    std::vector<Compiled> compiled;
    compiled.reserve(documents.size());
    for (const model::Document* const document : documents) {
      compiled.push_back(compile_one(*document));
    }
    return compiled;
  }
};

}  // namespace

const Jit& farcall_jit() {
  static const Jit kJit = {.name = "farcall", .identity = "farcall", .start = [](const Stopped&) {
                             return std::make_unique<OwnCompiler>();
                           }};
  return kJit;
}

}  // namespace farcall::engine
