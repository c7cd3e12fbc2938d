#include "engine/kernel_build.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/cache_folder.hpp"
#include "base/files.hpp"
#include "engine/overlay.hpp"
#include "process/file_descriptor.hpp"
#include "process/process.hpp"
#include "process/search_path.hpp"

namespace farcall::engine {
namespace {

namespace fs = std::filesystem;

// One compiler makes code of both byte orders.
constexpr std::string_view kCross = "powerpc64le-linux-gnu-";

constexpr std::string_view kPackages =
    "apt-get install gcc-powerpc64le-linux-gnu qemu-user make gcc flex bison bc";

// What the tree is configured as.
struct Configuration {
  std::string name;
  std::string settings;               // on top of the default ones
  std::string option;                 // which must come of it
  std::vector<std::string> compiler;  // flags
  std::vector<std::string> linker;
};

Configuration configuration(model::Endian endian, Variant variant) {
  const bool is_pcrel = variant == Variant::pcrel;
  switch (endian) {
    case model::Endian::little:
      return {.name = is_pcrel ? "le-pcrel" : "le",
              .settings = std::string("CONFIG_CPU_LITTLE_ENDIAN=y\n") +
                          (is_pcrel ? "CONFIG_POWER10_CPU=y\nCONFIG_PPC_KERNEL_PCREL=y\n" : ""),
              .option = is_pcrel ? "CONFIG_PPC_KERNEL_PCREL" : "",
              .compiler = {"-mlittle-endian"},
              .linker = {"-EL", "-m", "elf64lppc"}};
    case model::Endian::big:
      return {.name = "be",
              .settings = "CONFIG_PPC64_BIG_ENDIAN_ELF_ABI_V2=y\n",
              .option = "CONFIG_PPC64_BIG_ENDIAN_ELF_ABI_V2",
              .compiler = {"-mbig-endian"},
              .linker = {"-EB", "-m", "elf64ppc"}};
  }
  return {};
}

constexpr std::array<std::string_view, 4> kVariants = {"", "pcrel", "blinded", "probed"};

// What glue.c is told of it.
std::vector<std::string> definitions(Variant variant) {
  switch (variant) {
    case Variant::blinded:
      return {"-DFARCALL_BLINDED"};
    case Variant::probed:
      return {"-DFARCALL_PROBED"};
    case Variant::plain:
    case Variant::pcrel:
      break;
  }
  return {};
}

Error not_built(std::string message, std::string hint = {}) {
  return {.code = ErrorCode::jit_not_built, .message = std::move(message), .hint = std::move(hint)};
}

// SHA-256 of texts, each with its length, as hex digits; enough of them for a name.
class Hash {
 public:
  Hash() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_sha256(), nullptr); }
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;
  ~Hash() { EVP_MD_CTX_free(context_); }

  void add(std::string_view text) {
    const std::string size = fmt::format("{}:", text.size());
    EVP_DigestUpdate(context_, size.data(), size.size());
    EVP_DigestUpdate(context_, text.data(), text.size());
  }
  std::string name() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
    unsigned size = 0;
    EVP_DigestFinal_ex(context_, digest.data(), &size);
    std::string text;
    for (std::size_t i = 0; i < 12; ++i) {
      text += fmt::format("{:02x}", digest[i]);
    }
    return text;
  }

 private:
  EVP_MD_CTX* context_;
};

Result<std::string> find_tool(const std::string& name) {
  std::string path = process::program_on_path(name);
  if (path.empty()) {
    return not_built(fmt::format("{} is not installed", name), std::string(kPackages));
  }
  return path;
}

// How often somebody looks whether anybody still waits.
constexpr std::chrono::milliseconds kLookAtBuilder{50};

Error not_built_on() {
  return {.code = ErrorCode::jit_timeout,
          .message = "nobody waits for the JIT to be built any more"};
}

// Where tools work.
class Workshop {
 public:
  // `temporary` is the folder of their temporary files, which none of those that are killed removes.
  Workshop(fs::path temporary, const Stopped& stopped)
      : temporary_(std::move(temporary)), stopped_(stopped) {
    clear();
    std::error_code error;
    fs::create_directories(temporary_, error);
  }
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;
  ~Workshop() { clear(); }

