// vm/ and run/: a guest machine that outlives its batches.
#include "vm/machine.hpp"

#include <fmt/format.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/jit.hpp"
#include "module/bind.hpp"
#include "run/machine_run.hpp"
#include "vm/libvirt_host.hpp"

namespace farcall::python {
namespace {

using Documents = std::vector<std::shared_ptr<model::Document>>;

// How often a waiting call looks for Ctrl-C and reports its progress.
constexpr auto kAttention = std::chrono::milliseconds(50);

// One of the values that an axis has, by its name.
template <typename Value>
Value value_named(model::Axis axis, const std::string& text) {
  const auto names = model::value_names(axis);
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) {
    throw py::value_error(
        fmt::format("{} is one of {}, not '{}'", name(axis), fmt::join(names, ", "), text));
  }
  return static_cast<Value>(found - names.begin());
}

class Machine {
 public:
  Machine(const std::string& endian, const std::string& cpu, const std::string& mmu,
          std::filesystem::path images, std::shared_ptr<vm::Host> host)
      : axes_{.endian = value_named<model::Endian>(model::Axis::endian, endian),
              .cpu = value_named<model::Cpu>(model::Axis::cpu, cpu),
              .mmu = value_named<model::Mmu>(model::Axis::mmu, mmu)},
        images_(std::move(images)),
        host_(std::move(host)) {}

  std::string description() const {
    return fmt::format("{}-{}-{}", value_name(axes_, model::Axis::endian),
                       value_name(axes_, model::Axis::cpu), value_name(axes_, model::Axis::mmu));
  }

  bool running() const { return machine_.has_value(); }
  std::optional<int> process_id() const {
    return machine_ ? std::optional(machine_->process_id()) : std::nullopt;
  }

  void start() {
    if (!machine_) {
      machine_ = value_or_raise(vm::Machine::start(run::machine_spec(axes_, images_), host()));
    }
  }
  void close() { machine_.reset(); }

  std::vector<std::shared_ptr<run::FinishedCell>> run(const Documents& batch,
                                                      const py::object& progress,
                                                      const engine::Jit& jit);

 private:
  vm::Host& host() const { return host_ ? *host_ : vm::direct_host(); }
  void require_own(const model::Document& document) const;

  model::AxisValues axes_;
  std::filesystem::path images_;
  std::shared_ptr<vm::Host> host_;  // null: farcall itself
  std::optional<vm::Machine> machine_;
};

void Machine::require_own(const model::Document& document) const {
  const model::AxisValues& axes = document.cell.axes;
  if (axes.endian != axes_.endian || axes.cpu != axes_.cpu || axes.mmu != axes_.mmu) {
    throw py::value_error(fmt::format("{} needs the machine {}-{}-{}, this is {}",
                                      document.cell.name, value_name(axes, model::Axis::endian),
                                      value_name(axes, model::Axis::cpu),
                                      value_name(axes, model::Axis::mmu), description()));
  }
}

std::vector<std::shared_ptr<run::FinishedCell>> Machine::run(const Documents& batch,
                                                             const py::object& progress,
                                                             const engine::Jit& jit) {
  if (!machine_) {
    throw Raised{{.code = ErrorCode::machine_lost,
                  .message = fmt::format("the machine {} does not run", description()),
                  .hint = "use it as a context manager, or call start()"}};
  }
  for (const auto& document : batch) {
    require_own(*document);
  }
  const run::Documents documents(
      batch.size(), [&batch](std::size_t index) { return batch[index]->cell.axes; },
      [&batch](std::size_t index) { return batch[index]; });

  std::vector<std::shared_ptr<run::FinishedCell>> results(batch.size());
  std::atomic<bool> stop = false;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t finished = 0;
  bool ended = false;
  const auto finish = [&](run::FinishedCell cell) {
    const std::size_t index = cell.index;
    auto ran = std::make_shared<run::FinishedCell>(std::move(cell));
    const std::scoped_lock lock(mutex);
    results[index] = std::move(ran);
    ++finished;
  };
  const run::MachineRunListener listener = {
      .next = run::each_of(batch.size()), .finish = finish, .stopped = [&] { return stop.load(); }};

  std::exception_ptr interruption;
  {
    const py::gil_scoped_release unlocked;
    // The thread only works the machine: QEMU belongs to the thread that started it.
    std::jthread worker([&] {
      const auto done = run::run_on_machine(
          machine_, documents, {.images = images_, .host = host(), .jit = jit}, listener);
      while (const auto index = done ? std::nullopt : listener.next()) {
        finish(run::not_run(documents, *index, jit, done.error()));
      }
      const std::scoped_lock lock(mutex);
      ended = true;
      changed.notify_one();
    });
    std::unique_lock lock(mutex);
    while (!changed.wait_for(lock, kAttention, [&] { return ended; }) && !interruption) {
      const std::size_t done = finished;
      lock.unlock();
      {
        const py::gil_scoped_acquire locked;
        try {
          if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set();
          }
          if (!progress.is_none()) {
            progress(done, batch.size());
          }
        } catch (...) {
          interruption = std::current_exception();
          stop = true;
        }
      }
      lock.lock();
    }
  }
  if (interruption) {
    std::rethrow_exception(interruption);
  }
  if (!progress.is_none()) {
    progress(batch.size(), batch.size());
  }
  return results;
}

