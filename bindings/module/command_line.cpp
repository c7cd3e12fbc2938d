// run/command_line.hpp: the farcall command, for whoever has only the wheel.
#include "command/command_line.hpp"

#include <pybind11/stl/filesystem.h>

#include <filesystem>

#include "module/bind.hpp"

namespace farcall::python {

void bind_command_line(py::module_& module) {
  module.def(
      "command_line",
      [](std::vector<std::string> arguments, const std::filesystem::path& images) {
        std::vector<char*> pointers;
        for (std::string& argument : arguments) {
          pointers.push_back(argument.data());
        }
        pointers.push_back(nullptr);
        const py::gil_scoped_release unlocked;
        return command::command_line(static_cast<int>(arguments.size()), pointers.data(), images);
      },
      py::arg("arguments"), py::arg("images"),
      "Does what the program `farcall` does for these arguments, the program's name first, and "
      "returns\nits exit code.");
}

}  // namespace farcall::python
