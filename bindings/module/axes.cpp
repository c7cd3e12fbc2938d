// model/axes.hpp: names only; the values of a cell's axes are a dict of strings.
#include "model/axes.hpp"

#include "module/bind.hpp"

namespace farcall::python {

void bind_axes(py::module_& module) {
  py::dict axes;
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    const auto axis = static_cast<model::Axis>(i);
    py::list values;
    for (const std::string_view value : value_names(axis)) {
      values.append(value);
    }
    axes[py::str(name(axis))] = py::tuple(values);
  }
  module.attr("AXES") = axes;
}

}  // namespace farcall::python
