#include "conformance/plugin/call.hpp"
#include "fuzz/target.hpp"

namespace farcall::fuzz {

// The first byte says how the plugin was called; memory, a NUL and the program follow, as they come
// over its socket.
void run_plugin(Bytes call) {
  if (call.empty()) {
    return;
  }
  const auto how = std::to_integer<unsigned>(call[0]);
  conformance::Options options;
  options.elf = (how & 1) != 0;
  options.target.axes.endian = (how & 2) != 0 ? model::Endian::big : model::Endian::little;
  const std::string_view text = text_of(call.subspan(1));
  const auto nul = text.find('\0');
  if (nul == std::string_view::npos) {
    return;
  }
  const auto cell = conformance::called_cell(options, text.substr(0, nul), text.substr(nul + 1));
  if (!cell) {
    require(!cell.error().message.empty(), "a message");
    return;
  }
  check_program(cell.value());
}

}  // namespace farcall::fuzz
