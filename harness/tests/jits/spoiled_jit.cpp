// A JIT as a process that is farcall's own with defects in it, for tests of what finds them: the
// defects are its arguments, all that it knows if there are none.
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bpf/instruction.hpp"
#include "engine/farcall_jit.h"
#include "engine/jit.hpp"
#include "model/cell.hpp"

namespace farcall::engine {
namespace {

struct Request {
  model::Document document;
  std::uint32_t number = 0;
};

Request read(const std::vector<farcall_u8>& bytes) {
  const farcall_request request = farcall_request_at(bytes.data());
  auto program = std::make_shared<bpf::Program>();
  Request read{.number = request.number};
  model::Cell& cell = read.document.cell;
  cell.name = "request";
  cell.axes = {.endian = (request.flags & FARCALL_BIG_ENDIAN) != 0 ? model::Endian::big
                                                                   : model::Endian::little,
               .cpu = request.cpu == 8   ? model::Cpu::power8
                      : request.cpu == 9 ? model::Cpu::power9
                                         : model::Cpu::power10,
               .abi = (request.flags & FARCALL_ELFV1) != 0 ? model::Abi::elfv1 : model::Abi::elfv2};
  cell.placement.toc = {request.toc};
  cell.placement.call_base = {request.call_base};
  for (farcall_u32 i = 0; i < request.function_count; ++i) {
    const farcall_u8* const at = request.functions + i * FARCALL_FUNCTION_BYTES;
    cell.placement.functions.push_back({farcall_get64(at)});
    program->functions.push_back(
        {.name = "f" + std::to_string(i),
         .begin = farcall_get32(at + 8),
         .end = farcall_get32(at + 12),
         .begins_program = (farcall_get32(at + 16) & FARCALL_PROGRAM) != 0});
  }
  for (farcall_u32 i = 0; i < request.external_count; ++i) {
    const farcall_u8* const at = request.externals + i * FARCALL_EXTERNAL_BYTES;
    const auto type = [at](int k) {
      return bpf::ValueType{.bits = static_cast<std::uint8_t>(at[24 + k] & 0x7f),
                            .is_signed = (at[24 + k] & 0x80) != 0};
    };
    // Its code is farcall's business: of which native function that is does not matter here.
    bpf::External external{
        .name = "no_op",
        .kind = farcall_get32(at + 16) == 0 ? bpf::ExternalKind::helper : bpf::ExternalKind::kfunc,
        .id = static_cast<std::int32_t>(farcall_get32(at + 20))};
    for (int k = 0; k < 5; ++k) {
      external.signature.arguments[static_cast<std::size_t>(k)] = type(k);
    }
    external.signature.result = type(5);
    cell.placement.functions.push_back({farcall_get64(at)});
    program->externals.push_back(std::move(external));
  }
  for (farcall_u32 i = 0; i < request.map_count; ++i) {
    const farcall_u8* const at = request.maps + i * FARCALL_MAP_BYTES;
    const std::string name = "m" + std::to_string(i);
    program->maps.push_back({.name = name, .value_bytes = farcall_get32(at + 8)});
    cell.memory.push_back({.name = name, .address = {farcall_get64(at)}, .bytes = {}});
  }
  for (farcall_u32 i = 0; i < request.slot_count; ++i) {
    const farcall_u8* const at = request.slots + i * FARCALL_SLOT_BYTES;
    program->slots.push_back({.opcode = at[0],
                              .dst = static_cast<std::uint8_t>(at[1] & 15),
                              .src = static_cast<std::uint8_t>(at[1] >> 4),
                              .offset = static_cast<std::int16_t>(at[2] | at[3] << 8),
                              .imm = static_cast<std::int32_t>(farcall_get32(at + 4))});
  }
  cell.program = std::move(program);
  return read;
}

constexpr std::uint32_t kNop = 0x60000000;

// The defects, each by its name, on the words of a function after its descriptor.
void spoil(const std::set<std::string>& defects, std::vector<std::uint32_t>& words) {
  bool calls = false;
  for (const std::uint32_t word : words) {
    calls = calls || word == 0x4e800421;
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::uint32_t& word = words[i];
    // lis r12,-16376: the top of an address of vmalloc is lost, and the call goes to the linear
    // map.
    if (defects.contains("far") && word == 0x3d80c008) {
      word = 0x3d80c000;
    }
    // srawi of 16 and more shifts by one less.
    if (defects.contains("srawi") && (word & 0xfc0007fe) == 0x7c000670 && (word >> 11 & 31) >= 16) {
      word -= 1U << 11;
    }
    // sth to an odd offset stores a byte.
    if (defects.contains("sth") && word >> 26 == 44 && (word & 1) != 0) {
      word -= 6U << 26;
    }
    // A jump by CTR goes on instead.
    if (defects.contains("gotox") && word == 0x4e800420) {
      word = kNop;
    }
    // A function that calls does not restore r29.
    if (defects.contains("restore") && calls && (word & 0xffff0003) == 0xeba10000) {
      word = kNop;
    }
  }
}

std::vector<farcall_u8> answer(const Request& request, const Compiled& compiled,
                               const std::set<std::string>& defects) {
  std::vector<farcall_u8> bytes;
  const auto put = [&bytes](std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) {
      bytes.push_back(static_cast<farcall_u8>(value >> (8 * i)));
    }
  };
  put(0, 4);
  put(request.number, 4);
  if (!compiled.image) {
    put(FARCALL_REFUSED, 4);
    for (const char c : compiled.image.error().message) {
      bytes.push_back(static_cast<farcall_u8>(c));
    }
  } else {
    const model::CodeImage& image = compiled.image.value();
    const std::size_t count = request.document.cell.program->functions.size();
    put(FARCALL_IMAGE, 4);
    put(count, 4);
    for (std::size_t i = 0; i < 11; ++i) {
      put(i < image.bpf_registers.size() ? image.bpf_registers[i] : 255, 1);
    }
    put(0, 5);
    put(0, 4);
    for (std::size_t i = 0; i < count; ++i) {
      model::CodeFunction function = image.functions[i];
      const auto code = function.words.begin() + function.descriptor_words;
      std::vector<std::uint32_t> words(code, function.words.end());
      spoil(defects, words);
      std::copy(words.begin(), words.end(), code);
      put(function.address.value, 8);
      for (const std::size_t number :
           {function.words.size(), std::size_t{function.descriptor_words},
            std::size_t{function.tail_entry_words}, std::size_t{function.stub_words},
            function.lines.size(), std::size_t{0}, std::size_t{0}}) {
        put(number, 4);
      }
      for (const std::uint32_t word : function.words) {
        put(word, 4);
      }
      for (const model::CodeLine& line : function.lines) {
        put(line.instruction, 4);
        put(line.word, 4);
      }
    }
  }
  farcall_put32(bytes.data(), static_cast<farcall_u32>(bytes.size()));
  return bytes;
}

}  // namespace
}  // namespace farcall::engine

int main(int argc, char** argv) {
  using namespace farcall::engine;
  std::set<std::string> defects(argv + 1, argv + argc);
  if (defects.empty()) {
    defects = {"far", "srawi", "sth"};
  }
  const auto compiler = farcall_jit().start({});
  for (farcall_u8 size[4]; std::fread(size, 1, 4, stdin) == 4;) {
    std::vector<farcall_u8> bytes(farcall_get32(size));
    std::memcpy(bytes.data(), size, 4);
    if (std::fread(bytes.data() + 4, 1, bytes.size() - 4, stdin) != bytes.size() - 4) {
      return 1;
    }
    const Request request = read(bytes);
    const farcall::model::Document* const one = &request.document;
    const std::vector<farcall_u8> made =
        answer(request, compiler->compile(std::span(&one, 1)).front(), defects);
    std::fwrite(made.data(), 1, made.size(), stdout);
    std::fflush(stdout);
  }
}
