// A JIT under test: what makes code of cells. Ours is one of them.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "model/code_image.hpp"
#include "model/document.hpp"
#include "model/linked_program.hpp"

namespace farcall::engine {

// What came of a cell: its image, or why there is none. The linked program is there if the JIT
// works from one, and got as far.
struct Compiled {
  std::optional<model::LinkedProgram> linked;
  Result<model::CodeImage> image;
};

// Whether nobody waits any more; may be empty: somebody does.
using Stopped = std::function<bool()>;

// A JIT at work, for one thread: it may be a process, which dies with the thread that asked first.
class Compiler {
 public:
  Compiler() = default;
  Compiler(const Compiler&) = delete;
  Compiler& operator=(const Compiler&) = delete;
  virtual ~Compiler() = default;

  // How many cells it wants at a time.
  virtual std::size_t batch() const = 0;

  // One for each document, which has a program and no image; of its image's functions, those of the
  // program come first and its externals after them. A cell that the JIT says it does not support
  // is jit.declined, which is not a failure. Once nobody waits, what is not done yet is jit.timeout.
  virtual std::vector<Compiled> compile(std::span<const model::Document* const> documents) = 0;
};

struct Jit {
  std::string name;  // as the command line has it: `farcall`, `exec:./my-jit`, `kernel:../linux`
  // What it is, whatever its path: `kernel:6.12.107` for a tree of that version, else its name.
  std::string identity;
  std::function<std::unique_ptr<Compiler>(const Stopped& stopped)> start;
};

// Our own.
const Jit& farcall_jit();

// The one of that name: `farcall`, `exec:COMMAND`, `kernel:DIR`, `kernel:VERSION` of a source that
// was fetched, where no folder has that name; with `+pcrel`, `+blinded` or `+probed` after it, that
// variant of a kernel's, see kernel_build.hpp. `images` is the folder of guest images.
// usage.bad-argument, kernel.not-fetched, and what kernel_jit() and process_jit() fail with: of a
// kernel's, jit.timeout once nobody waits.
Result<Jit> jit_named(const std::string& name, const std::filesystem::path& images,
                      const Stopped& stopped = {});

// All of them, or what the first that cannot be had fails with.
Result<std::vector<Jit>> jits_named(std::span<const std::string> names,
                                    const std::filesystem::path& images,
                                    const Stopped& stopped = {});

// The folder with what makes a process of a kernel's JIT, and its defects' cases.
std::filesystem::path kernel_glue(const std::filesystem::path& images);

}  // namespace farcall::engine
