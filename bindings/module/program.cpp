// bpf/: programs, their instructions and functions.
#include "bpf/program.hpp"

#include <fmt/format.h>
#include <pybind11/operators.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <memory>

#include "bpf/assembler.hpp"
#include "bpf/codec.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/object.hpp"
#include "bpf/validator.hpp"
#include "module/bind.hpp"

namespace farcall::python {
namespace {

using SharedProgram = std::shared_ptr<bpf::Program>;

SharedProgram validated(bpf::Program program) {
  value_or_raise(bpf::validate(program));
  return std::make_shared<bpf::Program>(std::move(program));
}

SharedProgram assemble(const std::string& text, const std::string& file, unsigned line) {
  return validated(value_or_raise(bpf::assemble(text, {.file = file, .line = line})));
}

// A program by itself has no place for an object's global variables; a case has.
SharedProgram from_elf(const std::filesystem::path& path, const std::optional<std::string>& entry) {
  bpf::Object object = value_or_raise(bpf::read_object_file(path.string(), entry));
  if (!object.data.empty()) {
    value_or_raise(Result<void>(
        Error{.code = ErrorCode::elf_unsupported,
              .message = fmt::format("the program has global variables, in {} and so on",
                                     object.data.front().name),
              .where = {.file = path.string()},
              .hint = "a case file with '-- elf' gives them their places"}));
  }
  return validated(std::move(object.program));
}

std::endian byte_order(const std::string& endian) {
  if (endian != "le" && endian != "be") {
    throw py::value_error(fmt::format("endian is 'le' or 'be', not '{}'", endian));
  }
  return endian == "le" ? std::endian::little : std::endian::big;
}

py::bytes encode(const bpf::Program& program, const std::string& endian) {
  const auto bytes = bpf::encode(program.slots, byte_order(endian));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void bind_program(py::module_& module) {
  py::class_<bpf::Slot>(module, "Slot", "One 8-byte slot of a BPF program, its fields apart.")
      .def_readonly("opcode", &bpf::Slot::opcode)
      .def_readonly("dst", &bpf::Slot::dst)
      .def_readonly("src", &bpf::Slot::src)
      .def_readonly("offset", &bpf::Slot::offset)
      .def_readonly("imm", &bpf::Slot::imm)
      .def(py::self == py::self)
      .def("__repr__", [](const bpf::Slot& slot) {
        return fmt::format("Slot(opcode={:#04x}, dst={}, src={}, offset={}, imm={})", slot.opcode,
                           slot.dst, slot.src, slot.offset, slot.imm);
      });

  py::class_<bpf::Function>(module, "Function",
                            "A function of a program: slots `begin` up to, not including, `end`.")
      .def_readonly("name", &bpf::Function::name)
      .def_readonly("begin", &bpf::Function::begin)
      .def_readonly("end", &bpf::Function::end)
      .def(py::self == py::self)
      .def("__repr__", [](const bpf::Function& function) {
        return fmt::format("Function('{}', {}, {})", function.name, function.begin, function.end);
      });

  py::class_<bpf::Program, SharedProgram>(
      module, "Program",
      "A BPF program that the validator accepts: one or more functions, the first is the entry.\n\n"
      "Iterating gives its slots (8 bytes each); a 64-bit load takes two.")
      .def_static("assemble", &assemble, py::arg("text"), py::arg("file") = "<text>",
                  py::arg("line") = 1,
                  "Assembles text in the conformance suite's dialect. `file` and `line` are where "
                  "its first\nline stands, for errors. Raises ProgramError.")
      .def_static("from_elf", &from_elf, py::arg("path"), py::arg("entry") = py::none(),
                  "Reads an object that `clang -target bpf -c` made; `entry` names the first "
                  "function if\nthere are several global ones. Raises ProgramError, UsageError.")
      .def_property_readonly("functions", [](const bpf::Program& self) { return self.functions; })
      .def_property_readonly(
          "calls",
          [](const bpf::Program& self) {
            std::vector<std::pair<std::string, std::string>> calls;
            for (const bpf::PseudoCall& call : bpf::pseudo_calls(self)) {
              calls.emplace_back(bpf::to_string(self, call.site), self.functions[call.callee].name);
            }
            return calls;
          },
          "(site, callee) of each call in program order, such as ('main[0]', 'f1').")
      .def_property_readonly("text", &bpf::disassemble,
                             "The program as assembly that assemble() reads.")
      .def("encode", &encode, py::arg("endian") = "le",
           "The program's bytes, 8 a slot, as a machine of that byte order has them in memory.")
      .def(
          "to_json", [](const bpf::Program& self) { return to_python(model::to_json(self)); },
          "As in farcall's documents: {'functions': ..., 'slots': ...}.")
      .def("__len__", [](const bpf::Program& self) { return self.slots.size(); })
      .def(
          "__iter__",
          [](const bpf::Program& self) {
            return py::make_iterator(self.slots.begin(), self.slots.end());
          },
          py::keep_alive<0, 1>())
      .def(py::self == py::self)
      .def("__repr__", [](const bpf::Program& self) {
        std::string names;
        for (const bpf::Function& function : self.functions) {
          names += (names.empty() ? "" : " ") + function.name;
        }
        return fmt::format("<Program of {} slots: {}>", self.slots.size(), names);
      });
}

}  // namespace farcall::python
