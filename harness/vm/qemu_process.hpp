// What /proc says of QEMUs that libvirt has started, and what becomes of their zombies.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace farcall::vm {

// A process that runs QEMU for a domain whose name begins so; 0: there is none to be seen.
int find_qemu(const std::string& domain_begin);

// Whether the process runs QEMU for the domain of this name.
bool is_qemu_of(int process, const std::string& domain);

// Gone, or only waiting to be reaped.
bool is_dead(int process);

// An embedded libvirt that does not know this machine's QEMUs starts each, asks it what it can, and
// kills it; one that it cannot start dies before it is a QEMU. They are orphans, which a subreaper
// inherits, and libvirt waits 20 s for the end of each: so as long as this lives, they are reaped.
class OrphanReaper {
 public:
  OrphanReaper();

 private:
  std::mutex mutex_;
  std::condition_variable_any ended_;
  std::jthread thread_;  // ends first
};

}  // namespace farcall::vm