  const fs::path& temporary() const { return temporary_; }
  bool is_waited_for() const { return !stopped_ || !stopped_(); }

 private:
  void clear() const {
    std::error_code error;
    fs::remove_all(temporary_, error);
  }

  fs::path temporary_;
  const Stopped& stopped_;
};

// Runs a tool to its end; its output. What it says of errors is the error. It is killed, with all that it
// has started, once nobody waits.
Result<std::string> run_tool(const std::string& tool, std::vector<std::string> arguments,
                             const Workshop& workshop) {
  FARCALL_TRY(program, find_tool(tool));
  FARCALL_TRY(output, process::memory_file("farcall-tool", 0));
  FARCALL_TRY(child,
              process::Process::start(
                  {.program = program,
                   .arguments = std::move(arguments),
                   .environment = {{"LC_ALL", "C"}, {"TMPDIR", workshop.temporary().string()}},
                   .input = {},
                   .output = output.number()},
                  {}));
  while (!child.wait_for(kLookAtBuilder)) {
    if (!workshop.is_waited_for()) {
      child.kill();
      return not_built_on();
    }
  }
  if (child.ending() != "exit status 0") {
    return not_built(fmt::format("{}: {}: {}", tool, child.ending(), child.first_errors()));
  }
  return process::contents(output);
}

Result<fs::path> programs_folder() {
  const auto cache = cache_folder();
  if (!cache) {
    return not_built(
        "there is no folder for what is built: neither XDG_CACHE_HOME nor HOME is set");
  }
  fs::path folder = *cache / "kernel-jit";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return not_built(fmt::format("cannot make {}: {}", folder.string(), error.message()));
  }
  return folder;
}

// Held while one process builds: others wait, and find what it made.
Result<process::FileDescriptor> lock(const fs::path& folder, const Stopped& stopped) {
  process::FileDescriptor file(
      ::open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  while (file.number() < 0 || ::flock(file.number(), LOCK_EX | LOCK_NB) != 0) {
    if (file.number() < 0 || (errno != EWOULDBLOCK && errno != EINTR)) {
      return not_built(fmt::format("cannot lock {}", folder.string()));
    }
    if (stopped && stopped()) {
      return not_built_on();
    }
    std::this_thread::sleep_for(kLookAtBuilder);
  }
  return file;
}

// What decides how the tree is configured, as far as its JIT has to do with it.
std::string configuration_name(const fs::path& tree, const Configuration& configuration) {
  Hash hash;
  hash.add(tree.string());
  hash.add(configuration.settings);
  const std::array kKconfigs = {"Kconfig",      "Makefile",           "init/Kconfig",
                                "mm/Kconfig",   "kernel/bpf/Kconfig", "net/Kconfig",
                                "arch/Kconfig", "lib/Kconfig"};
  for (const char* const file : kKconfigs) {
    hash.add(file_contents(tree / file));
  }
  std::vector<fs::path> files;
  for (const char* const folder : {"arch/powerpc/configs", "arch/powerpc/platforms"}) {
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(tree / folder, error)) {
      const std::string name = entry.path().filename().string();
      if (name.find("config") != std::string::npos || name.starts_with("Kconfig")) {
        files.push_back(entry.path());
      }
    }
  }
  files.push_back(tree / "arch/powerpc/Kconfig");
  std::ranges::sort(files);
  for (const fs::path& file : files) {
    hash.add(file_contents(file));
  }
  return configuration.name + "-" + hash.name();
}

// A configured tree: itself, where its sources are seen, and its configuration.
struct Configured {
  fs::path tree;
  fs::path source;
  fs::path build;
};

// Configures the tree, as its `.config` says and by default: one pass, of which each takes seconds.
Result<void> make(const Configured& configured, const Workshop& workshop) {
  FARCALL_TRYV(
      run_tool("make",
               {"-s", "-C", configured.source.string(), "ARCH=powerpc",
                fmt::format("CROSS_COMPILE={}", kCross), "HOSTCFLAGS=-O0",
                fmt::format("O={}", configured.build.string()), "olddefconfig", "asm-generic"},
               workshop));
  return success();
}

