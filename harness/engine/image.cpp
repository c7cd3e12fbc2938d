#include "engine/image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bpf/instruction.hpp"
#include "jit/compile.hpp"

namespace farcall::engine {
namespace {

struct Extent {
  std::string name;
  GuestAddress first;
  GuestAddress last;  // its last byte: what ends an address space has no end
};

std::vector<Extent> extents(const model::Cell& cell, const model::CodeImage& image) {
  std::vector<Extent> all;
  const auto add = [&all](const std::string& name, GuestAddress first, std::uint64_t bytes) {
    if (bytes != 0) {
      all.push_back({name, first, first + (bytes - 1)});
    }
  };
  for (const model::CodeFunction& function : image.functions) {
    add(function.name, function.address, function.words.size() * 4);
  }
  for (const bpf::MemoryRegion& region : cell.memory) {
    const auto instead =
        std::ranges::find(image.kernel_memory, region.address, &model::KernelMemory::address);
    add(region.name, region.address,
        instead == image.kernel_memory.end() ? region.bytes.size() : instead->bytes.size());
  }
  for (const model::KernelMemory& memory : image.kernel_memory) {
    if (std::ranges::find(cell.memory, memory.address, &bpf::MemoryRegion::address) ==
        cell.memory.end()) {
      add("the kernel's memory", memory.address, memory.bytes.size());
    }
  }
  add("stack", cell.placement.stack, model::kStackBytes);
  return all;
}

GuestAddress page_of(GuestAddress address) {
  return {address.value & ~(model::kPageBytes - 1)};
}

// The placement is made for farcall's own code: other code may be larger.
Result<void> check_extents(std::vector<Extent> all) {
  std::ranges::sort(all, {}, &Extent::first);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].last < all[i].first) {
      return Error{.code = ErrorCode::jit_declined,
                   .message = fmt::format("this JIT's code of {} at {} runs past the end of the "
                                          "address space",
                                          all[i].name, to_string(all[i].first))};
    }
    if (i != 0 && all[i].first <= all[i - 1].last) {
      return Error{.code = ErrorCode::jit_declined,
                   .message = fmt::format("with this JIT's code, {} at {} runs into {} at {}",
                                          all[i - 1].name, to_string(all[i - 1].first), all[i].name,
                                          to_string(all[i].first))};
    }
  }
  return success();
}

// The first page from here on that nothing touches.
GuestAddress free_page(const std::vector<Extent>& all) {
  GuestAddress page = {0xc000'0000'0000'8000};
  while (std::ranges::any_of(all, [&](const Extent& extent) {
    return page_of(extent.first) <= page && page <= page_of(extent.last);
  })) {
    page = page + model::kPageBytes;
  }
  return page;
}

}  // namespace

Result<void> complete(const model::Cell& cell, model::CodeImage& image, HelperEntry helper_entry) {
  for (const bpf::CallInstruction& made : call_instructions(*cell.program)) {
    const auto call = std::ranges::find(image.calls, made.site, &model::CodeCall::site);
    if (call != image.calls.end() && made.slot < cell.program->slots.size()) {
      call->is_tail = is_tail_call(cell.program->slots[made.slot]);
      call->is_jump = made.is_jump;
    }
  }
  jit::add_externals(cell, image);
  if (helper_entry == HelperEntry::global) {
    for (std::size_t i = cell.program->functions.size(); i < image.functions.size(); ++i) {
      image.functions[i].local_entry_words = 0;
    }
  }
  for (const bpf::CallInstruction& made : call_instructions(*cell.program)) {
    const auto call = std::ranges::find(image.calls, made.site, &model::CodeCall::site);
    if (call != image.calls.end() && made.callee) {
      call->callee = callee(image, *call, *made.callee);
    }
  }
  const std::vector<Extent> all = extents(cell, image);
  FARCALL_TRYV(check_extents(all));
  if (image.thread_area) {
    image.thread_area->address = free_page(all);
  }
  return success();
}

}  // namespace farcall::engine
