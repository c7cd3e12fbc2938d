#include "show/symbol_file.hpp"

#include <gelf.h>
#include <gmock/gmock.h>
#include <libelf.h>

#include <map>

#include "tests/show/support.hpp"

namespace farcall::show::symbol_file_test {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

struct ReadSymbol {
  std::uint64_t address;
  std::uint64_t bytes;
  int type;
  std::uint64_t section_address;

  friend bool operator==(const ReadSymbol&, const ReadSymbol&) = default;
};

struct ReadFile {
  unsigned order = 0;
  unsigned flags = 0;
  std::map<std::string, ReadSymbol> symbols;
};

// As libelf reads it back.
ReadFile read(std::vector<std::byte> bytes) {
  elf_version(EV_CURRENT);
  Elf* const elf = elf_memory(reinterpret_cast<char*>(bytes.data()), bytes.size());
  GElf_Ehdr header = {};
  EXPECT_NE(gelf_getehdr(elf, &header), nullptr);
  EXPECT_EQ(header.e_machine, EM_PPC64);
  ReadFile file{.order = header.e_ident[EI_DATA], .flags = header.e_flags};
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
       section = elf_nextscn(elf, section)) {
    GElf_Shdr table = {};
    gelf_getshdr(section, &table);
    Elf_Data* const data = elf_getdata(section, nullptr);
    for (int i = 1; table.sh_type == SHT_SYMTAB && i < static_cast<int>(table.sh_size / 24); ++i) {
      GElf_Sym symbol = {};
      GElf_Shdr home = {};
      gelf_getsym(data, i, &symbol);
      gelf_getshdr(elf_getscn(elf, symbol.st_shndx), &home);
      file.symbols[elf_strptr(elf, table.sh_link, symbol.st_name)] = {
          symbol.st_value, symbol.st_size, GELF_ST_TYPE(symbol.st_info), home.sh_addr};
    }
  }
  elf_end(elf);
  return file;
}

ReadFile written(const model::AxisValues& axes) {
  const bpf::Program program = caller_and_callee();
  const model::CodeImage image = image_of_two(axes.abi == model::Abi::elfv1);
  return read(
      symbol_file(image, symbols(image, &program, model::Endian::little, TagHash::sha1), axes));
}

TEST(SymbolFile, HasEachFunctionAtItsAddress) {
  for (const auto endian : {model::Endian::little, model::Endian::big}) {
    const ReadFile file = written({.endian = endian});
    EXPECT_EQ(file.order, endian == model::Endian::big ? ELFDATA2MSB : ELFDATA2LSB);
    EXPECT_EQ(file.flags, 2U);
    EXPECT_THAT(file.symbols,
                UnorderedElementsAre(
                    Pair("bpf_prog_b2715c0f7f689679_main",
                         ReadSymbol{kMainAddress.value, 12, STT_FUNC, kMainAddress.value}),
                    Pair("bpf_prog_8923dad831f6fb51_callee",
                         ReadSymbol{kCalleeAddress.value, 4, STT_FUNC, kCalleeAddress.value})));
  }
}

TEST(SymbolFile, OfElfV1TellsDescriptorsFromCode) {
  const ReadFile file = written({.endian = model::Endian::big, .abi = model::Abi::elfv1});
  EXPECT_EQ(file.flags, 1U);
  const std::uint64_t callee = kCalleeAddress.value;
  EXPECT_EQ(file.symbols.at("bpf_prog_8923dad831f6fb51_callee"),
            (ReadSymbol{callee, 24, STT_OBJECT, callee}));
  EXPECT_EQ(file.symbols.at(".bpf_prog_8923dad831f6fb51_callee"),
            (ReadSymbol{callee + 24, 4, STT_FUNC, callee + 24}));
}

}  // namespace
}  // namespace farcall::show::symbol_file_test