// `autoconf.h` and the headers that stand for generic ones. No more is needed: the JIT looks into
// no structure whose size a build finds out.
Result<void> configure(const Configured& configured, const Configuration& configuration,
                       const Workshop& workshop) {
  const fs::path done = configured.build / "configured";
  if (fs::exists(done)) {
    return success();
  }
  std::error_code error;
  fs::remove_all(configured.build, error);  // what is there was not finished
  fs::create_directories(configured.build, error);
  std::ofstream(configured.build / ".config")
      << file_contents(configured.tree / "arch/powerpc/configs/ppc64_defconfig")
      << configuration.settings;
  FARCALL_TRYV(make(configured, workshop));
  if (!fs::exists(configured.build / "include/generated/autoconf.h")) {
    return not_built(fmt::format("{} made no configuration", configured.source.string()));
  }
  if (!configuration.option.empty() &&
      file_contents(configured.build / "include/generated/autoconf.h")
              .find(fmt::format("#define {} 1\n", configuration.option)) == std::string::npos) {
    return not_built(fmt::format("{} has no configuration with {}", configured.tree.string(),
                                 configuration.option));
  }
  std::ofstream(done) << configuration.name << '\n';
  return success();
}

std::vector<std::string> compiler_flags(const Configured& configured, const fs::path& glue,
                                        const Configuration& configuration) {
  const std::string source = configured.source.string();
  const std::string build = configured.build.string();
  const std::string arch = source + "/arch/powerpc";
  std::vector<std::string> flags = {
      "-nostdinc",
      "-I" + arch + "/include",
      "-I" + build + "/arch/powerpc/include/generated",
      "-I" + source + "/include",
      "-I" + build + "/include",
      "-I" + arch + "/include/uapi",
      "-I" + build + "/arch/powerpc/include/generated/uapi",
      "-I" + source + "/include/uapi",
      "-I" + build + "/include/generated/uapi",
      "-I" + (glue / "include").string(),
      "-include",
      source + "/include/linux/compiler-version.h",
      "-include",
      source + "/include/linux/kconfig.h",
      "-include",
      source + "/include/linux/compiler_types.h",
      "-D__KERNEL__",
      "-I" + arch,
      "-I" + arch + "/net",
      "-I" + glue.string(),
      "-DHAVE_AS_ATHIGH=1",
      "-DKBUILD_MODNAME=\"jit\"",
      "-DKBUILD_BASENAME=\"jit\"",
      "-DKBUILD_MODFILE=\"jit\"",
      "-D__KBUILD_MODNAME=jit",
      "-fmacro-prefix-map=" + source + "/=",
      "-std=gnu11",
      "-O1",  // a third less time to compile, and its speed matters little
      "-w",
      "-m64",
      "-mabi=elfv2",
      "-mcmodel=medium",
      "-mcpu=power8",
      "-msoft-float",
      "-mno-altivec",
      "-mno-vsx",
      "-fms-extensions",  // since 6.19, the kernel has structures without names in others
      "-fshort-wchar",
      "-funsigned-char",
      "-fno-common",
      "-fno-PIE",
      "-fno-strict-aliasing",
      "-fno-strict-overflow",
      "-fno-delete-null-pointer-checks",
      "-fno-asynchronous-unwind-tables",
      "-fno-stack-protector",
      "-fno-builtin",
      "-fno-tree-loop-distribute-patterns",
  };
  // In the tree itself: the first time, there is no overlay yet.
  if (fs::exists(configured.tree / "arch/powerpc/include/asm/text-patching.h")) {
    flags.emplace_back("-DFARCALL_TEXT_PATCHING");
  }
  flags.insert(flags.end(), configuration.compiler.begin(), configuration.compiler.end());
  return flags;
}

