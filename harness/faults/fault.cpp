#include "faults/fault.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>

#include "bpf/validator.hpp"
#include "faults/rewrite.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"

namespace farcall::faults {
namespace {

// The code that our JIT makes of `linked`; nothing if it refuses, or finds itself at odds.
std::optional<model::CodeImage> compiled(const model::LinkedProgram& linked,
                                         const model::AxisValues& axes) {
  try {
    auto image = jit::compile(linked, axes);
    return image ? std::optional(std::move(image).value()) : std::nullopt;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

bool has_same_code(const model::CodeImage& one, const model::CodeImage& other) {
  return one.functions == other.functions && one.calls == other.calls && one.entry == other.entry;
}

// Whether it changes the program that our linker made, which other JITs are not given.
bool is_before_jit(const Fault& fault) {
  return std::holds_alternative<Mislinks>(fault.transform) ||
         std::holds_alternative<Misreads>(fault.transform);
}

// What no program shows that a JIT is given.
struct NotShown {
  std::string_view fault;
  std::string_view jit;  // what its name begins with
  std::string_view why;
};
constexpr std::string_view kVerifier = "Linux's verifier lets no divisor of 0 come to the JIT";
constexpr std::array kNotShown = {
    NotShown{"division-by-zero", "kernel:", kVerifier},
    NotShown{"both-division-by-zero", "kernel:", kVerifier},
};

// Witnesses do not need the linked program where nothing is wrong with it.
std::optional<model::Document> with_image(const model::Document& right,
                                          std::optional<model::CodeImage> image) {
  if (!image || has_same_code(*image, *right.image)) {
    return std::nullopt;
  }
  return model::Document{.cell = right.cell, .linked = {}, .image = std::move(image)};
}

}  // namespace

namespace {

// Whoever reads RFC 9669 wrongly may do so twice.
std::vector<Fault> both_faults() {
  std::vector<Fault> both;
  for (Fault& fault : instruction_faults()) {
    if (auto* const translation = std::get_if<Mistranslates>(&fault.transform)) {
      both.push_back({.name = "both-" + fault.name,
                      .part = Part::both,
                      .what = fault.what,
                      .source = fault.source,
                      .transform = Misunderstands{std::move(translation->instead)}});
    }
  }
  return both;
}

}  // namespace

std::string_view not_applicable(const Fault& fault, std::string_view jit) {
  if (jit == "farcall") {
    return {};
  }
  if (is_before_jit(fault)) {
    return "in how farcall's linker hands calls and addresses to farcall's JIT";
  }
  if (std::holds_alternative<Accepts>(fault.transform)) {
    return "in the range checks of farcall's own reaches";
  }
  const auto* const found = std::ranges::find_if(kNotShown, [&](const NotShown& one) {
    return one.fault == fault.name && jit.starts_with(one.jit);
  });
  return found == kNotShown.end() ? std::string_view() : found->why;
}

std::string_view name(Part part) {
  constexpr std::array<std::string_view, 5> kNames = {"linker", "jit", "both", "guest", "dump"};
  return kNames[static_cast<std::size_t>(part)];
}

const std::vector<Fault>& all_faults() {
  static const std::vector<Fault> kAll = [] {
    std::vector<Fault> all;
    for (const auto part : {link_faults, instruction_faults, call_faults, frame_faults, both_faults,
                            guest_faults, answer_faults, dump_faults}) {
      std::vector<Fault> some = part();
      std::ranges::move(some, std::back_inserter(all));
    }
    return all;
  }();
  return kAll;
}

const Fault* fault_named(std::string_view name) {
  const auto found = std::ranges::find(all_faults(), name, &Fault::name);
  return found == all_faults().end() ? nullptr : &*found;
}

void compile(model::Document& document) {
  auto linked = link::link_program(document.cell);
  if (!linked) {
    return;
  }
  auto image = jit::compile(linked.value(), document.cell.axes);
  if (image) {
    document.linked = std::move(linked).value();
    document.image = std::move(image).value();
  }
}

std::optional<model::CodeImage> our_code(const model::Cell& cell) {
  const auto linked = link::link_program(cell);
  return linked ? compiled(linked.value(), cell.axes) : std::nullopt;
}

std::optional<model::Document> with_fault(const Fault& fault, const model::Document& right,
                                          const CodeOf& code_of) {
  if (std::holds_alternative<Misanswers>(fault.transform)) {
    return std::nullopt;
  }
  if (const auto* const accepts = std::get_if<Accepts>(&fault.transform)) {
    return right.image || !right.cell.expected.failure ? std::nullopt : accepts->make(right.cell);
  }
  if (!right.image || right.cell.expected.failure) {
    return std::nullopt;
  }
  if (const auto* const translation = std::get_if<Mistranslates>(&fault.transform)) {
    return with_image(right, compiled_otherwise(right, translation->instead, code_of));
  }
  if (const auto* const reading = std::get_if<Misunderstands>(&fault.transform)) {
    auto program = rewritten_program(*right.cell.program, reading->instead);
    if (!program || !bpf::validate(*program)) {
      return std::nullopt;
    }
    model::Document wrong{.cell = right.cell, .linked = {}, .image = {}};
    wrong.cell.program = std::make_shared<const bpf::Program>(std::move(*program));
    return wrong;
  }
  if (!right.linked && is_before_jit(fault)) {
    return std::nullopt;
  }
  if (const auto* const link = std::get_if<Mislinks>(&fault.transform)) {
    model::Document wrong = right;
    if (!link->change(right, *wrong.linked) || *wrong.linked == *right.linked) {
      return std::nullopt;
    }
    wrong.image = compiled(*wrong.linked, right.cell.axes);
    return wrong.image ? std::optional(std::move(wrong)) : std::nullopt;
  }
  if (const auto* const reading = std::get_if<Misreads>(&fault.transform)) {
    model::LinkedProgram linked = *right.linked;
    return reading->change(right, linked) ? with_image(right, compiled(linked, right.cell.axes))
                                          : std::nullopt;
  }
  if (const auto* const emission = std::get_if<Misemits>(&fault.transform)) {
    model::CodeImage image = *right.image;
    return emission->change(right, image) ? with_image(right, std::move(image)) : std::nullopt;
  }
  return model::Document{.cell = right.cell, .linked = {}, .image = right.image};
}

}  // namespace farcall::faults
