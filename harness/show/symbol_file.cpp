#include "show/symbol_file.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace farcall::show {
namespace {

// Everything here fails only for want of memory, or by a defect.
void require(bool done, std::string_view what) {
  if (!done) {
    throw std::runtime_error(fmt::format("writing ELF symbols, {}: {}", what, elf_errmsg(-1)));
  }
}

// A file in memory: libelf writes to descriptors.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("farcall-symbols", MFD_CLOEXEC)) {
    require(descriptor_ >= 0, "memfd_create");
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { close(descriptor_); }

  int descriptor() const { return descriptor_; }
  std::vector<std::byte> contents() const {
    const off_t size = lseek(descriptor_, 0, SEEK_END);
    require(size >= 0, "size");
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    require(pread(descriptor_, bytes.data(), bytes.size(), 0) == size, "reading it back");
    return bytes;
  }

 private:
  int descriptor_;
};

// A table of strings, each ended by a zero byte; the first is the empty one.
class Strings {
 public:
  GElf_Word add(std::string_view text) {
    const auto at = static_cast<GElf_Word>(text_.size());
    text_.append(text).push_back('\0');
    return at;
  }
  std::string& text() { return text_; }

 private:
  std::string text_ = std::string(1, '\0');
};

class Writer {
 public:
  explicit Writer(const model::AxisValues& axes)
      : elf_((elf_version(EV_CURRENT), elf_begin(file_.descriptor(), ELF_C_WRITE, nullptr)),
             &elf_end) {
    require(elf_ != nullptr && gelf_newehdr(elf_.get(), ELFCLASS64) != nullptr, "header");
    GElf_Ehdr header = {};
    require(gelf_getehdr(elf_.get(), &header) != nullptr, "header");
    header.e_ident[EI_DATA] = axes.endian == model::Endian::big ? ELFDATA2MSB : ELFDATA2LSB;
    header.e_type = ET_EXEC;
    header.e_machine = EM_PPC64;
    header.e_flags = axes.abi == model::Abi::elfv1 ? 1 : 2;
    require(gelf_update_ehdr(elf_.get(), &header) != 0, "header");
    table_.emplace_back();  // symbol 0 is none
  }

  // `alias`: another name for the code; empty: none.
  void add(const model::CodeFunction& function, const std::string& name, const std::string& alias) {
    const std::span words = function.words;
    if (function.descriptor_words != 0) {
      const auto descriptor = words.first(function.descriptor_words);
      const std::uint16_t section = add_descriptor(function.address, descriptor);
      add_symbol(name, STT_OBJECT, section, function.address, descriptor.size_bytes());
    }
    const auto code = words.subspan(function.descriptor_words);
    const std::uint16_t section = add_code(function.code(), code.size_bytes());
    add_symbol(function.descriptor_words == 0 ? name : "." + name, STT_FUNC, section,
               function.code(), code.size_bytes());
    if (!alias.empty() && alias != name) {
      add_symbol(alias, STT_FUNC, section, function.code(), code.size_bytes());
    }
  }

  std::vector<std::byte> finish() {
    add_tables();
    require(elf_update(elf_.get(), ELF_C_WRITE) >= 0, "file");
    return file_.contents();
  }

 private:
  Elf_Scn* new_section(GElf_Word name, GElf_Shdr& header) {
    Elf_Scn* const section = elf_newscn(elf_.get());
    require(section != nullptr && gelf_getshdr(section, &header) != nullptr, "section");
    header.sh_name = name;
    return section;
  }

  // Both return the section's number.
  std::uint16_t add_code(GuestAddress address, std::uint64_t bytes) {
    return add_section(
        {.sh_name = code_name_, .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR},
        address, {.d_size = bytes, .d_align = 4});
  }
  std::uint16_t add_descriptor(GuestAddress address, std::span<const std::uint32_t> words) {
    std::vector<std::uint32_t>& kept = descriptors_.emplace_back(words.begin(), words.end());
    return add_section(
        {.sh_name = descriptor_name_, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | SHF_WRITE},
        address,
        {.d_buf = kept.data(), .d_type = ELF_T_WORD, .d_size = words.size_bytes(), .d_align = 4});
  }