// The files that make's kind of rule in `file` names.
std::vector<fs::path> prerequisites(const fs::path& file) {
  std::ifstream in(file);
  std::vector<fs::path> found;
  for (std::string word; in >> word;) {
    if (word != "\\" && !word.ends_with(':')) {
      found.emplace_back(word);
    }
  }
  return found;
}

// What is compiled by itself: an edit of one costs one compilation.
struct Part {
  std::string name;
  fs::path source;
  std::vector<std::string> flags;
};

constexpr std::string_view kWithStubs = "bpf_jit_comp";

std::vector<Part> parts_of(const Configured& configured, const fs::path& glue,
                           const Configuration& configuration, Variant variant) {
  const std::vector<std::string> flags = compiler_flags(configured, glue, configuration);
  const auto with = [&flags](const std::vector<std::string>& more) {
    std::vector<std::string> all = flags;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  std::vector<Part> parts;
  for (const std::string_view name : {kWithStubs, std::string_view("bpf_jit_comp64")}) {
    parts.push_back({.name = std::string(name),
                     .source = configured.source / "arch/powerpc/net" / fmt::format("{}.c", name),
                     .flags = with({"-include", (glue / "around.h").string()})});
  }
  parts.push_back({.name = fmt::format("glue{}", name(variant)),
                   .source = glue / "glue.c",
                   .flags = with(definitions(variant))});
  return parts;
}

// The name of what comes of the files that the part's last compilation read; empty: there was none.
std::string name_of(const Part& part, const fs::path& work) {
  const std::vector<fs::path> files = prerequisites(work / (part.name + ".d"));
  if (files.empty()) {
    return {};
  }
  Hash hash;
  for (const std::string& flag : part.flags) {
    hash.add(flag);
  }
  for (const fs::path& file : files) {
    hash.add(file_contents(file));
  }
  return hash.name();
}

std::string program_name(const std::vector<Part>& parts, const fs::path& work) {
  Hash hash;
  for (const Part& part : parts) {
    const std::string name = name_of(part, work);
    if (name.empty()) {
      return {};
    }
    hash.add(name);
  }
  return "jit-" + hash.name();
}

// Stands in for each function that nobody has: it says its name when it is called.
std::string stand_ins(const std::string& undefined) {
  std::istringstream lines(undefined);
  std::string text = "\t.text\n";
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    std::string symbol;
    words >> kind >> symbol;
    if (kind == "U" && symbol != ".TOC.") {
      text += fmt::format(
          "\t.globl {0}\n{0}:\n\taddis 3,2,1f@toc@ha\n\taddi 3,3,1f@toc@l\n\tb farcall_missing\n"
          "\tnop\n\t.section .rodata\n1:\t.asciz \"{0}\"\n\t.text\n",
          symbol);
    }
  }
  return text;
}

Result<void> compile(const fs::path& input, const fs::path& output, std::vector<std::string> flags,
                     const Workshop& workshop) {
  flags.insert(flags.end(), {"-c", "-o", output.string(), input.string()});
  FARCALL_TRYV(run_tool(fmt::format("{}gcc", kCross), std::move(flags), workshop));
  return success();
}

// Makes the part's object, unless the one that is there is of the same files.
Result<void> compile_part(const Part& part, const fs::path& work, const Workshop& workshop) {
  const fs::path object = work / (part.name + ".o");
  const fs::path made_of = work / (part.name + ".name");
  if (const std::string name = name_of(part, work);
      !name.empty() && fs::exists(object) && file_contents(made_of) == name) {
    return success();
  }
  fs::remove(made_of);
  std::vector<std::string> flags = part.flags;
  flags.insert(flags.end(), {"-MD", "-MF", (work / (part.name + ".d")).string()});
  FARCALL_TRYV(compile(part.source, object, std::move(flags), workshop));
  if (part.name == kWithStubs) {
    // What stubs the JIT appends to a function, it keeps to itself.
    FARCALL_TRYV(run_tool(fmt::format("{}objcopy", kCross),
                          {"--globalize-symbol=bpf_jit_ool_stub", object.string()}, workshop));
  }
  std::ofstream(made_of) << name_of(part, work);
  return success();
}

