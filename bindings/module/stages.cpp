// link/, jit/, decode/ and the interpreter: the stages of the host, each a function of values.
#include <fmt/format.h>
#include <pybind11/operators.h>

#include <memory>

#include "decode/call_sites.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"
#include "model/linked_program.hpp"
#include "module/bind.hpp"
#include "run/pipeline.hpp"

namespace farcall::python {
namespace {

// A call site as the decoder found it, with the image's name for it.
struct NamedDecodedCall {
  std::string site;
  GuestAddress at;
  std::optional<GuestAddress> target;

  friend bool operator==(const NamedDecodedCall&, const NamedDecodedCall&) = default;
};

struct Interpreted {
  check::Interpretation interpretation;
  std::vector<std::pair<std::string, std::string>> calls;  // site, callee
};

std::shared_ptr<model::LinkedProgram> link_cell(const model::Cell& cell) {
  const py::gil_scoped_release unlocked;
  return std::make_shared<model::LinkedProgram>(value_or_raise(link::link_program(cell)));
}

std::shared_ptr<model::CodeImage> jit_cell(const model::Cell& cell,
                                           const std::shared_ptr<model::LinkedProgram>& linked) {
  const py::gil_scoped_release unlocked;
  const model::LinkedProgram& program = linked ? *linked : value_or_raise(link::link_program(cell));
  return std::make_shared<model::CodeImage>(value_or_raise(jit::compile(program, cell.axes)));
}

std::vector<NamedDecodedCall> decode_image(const model::CodeImage& image, const model::Cell& cell) {
  std::vector<NamedDecodedCall> calls;
  for (const model::DecodedCall& call :
       decode::call_sites(image, {.endian = cell.axes.endian, .toc = cell.placement.toc})) {
    calls.push_back({site_name(image, call.site), call.at, call.target});
  }
  return calls;
}

Interpreted interpret_cell(const model::Cell& cell) {
  if (!cell.program) {
    throw py::value_error("the cell has no program to interpret");
  }
  const py::gil_scoped_release unlocked;
  // The pipeline interprets a cell before anything else.
  check::Testimony prepared = run::prepare({.cell = cell}, 0);
  Interpreted result{.interpretation = value_or_raise(std::move(*prepared.source))};
  for (const auto& call : result.interpretation.run.calls) {
    result.calls.emplace_back(bpf::to_string(*cell.program, call.site),
                              callee_name(*cell.program, call.callee));
  }
  return result;
}

}  // namespace

void bind_stages(py::module_& module) {
  py::class_<Interpreted>(module, "Interpretation",
                          "What the interpreter did with a cell's program.")
      .def_property_readonly("r0",
                             [](const Interpreted& self) { return self.interpretation.run.r0; })
      .def_property_readonly(
          "instructions",
          [](const Interpreted& self) { return self.interpretation.run.instructions; },
          "How many were executed.")
      .def_readonly("calls", &Interpreted::calls,
                    "(site, callee) of every call executed, in the order of execution.")
      .def_property_readonly(
          "memory", [](const Interpreted& self) { return self.interpretation.memory; },
          "The cell's regions as they were left.")
      .def("__repr__", [](const Interpreted& self) {
        return fmt::format("<Interpretation: r0 = {:#x}, {} instructions, {} calls>",
                           self.interpretation.run.r0, self.interpretation.run.instructions,
                           self.calls.size());
      });

  py::class_<NamedDecodedCall>(module, "DecodedCall",
                               "A call site as the decoder found it in the bytes.")
      .def_readonly("site", &NamedDecodedCall::site)
      .def_readonly("at", &NamedDecodedCall::at, "The address of the branch-and-link.")
      .def_readonly("target", &NamedDecodedCall::target,
                    "None where the bytes alone do not fix the address.")
      .def(py::self == py::self)
      .def("__repr__", [](const NamedDecodedCall& self) {
        return fmt::format("DecodedCall({}, at={:#x}, target={})", self.site, self.at.value,
                           self.target ? fmt::format("{:#x}", self.target->value) : "None");
      });

  // What users call, and what help() says, is in farcall/stages.py.
  module.def("interpret", &interpret_cell, py::arg("cell"));
  module.def("link", &link_cell, py::arg("cell"));
  module.def("jit", &jit_cell, py::arg("cell"), py::arg("linked") = py::none());
  module.def("decode", &decode_image, py::arg("image"), py::arg("cell"));
}

}  // namespace farcall::python
