#include "bpf/elf_code.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "bpf/codec.hpp"

namespace farcall::bpf {
namespace {

constexpr std::array<std::string_view, 2> kMapSections = {".maps", "maps"};

constexpr std::string_view kJumpTables = ".jumptables";  // of LLVM 22; not SHF_ALLOC

// What a guest takes with room to spare.
constexpr std::uint64_t kLargestData = std::uint64_t{32} << 20;

using ElfHandle = std::unique_ptr<Elf, decltype(&elf_end)>;

struct Section {
  Elf_Scn* handle = nullptr;
  GElf_Shdr header = {};
  std::string name = {};

  std::size_t number() const { return elf_ndxscn(handle); }
};

class SectionReader {
 public:
  SectionReader(std::span<const std::byte> object, const std::string& file) : object_(object) {
    code_.file = file;
  }

  Result<ElfCode> run() {
    FARCALL_TRYV(open());
    FARCALL_TRYV(read_sections());
    for (const Section& section : sections_) {
      FARCALL_TRYV(read_code(section));
      FARCALL_TRYV(read_data(section));
      FARCALL_TRYV(read_btf(section));
    }
    FARCALL_TRYV(read_symbols());
    for (const Section& section : sections_) {
      FARCALL_TRYV(read_relocations(section));
    }
    return std::move(code_);
  }

 private:
  Error malformed(std::string message) const {
    return {.code = ErrorCode::elf_malformed,
            .message = std::move(message),
            .where = {.file = code_.file}};
  }
  // An error about a section as a whole.
  Error in_section(const Section& section, ErrorCode code, std::string message) const {
    return {.code = code,
            .message = std::move(message),
            .where = {.file = fmt::format("{}:{}", code_.file, section.name)}};
  }

  Result<void> open() {
    // Once: it writes to a plain variable of libelf, and objects are read by several threads.
    [[maybe_unused]] static const unsigned version = elf_version(EV_CURRENT);
    // libelf does not write to the image, though its type says that it may.
    auto* const image = const_cast<char*>(reinterpret_cast<const char*>(object_.data()));
    elf_.reset(elf_memory(image, object_.size()));
    GElf_Ehdr header = {};
    if (elf_ == nullptr || elf_kind(elf_.get()) != ELF_K_ELF ||
        gelf_getehdr(elf_.get(), &header) == nullptr) {
      return malformed("not an ELF file, or one cut short");
    }
    if (gelf_getclass(elf_.get()) != ELFCLASS64 || header.e_machine != EM_BPF ||
        header.e_type != ET_REL) {
      return malformed(fmt::format(
          "expected a 64-bit relocatable object for BPF (class {}, "
          "machine {}, type {}), found class {}, machine {}, type {}",
          ELFCLASS64, EM_BPF, ET_REL, gelf_getclass(elf_.get()), header.e_machine, header.e_type));
    }
    code_.order = header.e_ident[EI_DATA] == ELFDATA2MSB ? std::endian::big : std::endian::little;
    return success();
  }

  Result<void> read_sections() {
    std::size_t names = 0;
    if (elf_getshdrstrndx(elf_.get(), &names) != 0) {
      return malformed("it does not say where the names of its sections are");
    }
    for (Elf_Scn* handle = elf_nextscn(elf_.get(), nullptr); handle != nullptr;
         handle = elf_nextscn(elf_.get(), handle)) {
      Section section{.handle = handle};
      if (gelf_getshdr(handle, &section.header) == nullptr) {
        return malformed(fmt::format("section {} has no header", section.number()));
      }
      const char* name = elf_strptr(elf_.get(), names, section.header.sh_name);
      if (name == nullptr) {
        return malformed(fmt::format("section {} has no name", section.number()));
      }
      section.name = name;
      sections_.push_back(std::move(section));
    }
    return success();
  }