// Compiles and links in `work`, and leaves the program there as `jit`.
Result<void> build(const std::vector<Part>& parts, const fs::path& work,
                   const Configuration& configuration, const Workshop& workshop) {
  for (const Part& part : parts) {
    FARCALL_TRYV(compile_part(part, work, workshop));
  }
  const std::string ld = fmt::format("{}ld", kCross);
  const auto link = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = configuration.linker;
    all.insert(all.end(), more.begin(), more.end());
    return run_tool(ld, std::move(all), workshop);
  };
  const std::string all = (work / "all.o").string();
  std::vector<std::string> together = {"-r", "-o", all};
  for (const Part& part : parts) {
    together.push_back((work / (part.name + ".o")).string());
  }
  FARCALL_TRYV(link(together));
  FARCALL_TRY(undefined, run_tool(fmt::format("{}nm", kCross), {"-u", all}, workshop));
  std::ofstream(work / "missing.s") << stand_ins(undefined);
  std::vector<std::string> assembler = {"-mabi=elfv2"};
  assembler.insert(assembler.end(), configuration.compiler.begin(), configuration.compiler.end());
  FARCALL_TRYV(compile(work / "missing.s", work / "missing.o", assembler, workshop));
  FARCALL_TRYV(
      link({"-e", "_start", "-o", (work / "jit").string(), all, (work / "missing.o").string()}));
  return success();
}

}  // namespace

std::string_view name(Variant variant) {
  return kVariants[static_cast<std::size_t>(variant)];
}

std::optional<Variant> variant_named(std::string_view name) {
  const auto found = std::ranges::find(kVariants, name);
  return found == kVariants.end() || name.empty()
             ? std::nullopt
             : std::optional(static_cast<Variant>(found - kVariants.begin()));
}

Result<fs::path> build_kernel_jit(const fs::path& tree, const fs::path& glue, model::Endian endian,
                                  Variant variant, const Stopped& stopped) {
  if (!fs::exists(tree / "arch/powerpc/net/bpf_jit_comp64.c") || !fs::exists(tree / "Makefile")) {
    return not_built(fmt::format("{} is not a Linux source tree: it has no "
                                 "arch/powerpc/net/bpf_jit_comp64.c",
                                 tree.string()),
                     "expected kernel:DIR, as of Debian's package linux-source-6.12, unpacked");
  }
  FARCALL_TRY(cache, programs_folder());
  const fs::path source = fs::canonical(tree);
  const Configuration wanted = configuration(endian, variant);
  const fs::path folder = cache / configuration_name(source, wanted);
  std::error_code error;
  fs::create_directories(folder / "work", error);
  const auto locked = lock(folder, stopped);
  if (!locked) {
    return locked.error();
  }
  const Configured configured{
      .tree = source, .source = folder / "source", .build = folder / "build"};
  const fs::path work = folder / "work";
  const std::vector<Part> parts = parts_of(configured, glue, wanted, variant);
  if (const std::string name = program_name(parts, work);
      !name.empty() && fs::exists(folder / name)) {
    return folder / name;
  }
  for (const std::string_view tool : {"make", "gcc", "flex", "bison", "bc"}) {
    FARCALL_TRYV(find_tool(std::string(tool)));
  }
  for (const std::string_view tool : {"gcc", "ld", "objcopy", "nm"}) {
    FARCALL_TRYV(find_tool(fmt::format("{}{}", kCross, tool)));
  }
  const Workshop workshop(folder / "temporary", stopped);
  FARCALL_TRYV(make_overlay(source, configured.source, stopped));
  FARCALL_TRYV(configure(configured, wanted, workshop));
  FARCALL_TRYV(build(parts, work, wanted, workshop));
  fs::path program = folder / program_name(parts, work);
  fs::rename(work / "jit", program, error);
  if (error) {
    return not_built(fmt::format("cannot keep {}: {}", program.string(), error.message()));
  }
  return program;
}

Result<std::string> user_emulator(model::Endian endian) {
  return find_tool(endian == model::Endian::big ? "qemu-ppc64" : "qemu-ppc64le");
}

}  // namespace farcall::engine
