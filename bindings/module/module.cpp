#include "module/bind.hpp"

PYBIND11_MODULE(_farcall, module) {
  namespace python = farcall::python;
  module.doc() = "The C++ side of farcall; import farcall instead.";
  module.attr("__version__") = FARCALL_VERSION;
  // A class stands before the functions that take it or return it: what pybind11 does not know yet
  // has its C++ name in signatures and in what a TypeError says.
  python::bind_errors(module);
  python::bind_axes(module);
  python::bind_program(module);
  python::bind_image(module);
  python::bind_case(module);
  python::bind_stages(module);
  python::bind_verdict(module);
  python::bind_machine(module);
  python::bind_command_line(module);
}