  std::uint16_t add_section(const GElf_Shdr& wanted, GuestAddress address,
                            const Elf_Data& contents) {
    GElf_Shdr header = {};
    Elf_Scn* const section = new_section(wanted.sh_name, header);
    header.sh_type = wanted.sh_type;
    header.sh_flags = wanted.sh_flags;
    header.sh_addr = address.value;
    header.sh_size = contents.d_size;
    header.sh_addralign = contents.d_align;
    require(gelf_update_shdr(section, &header) != 0, "section of a function");
    Elf_Data* const data = elf_newdata(section);
    require(data != nullptr, "section of a function");
    data->d_buf = contents.d_buf;
    data->d_type = contents.d_type;
    data->d_size = contents.d_size;
    data->d_align = contents.d_align;
    return static_cast<std::uint16_t>(elf_ndxscn(section));
  }

  void add_symbol(std::string_view name, unsigned type, std::uint16_t section, GuestAddress address,
                  std::uint64_t bytes) {
    table_.push_back({.st_name = symbol_names_.add(name),
                      .st_info = static_cast<unsigned char>(ELF64_ST_INFO(STB_GLOBAL, type)),
                      .st_other = STV_DEFAULT,
                      .st_shndx = section,
                      .st_value = address.value,
                      .st_size = bytes});
  }

  // `type` is what libelf converts: to it, `data` is in the host's form. Returns the number.
  GElf_Word add_table(GElf_Word name, GElf_Word section_type, Elf_Type type, void* data,
                      std::size_t bytes, GElf_Word link = 0) {
    GElf_Shdr header = {};
    Elf_Scn* const section = new_section(name, header);
    header.sh_type = section_type;
    header.sh_link = link;
    if (type == ELF_T_SYM) {
      header.sh_entsize = sizeof(Elf64_Sym);
      header.sh_info = 1;  // the first that is not local
    }
    Elf_Data* const part = elf_newdata(section);
    require(gelf_update_shdr(section, &header) != 0 && part != nullptr, "table");
    part->d_type = type;
    part->d_buf = data;
    part->d_size = bytes;
    part->d_align = type == ELF_T_SYM ? 8 : 1;
    return static_cast<GElf_Word>(elf_ndxscn(section));
  }

  void add_tables() {
    const GElf_Word strings_name = section_names_.add(".strtab");
    const GElf_Word symbols_name = section_names_.add(".symtab");
    const GElf_Word names_name = section_names_.add(".shstrtab");
    std::string& strings = symbol_names_.text();
    std::string& names = section_names_.text();
    const GElf_Word strings_number =
        add_table(strings_name, SHT_STRTAB, ELF_T_BYTE, strings.data(), strings.size());
    add_table(symbols_name, SHT_SYMTAB, ELF_T_SYM, table_.data(), table_.size() * sizeof(Elf64_Sym),
              strings_number);
    const GElf_Word names_number =
        add_table(names_name, SHT_STRTAB, ELF_T_BYTE, names.data(), names.size());
    GElf_Ehdr header = {};
    require(names_number < SHN_LORESERVE && gelf_getehdr(elf_.get(), &header) != nullptr,
            "more functions than there can be sections");
    header.e_shstrndx = static_cast<GElf_Half>(names_number);
    require(gelf_update_ehdr(elf_.get(), &header) != 0, "names of sections");
  }

  MemoryFile file_;
  std::unique_ptr<Elf, decltype(&elf_end)> elf_;
  Strings section_names_;
  GElf_Word code_name_ = section_names_.add(".bpf");        // of all sections with code
  GElf_Word descriptor_name_ = section_names_.add(".opd");  // of those with descriptors
  std::deque<std::vector<std::uint32_t>> descriptors_;      // which libelf writes at the end
  Strings symbol_names_;
  std::vector<Elf64_Sym> table_;
};

}  // namespace

std::vector<std::byte> symbol_file(const model::CodeImage& image, std::span<const Symbol> symbols,
                                   const model::AxisValues& axes, OwnNames own_names) {
  Writer writer(axes);
  for (std::size_t i = 0; i < image.functions.size(); ++i) {
    writer.add(image.functions[i], symbols[i].name,
               own_names == OwnNames::yes ? image.functions[i].name : "");
  }
  return writer.finish();
}

}  // namespace farcall::show