  Result<void> read_code(const Section& section) {
    if (section.header.sh_type != SHT_PROGBITS || (section.header.sh_flags & SHF_EXECINSTR) == 0) {
      return success();
    }
    if ((section.header.sh_flags & SHF_COMPRESSED) != 0) {
      return in_section(section, ErrorCode::elf_unsupported, "code is compressed");
    }
    FARCALL_TRY(bytes, bytes_of(section));
    const std::uint64_t size = bytes.size();
    if (size % kSlotBytes != 0) {
      return in_section(
          section, ErrorCode::elf_malformed,
          fmt::format("{} bytes of code: expected a multiple of {}", size, kSlotBytes));
    }
    code_.sections[section.number()] = {.name = section.name, .bytes = bytes};
    return success();
  }

  Result<std::span<const std::byte>> bytes_of(const Section& section) const {
    const std::uint64_t begin = section.header.sh_offset;
    const std::uint64_t size = section.header.sh_size;
    if (begin > object_.size() || size > object_.size() - begin) {
      return in_section(section, ErrorCode::elf_malformed,
                        fmt::format("{} bytes from {:#x} on are not all in the file of {} bytes",
                                    size, begin, object_.size()));
    }
    return object_.subspan(begin, size);
  }

  Result<void> read_btf(const Section& section) {
    if (section.name == ".BTF" || section.name == ".BTF.ext") {
      FARCALL_TRY(bytes, bytes_of(section));
      (section.name == ".BTF" ? code_.btf : code_.btf_ext) = bytes;
    }
    return success();
  }

  Result<void> read_data(const Section& section) {
    if (section.name == kJumpTables && section.header.sh_type == SHT_PROGBITS) {
      FARCALL_TRY(bytes, bytes_of(section));
      code_.jump_tables[section.number()] = bytes;
      return success();
    }
    const GElf_Shdr& header = section.header;
    const bool is_zeros = header.sh_type == SHT_NOBITS;
    if ((header.sh_type != SHT_PROGBITS && !is_zeros) || (header.sh_flags & SHF_ALLOC) == 0 ||
        (header.sh_flags & SHF_EXECINSTR) != 0) {
      return success();
    }
    if (std::ranges::find(kMapSections, section.name) != kMapSections.end()) {
      ElfMapSection maps{.name = section.name};
      if (!is_zeros) {
        FARCALL_TRY(bytes, bytes_of(section));
        maps.bytes = bytes;
      }
      code_.maps[section.number()] = std::move(maps);
      return success();
    }
    if ((header.sh_flags & SHF_COMPRESSED) != 0) {
      return in_section(section, ErrorCode::elf_unsupported, "data is compressed");
    }
    if (header.sh_size > kLargestData) {
      return in_section(
          section, ErrorCode::elf_unsupported,
          fmt::format("{} bytes of data: expected {} at most", header.sh_size, kLargestData));
    }
    ElfDataSection data{.name = section.name,
                        .size = header.sh_size,
                        .writable = (header.sh_flags & SHF_WRITE) != 0};
    if (!is_zeros) {
      FARCALL_TRY(bytes, bytes_of(section));
      data.bytes = bytes;
    }
    code_.data[section.number()] = std::move(data);
    return success();
  }

  // The entries of a table, whose size libelf must agree with.
  Result<Elf_Data*> table_of(const Section& section, std::size_t entry_bytes) const {
    Elf_Data* const data = elf_getdata(section.handle, nullptr);
    if (data == nullptr || section.header.sh_entsize != entry_bytes ||
        data->d_size != section.header.sh_size || data->d_size % entry_bytes != 0 ||
        (data->d_buf == nullptr && data->d_size != 0)) {
      return in_section(section, ErrorCode::elf_malformed, "the table does not hold together");
    }
    return data;
  }

  Result<void> read_symbols() {
    const auto table = std::ranges::find(sections_, SHT_SYMTAB, [](const Section& section) {
      return static_cast<int>(section.header.sh_type);
    });
    if (table == sections_.end()) {
      return malformed("there is no symbol table");
    }
    symbol_table_ = table->number();
    FARCALL_TRY(data, table_of(*table, sizeof(Elf64_Sym)));
    const auto count = static_cast<int>(data->d_size / sizeof(Elf64_Sym));
    for (int number = 0; number < count; ++number) {
      GElf_Sym symbol = {};
      if (gelf_getsym(data, number, &symbol) == nullptr) {
        return in_section(*table, ErrorCode::elf_malformed,
                          fmt::format("symbol {} cannot be read", number));
      }
      FARCALL_TRY(name, name_of(*table, number, symbol));
      const int binding = GELF_ST_BIND(symbol.st_info);
      code_.symbols.push_back({.name = std::move(name),
                               .is_function = GELF_ST_TYPE(symbol.st_info) == STT_FUNC,
                               .is_global = binding == STB_GLOBAL || binding == STB_WEAK,
                               .section = symbol.st_shndx,
                               .value = symbol.st_value,
                               .size = symbol.st_size});
    }
    return success();
  }

