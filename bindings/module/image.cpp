// model/code_image.hpp: code at addresses, ours or anyone else's.
#include <fmt/format.h>
#include <pybind11/operators.h>

#include <map>
#include <memory>
#include <span>

#include "base/byte_order.hpp"
#include "model/code_image.hpp"
#include "module/bind.hpp"

namespace farcall::python {
namespace {

using SharedImage = std::shared_ptr<model::CodeImage>;

std::vector<std::uint32_t> words_of(const py::buffer& code, const std::string& endian) {
  if (endian != "le" && endian != "be") {
    throw py::value_error(fmt::format("endian is 'le' or 'be', not '{}'", endian));
  }
  const py::buffer_info buffer = code.request();
  const std::span<const std::byte> bytes = bytes_of(buffer);
  if (bytes.size() % 4 != 0) {
    throw py::value_error(
        fmt::format("{} bytes are not a whole number of 4-byte words", bytes.size()));
  }
  std::vector<std::uint32_t> words(bytes.size() / 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = load<std::uint32_t>(bytes.data() + (4 * i),
                                   endian == "le" ? std::endian::little : std::endian::big);
  }
  return words;
}

model::CodeFunction make_function(const std::string& name, GuestAddress address,
                                  const py::buffer& code, const std::string& endian,
                                  std::uint32_t descriptor_words) {
  model::CodeFunction function{.name = name,
                               .address = address,
                               .words = words_of(code, endian),
                               .pass_words = {},
                               .descriptor_words = descriptor_words};
  if (descriptor_words != 0 && (descriptor_words != model::kDescriptorWords ||
                                function.words.size() < model::kDescriptorWords)) {
    throw py::value_error("descriptor_words is 0, or 6 that the code begins with");
  }
  function.pass_words = {static_cast<std::uint32_t>(function.words.size())};
  return function;
}

SharedImage make_image(std::vector<model::CodeFunction> functions,
                       std::vector<model::CodeCall> calls, std::optional<GuestAddress> entry,
                       const std::string& placement) {
  if (placement != "cell" && placement != "image") {
    throw py::value_error("an image's placement is by 'cell' or 'image', not '" + placement + "'");
  }
  if (functions.empty()) {
    throw py::value_error("an image has at least one function");
  }
  const GuestAddress first = functions.front().address;
  for (const model::CodeCall& call : calls) {
    if ((call.callee && call.callee->function >= functions.size()) ||
        call.site.function >= functions.size()) {
      throw py::value_error("a call names a function that the image does not have");
    }
  }
  return std::make_shared<model::CodeImage>(model::CodeImage{
      .functions = std::move(functions),
      .entry = entry.value_or(first),
      .calls = std::move(calls),
      .placed_by = placement == "image" ? model::PlacedBy::image : model::PlacedBy::cell});
}

SharedImage patched(const model::CodeImage& image,
                    const std::map<std::uint64_t, std::uint32_t>& words) {
  auto result = std::make_shared<model::CodeImage>(image);
  for (const auto& [address, word] : words) {
    bool found = false;
    for (model::CodeFunction& function : result->functions) {
      const GuestAddress at{address};
      if (at >= function.address && at < function.end() && address % 4 == 0) {
        function.words[(address - function.address.value) / 4] = word;
        found = true;
      }
    }
    if (!found) {
      throw py::value_error(fmt::format("no function of the image has a word at {:#x}", address));
    }
  }
  return result;
}

std::string listing_of(const model::CodeImage& image) {
  std::string text;
  for (const model::CodeFunction& function : image.functions) {
    text += fmt::format("{} <{}>:\n", to_string(function.address), function.name);
    const std::vector<std::string> instructions = listing(function);
    for (std::size_t i = 0; i < function.words.size(); ++i) {
      text += fmt::format("  {}  {:08x}  {}\n", to_string(function.address + (i * 4)),
                          function.words[i], instructions[i]);
    }
  }
  return text;
}

}  // namespace

void bind_image(py::module_& module) {
  py::class_<model::CodeFunction>(module, "CodeFunction", py::buffer_protocol(),
                                  "A function's ppc64 code. memoryview(function) is its words as "
                                  "numbers, format 'I', without a "
                                  "copy.")
      .def(py::init(&make_function), py::arg("name"), py::arg("address"), py::arg("code"),
           py::kw_only(), py::arg("endian") = "le", py::arg("descriptor_words") = 0,
           "`code`: bytes, memoryview or any contiguous buffer; 4 bytes a word in the byte order "
           "`endian`\n('le' or 'be'). `descriptor_words`: 6 if the code begins with an ELFv1 "
           "descriptor.")
      .def_readonly("name", &model::CodeFunction::name)
      .def_readonly("address", &model::CodeFunction::address)
      .def_property_readonly("end", &model::CodeFunction::end, "One past the last byte.")
      .def_readonly("descriptor_words", &model::CodeFunction::descriptor_words)
      .def_readonly("pass_words", &model::CodeFunction::pass_words)
      .def_buffer([](model::CodeFunction& self) {
        return py::buffer_info(self.words.data(), static_cast<py::ssize_t>(self.words.size()),
                               /*readonly=*/true);
      })
      .def("__len__", [](const model::CodeFunction& self) { return self.words.size(); })
      .def(
          "__iter__",
          [](const model::CodeFunction& self) {
            return py::make_iterator(self.words.begin(), self.words.end());
          },
          py::keep_alive<0, 1>())
      .def(py::self == py::self)
      .def("__repr__", [](const model::CodeFunction& self) {
        return fmt::format("<CodeFunction {} at {:#x}: {} words>", self.name, self.address.value,
                           self.words.size());
      });

  py::class_<model::CodeCall>(module, "CodeCall", "Where a JIT says that it put a call.")
      .def(py::init([](std::uint32_t function, std::uint32_t ordinal, GuestAddress at,
                       std::optional<std::uint32_t> callee, std::optional<GuestAddress> target) {
             if (callee.has_value() != target.has_value()) {
               throw py::value_error("callee and target go together");
             }
             model::CodeCall call{.site = {.function = function, .ordinal = ordinal}, .at = at};
             if (callee) {
               call.callee = model::CodeCallee{.function = *callee, .target = *target};
             }
             return call;
           }),
           py::kw_only(), py::arg("function"), py::arg("ordinal"), py::arg("at"),
           py::arg("callee") = py::none(), py::arg("target") = py::none(),
           "The `ordinal`-th call of function number `function`: `at` is the address of the\n"
           "branch-and-link, `callee` a number of a function, `target` where the branch must go; "
           "neither is\ngiven of a call through a register.")
      .def_property_readonly("function",
                             [](const model::CodeCall& self) { return self.site.function; })
      .def_property_readonly("ordinal",
                             [](const model::CodeCall& self) { return self.site.ordinal; })
      .def_readonly("at", &model::CodeCall::at)
      .def_property_readonly("callee",
                             [](const model::CodeCall& self) {
                               return self.callee ? std::optional(self.callee->function)
                                                  : std::nullopt;
                             })
      .def_property_readonly("target",
                             [](const model::CodeCall& self) {
                               return self.callee ? std::optional(self.callee->target)
                                                  : std::nullopt;
                             })
      .def(py::self == py::self)
      .def("__repr__", [](const model::CodeCall& self) {
        return fmt::format("<CodeCall {} of function {} at {:#x}>", self.site.ordinal,
                           self.site.function, self.at.value);
      });

  py::class_<model::CodeImage, SharedImage>(
      module, "CodeImage",
      "ppc64 code at guest addresses, as a JIT made it. Iterating gives its functions.")
      .def(
          py::init(&make_image), py::arg("functions"), py::arg("calls") = py::tuple(),
          py::arg("entry") = py::none(), py::arg("placement") = "cell",
          "An image of one's own bytes: functions in the order of the program's, calls in program\n"
          "order, `entry` the address to enter (of the first function, if not given).\n"
          "Functions must lie where the cell places them, unless `placement` is 'image'.")
      .def_property_readonly("functions", [](const SharedImage& self) { return self->functions; })
      .def_property_readonly("calls", [](const SharedImage& self) { return self->calls; })
      .def_property_readonly("entry", [](const SharedImage& self) { return self->entry; })
      .def_property_readonly(
          "listing", [](const SharedImage& self) { return listing_of(*self); },
          "The code as text, a line a word.")
      .def("patched", &patched, py::arg("words"),
           "A copy with other words at some addresses: `image.patched({0xc000000000010010: "
           "0x60000000})`.")
      .def(
          "to_json", [](const SharedImage& self) { return to_python(model::to_json(*self)); },
          "As in farcall's documents.")
      .def("__len__", [](const SharedImage& self) { return self->functions.size(); })
      .def(
          "__iter__",
          [](const SharedImage& self) {
            return py::make_iterator(self->functions.begin(), self->functions.end());
          },
          py::keep_alive<0, 1>())
      .def(
          "__getitem__",
          [](const SharedImage& self, const std::string& name) -> const model::CodeFunction& {
            for (const model::CodeFunction& function : self->functions) {
              if (function.name == name) {
                return function;
              }
            }
            throw py::key_error(name);
          },
          py::arg("name"), py::return_value_policy::reference_internal)
      .def("__eq__",
           [](const SharedImage& self, const SharedImage& other) { return *self == *other; })
      .def("__repr__", [](const SharedImage& self) {
        return fmt::format("<CodeImage of {} functions, entry {:#x}>", self->functions.size(),
                           self->entry.value);
      });
}

}  // namespace farcall::python
