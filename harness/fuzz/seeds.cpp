#include "fuzz/seeds.hpp"

#include <fmt/format.h>

#include <bit>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "bpf/codec.hpp"
#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/matrix.hpp"
#include "fuzz/target.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"
#include "model/json.hpp"

namespace farcall::fuzz {
namespace {

namespace fs = std::filesystem;

// Large seeds, and cases of many cells, take their time and lead nowhere that small ones do not: the
// document of a program of 60,000 instructions takes minutes under sanitizers.
constexpr std::size_t kMostBytes = 4096;
constexpr std::size_t kMostSeedSlots = 256;
constexpr std::size_t kMostCells = 16;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& text) {
  if (text.size() > kMostBytes) {
    return;
  }
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// A document of the first cell, as far as it comes.
std::string document_of(const model::Cell& cell) {
  model::Document document{.cell = cell};
  if (auto linked = link::link_program(cell)) {
    if (auto image = jit::compile(linked.value(), cell.axes)) {
      document.image = std::move(image).value();
    }
    document.linked = std::move(linked).value();
  }
  return model::json_text(to_json(document, "image"));
}

std::string bundle_of(const model::Cell& cell) {
  const model::Json document = model::parse_json(document_of(cell));
  const model::Json json = {
      {"farcall", {{"format", model::kJsonFormat}, {"version", "0"}}},
      {"qemu", "0"},
      {"cells",
       {{{"document", document}, {"seed", 1}, {"verdict", {{"findings", model::Json::array()}}}}}}};
  return model::json_text(json);
}

// A program as the suite's runner hands it over, without memory.
std::string call_of(const bpf::Program& program) {
  std::string call(2, '\0');
  for (const std::byte byte : bpf::encode(program.slots, std::endian::native)) {
    call += fmt::format("{:02x} ", std::to_integer<unsigned>(byte));
  }
  return call;
}

constexpr std::string_view kSymbols =
    "c00800000012a468 t bpf_prog_0123456789abcdef_main\t[bpf]\n"
    "c000000000001000 T start_kernel\n";
constexpr std::string_view kListed =
    R"([{"id": 1, "type": "xdp", "name": "main", "tag": "0123456789abcdef"}])";

}  // namespace

void write_seeds(const fs::path& cases, const fs::path& folder) {
  const auto files = cases::find_case_files(std::vector<std::string>{cases.string()});
  require(files.errors.empty(), "case files");
  for (const std::string& file : files.files) {
    const std::string name = fs::path(file).stem().string();
    const auto parsed = cases::read_case(file);
    const auto made =
        parsed ? cases::cells(parsed.value(), {.site = some_site, .sizes = {}}) : parsed.error();
    if (!made || made.value().size() > kMostCells ||
        parsed.value().program->slots.size() > kMostSeedSlots) {
      continue;
    }
    write(folder / "case" / name, contents(file));
    write(folder / "program" / name, program_input(*parsed.value().program));
    write(folder / "document" / name, document_of(made.value().front()));
    write(folder / "bundle" / name, bundle_of(made.value().front()));
    write(folder / "plugin" / name, call_of(*parsed.value().program));
  }
  write(folder / "tags" / "kallsyms", std::string(kSymbols));
  write(folder / "tags" / "bpftool", std::string(kListed));
  write(folder / "jit" / "answer", jit_answer());
  write(folder / "kernel" / "reply", kernel_reply());
  for (const auto& entry : fs::recursive_directory_iterator(cases)) {
    if (entry.path().extension() == ".o") {
      write(folder / "object" / entry.path().filename(), contents(entry.path()));
    }
  }
}

}  // namespace farcall::fuzz
