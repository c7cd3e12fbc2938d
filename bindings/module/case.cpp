// case/ and model/cell.hpp: case files, cells, documents.
#include <fmt/format.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <memory>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "conformance/suite_case.hpp"
#include "model/document.hpp"
#include "module/bind.hpp"
#include "run/pipeline.hpp"
#include "selection/code_layout.hpp"

namespace farcall::python {
namespace {

using SharedCell = std::shared_ptr<model::Cell>;

// Files of the conformance suite say nothing of calls: what the interpreter calls is right.
std::vector<SharedCell> cells_of(const cases::Case& parsed) {
  std::vector<SharedCell> shared;
  for (model::Cell& cell : value_or_raise(cases::cells(parsed, selection::code_layout()))) {
    if (cases::dialect_of(parsed.path) == cases::Dialect::suite) {
      run::expect_calls_as_interpreted(cell);
    }
    shared.push_back(std::make_shared<model::Cell>(std::move(cell)));
  }
  return shared;
}

// Programs of the suite use helpers that their files do not declare.
std::shared_ptr<cases::Case> read(const std::string& text, const std::string& path) {
  const bool of_suite = cases::dialect_of(path) == cases::Dialect::suite;
  return std::make_shared<cases::Case>(value_or_raise(cases::parse_case(
      text, path, of_suite ? conformance::suite_helpers() : cases::Undeclared{})));
}

py::dict axes_of(const model::AxisValues& values) {
  py::dict axes;
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    const auto axis = static_cast<model::Axis>(i);
    axes[py::str(name(axis))] = py::str(value_name(values, axis));
  }
  return axes;
}

// Where the cell's program begins in its file: what to show when nothing more is known.
unsigned first_line(const model::Cell& cell) {
  return cell.program ? cell.program->origins.at(0).line : 0;
}

std::shared_ptr<model::Document> document_from_json(const std::string& text,
                                                    const std::string& path) {
  return std::make_shared<model::Document>(value_or_raise(model::read_document(text, path)));
}

std::string json_text(const model::Document& document) {
  const char* const stage = document.image ? "image" : document.linked ? "linked" : "cell";
  return model::to_json(document, stage).dump(1);
}

}  // namespace

void bind_case(py::module_& module) {
  py::class_<model::Cell, SharedCell>(
      module, "Cell", "One point of a case's matrix, with everything resolved: it can be run.")
      .def_readonly("name", &model::Cell::name)
      .def_readonly("case_path", &model::Cell::case_path)
      .def_property_readonly(
          "axes", [](const model::Cell& self) { return axes_of(self.axes); },
          "The value of each axis: {'endian': 'le', 'cpu': 'power9', ...}.")
      .def_property_readonly(
          "program",
          [](const model::Cell& self) {
            return std::const_pointer_cast<bpf::Program>(self.program);
          },
          "None in a document of an image that came without one.")
      .def_property_readonly(
          "functions",
          [](const model::Cell& self) {
            py::dict addresses;
            for (std::size_t i = 0; self.program && i < self.program->functions.size(); ++i) {
              addresses[py::str(self.program->functions[i].name)] =
                  self.placement.functions[i].value;
            }
            return addresses;
          },
          "Where each function of the program is placed, by its name.")
      .def_readonly("memory", &model::Cell::memory)
      .def_readonly("arguments", &model::Cell::arguments, "r1 ... r5 on entry.")
      .def_property_readonly("line", &first_line,
                             "The line of the case file where the program begins; 0 if unknown.")
      .def(
          "to_json", [](const model::Cell& self) { return to_python(model::to_json(self)); },
          "As in farcall's documents.")
      .def("__eq__", &equal_json<model::Cell>)
      .def("__repr__", [](const model::Cell& self) { return fmt::format("<Cell {}>", self.name); });

  py::class_<cases::Case, std::shared_ptr<cases::Case>>(
      module, "Case", "A case file, names resolved. Iterating gives its cells.")
      .def_static(
          "load",
          [](const std::filesystem::path& path) {
            const std::string name = path.string();
            return read(value_or_raise(cases::read_text(name)), name);
          },
          py::arg("path"), "Reads a case file. Raises CaseError, ProgramError, UsageError.")
      .def_static(
          "parse",
          [](const std::string& text, const std::string& path) { return read(text, path); },
          py::arg("text"), py::arg("path") = "text.case",
          "The same from text. `path` names the case and stands in errors; files that the case "
          "names\nare relative to its folder.")
      .def_readonly("path", &cases::Case::path)
      .def_readonly("name", &cases::Case::name)
      .def_readonly("summary", &cases::Case::summary)
      .def_readonly("error", &cases::Case::error,
                    "What its program is to be refused with, by '-- error'; empty if nothing is.")
      .def_property_readonly(
          "program",
          [](const cases::Case& self) {
            return std::const_pointer_cast<bpf::Program>(self.program);
          },
          "None in a case that expects an error and is refused.")
      .def("cells", &cells_of, "All cells, in the order of the matrix. Raises CaseError.")
      .def("__iter__", [](const cases::Case& self) { return py::iter(py::cast(cells_of(self))); })
      .def("__repr__", [](const cases::Case& self) { return fmt::format("<Case {}>", self.path); });

  py::class_<model::Document, std::shared_ptr<model::Document>>(
      module, "Document", "A cell and how far it has come: what is absent is made when it is run.")
      .def(py::init([](const model::Cell& cell, const std::shared_ptr<model::CodeImage>& image,
                       const std::shared_ptr<model::LinkedProgram>& linked) {
             auto document = std::make_shared<model::Document>(model::Document{.cell = cell});
             if (image) {
               document->image = *image;
             }
             if (linked) {
               document->linked = *linked;
             }
             return document;
           }),
           py::arg("cell"), py::arg("image") = py::none(), py::arg("linked") = py::none(),
           "With `image`, that code is run and checked instead of farcall's own.")
      .def_static("from_json", &document_from_json, py::arg("text"), py::arg("path") = "<text>",
                  "Reads what `farcall dump --json` or to_json_text() wrote. Raises UsageError.")
      .def("to_json_text", &json_text, "The document as JSON, which `farcall run --from` reads.")
      .def_property_readonly(
          "cell",
          [](const model::Document& self) { return std::make_shared<model::Cell>(self.cell); })
      .def_property_readonly("image",
                             [](const model::Document& self) {
                               return self.image ? std::make_shared<model::CodeImage>(*self.image)
                                                 : nullptr;
                             })
      .def("__eq__",
           [](const model::Document& self, const model::Document& other) {
             return json_text(self) == json_text(other);
           })
      .def("__repr__", [](const model::Document& self) {
        return fmt::format("<Document of {}{}>", self.cell.name, self.image ? ", with image" : "");
      });
}

}  // namespace farcall::python
