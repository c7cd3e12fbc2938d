#include "stock/distance.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <vector>

#include "decode/call_sites.hpp"
#include "stock/document.hpp"

namespace farcall::stock {
namespace {

constexpr std::int32_t kKtimeGetNs = 5;

Error untold(std::string why) {
  return {.code = ErrorCode::machine_bad_answer,
          .message = "the kernel does not tell the distance: " + std::move(why)};
}

}  // namespace

kernel::Question distance_question(std::uint32_t crowd_mebibytes) {
  return {.slots = {{.opcode = kCallOpcode, .imm = kKtimeGetNs},
                    {.opcode = 0xb7},   // mov r0, 0
                    {.opcode = 0x95}},  // exit
          .regions = {},
          .crowd_mebibytes = crowd_mebibytes};
}

Result<Distance> distance(const kernel::Answer& answer, const kernel::KernelFile& file) {
  if (answer.outcome != wire::KernelOutcome::done || answer.functions.empty()) {
    return untold("it made no code of a program that calls a helper");
  }
  const auto call = std::ranges::find(answer.program, kCallOpcode, &bpf::Slot::opcode);
  const std::array<std::string, 1> names = {"main"};
  const model::CodeImage image = kernel_image(answer, names, file.facts());
  const std::vector<model::DecodedCall> sites =
      decode::call_sites(image, {.endian = file.facts().endian, .toc = file.facts().toc});
  if (call == answer.program.end() || sites.size() != 1 || !sites[0].target) {
    return untold("the bytes of its call fix no address");
  }
  // Calls enter it after the words that make r2, or without its descriptor.
  const GuestAddress helper = file.pointer_to(*sites[0].target);
  return Distance{
      .function = answer.functions[0].address,
      .call_base = {helper.value - static_cast<std::uint64_t>(std::int64_t{call->imm})}};
}

GuestAddress begin_of_area(GuestAddress function) {
  // As with end_of_area(): 4K pages and hash, else.
  constexpr std::array kBegins = {GuestAddress{0xc000'3d00'0000'0000},
                                  GuestAddress{0xc008'0000'0000'0000}};
  const auto* const next = std::ranges::upper_bound(kBegins, function);
  return next == kBegins.begin() ? GuestAddress{0} : *std::prev(next);
}

GuestAddress end_of_area(GuestAddress function) {
  // Where an area of vmalloc ends, and the next begins: with 4K pages and hash 1 TiB, else 512 TiB.
  constexpr std::array kEnds = {GuestAddress{0xc000'3e00'0000'0000},
                                GuestAddress{0xc00a'0000'0000'0000}};
  const auto* const end = std::ranges::upper_bound(kEnds, function);
  return end == kEnds.end() ? GuestAddress{~std::uint64_t{0}} : *end;
}

}  // namespace farcall::stock
