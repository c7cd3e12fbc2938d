// check/, report/ and model/job.hpp: what was seen of a cell, the verdict on it, and its evidence.
#include <fmt/format.h>
#include <pybind11/operators.h>

#include <cstdint>
#include <memory>

#include "module/bind.hpp"
#include "report/evidence.hpp"
#include "report/report.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"

namespace farcall::python {
namespace {

// What a guest saw, and the seed of what it was given that nobody has written.
struct Observed {
  model::Observations observations;
  std::uint64_t seed = 0;
};

// The evidence as `farcall run` prints it.
std::string text_of(const run::FinishedCell& ran, std::string replay) {
  return report::evidence(cell_report(ran, std::move(replay)));
}

model::Verdict check_document(const model::Document& document,
                              const std::shared_ptr<Observed>& observed) {
  const py::gil_scoped_release unlocked;
  check::Testimony prepared = run::prepare(document, observed ? observed->seed : 0);
  if (observed) {
    prepared.observations = observed->observations;
  }
  return check::check(document.cell, prepared);
}

std::shared_ptr<model::CodeImage> image_of(const run::FinishedCell& ran) {
  return ran.testimony.image ? std::make_shared<model::CodeImage>(*ran.testimony.image) : nullptr;
}

std::shared_ptr<Observed> observations_of(const run::FinishedCell& ran) {
  return ran.testimony.observations
             ? std::make_shared<Observed>(Observed{*ran.testimony.observations, ran.seed})
             : nullptr;
}

std::string repr_of(const model::Verdict& verdict) {
  if (verdict.findings.empty()) {
    return std::string(name(verdict.outcome));
  }
  const model::Finding& first = verdict.findings.front();
  return fmt::format("{}: {}{}{}", name(verdict.outcome), name(first.code),
                     first.site.empty() ? "" : " at ", first.site);
}

py::list steps(const std::vector<model::TakenBranch>& branches) {
  py::list list;
  for (const model::TakenBranch& branch : branches) {
    list.append(py::make_tuple(branch.from.value, branch.to.value));
  }
  return list;
}

}  // namespace

void bind_verdict(py::module_& module) {
  py::class_<model::Finding>(module, "Finding", "One thing that is not as it should be.")
      .def_property_readonly(
          "code", [](const model::Finding& self) { return name(self.code); },
          "Stable, such as 'call.decoded-elsewhere'; all are in ERROR_CODES.")
      .def_readonly("site", &model::Finding::site, "The call site, or ''.")
      .def_readonly("text", &model::Finding::text, "For people; may change at any time.")
      .def_property_readonly(
          "file", [](const model::Finding& self) { return self.where.file; },
          "The input file that it is about, or ''.")
      .def_property_readonly(
          "line", [](const model::Finding& self) { return self.where.line; },
          "Counted from 1; 0 if unknown.")
      .def_readonly("hint", &model::Finding::hint, "What to do about it, or ''.")
      .def("__repr__", [](const model::Finding& self) {
        return fmt::format("<Finding {}{}{}>", name(self.code), self.site.empty() ? "" : " at ",
                           self.site);
      });

  py::class_<model::SiteStory>(module, "SiteStory", "What each witness says of one call site.")
      .def_readonly("site", &model::SiteStory::name)
      .def_readonly("callee", &model::SiteStory::callee)
      .def_readonly("at", &model::SiteStory::at, "The branch-and-link, as the decoder found it.")
      .def_readonly("expected", &model::SiteStory::expected, "Where the callee was placed.")
      .def_readonly("decoded", &model::SiteStory::decoded, "Where the emitted bytes go.")
      .def_readonly("reached", &model::SiteStory::reached,
                    "The distinct addresses that the CPU reached from here.")
      .def_readonly("interpreted", &model::SiteStory::interpreted,
                    "How often the interpreter called; None without a program.")
      .def_readonly("executed", &model::SiteStory::executed,
                    "How often the CPU called; None if it was never run.")
      .def_property_readonly("agrees", &report::agrees,
                             "Whether everyone who can speak of the site says the same.")
      .def("__repr__", [](const model::SiteStory& self) {
        return fmt::format("<SiteStory {} -> {} at {:#x}>", self.name, self.callee,
                           self.expected.value);
      });

  py::class_<model::Verdict, std::shared_ptr<model::Verdict>>(
      module, "Verdict", "Whether all witnesses agree. Iterating gives the findings.")
      .def_property_readonly(
          "outcome", [](const model::Verdict& self) { return name(self.outcome); },
          "'pass', 'fail', 'skip' or 'error'.")
      .def_property_readonly(
          "passed", [](const model::Verdict& self) { return self.outcome == model::Outcome::pass; })
      .def_readonly("findings", &model::Verdict::findings, "Most telling first.")
      .def_readonly("sites", &model::Verdict::sites, "In program order.")
      .def_readonly("result", &model::Verdict::result, "r0 as the guest returned it, or None.")
      .def(
          "to_json", [](const model::Verdict& self) { return to_python(model::to_json(self)); },
          "As in farcall's reports.")
      .def(
          "__iter__",
          [](const model::Verdict& self) {
            return py::make_iterator(self.findings.begin(), self.findings.end());
          },
          py::keep_alive<0, 1>())
      .def("__eq__", &equal_json<model::Verdict>)
      .def("__repr__",
           [](const model::Verdict& self) { return fmt::format("<Verdict {}>", repr_of(self)); });

  py::class_<Observed, std::shared_ptr<Observed>>(module, "Observations",
                                                  "What a guest saw of a run.")
      .def_property_readonly(
          "registers", [](const Observed& self) { return self.observations.registers.gpr; },
          "r0 ... r31 at the end.")
      .def_property_readonly(
          "calls",
          [](const Observed& self) {
            std::vector<model::TakenBranch> calls;
            for (const model::TakenBranch& branch : self.observations.trace) {
              if (branch.is_call()) {
                calls.push_back(branch);
              }
            }
            return steps(calls);
          },
          "(from, to) of every call that the CPU made, from the hardware's branch trace.")
      .def_property_readonly(
          "trace", [](const Observed& self) { return steps(self.observations.trace); },
          "(from, to) of every call and return.")
      .def(
          "to_json",
          [](const Observed& self) { return to_python(model::to_json(self.observations)); },
          "As in farcall's reports: fault, memory, stray writes and all registers too.")
      .def("__eq__", [](const Observed& self,
                        const Observed& other) { return self.observations == other.observations; })
      .def("__repr__", [](const Observed& self) {
        return fmt::format("<Observations: {} branches taken{}>", self.observations.taken_branches,
                           self.observations.fault ? ", a fault" : "");
      });

  py::class_<run::FinishedCell, std::shared_ptr<run::FinishedCell>>(
      module, "Result", "What came of one cell: verdict and evidence.")
      .def_property_readonly("cell",
                             [](const run::FinishedCell& self) {
                               return std::make_shared<model::Cell>(self.document->cell);
                             })
      .def_property_readonly("verdict", [](const run::FinishedCell& self) { return self.verdict; })
      .def_property_readonly(
          "outcome", [](const run::FinishedCell& self) { return name(self.verdict.outcome); },
          "'pass', 'fail', 'skip' or 'error'.")
      .def_property_readonly("passed",
                             [](const run::FinishedCell& self) {
                               return self.verdict.outcome == model::Outcome::pass;
                             })
      .def_property_readonly("image", &image_of, "The code that was run; None if there was none.")
      .def_property_readonly("observations", &observations_of, "None if nothing was run.")
      .def("text", &text_of, py::arg("replay") = "",
           "The evidence as `farcall run` prints it; `replay` is the command to show.")
      .def("__repr__", [](const run::FinishedCell& self) {
        return fmt::format("<Result {}: {}>", self.document->cell.name, repr_of(self.verdict));
      });

  module.def("check", &check_document, py::arg("document"), py::arg("observations") = py::none());
}

}  // namespace farcall::python
