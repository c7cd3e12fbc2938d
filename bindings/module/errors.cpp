// base/error.hpp: an Error becomes an exception of farcall.errors.
#include <nlohmann/json.hpp>
#include <vector>

#include "module/bind.hpp"

namespace farcall::python {
namespace {

// Python's own module knows which class a code belongs to.
void raise(const Error& error) {
  const py::object made =
      py::module_::import("farcall.errors")
          .attr("from_error")(name(error.code), error.message, error.where.file, error.where.line,
                              error.where.column, error.site, error.hint, to_string(error));
  PyErr_SetObject(py::type::handle_of(made).ptr(), made.ptr());
}

}  // namespace

void bind_errors(py::module_& module) {
  py::register_local_exception_translator([](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(std::move(thrown));
    } catch (const Raised& raised) {
      raise(raised.error);
    }
  });

  std::vector<std::string> codes;
#define FARCALL_CODE_TEXT(name, text, blame) codes.emplace_back(text);
  FARCALL_ERROR_CODES(FARCALL_CODE_TEXT)
#undef FARCALL_CODE_TEXT
  module.attr("ERROR_CODES") = py::tuple(py::cast(codes));
}

py::object to_python(const model::Json& json) {
  switch (json.type()) {
    case model::Json::value_t::object: {
      py::dict dict;
      for (const auto& [key, value] : json.items()) {
        dict[py::str(key)] = to_python(value);
      }
      return dict;
    }
    case model::Json::value_t::array: {
      py::list list(json.size());
      for (std::size_t i = 0; i < json.size(); ++i) {
        list[i] = to_python(json[i]);
      }
      return list;
    }
    case model::Json::value_t::string:
      return py::str(json.get_ref<const std::string&>());
    case model::Json::value_t::boolean:
      return py::bool_(json.get<bool>());
    case model::Json::value_t::number_integer:
      return py::int_(json.get<std::int64_t>());
    case model::Json::value_t::number_unsigned:
      return py::int_(json.get<std::uint64_t>());
    case model::Json::value_t::number_float:
      return py::float_(json.get<double>());
    default:
      return py::none();
  }
}

std::span<const std::byte> bytes_of(const py::buffer_info& buffer) {
  py::ssize_t expected = buffer.itemsize;
  for (auto i = static_cast<std::size_t>(buffer.ndim); i-- > 0;) {
    if (buffer.strides[i] != expected) {
      throw py::value_error("expected a contiguous buffer");
    }
    expected *= buffer.shape[i];
  }
  return {static_cast<const std::byte*>(buffer.ptr),
          static_cast<std::size_t>(buffer.size * buffer.itemsize)};
}

}  // namespace farcall::python
