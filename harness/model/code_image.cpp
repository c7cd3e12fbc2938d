#include "model/code_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/byte_order.hpp"
#include "ppc64/disassembler.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::model {

bool is_complete(const CodeImage& image, const bpf::Program& program) {
  return image.functions.size() >= callee_count(program);
}

CodeCallee callee(const CodeImage& image, const CodeCall& call, std::uint32_t function) {
  const CodeFunction& called = image.functions[function];
  const std::uint32_t left_out = call.is_tail ? called.tail_entry_words : called.local_entry_words;
  return {.function = function, .target = called.code() + std::uint64_t{left_out} * 4};
}

SharedBytes with_code_pointers(const CodeImage& image, const bpf::MemoryRegion& region,
                               std::endian order) {
  SharedBytes bytes = region.bytes;
  for (const PlacedPointer& pointer : image.code_pointers) {
    if (pointer.region == region.name) {
      store(bytes.own().data() + pointer.offset, pointer.address.value, order);
    }
  }
  return bytes;
}

std::optional<Descriptor> descriptor_at(const CodeImage& image, GuestAddress address) {
  const auto found = std::ranges::find_if(image.functions, [address](const CodeFunction& function) {
    return function.address == address && function.descriptor_words == kDescriptorWords;
  });
  if (found == image.functions.end()) {
    return std::nullopt;
  }
  // ELFv1 is an ABI of big-endian code: the more significant word comes first.
  const auto doubleword = [&found](std::size_t index) {
    return std::uint64_t{found->words[2 * index]} << 32 | found->words[2 * index + 1];
  };
  return Descriptor{.code = {doubleword(0)}, .toc = {doubleword(1)}, .environment = doubleword(2)};
}

std::vector<std::string> listing(const CodeFunction& function) {
  std::vector<std::string> texts(function.words.size());
  const std::span words(function.words);
  std::size_t at = 0;
  for (; at < function.descriptor_words; ++at) {
    texts[at] = fmt::format(".long {:#x}", words[at]);
  }
  while (at < words.size()) {
    texts[at] = ppc64::disassemble(words.subspan(at), function.address + at * 4);
    at += ppc64::instruction_words(words.subspan(at));
  }
  return texts;
}

std::string site_name(const CodeImage& image, bpf::CallSite site) {
  return fmt::format("{}[{}]", image.functions[site.function].name, site.ordinal);
}

}  // namespace farcall::model
