// The folder of a libvirt that runs inside this process, `qemu:///embed?root=FOLDER`: it needs no
// daemon, no configuration and no rights.
//
// A QEMU of such a libvirt is an orphan, which becomes a child of this process (and must be reaped
// here before libvirt believes in its end), and it outlives the process. So a shell waits for the
// end of this process, kills what is left and removes the folder if it is ours; farcall vm finds
// what that shell missed.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "vm/file_descriptor.hpp"

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
  EmbeddedLibvirt(std::string root, FileDescriptor life)
      : root_(std::move(root)), life_(std::move(life)) {}

  std::string root_;
  FileDescriptor life_;  // the shell waits for its end
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
