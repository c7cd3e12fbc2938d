#include "scheme/policy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "bpf/assembler.hpp"
#include "link/link.hpp"
#include "model/schemes.hpp"

namespace farcall::scheme {
namespace {

constexpr std::int64_t kGibibyte = std::int64_t{1} << 30;
constexpr std::int64_t kTebibyte = std::int64_t{1} << 40;
constexpr std::int64_t kPebibyte = std::int64_t{1} << 50;
constexpr std::int64_t kExbibyte = std::int64_t{1} << 60;

constexpr std::int64_t hundredths_of_gibibytes(std::int64_t hundredths) {
  return kGibibyte / 100 * hundredths;
}

// Whether a JITed function is always within 2 GiB of the call base.
enum class Guarantee : std::uint8_t { yes, no, not_known };

struct AddressMap {
  std::string_view architecture;
  std::string_view kernel;               // which one, and how it was set up
  std::optional<std::int64_t> distance;  // in bytes, from the call base to a JITed function
  Guarantee guarantee{};                 // by the architecture's address map
};

constexpr std::array kMaps = {
    AddressMap{"ppc64", "6.1, 6.12, 7.2; radix", 2 * kPebibyte, Guarantee::no},
    AddressMap{"ppc64", "6.12; hash, 4K pages", 61 * kTebibyte, Guarantee::no},
    AddressMap{"ppc64", "of 2018; hash", kExbibyte, Guarantee::no},
    AddressMap{"arm64", "6.1; KASLR", -62490 * kGibibyte, Guarantee::no},
    AddressMap{"arm64", "6.12; KASLR", -45331 * kGibibyte, Guarantee::no},
    AddressMap{"arm64", "6.1; nokaslr", hundredths_of_gibibytes(3), Guarantee::no},
    AddressMap{"amd64", "6.1", hundredths_of_gibibytes(8), Guarantee::yes},
    AddressMap{"riscv64", "6.12", hundredths_of_gibibytes(-13), Guarantee::yes},
    AddressMap{"mips64el", "6.1", hundredths_of_gibibytes(97), Guarantee::not_known},
    AddressMap{"s390x", "6.12", std::nullopt, Guarantee::no},
    AddressMap{"loongarch64", "by its sources", std::nullopt, Guarantee::no},
    AddressMap{"sparc64", "by its sources", std::nullopt, Guarantee::no},
};

constexpr std::string_view kOthers = "others";
constexpr std::string_view kAll = "all";

// The linker's word on a call at that distance. Addresses need be no more than multiples of 4.
std::optional<Error> refusal(model::CallScheme scheme, std::int64_t distance) {
  static const auto kProgram = std::make_shared<const bpf::Program>(
      bpf::assemble("call local callee\nexit\ncallee:\nexit\n", {"policy", 1, 1}).value());
  constexpr GuestAddress kBase = {0xc000'0000'0010'0000};
  const GuestAddress callee = {(kBase + static_cast<Displacement>(distance)).value & ~3ULL};
  model::Cell cell{.program = kProgram,
                   .placement = {.functions = {callee + 0x1000, callee}, .call_base = kBase}};
  cell.axes.call = scheme;
  const auto linked = link::link_program(cell);
  return linked ? std::nullopt : std::optional(linked.error());
}

std::string_view text_of(Guarantee guarantee) {
  constexpr std::array<std::string_view, 3> kTexts = {"yes", "no", "if SYM32"};
  return kTexts[static_cast<std::size_t>(guarantee)];
}

// What becomes of a call there.
enum class Verdict : std::uint8_t { holds, lucky, not_guaranteed, breaks };

Verdict verdict(const AddressMap& map, model::CallScheme scheme) {
  if (map.distance && refusal(scheme, *map.distance)) {
    return Verdict::breaks;
  }
  const bool holds_anywhere = !refusal(scheme, kExbibyte);
  if (holds_anywhere || map.guarantee == Guarantee::yes) {
    return Verdict::holds;
  }
  return map.distance ? Verdict::lucky : Verdict::not_guaranteed;
}

std::string verdict_text(const AddressMap& map, std::optional<model::CallScheme> scheme) {
  constexpr std::array kTexts = {"holds", "holds by luck", "not guaranteed", "breaks"};
  if (!scheme) {
    return "no scheme given";
  }
  return fmt::format("{}: {}",
                     model::value_names(model::Axis::call)[static_cast<std::size_t>(*scheme)],
                     kTexts[static_cast<std::size_t>(verdict(map, *scheme))]);
}

std::string known_names() {
  std::vector<std::string_view> architectures;
  for (const AddressMap& map : kMaps) {
    if (architectures.empty() || architectures.back() != map.architecture) {
      architectures.push_back(map.architecture);
    }
  }
  return fmt::format("ARCHITECTURE=SCHEME,…; architectures: {}, {}, {}; schemes: {}",
                     fmt::join(architectures, ", "), kOthers, kAll,
                     fmt::join(model::value_names(model::Axis::call), ", "));
}

bool is_architecture(std::string_view name) {
  return name == kOthers || name == kAll ||
         std::ranges::find(kMaps, name, &AddressMap::architecture) != kMaps.end();
}

}  // namespace

std::optional<model::CallScheme> Policy::scheme_of(std::string_view architecture) const {
  for (const std::string_view name : {architecture, kOthers, kAll}) {
    const auto rule = std::ranges::find(rules, name, [](const auto& one) { return one.first; });
    if (rule != rules.end()) {
      return rule->second;
    }
  }
  return std::nullopt;
}

Result<Policy> read_policy(std::string_view text) {
  Policy policy{.text = std::string(text)};
  const auto bad = [](std::string what) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("--policy: {}; expected {}", what, known_names())};
  };
  for (std::string_view rest = text;;) {
    const std::string_view rule = rest.substr(0, rest.find(','));
    const std::size_t equals = rule.find('=');
    if (equals == std::string_view::npos) {
      return bad(fmt::format("'{}' is not a rule", rule));
    }
    const std::string_view architecture = rule.substr(0, equals);
    const std::string_view scheme = rule.substr(equals + 1);
    const auto schemes = model::value_names(model::Axis::call);
    const auto found = std::ranges::find(schemes, scheme);
    if (!is_architecture(architecture)) {
      return bad(fmt::format("unknown architecture '{}'", architecture));
    }
    if (found == schemes.end()) {
      return bad(fmt::format("unknown scheme '{}'", scheme));
    }
    if (std::ranges::find(policy.rules, architecture, [](const auto& one) {
          return std::string_view(one.first);
        }) != policy.rules.end()) {
      return bad(fmt::format("'{}' has two schemes", architecture));
    }
    policy.rules.emplace_back(architecture,
                              static_cast<model::CallScheme>(found - schemes.begin()));
    if (rule.size() == rest.size()) {
      break;
    }
    rest.remove_prefix(rule.size() + 1);
  }
  const auto names_all = [](const auto& one) { return one.first == kAll; };
  if (policy.rules.size() > 1 && std::ranges::any_of(policy.rules, names_all)) {
    return bad(fmt::format("'{}' leaves nothing to the other rules", kAll));
  }
  return policy;
}

