// Native functions that only compute.
#include "external/words.hpp"

namespace farcall::external {

Words weighted_sum(const Surroundings& /*surroundings*/) {
  return {
      encode<Op::mulli>(r4, r4, 2), encode<Op::add>(r3, r3, r4),  encode<Op::mulli>(r5, r5, 3),
      encode<Op::add>(r3, r3, r5),  encode<Op::mulli>(r6, r6, 5), encode<Op::add>(r3, r3, r6),
      encode<Op::mulli>(r7, r7, 7), encode<Op::add>(r3, r3, r7),  kBlr,
  };
}

Result<std::uint64_t> weighted_sum(bpf::Caller& /*caller*/, const bpf::Arguments& arguments) {
  const auto [a, b, c, d, e] = arguments;
  return a + 2 * b + 3 * c + 5 * d + 7 * e;
}

Words mix(const Surroundings& /*surroundings*/) {
  return {
      encode<Op::mulli>(r3, r3, 3),
      encode<Op::mulli>(r4, r4, 5),
      encode<Op::add>(r3, r3, r4),
      encode<Op::mulli>(r5, r5, 7),
      encode<Op::add>(r3, r3, r5),
      encode<Op::mulli>(r6, r6, 11),
      encode<Op::add>(r3, r3, r6),
      encode<Op::add>(r3, r3, r7),
      encode<Op::extsh>(r3, r3),  // a callee extends its result
      kBlr,
  };
}

Result<std::uint64_t> mix(bpf::Caller& /*caller*/, const bpf::Arguments& arguments) {
  const auto [a, b, c, d, e] = arguments;
  return bpf::extended(3 * a + 5 * b + 7 * c + 11 * d + e, {.bits = 16, .is_signed = true});
}

Words narrow_sum(const Surroundings& /*surroundings*/) {
  return {
      encode<Op::mulli>(r4, r4, 3),  encode<Op::add>(r3, r3, r4),  encode<Op::mulli>(r5, r5, 5),
      encode<Op::add>(r3, r3, r5),   encode<Op::mulli>(r6, r6, 7), encode<Op::add>(r3, r3, r6),
      encode<Op::mulli>(r7, r7, 11), encode<Op::add>(r3, r3, r7),  kBlr,
  };
}

Result<std::uint64_t> narrow_sum(bpf::Caller& /*caller*/, const bpf::Arguments& arguments) {
  const auto [a, b, c, d, e] = arguments;
  return a + 3 * b + 5 * c + 7 * d + 11 * e;
}

Words clobber(const Surroundings& /*surroundings*/) {
  constexpr unsigned kVolatileCr = 0xc7;  // CR0, CR1, CR5, CR6, CR7
  constexpr unsigned kVolatileFpr = 14;
  constexpr unsigned kVolatileVr = 20;
  Words words = {li(r0, -0x5a5b)};
  for (unsigned number = 4; number <= 12; ++number) {
    words.push_back(li(static_cast<ppc64::Gpr>(number), -0x5a5b - std::int64_t{number}));
  }
  append(words, {encode<Op::mtctr>(r0), encode<Op::mtxer>(r0), encode<Op::mtcrf>(kVolatileCr, r0)});
  for (unsigned number = 0; number < kVolatileFpr; ++number) {
    words.push_back(encode<Op::mtfprd>(number, r0));
  }
  for (unsigned number = 0; number < kVolatileVr; ++number) {
    words.push_back(encode<Op::vspltisw>(number, -11));
  }
  words.push_back(kBlr);
  return words;
}

Result<std::uint64_t> clobber(bpf::Caller& /*caller*/, const bpf::Arguments& arguments) {
  return arguments[0];
}

}  // namespace farcall::external
