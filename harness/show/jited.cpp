#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "show/listing.hpp"
#include "show/paint.hpp"
#include "show/resolver.hpp"

namespace farcall::show {
namespace {

// What a branch-and-link leads to, by symbols: the function whose code begins there, or a place
// within one.
std::string target_name(const JitedSource& source, const Resolver& resolver, GuestAddress target) {
  for (std::size_t i = 0; i < source.image.functions.size(); ++i) {
    if (source.image.functions[i].code() == target) {
      return source.symbols[i].name;
    }
  }
  return resolver.describe(target);
}

const model::DecodedCall* call_at(const JitedSource& source, GuestAddress at) {
  const auto found = std::ranges::find(source.decoded, at, &model::DecodedCall::at);
  return found == source.decoded.end() ? nullptr : &*found;
}

// Calls `line(word index, text)` for each instruction of the function, and before it `bpf(text)`
// for each BPF instruction whose code begins there.
template <typename Bpf, typename Line>
void for_each_line(const JitedSource& source, std::size_t number, Bpf bpf, Line line) {
  const model::CodeFunction& function = source.image.functions[number];
  const std::vector<std::string> texts = model::listing(function);
  auto next = function.lines.begin();
  for (std::uint32_t word = 0; word < function.words.size(); ++word) {
    for (; next != function.lines.end() && next->word <= word; ++next) {
      if (number < source.functions.size() &&
          next->instruction < source.functions[number].lines.size()) {
        bpf(source.functions[number].lines[next->instruction]);
      }
    }
    line(word, texts[word]);
  }
}

}  // namespace

std::string jited_text(const JitedSource& source, ListingStyle style) {
  const Resolver resolver({source.symbols.begin(), source.symbols.end()});
  std::string text;
  for (std::size_t i = 0; i < source.image.functions.size(); ++i) {
    const model::CodeFunction& function = source.image.functions[i];
    text += fmt::format("{}{} {}:\n", text.empty() ? "" : "\n", to_string(function.address),
                        paint(source.symbols[i].name, Colour::name, style.colour));
    for_each_line(
        source, i,
        [&](const XlatedLine& line) {
          if (!line.source.empty()) {
            text += fmt::format("{}\n", paint("; " + line.source, Colour::dim, style.colour));
          }
          text += fmt::format("{}\n", paint(fmt::format("; {:>3}: {}", line.slot, line.text),
                                            Colour::dim, style.colour));
        },
        [&](std::uint32_t word, const std::string& instruction) {
          const GuestAddress at = function.address + std::uint64_t{word} * 4;
          text += fmt::format("{:>6x}: {:08x}  {}", word * 4, function.words[word], instruction);
          if (const model::DecodedCall* const call = call_at(source, at)) {
            const std::string name = call->target
                                         ? fmt::format("{} {}", to_string(*call->target),
                                                       target_name(source, resolver, *call->target))
                                         : "no fixed address";
            text +=
                fmt::format("  # {}", paint(fmt::format("→ {}", name), Colour::call, style.colour));
          }
          text += fmt::format("\n");
        });
  }
  return text;
}

model::Json jited_json(const JitedSource& source) {
  const Resolver resolver({source.symbols.begin(), source.symbols.end()});
  const auto hex = [](GuestAddress address) { return fmt::format("{:#x}", address.value); };
  model::Json json = model::Json::array();
  for (std::size_t i = 0; i < source.image.functions.size(); ++i) {
    const model::CodeFunction& function = source.image.functions[i];
    model::Json lines = model::Json::array();
    model::Json bpf = model::Json::array();  // of the next line
    for_each_line(
        source, i,
        [&](const XlatedLine& line) {
          bpf.push_back({{"slot", line.slot}, {"text", line.text}});
          if (!line.source.empty()) {
            bpf.back()["source"] = line.source;
          }
        },
        [&](std::uint32_t word, const std::string& instruction) {
          const GuestAddress at = function.address + std::uint64_t{word} * 4;
          model::Json one = {{"address", hex(at)},
                             {"word", fmt::format("{:#010x}", function.words[word])},
                             {"text", instruction}};
          if (const model::DecodedCall* const call = call_at(source, at)) {
            one["target"] = call->target ? model::Json(hex(*call->target)) : model::Json(nullptr);
            if (call->target) {
              one["symbol"] = target_name(source, resolver, *call->target);
            }
          }
          if (!bpf.empty()) {
            one["bpf"] = std::exchange(bpf, model::Json::array());
          }
          lines.push_back(std::move(one));
        });
    json.push_back({{"symbol", source.symbols[i].name},
                    {"address", hex(function.address)},
                    {"instructions", std::move(lines)}});
  }
  return json;
}

}  // namespace farcall::show
