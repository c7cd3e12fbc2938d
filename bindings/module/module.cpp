#include "module/bind.hpp"

PYBIND11_MODULE(_farcall, module) {
  namespace python = farcall::python;
  module.doc() = "The C++ side of farcall; import farcall instead.";
  module.attr("__version__") = FARCALL_VERSION;
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
