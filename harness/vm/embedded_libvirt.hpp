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
#include "vm/last_will.hpp"

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
  EmbeddedLibvirt(std::string root, LastWill will)
      : root_(std::move(root)), will_(std::move(will)) {}

  std::string root_;
  LastWill will_;
};

// A QEMU in a folder that EmbeddedLibvirt made.
struct EmbeddedDomain {
  std::string root;
  std::string name;
  int qemu = 0;  // process id
};
std::vector<EmbeddedDomain> embedded_domains();

// Ends it and removes its folder.
void remove(const EmbeddedDomain& domain);

}  // namespace farcall::vm