// Cells and documents, mixed as they come.
Documents documents_of(const py::iterable& batch) {
  Documents documents;
  for (const py::handle one : batch) {
    if (py::isinstance<model::Cell>(one)) {
      documents.push_back(
          std::make_shared<model::Document>(model::Document{.cell = one.cast<model::Cell>()}));
    } else if (py::isinstance<model::Document>(one)) {
      documents.push_back(one.cast<std::shared_ptr<model::Document>>());
    } else {
      throw py::type_error(
          fmt::format("a batch holds cells and documents; this is {}, of type {}",
                      py::repr(one).cast<std::string>(),
                      py::type::handle_of(one).attr("__name__").cast<std::string>()));
    }
  }
  return documents;
}

}  // namespace

void bind_machine(py::module_& module) {
  py::class_<vm::Host, std::shared_ptr<vm::Host>>(module, "Host", "Who starts QEMU for machines.")
      .def_static(
          "libvirt",
          [](const std::string& uri) {
            return std::shared_ptr<vm::Host>(value_or_raise(vm::libvirt_host(uri)));
          },
          py::arg("uri") = "",
          "libvirt: one of our own in this process if `uri` is empty, of which a process can have "
          "one\nin its life. Raises MachineError: machine.libvirt.");

  py::class_<engine::Jit, std::shared_ptr<engine::Jit>>(
      module, "Jit", "A JIT under test, as `farcall run --jit NAME` names it.")
      .def(py::init([](const std::string& name, const std::filesystem::path& images) {
             const py::gil_scoped_release unlocked;  // a kernel's is compiled
             return std::make_shared<engine::Jit>(value_or_raise(engine::jit_named(name, images)));
           }),
           py::arg("name") = engine::farcall_jit().name, py::kw_only(), py::arg("images"))
      .def_readonly("name", &engine::Jit::name)
      .def_readonly("identity", &engine::Jit::identity,
                    "What it is, wherever it lies: 'kernel:6.12.117' of a tree of that version, "
                    "else its name.")
      .def("__repr__", [](const engine::Jit& self) { return fmt::format("<Jit {}>", self.name); });

  py::class_<Machine>(
      module, "Machine",
      "A guest under QEMU, as a context manager: `with Machine(cpu='power10') as machine:`.\n\n"
      "It boots in tens of milliseconds while the first batch is prepared, and dies with the "
      "thread\n"
      "that started it. No fault or endless loop of a cell ends it.")
      .def(py::init<const std::string&, const std::string&, const std::string&,
                    std::filesystem::path, std::shared_ptr<vm::Host>>(),
           py::arg("endian") = "le", py::arg("cpu") = "power9", py::arg("mmu") = "radix",
           py::kw_only(), py::arg("images"), py::arg("host") = py::none())
      .def_property_readonly("name", &Machine::description, "Such as 'le-power9-radix'.")
      .def_property_readonly("running", &Machine::running)
      .def_property_readonly("process_id", &Machine::process_id, "QEMU's, or None.")
      .def("start", &Machine::start,
           "Starts QEMU. Raises MachineError: machine.no-qemu, machine.no-image, machine.start.")
      .def("close", &Machine::close, "Ends QEMU at once.")
      .def(
          "run",
          [](Machine& self, const py::iterable& batch, const py::object& progress,
             const engine::Jit* jit) {
            return self.run(documents_of(batch), progress,
                            jit == nullptr ? engine::farcall_jit() : *jit);
          },
          py::arg("batch"), py::arg("progress") = py::none(), py::kw_only(),
          py::arg("jit") = py::none(),
          "Runs cells or documents, and returns a Result for each, in their order.\n\n"
          "`jit` makes the code of what has none: farcall's own if it is not given.\n"
          "Other threads run meanwhile; Ctrl-C ends it within a second, and the machine with it.\n"
          "`progress(done, total)` is called some times a second; what it raises ends the run.")
      .def("__enter__",
           [](py::object self) {
             self.cast<Machine&>().start();
             return self;
           })
      .def("__exit__", [](Machine& self, const py::args&) { self.close(); })
      .def("__repr__", [](const Machine& self) {
        return fmt::format("<Machine {}{}>", self.description(), self.running() ? ", running" : "");
      });
}

}  // namespace farcall::python
