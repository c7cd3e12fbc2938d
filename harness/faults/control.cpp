#include "faults/control.hpp"

#include <fmt/format.h>

#include <utility>

#include "faults/fault.hpp"

namespace farcall::faults {

Result<model::Document> spoiled(model::Document document) {
  if (!document.cell.control || document.image) {
    return document;
  }
  const model::Control& control = *document.cell.control;
  const SourceLocation where{.file = document.cell.case_path, .line = control.line};
  const Fault* const fault = fault_named(control.fault);
  if (fault == nullptr) {
    return Error{ErrorCode::case_unknown_name, fmt::format("there is no fault {}", control.fault),
                 where, std::string{}, "farcall faults --list shows what there is"};
  }
  compile(document);
  auto wrong = with_fault(*fault, document);
  if (wrong && !wrong->image) {
    compile(*wrong);
  }
  if (!wrong || !wrong->image) {
    return Error{
        ErrorCode::case_selects_nothing,
        fmt::format("the fault {} changes nothing in {}", control.fault, document.cell.name),
        where};
  }
  return std::move(*wrong);
}

void falsify(const model::Document& document, model::Observations& seen) {
  const Fault* const fault =
      document.cell.control ? fault_named(document.cell.control->fault) : nullptr;
  const auto* const says = fault == nullptr ? nullptr : std::get_if<Missays>(&fault->transform);
  if (says != nullptr) {
    (void)says->change(document, seen);
  }
}

}  // namespace farcall::faults
