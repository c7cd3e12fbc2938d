// Machine: a running bare guest that takes batches of jobs.
//
//   auto machine = Machine::start(spec);         // boots while the caller prepares its jobs
//   machine.value().submit(jobs);                // up to two batches are in flight
//   auto seen = machine.value().collect();       // the oldest of them
//
// Neither a fault, nor an endless loop, nor a wild store of a job ends more than that job. What
// does end a machine is an error here; it stays ended, and a new one must be started.
//
// With the direct host, QEMU dies with the thread that called start(), whatever happens to it:
// start a machine from a thread that lives as long. A Machine may be used from any thread, but only
// from one at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/job.hpp"
#include "vm/host.hpp"
#include "vm/machine_spec.hpp"

namespace farcall::vm {

inline constexpr std::size_t kMaxBatchesInFlight = 2;

class Machine {
 public:
  // Returns once `host` runs QEMU; the guest boots by itself. `host` must outlive the machine.
  // Errors: machine.no-qemu, machine.no-image, machine.start (also for radix translation on a
  // power8, which has none), and those of the host.
  static Result<Machine> start(const MachineSpec& spec, Host& host = direct_host());

  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  // Ends QEMU at once and reaps it.
  ~Machine();

  // Hands the longest prefix of `jobs` that fits into one batch to the guest, and returns how many
  // jobs that is: 0 if two batches are in flight already. The jobs are copied. Errors are about the
  // first job, which can never run (machine.job-too-large, place.misaligned, place.overlap,
  // place.unmappable; the machine lives on), or machine.lost.
  Result<std::size_t> submit(std::span<const model::Job> jobs);

  // Waits for the oldest batch in flight and returns what was seen, in the order of its jobs;
  // nothing if there is none. Once `stopped` says so, it waits no longer: the machine ends, and
  // that is machine.lost, too. Errors: machine.lost, machine.timeout, machine.bad-answer,
  // machine.runner-fault.
  Result<std::vector<model::Observations>> collect(const std::function<bool()>& stopped = nullptr);

  // Sets a guest with hash translation to radix translation, for all that is submitted afterwards. No
  // batch may be in flight.
  void use_radix();

  // Whether the guest has booted: what ends it from then on may be one of its jobs.
  bool booted() const;

  // From now on, the guest looks for the next batch for about `time` before it sleeps: a whole CPU,
  // for who sends single jobs in quick succession. To be woken up takes longer than a small job.
  void stay_awake(std::chrono::microseconds time);

  // Waits until the guest has booted and stops its CPU, which a debugger sets going again. Jobs may
  // be submitted meanwhile. Errors: machine.start, machine.timeout, machine.lost.
  Result<void> pause();

  // Lets QEMU serve a debugger at this path, a Unix socket that QEMU makes; a debugger stops the
  // guest. It must ask for the description of the target first, as gdb does: QEMU 7.2 aborts if it
  // is asked for registers before. Errors: machine.start.
  Result<void> serve_gdb(const std::string& socket);

  // What the guest has written to its console up to now, but for doorbells.
  std::string console();

  // QEMU's process id, for people and tests; 0 if the host does not say.
  int process_id() const;

 private:
  struct State;
  explicit Machine(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace farcall::vm
