#include <fmt/format.h>

#include <algorithm>

#include "base/bits.hpp"
#include "check/findings.hpp"

namespace farcall::check {

const model::CodeCall* call_at_site(const model::CodeImage& image, bpf::CallSite site) {
  const auto found = std::ranges::find(image.calls, site, &model::CodeCall::site);
  return found == image.calls.end() ? nullptr : &*found;
}

const model::DecodedCall* decoded_at(const std::vector<model::DecodedCall>& decoded,
                                     GuestAddress at) {
  const auto found = std::ranges::find(decoded, at, &model::DecodedCall::at);
  return found == decoded.end() ? nullptr : &*found;
}

std::string describe(const model::CodeImage& image, GuestAddress address) {
  return model::describe(model::landmarks(image), address);
}

Findings decoder_findings(const model::CodeImage& image,
                          const std::vector<model::DecodedCall>& decoded, const Callees& callees) {
  Findings findings;
  for (const model::CodeCall& call : image.calls) {
    const std::string site = site_name(image, call.site);
    const auto found = std::ranges::find(decoded, call.site, &model::DecodedCall::site);
    if (found == decoded.end()) {
      findings.push_back({ErrorCode::call_not_decoded, site,
                          fmt::format("expected a branch-and-link at {}; the bytes hold none",
                                      describe(image, call.at))});
    } else if (found->at != call.at) {
      findings.push_back({ErrorCode::call_unexpected_site, site,
                          fmt::format("expected the branch-and-link at {}; the bytes hold it at {}",
                                      describe(image, call.at), describe(image, found->at))});
    } else if (found->target) {
      for (const model::CodeCallee& callee : callees.of_site(call)) {
        if (align_down(found->target->value, 4) == callee.target.value &&
            *found->target != callee.target) {
          findings.push_back(
              {ErrorCode::call_low_bits, site,
               fmt::format("expected the bytes to lead to {}; they make {}: the CPU drops its two "
                           "lowest bits, a reader of the bytes does not",
                           describe(image, callee.target), to_string(*found->target))});
        } else if (*found->target != callee.target) {
          findings.push_back(
              {ErrorCode::call_decoded_elsewhere, site,
               fmt::format("expected the bytes to lead to {}; they lead to {}, {} off",
                           describe(image, callee.target), describe(image, *found->target),
                           to_string(*found->target - callee.target))});
        }
      }
    } else if (call.callee) {
      findings.push_back(
          {ErrorCode::call_unresolved, site,
           fmt::format(
               "expected the bytes to lead to {}; the bytes alone do not say where they lead",
               describe(image, call.callee->target))});
    }
  }
  for (const model::DecodedCall& call : decoded) {
    if (call_at_site(image, call.site) == nullptr) {
      findings.push_back({ErrorCode::call_unexpected_site, site_name(image, call.site),
                          fmt::format("the bytes hold a branch-and-link at {}; expected none",
                                      describe(image, call.at))});
    }
  }
  return findings;
}

}  // namespace farcall::check
