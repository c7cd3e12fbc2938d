// bpf/ and model/linked_program.hpp: programs, their instructions, functions and memory.
#include "bpf/program.hpp"

#include <fmt/format.h>
#include <pybind11/functional.h>
#include <pybind11/operators.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>
#include <memory>

#include "bpf/assembler.hpp"
#include "bpf/codec.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/object.hpp"
#include "bpf/validator.hpp"
#include "campaign/generator.hpp"
#include "model/linked_program.hpp"
#include "module/bind.hpp"

namespace farcall::python {
namespace {

using SharedProgram = std::shared_ptr<bpf::Program>;

// A program as an object has it, with its global variables. Their addresses are filled in when a
// case file, with `-- elf`, gives everything its place.
struct ObjectProgram : bpf::Program {
  std::filesystem::path path;
  std::optional<std::string> entry;
  std::vector<bpf::MemoryRegion> data;
  std::vector<bpf::ObjectAddress> addresses;
  std::endian order = std::endian::little;
};

bool operator==(const ObjectProgram& a, const ObjectProgram& b) {
  return static_cast<const bpf::Program&>(a) == b && a.data == b.data &&
         a.addresses == b.addresses && a.order == b.order;
}

void validate_with(bpf::Program& program, const std::optional<std::string>& extension) {
  if (extension) {
    const auto callx = bpf::extension_named(*extension);
    if (!callx) {
      throw py::value_error(fmt::format("no extension '{}'; there is 'callx-address'", *extension));
    }
    program.callx = *callx;
  }
  if (const auto valid = bpf::validate(program); !valid) {
    throw Raised{valid.error()};
  }
}

SharedProgram assemble(const std::string& text, const std::string& file, unsigned line,
                       const std::optional<std::string>& extension) {
  auto program = std::make_shared<bpf::Program>(
      value_or_raise(bpf::assemble(text, {.file = file, .line = line})));
  validate_with(*program, extension);
  return program;
}

// Programs of local calls by the generator of campaigns; `choose(most)` makes its choices.
SharedProgram generated(const std::function<std::uint64_t(std::uint64_t)>& choose,
                        std::size_t most_functions, std::size_t most_pieces,
                        std::size_t memory_bytes) {
  campaign::Choices choices(choose);
  const std::string text =
      campaign::assembly(campaign::generate_program(choices, {.most_functions = most_functions,
                                                              .most_pieces = most_pieces,
                                                              .memory_bytes = memory_bytes,
                                                              .has_externals = false,
                                                              .is_beyond_rfc = false}));
  return assemble(text, "<generated>", 1, std::nullopt);
}

std::shared_ptr<ObjectProgram> from_elf(const std::filesystem::path& path,
                                        const std::optional<std::string>& entry,
                                        const std::optional<std::string>& extension) {
  bpf::Object object = value_or_raise(bpf::read_object_file(path.string(), entry));
  auto program = std::make_shared<ObjectProgram>(
      ObjectProgram{std::move(object.program), std::filesystem::absolute(path), entry,
                    std::move(object.data), std::move(object.addresses), object.order});
  validate_with(*program, extension);
  return program;
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
  py::class_<bpf::MemoryRegion>(module, "MemoryRegion", py::buffer_protocol(),
                                "Bytes at a guest address. memoryview(region) is them, without a "
                                "copy.")
      .def_readonly("name", &bpf::MemoryRegion::name)
      .def_readonly("address", &bpf::MemoryRegion::address)
      .def_readonly("writable", &bpf::MemoryRegion::writable)
      .def_buffer([](const bpf::MemoryRegion& self) {
        return py::buffer_info(reinterpret_cast<const unsigned char*>(self.bytes.data()),
                               static_cast<py::ssize_t>(self.bytes.size()), /*readonly=*/true);
      })
      .def("__len__", [](const bpf::MemoryRegion& self) { return self.bytes.size(); })
      .def("__eq__", [](const bpf::MemoryRegion& self,
                        const bpf::MemoryRegion& other) { return self == other; })
      .def("__repr__", [](const bpf::MemoryRegion& self) {
        return fmt::format("<MemoryRegion {}: {} bytes at {:#x}>", self.name, self.bytes.size(),
                           self.address.value);
      });

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
      .def_static(
          "generate", &generated, py::arg("choose"), py::kw_only(), py::arg("max_functions"),
          py::arg("max_instructions"), py::arg("memory_bytes"),
          "A program of local calls that ends, by farcall's generator: `choose(most)` says a "
          "number, 0 ...\nmost, whenever it has a choice; all zeros give the simplest.")
      .def_static("assemble", &assemble, py::arg("text"), py::arg("file") = "<text>",
                  py::arg("line") = 1, py::kw_only(), py::arg("extension") = py::none(),
                  "Assembles text in the conformance suite's dialect. `file` and `line` are where "
                  "its first\nline stands, for errors. `extension` 'callx-address' admits calls "
                  "through registers.\nRaises ProgramError.")
      .def_static("from_elf", &from_elf, py::arg("path"), py::arg("entry") = py::none(),
                  py::kw_only(), py::arg("extension") = py::none(),
                  "Reads an object that `clang -target bpf -c` made, an ObjectProgram; `entry` "
                  "names the first\nfunction if there are several global ones. `extension` as for "
                  "assemble(). Raises\nProgramError, UsageError.")
      .def_property_readonly(
          "extension",
          [](const bpf::Program& self) {
            return self.callx == bpf::Callx::none ? std::nullopt
                                                  : std::optional(bpf::extension_name(self.callx));
          },
          "What it has beyond RFC 9669: 'callx-address', or None.")
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

  py::class_<ObjectProgram, bpf::Program, std::shared_ptr<ObjectProgram>>(
      module, "ObjectProgram",
      "A program of an object file. In its slots the loads of global variables' addresses are "
      "zero:\na Landing, or a case with `-- elf`, gives everything its place and fills them in.")
      .def_readonly("path", &ObjectProgram::path, "Absolute.")
      .def_readonly("entry", &ObjectProgram::entry, "As it was given, or None.")
      .def_readonly("data", &ObjectProgram::data,
                    "The sections .rodata, .data, .bss and so on that the program reaches, not yet "
                    "placed.")
      .def_property_readonly(
          "endian",
          [](const ObjectProgram& self) { return self.order == std::endian::little ? "le" : "be"; },
          "The byte order of its data: 'le' or 'be'.")
      .def(py::self == py::self);

  py::class_<model::LinkedProgram, std::shared_ptr<model::LinkedProgram>>(
      module, "LinkedProgram", "A program at its addresses, its calls encoded by a call scheme.")
      .def_property_readonly(
          "scheme",
          [](const model::LinkedProgram& self) {
            return model::value_names(model::Axis::call)[static_cast<std::size_t>(self.scheme)];
          })
      .def_readonly("program", &model::LinkedProgram::program,
                    "After encoding: slots may have moved, and a call's imm means what the scheme "
                    "says.")
      .def_readonly("addresses", &model::LinkedProgram::addresses, "One for each function.")
      .def_readonly("call_base", &model::LinkedProgram::call_base)
      .def(
          "to_json",
          [](const model::LinkedProgram& self) { return to_python(model::to_json(self)); },
          "As in farcall's documents.")
      .def(py::self == py::self)
      .def("__repr__", [](const model::LinkedProgram& self) {
        return fmt::format("<LinkedProgram of {} slots and {} calls>", self.program.slots.size(),
                           self.calls.size());
      });
}

}  // namespace farcall::python
