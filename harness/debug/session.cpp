#include "debug/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/files.hpp"
#include "bpf/disassembler.hpp"
#include "model/code_map.hpp"
#include "model/json.hpp"
#include "model/region.hpp"
#include "show/symbol.hpp"
#include "show/symbol_file.hpp"
#include "vm/machine_spec.hpp"

namespace farcall::debug {
namespace {

std::string hex(GuestAddress address) {
  return fmt::format("{:#x}", address.value);
}

model::Json or_null(const std::optional<GuestAddress>& address) {
  return address ? model::Json(hex(*address)) : model::Json(nullptr);
}

std::vector<show::Symbol> symbols_of(const model::Cell& cell, const model::CodeImage& image) {
  return show::symbols(image, cell.program.get(), cell.axes.endian, show::TagHash::sha1);
}

model::Json functions_json(const model::Cell& cell, const model::CodeImage& image) {
  const model::CodeMap map = cell.program
                                 ? code_map(*cell.program, image)
                                 : model::CodeMap{{}, {image.functions.size(), std::nullopt}};
  const std::vector<show::Symbol> symbols = symbols_of(cell, image);
  model::Json functions = model::Json::array();
  for (std::uint32_t i = 0; i < image.functions.size(); ++i) {
    const model::CodeFunction& function = image.functions[i];
    model::Json instructions = model::Json::array();
    for (const model::PlacedInstruction& placed : map.instructions) {
      if (placed.function == i) {
        instructions.push_back({{"slot", placed.slot - cell.program->functions[i].begin},
                                {"text", bpf::disassemble_instruction(*cell.program, placed.slot)},
                                {"begin", hex(placed.begin)},
                                {"bytes", placed.bytes}});
      }
    }
    functions.push_back({{"name", function.name},
                         {"symbol", symbols[i].name},
                         {"code", hex(function.code())},
                         {"bytes", (function.words.size() - function.descriptor_words) * 4},
                         {"epilogue", or_null(map.epilogues[i])},
                         {"instructions", std::move(instructions)}});
  }
  return functions;
}

model::Json calls_json(const model::CodeImage& image,
                       const std::vector<model::DecodedCall>& decoded) {
  model::Json calls = model::Json::array();
  for (const model::CodeCall& call : image.calls) {
    const auto found = std::ranges::find(decoded, call.at, &model::DecodedCall::at);
    const auto callee = [&](model::CodeCallee of) { return image.functions[of.function].name; };
    calls.push_back({{"site", site_name(image, call.site)},
                     {"at", hex(call.at)},
                     {"callee", call.callee ? model::Json(callee(*call.callee)) : nullptr},
                     {"target", call.callee ? model::Json(hex(call.callee->target)) : nullptr},
                     {"decoded", or_null(found == decoded.end() ? std::nullopt : found->target)}});
  }
  return calls;
}

// What lies where in the guest while the program runs.
model::Json parts_json(const model::Cell& cell, const model::CodeImage& image,
                       const model::Job& job) {
  model::Json parts = model::Json::array();
  const auto add = [&parts](std::string_view name, GuestAddress address, std::uint64_t bytes) {
    parts.push_back({{"name", name}, {"address", hex(address)}, {"bytes", bytes}});
  };
  for (const model::CodeFunction& function : image.functions) {
    add(function.name, function.address, function.words.size() * 4);
  }
  for (const bpf::MemoryRegion& region : cell.memory) {
    add(region.name, region.address, region.bytes.size());
  }
  add("stack", cell.placement.stack, model::kStackBytes);
  add("return gate", job.gate, 4);
  return parts;
}

model::Json regions_json(model::Mmu mmu) {
  model::Json regions = model::Json::array();
  for (const model::Region& region : model::regions(mmu)) {
    regions.push_back({{"name", region.name}, {"address", hex(region.start)}});
  }
  return regions;
}

}  // namespace

model::Json session_json(const model::Cell& cell, const check::Testimony& prepared,
                         const StopPoint& stop) {
  const model::CodeImage& image = *prepared.image;
  model::Json json = model::document_header();
  json["cell"] = cell.name;
  json["functions"] = functions_json(cell, image);
  json["calls"] = calls_json(image, prepared.decoded);
  json["bpf_registers"] = image.bpf_registers;
  json["gate"] = hex(prepared.job->gate);
  json["parts"] = parts_json(cell, image, *prepared.job);
  json["regions"] = regions_json(cell.axes.mmu);
  json["stop"] = {{"address", hex(stop.address)}, {"earlier", stop.earlier}, {"why", stop.why}};
  return json;
}

Result<SessionFiles> SessionFiles::write(const std::filesystem::path& folder,
                                         const std::string& socket,
                                         const std::filesystem::path& images,
                                         const model::Cell& cell, const check::Testimony& prepared,
                                         const StopPoint& stop) {
  const model::CodeImage& image = *prepared.image;
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  FARCALL_TRY(will, vm::LastWill::to_remove(folder.string()));
  SessionFiles files(folder, socket, std::move(will));
  const std::vector<std::byte> symbols =
      show::symbol_file(image, symbols_of(cell, image), cell.axes, show::OwnNames::yes);
  FARCALL_TRYV(write_output(folder / "symbols.elf",
                            {reinterpret_cast<const char*>(symbols.data()), symbols.size()}));
  model::Json session = session_json(cell, prepared, stop);
  session["endian"] = cell.axes.endian == model::Endian::big ? "big" : "little";
  const std::string guest = vm::image_name(cell.axes.endian, cell.axes.mmu);
  session["guest"] = (images / guest).replace_extension(".elf").string();
  session["symbols"] = (folder / "symbols.elf").string();
  session["socket"] = socket;
  FARCALL_TRYV(write_output(folder / "session.json", model::json_text(session, 1) + "\n"));
  const std::string script =
      fmt::format("source {}\nfarcall session {}\nfarcall start\n",
                  (images / "farcall_gdb.py").string(), (folder / "session.json").string());
  FARCALL_TRYV(write_output(files.script(), script));
  return files;
}

SessionFiles::~SessionFiles() {
  if (!folder_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
    std::filesystem::remove(socket_, ignored);
    will_.revoke();  // another session may have a folder of this name soon
  }
}

}  // namespace farcall::debug
