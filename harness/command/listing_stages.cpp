#include "command/listing_stages.hpp"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "command/options.hpp"
#include "show/annotations.hpp"
#include "show/layout.hpp"
#include "show/symbol.hpp"

namespace farcall::command {
namespace {

std::vector<show::XlatedFunction> xlated_of(const model::Document& document,
                                            const check::Testimony& prepared,
                                            const ListingOptions& options) {
  if (!prepared.linked_program || !document.cell.program) {
    return {};
  }
  return show::xlated(*prepared.linked_program, *document.cell.program, options.jit, options.names,
                      options.tag_hash);
}

// Calls `use` with all that a jited listing is made of.
template <typename Use>
auto with_jited(const model::Document& document, const check::Testimony& prepared,
                const ListingOptions& options, Use use) {
  const model::CodeImage& image = *prepared.image;
  const std::vector<show::Symbol> symbols = show::symbols(
      image, document.cell.program.get(), document.cell.axes.endian, options.tag_hash);
  const std::vector<show::XlatedFunction> functions = xlated_of(document, prepared, options);
  return use(show::JitedSource{
      .image = image, .symbols = symbols, .decoded = prepared.decoded, .functions = functions});
}

show::Layout layout_of(const model::Document& document, const check::Testimony& prepared) {
  const auto& source = prepared.source;
  return show::layout(
      document.cell.name, document.cell.axes, *prepared.image,
      source && *source ? source->value().run.calls : std::vector<bpf::PseudoCall>{});
}

}  // namespace

void add_listing_options(CLI::App& command, ListingOptions& options) {
  static const std::map<std::string, show::JitMode> kModes = {
      {"jit-on", show::JitMode::on},
      {"jit-off", show::JitMode::off},
      {"restricted", show::JitMode::restricted}};
  static const std::map<std::string, show::CallNames> kNames = {
      {"tag", show::CallNames::tag},
      {"tag-offset", show::CallNames::tag_offset},
      {"kernel", show::CallNames::kernel}};
  add_choice(command, "--reader", options.jit, kModes,
             "xlated: as read from a kernel whose JIT is on, or off, or by someone who may not see "
             "addresses",
             "WHO");
  add_choice(
      command, "--names", options.names, kNames,
      "xlated, jited: calls by the callee's tag (tag), by the program's tag and the callee's "
      "slot (tag-offset), or as bpftool has them today (kernel)",
      "FORM");
  add_tag_hash(command, options.tag_hash);
  command.add_flag("--svg", options.svg, "layout: as SVG");
  command
      .add_flag("--jited-annotations", options.annotations,
                "jited: as a block of __jited() lines for a kernel selftest, in the syntax of "
                "LLVM's disassembler, with addresses and stubs left open")
      ->excludes(command.get_option("--names"))
      ->excludes(command.get_option("--tag-hash"));
}

std::string xlated_text(const model::Document& document, const check::Testimony& prepared,
                        const ListingOptions& options) {
  return show::xlated_text(xlated_of(document, prepared, options), {.colour = options.colour});
}

model::Json xlated_json(const model::Document& document, const check::Testimony& prepared,
                        const ListingOptions& options) {
  return show::xlated_json(xlated_of(document, prepared, options));
}

std::string jited_text(const model::Document& document, const check::Testimony& prepared,
                       const ListingOptions& options) {
  const model::Cell& cell = document.cell;
  if (options.annotations) {
    const std::size_t functions =
        cell.program ? cell.program->functions.size() : prepared.image->functions.size();
    return show::jited_annotations(*prepared.image, functions, cell.memory);
  }
  return with_jited(document, prepared, options, [&](const show::JitedSource& source) {
    return show::jited_text(source, {.colour = options.colour});
  });
}

model::Json jited_json(const model::Document& document, const check::Testimony& prepared,
                       const ListingOptions& options) {
  return with_jited(document, prepared, options,
                    [](const show::JitedSource& source) { return show::jited_json(source); });
}

std::string layout_text(const model::Document& document, const check::Testimony& prepared,
                        const ListingOptions& options) {
  const show::Layout layout = layout_of(document, prepared);
  return options.svg ? show::layout_svg(layout) : show::layout_text(layout);
}

model::Json layout_json(const model::Document& document, const check::Testimony& prepared) {
  return show::layout_json(layout_of(document, prepared));
}

}  // namespace farcall::command
