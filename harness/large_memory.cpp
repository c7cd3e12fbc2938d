// Memory of many megabytes comes in large pages where the system has them: a program's region may have
// 16 MiB and is copied for each witness, and 4,096 page faults take longer than that.
#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t kLargePage = std::size_t{2} << 20;

void* allocate(std::size_t size) {
  if (size < 2 * kLargePage) {
    return std::malloc(size);
  }
  const std::size_t whole = (size + kLargePage - 1) & ~(kLargePage - 1);
  void* const memory = whole < size ? nullptr : std::aligned_alloc(kLargePage, whole);
  if (memory != nullptr) {
    (void)::madvise(memory, whole, MADV_HUGEPAGE);  // if not: it is only slower
  }
  return memory;
}

}  // namespace

// NOLINTBEGIN(misc-new-delete-overloads): they end in malloc's memory, as those of libstdc++ do
void* operator new(std::size_t size) {
  while (true) {
    if (void* const memory = allocate(size == 0 ? 1 : size)) {
      return memory;
    }
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) {
      throw std::bad_alloc();
    }
    handler();
  }
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
// NOLINTEND(misc-new-delete-overloads)
