// The native function that calls back.
#include "external/words.hpp"

namespace farcall::external {
namespace {

constexpr std::uint64_t kMostRounds = 1U << 23;

// The frame: the header, the parameter save area of ELFv1, four registers.
constexpr std::int64_t saved_registers(const ppc64::CallingConvention& convention) {
  return convention.header_bytes + convention.parameter_bytes;
}
constexpr std::int64_t frame_bytes(const ppc64::CallingConvention& convention) {
  return saved_registers(convention) + 32;
}
static_assert(frame_bytes(ppc64::kElfv2) % ppc64::kElfv2.stack_alignment == 0 &&
              frame_bytes(ppc64::kElfv1) % ppc64::kElfv1.stack_alignment == 0);

// A call through the function pointer in r30.
Words call_through_r30(const ppc64::CallingConvention& convention) {
  const std::uint32_t branch = encode<Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
  if (convention.descriptor_bytes == 0) {
    return {mr(r12, r30), encode<Op::mtctr>(r12), branch};
  }
  return {encode<Op::std_>(r2, convention.saved_toc, r1),
          encode<Op::ld>(r12, 0, r30),
          encode<Op::ld>(r2, 8, r30),
          encode<Op::mtctr>(r12),
          branch,
          encode<Op::ld>(r2, convention.saved_toc, r1)};
}

// Of loop(), before the call through r30; and of that call, before its branch.
constexpr std::size_t kWordsBeforeCall = 24;
constexpr std::size_t words_before_branch(const ppc64::CallingConvention& convention) {
  return convention.descriptor_bytes == 0 ? 2 : 4;
}

}  // namespace

std::size_t loop_callback(const ppc64::CallingConvention& convention) {
  return kWordsBeforeCall + words_before_branch(convention);
}

Words loop(const Surroundings& surroundings) {
  const ppc64::CallingConvention& convention = surroundings.convention;
  const std::int64_t saved = saved_registers(convention);
  const std::int64_t frame = frame_bytes(convention);
  const Words call = call_through_r30(convention);
  const auto call_words = static_cast<std::int64_t>(call.size());
  Words words = {
      encode<Op::cmpldi>(cr0, r6, 0),
      branch_if(eq, 3),
      li(r3, kInvalid),
      kBlr,
      encode<Op::addis>(r11, kZero, kMostRounds >> 16),
      encode<Op::cmpld>(cr0, r3, r11),
      branch_if_not(gt, 3),
      li(r3, kTooBig),
      kBlr,
      encode<Op::mflr>(r0),
      encode<Op::std_>(r0, convention.saved_lr, r1),
      encode<Op::stdu>(r1, -frame, r1),
      encode<Op::std_>(r28, saved, r1),
      encode<Op::std_>(r29, saved + 8, r1),
      encode<Op::std_>(r30, saved + 16, r1),
      encode<Op::std_>(r31, saved + 24, r1),
      mr(r31, r3),  // count
      mr(r30, r4),  // function
      mr(r29, r5),  // context
      li(r28, 0),   // index
      // round:
      encode<Op::cmpld>(cr0, r28, r31),
      branch_if_not(lt, call_words + 6),  // → done
      mr(r3, r28),
      mr(r4, r29),
  };
  append(words, call);
  append(words, {
                    encode<Op::addi>(r28, r28, 1),
                    encode<Op::cmpdi>(cr0, r3, 0),
                    branch_if(eq, -(call_words + 6)),  // → round
                    // done:
                    mr(r3, r28),
                    encode<Op::ld>(r28, saved, r1),
                    encode<Op::ld>(r29, saved + 8, r1),
                    encode<Op::ld>(r30, saved + 16, r1),
                    encode<Op::ld>(r31, saved + 24, r1),
                    encode<Op::addi>(r1, r1, frame),
                    encode<Op::ld>(r0, convention.saved_lr, r1),
                    encode<Op::mtlr>(r0),
                    kBlr,
                });
  return words;
}

Result<std::uint64_t> loop(bpf::Caller& caller, const bpf::Arguments& arguments) {
  const auto [count, function, context, flags, unused] = arguments;
  if (flags != 0) {
    return static_cast<std::uint64_t>(kInvalid);
  }
  if (count > kMostRounds) {
    return static_cast<std::uint64_t>(kTooBig);
  }
  std::uint64_t index = 0;
  while (index < count) {
    FARCALL_TRY(stop, caller.call_back({function}, std::array{index, context}));
    ++index;
    if (stop != 0) {
      break;
    }
  }
  return index;
}

}  // namespace farcall::external
