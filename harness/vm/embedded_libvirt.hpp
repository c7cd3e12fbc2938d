// The folder of a libvirt that runs inside this process, `qemu:///embed?root=FOLDER`: it needs no
// daemon, no configuration and no rights.
//
// A QEMU of such a libvirt is an orphan, which becomes a child of this process (and must be reaped
// here before libvirt believes in its end), and it outlives the process. So this process has a last
// will: to kill what is left and to remove the folder if it is ours. farcall vm finds what that
// missed.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"

namespace farcall::vm {

// The folder that `uri` names, if it is that of an embedded libvirt; empty if it is another URI.
std::string embedded_root(const std::string& uri);

class EmbeddedLibvirt {
 public:
  // In a fresh folder, with a cache of QEMU's capabilities that all runs of this user share; or in
  // `root`. Errors: file.unwritable.
  static Result<EmbeddedLibvirt> prepare(const std::string& root = "");

  const std::string& root() const { return root_; }
  // The process id of a domain's QEMU; 0: there is none.
  int qemu_of(const std::string& domain) const;
  std::string uri() const { return "qemu:///embed?root=" + root_; }

 private:
  explicit EmbeddedLibvirt(std::string root) : root_(std::move(root)) {}

  std::string root_;
};

// A QEMU in a folder of this user's that EmbeddedLibvirt made, or such a folder without any.
struct EmbeddedDomain {
  std::string root;
  std::string name;  // of the domain; the folder's, where there is none
  int owner = 0;     // process id of its farcall
  int qemu = 0;      // process id; 0: it does not run
};
std::vector<EmbeddedDomain> embedded_domains();

// Ends it and removes its folder. Errors: file.unwritable.
Result<void> remove(const EmbeddedDomain& domain);

}  // namespace farcall::vm
