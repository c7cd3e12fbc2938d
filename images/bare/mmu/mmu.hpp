// The translated address space of a job. The runner itself is in real mode and has no part in it.
//
// Each kind of translation is one file; the host says which one a machine uses
// (wire::Control::mmu).
#pragma once

#include <cstdint>

#include "wire/mailbox.hpp"

namespace farcall::bare {

struct Mmu {
  wire::Mmu kind;

  // Once, before the first job. That of radix translation may come after jobs with hash translation;
  // QEMU does not go back.
  void (*initialize)();

  // Maps `page_count` pages of physical memory at `address`, for problem state. Only pages that are
  // not mapped yet, and as many and at such addresses as the MMU admits: the host has seen to that.
  void (*map_pages)(std::uint64_t address, std::uint64_t physical, std::uint64_t page_count,
                    wire::Access access);

  // Maps the gate's page likewise, as the first one of a job. Most jobs have the same, so that mapping
  // may stay until one differs.
  void (*map_gate)(std::uint64_t address, std::uint64_t physical);

  // Makes what map_pages() did visible to the job that starts next.
  void (*finish_mapping)();

  // Takes everything away again that map_pages() did since the last time: the next job begins with an
  // empty address space, but for a gate.
  void (*unmap_all)();
};

extern const Mmu kRadix;
extern const Mmu kHash;

}  // namespace farcall::bare
