// libbpf, without what it would print: errors here say it.
#pragma once

#include <bpf/libbpf.h>

namespace farcall::bpf {

// Once, whichever thread is first: libbpf up to 1.1 sets a plain variable.
inline void quiet_libbpf() {
  [[maybe_unused]] static const libbpf_print_fn_t before = libbpf_set_print(nullptr);
}

}  // namespace farcall::bpf
