#include "model/code_image.hpp"

#include <fmt/format.h>

namespace farcall::model {

std::string site_name(const CodeImage& image, bpf::CallSite site) {
  return fmt::format("{}[{}]", image.functions[site.function].name, site.ordinal);
}

}  // namespace farcall::model