  Result<std::string> name_of(const Section& table, int number, const GElf_Sym& symbol) const {
    if (GELF_ST_TYPE(symbol.st_info) == STT_SECTION) {
      const auto section = std::ranges::find(sections_, std::size_t{symbol.st_shndx},
                                             [](const Section& one) { return one.number(); });
      return section == sections_.end() ? fmt::format("section {}", symbol.st_shndx)
                                        : section->name;
    }
    const char* name = elf_strptr(elf_.get(), table.header.sh_link, symbol.st_name);
    if (name == nullptr) {
      return in_section(table, ErrorCode::elf_malformed,
                        fmt::format("symbol {} has no name", number));
    }
    return std::string(name);
  }

  Result<void> read_relocations(const Section& section) {
    const bool is_rela = section.header.sh_type == SHT_RELA;
    const auto code = code_.sections.find(section.header.sh_info);
    const auto data_section = code_.data.find(section.header.sh_info);
    const bool is_known = code != code_.sections.end() || data_section != code_.data.end();
    if ((section.header.sh_type != SHT_REL && !is_rela) || !is_known) {
      return success();
    }
    if (is_rela) {
      return in_section(section, ErrorCode::elf_unsupported,
                        "relocations with addends: expected those of clang, without");
    }
    if (section.header.sh_link != symbol_table_) {
      return in_section(section, ErrorCode::elf_malformed,
                        fmt::format("its symbol table is section {}: expected {}",
                                    section.header.sh_link, symbol_table_));
    }
    FARCALL_TRY(data, table_of(section, sizeof(Elf64_Rel)));
    const auto count = static_cast<int>(data->d_size / sizeof(Elf64_Rel));
    std::vector<ElfRelocation>& relocations =
        code != code_.sections.end() ? code->second.relocations : data_section->second.relocations;
    for (int number = 0; number < count; ++number) {
      GElf_Rel relocation = {};
      if (gelf_getrel(data, number, &relocation) == nullptr ||
          GELF_R_SYM(relocation.r_info) >= code_.symbols.size()) {
        return in_section(section, ErrorCode::elf_malformed,
                          fmt::format("relocation {} names no symbol", number));
      }
      relocations.push_back({.offset = relocation.r_offset,
                             .type = static_cast<std::uint32_t>(GELF_R_TYPE(relocation.r_info)),
                             .symbol = static_cast<std::uint32_t>(GELF_R_SYM(relocation.r_info))});
    }
    std::ranges::sort(relocations, {}, &ElfRelocation::offset);
    return success();
  }

  std::span<const std::byte> object_;
  ElfHandle elf_{nullptr, &elf_end};
  std::vector<Section> sections_;
  std::size_t symbol_table_ = 0;
  ElfCode code_;
};

}  // namespace

std::string section_name(const ElfCode& code, std::size_t section) {
  if (const auto found = code.sections.find(section); found != code.sections.end()) {
    return found->second.name;
  }
  const auto data = code.data.find(section);
  return data == code.data.end() ? fmt::format("section {}", section) : data->second.name;
}

std::string part_name(const ElfCode& code, std::size_t section) {
  return fmt::format("{}:{}", code.file, section_name(code, section));
}

Error error_at(const ElfCode& code, ElfAddress at, ErrorCode what, std::string message,
               std::string hint) {
  return {.code = what,
          .message = std::move(message),
          .where = {.file = fmt::format("{}+{:#x}", part_name(code, at.section), at.offset)},
          .hint = std::move(hint)};
}

Result<ElfCode> read_elf_code(std::span<const std::byte> object, const std::string& file) {
  return SectionReader(object, file).run();
}

}  // namespace farcall::bpf