std::string policy_text(std::span<const Policy> policies) {
  std::string text;
  std::vector<std::size_t> widths;
  text += fmt::format("{:<11} {:<24} {:>12}  {:<14}", "", "kernel", "distance", "within 2 GiB");
  for (const Policy& policy : policies) {
    widths.push_back(std::max<std::size_t>(policy.text.size(), 20) + 2);
    text += fmt::format("{:<{}}", policy.text, widths.back());
  }
  const auto end_line = [&text] {
    text.resize(text.find_last_not_of(' ') + 1);
    text += '\n';
  };
  end_line();
  for (const AddressMap& map : kMaps) {
    text += fmt::format(
        "{:<11} {:<24} {:>12}  {:<14}", map.architecture, map.kernel,
        map.distance ? to_string(static_cast<Displacement>(*map.distance)) : "not measured",
        text_of(map.guarantee));
    for (std::size_t i = 0; i < policies.size(); ++i) {
      text += fmt::format("{:<{}}", verdict_text(map, policies[i].scheme_of(map.architecture)),
                          widths[i]);
    }
    end_line();
  }
  text += fmt::format("\n");
  for (const Policy& policy : policies) {
    std::size_t broken = 0;
    std::size_t not_guaranteed = 0;
    std::size_t schemes = 0;
    std::array<bool, model::kSchemes.size()> used = {};
    for (const AddressMap& map : kMaps) {
      const auto scheme = policy.scheme_of(map.architecture);
      broken += scheme && verdict(map, *scheme) == Verdict::breaks ? 1U : 0U;
      not_guaranteed += scheme && verdict(map, *scheme) == Verdict::not_guaranteed ? 1U : 0U;
      if (scheme && !std::exchange(used[static_cast<std::size_t>(*scheme)], true)) {
        ++schemes;
      }
    }
    text += fmt::format(
        "{}: breaks on {} of {} address maps{}; {}\n", policy.text, broken, kMaps.size(),
        not_guaranteed == 0 ? "" : fmt::format(", not guaranteed on {}", not_guaranteed),
        schemes < 2 ? "a dump means the same everywhere"
                    : "a tool must know the architecture to read a dump");
  }
  text += fmt::format(
      "\nDistances from __bpf_call_base were measured on stock Debian kernels as guests; "
      "each was given to the\nlinker here, nothing of another architecture is run. "
      "\"By luck\": it fits as measured, and nothing guarantees it.\n"
      "\"Not measured\": what the kernel's sources guarantee stands for it.\n");
  return text;
}

}  // namespace farcall::scheme
