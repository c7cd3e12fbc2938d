// What the files of the module share. Each binds the values of one folder of harness/.
//
// A value is a class with read-only properties and its JSON, so that what a stage learns to say
// later is there for Python at once. Guest addresses are plain `int` in Python.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>

#include "base/address.hpp"
#include "base/error.hpp"
#include "model/json.hpp"

namespace farcall::python {

namespace py = pybind11;

void bind_errors(py::module_& module);
void bind_axes(py::module_& module);
void bind_program(py::module_& module);
void bind_case(py::module_& module);
void bind_image(py::module_& module);
void bind_stages(py::module_& module);
void bind_verdict(py::module_& module);
void bind_machine(py::module_& module);
void bind_command_line(py::module_& module);

// An Error on its way to the Python exception that it becomes.
struct Raised {
  Error error;
};

template <typename T>
T value_or_raise(Result<T> result) {
  if (!result) {
    throw Raised{std::move(result).error()};
  }
  return std::move(result).value();
}

// dict, list, str, int, float, bool, None.
py::object to_python(const model::Json& json);

// Two values are equal if their JSON is: for those without an operator of their own.
template <typename T>
bool equal_json(const T& a, const T& b) {
  return model::to_json(a) == model::to_json(b);
}

// The bytes of any buffer, contiguous.
std::span<const std::byte> bytes_of(const py::buffer_info& buffer);

}  // namespace farcall::python

namespace pybind11::detail {
// Never read from Python: errors are made by farcall.
template <>
struct type_caster<farcall::ErrorText> {
  static constexpr auto name = const_name("str");

  static handle cast(const farcall::ErrorText& text, return_value_policy policy, handle parent) {
    return make_caster<std::string>::cast(text, policy, parent);
  }
};

// GuestAddress is an int in Python: 0 ... 2**64 - 1.
template <>
struct type_caster<farcall::GuestAddress> {
  PYBIND11_TYPE_CASTER(farcall::GuestAddress, const_name("int"));

  bool load(handle source, bool convert) {
    make_caster<std::uint64_t> number;
    if (!number.load(source, convert)) {
      return false;
    }
    value.value = cast_op<std::uint64_t>(number);
    return true;
  }

  static handle cast(farcall::GuestAddress address, return_value_policy /*policy*/,
                     handle /*parent*/) {
    return PyLong_FromUnsignedLongLong(address.value);
  }
};
}  // namespace pybind11::detail
