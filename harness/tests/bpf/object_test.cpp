// Objects are compiled by clang when the tests run.
#include "bpf/object.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "bpf/codec.hpp"
#include "bpf/interpreter.hpp"
#include "bpf/validator.hpp"

namespace farcall::bpf::object_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

using Bytes = std::vector<std::byte>;

// Calls of every kind: from one section to another by the function's symbol (imm -1) and by the
// section's symbol, within .text without a relocation, of a static function, of one that comes
// before its caller, and recursion. Functions in .text do not follow each other as they are called.
constexpr const char* kSource = R"(
typedef unsigned long u64;
#define NOINLINE __attribute__((noinline))
static NOINLINE u64 leaf(u64 x) { return x * 3 + 1; }
static NOINLINE u64 middle(u64 x, u64 y) { return leaf(x) + (leaf(y) << 8); }
NOINLINE u64 never_called(u64 x) { return leaf(x) * 99; }
NOINLINE u64 outer(u64 x) { return middle(x, 5) ^ 7; }
__attribute__((section("sec/other"))) NOINLINE u64 other(u64 x) { return x + leaf(x); }
NOINLINE u64 depth(u64 x) { volatile u64 kept = x; return x ? depth(x - 1) + kept : 0; }
__attribute__((section("prog"))) u64 entry(u64 *p)
{
	u64 first = outer(p[0]), second = other(p[1]), third = middle(1, 2);

	return first + second * 0x10000 + third * 0x100000000 + depth(4) * 0x100000000000;
}
)";

// entry() of kSource with p = {2, 10}, by hand: leaf(2) = 7, leaf(5) = 16, leaf(10) = 31,
// leaf(1) = 4, depth(4) = 10.
constexpr std::uint64_t kOuter = (7 + (16 << 8)) ^ 7;
constexpr std::uint64_t kOther = 10 + 31;
constexpr std::uint64_t kMiddle = 4 + (7 << 8);
constexpr std::uint64_t kEntry =
    kOuter + kOther * 0x10000 + kMiddle * 0x100000000 + std::uint64_t{10} * 0x100000000000;

std::string temporary_path(const std::string& name) {
  return fmt::format("{}farcall-object-{}-{}", testing::TempDir(), getpid(), name);
}

Bytes compile(const std::string& source, const std::string& target = "bpf") {
  const std::string source_path = temporary_path("source.c");
  const std::string object_path = temporary_path("object.o");
  std::ofstream(source_path) << source;
  const std::string command = fmt::format("clang -target {} -O2 -Wno-everything -c '{}' -o '{}'",
                                          target, source_path, object_path);
  if (std::system(command.c_str()) != 0) {
    throw std::runtime_error(command);
  }
  Bytes bytes(std::filesystem::file_size(object_path));
  std::ifstream(object_path, std::ios::binary)
      .read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  std::filesystem::remove(source_path);
  std::filesystem::remove(object_path);
  return bytes;
}

// kSource's object, compiled once for each byte order.
const Bytes& sample(std::endian order) {
  static const std::array<Bytes, 2> objects = {compile(kSource), compile(kSource, "bpfeb")};
  return objects[order == std::endian::big ? 1 : 0];
}

std::vector<std::string> function_names(const Program& program) {
  std::vector<std::string> names;
  for (const Function& function : program.functions) {
    names.push_back(function.name);
  }
  return names;
}

Result<Program> only_program(Result<Object> object) {
  if (!object) {
    return std::move(object).error();
  }
  return std::move(object).value().program;
}
Result<Program> program_in(std::span<const std::byte> object, const std::string& file,
                           std::optional<std::string_view> entry) {
  return only_program(read_object(object, file, entry));
}
Result<Program> program_in_file(const std::string& path, std::optional<std::string_view> entry) {
  return only_program(read_object_file(path, entry));
}

class ObjectOrder : public testing::TestWithParam<std::endian> {};
INSTANTIATE_TEST_SUITE_P(Object, ObjectOrder,
                         testing::Values(std::endian::little, std::endian::big),
                         [](const auto& order) {
                           return order.param == std::endian::big ? "big" : "little";
                         });

TEST_P(ObjectOrder, TakesTheEntryAndWhatItReachesInOrderOfReference) {
  const Result<Program> program = program_in(sample(GetParam()), "sample.o", "entry");
  ASSERT_TRUE(program) << to_string(program.error());
  const Result<void> valid = validate(program.value());
  ASSERT_TRUE(valid) << to_string(valid.error());
  EXPECT_THAT(function_names(program.value()),
              ElementsAre("entry", "outer", "other", "middle", "depth", "leaf"));
  EXPECT_EQ(program.value().origins.size(), program.value().slots.size());
  EXPECT_EQ(to_string(program.value().origins.at(0)), "sample.o:prog+0x0");
  EXPECT_EQ(to_string(program.value().origins.at(program.value().functions[2].begin)),
            "sample.o:sec/other+0x0");
}

// The same with BTF. libbpf 1.1 reads .BTF.ext of the host's order alone, so both are tried.
Bytes with_btf(std::endian order) {
  return compile(kSource, order == std::endian::big ? "bpfeb -g" : "bpf -g");
}

TEST_P(ObjectOrder, FunctionsHaveTheNamesOfBtfAndInstructionsTheirLines) {
  const Result<Object> program = read_object(with_btf(GetParam()), "sample.o", "entry");
  ASSERT_TRUE(program) << to_string(program.error());
  const Program& made = program.value().program;
  for (const Function& function : made.functions) {
    EXPECT_FALSE(function.anonymous) << function.name;
  }
  ASSERT_FALSE(made.lines.empty());
  EXPECT_TRUE(std::ranges::is_sorted(made.lines, {}, &SourceLine::slot));
  const SlotIndex leaf = made.functions[5].begin;  // the order is that of the test above
  const auto first = std::ranges::find(made.lines, leaf, &SourceLine::slot);
  ASSERT_NE(first, made.lines.end());
  EXPECT_EQ(first->where.line, 4U);  // of kSource, which begins with an empty one
  EXPECT_THAT(first->where.file, HasSubstr("source.c"));
  EXPECT_THAT(first->text, HasSubstr("u64 leaf(u64 x) { return x * 3 + 1; }"));
}

TEST_P(ObjectOrder, WithoutBtfFunctionsHaveNoNamesForSymbols) {
  const Program program = read_object(sample(GetParam()), "sample.o", "entry").value().program;
  for (const Function& function : program.functions) {
    EXPECT_TRUE(function.anonymous) << function.name;
  }
  EXPECT_TRUE(program.lines.empty());
}

// Both sections begin with a header of the same magic number; the first one is .BTF.
TEST_P(ObjectOrder, RefusesBtfThatDoesNotHoldTogether) {
  const Bytes good = with_btf(GetParam());
  Bytes magic = {std::byte{0x9f}, std::byte{0xeb}, std::byte{1}, std::byte{0}};
  if (GetParam() == std::endian::big) {
    std::swap(magic[0], magic[1]);
  }
  const auto btf = std::ranges::search(good, magic).begin();
  ASSERT_NE(btf, good.end());
  const auto ext = std::search(btf + 1, good.end(), magic.begin(), magic.end());
  ASSERT_NE(ext, good.end());
  const auto broken_at = [&](auto place, std::ptrdiff_t offset) {
    Bytes bytes = good;
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
      bytes[static_cast<std::size_t>(place - good.begin() + offset + i)] = std::byte{0x7f};
    }
    return read_object(bytes, "broken.o", "entry");
  };
  // In .BTF.ext: magic, length of the header, offsets and lengths of both tables.
  for (const auto& [section, place, offset] : {std::tuple{".BTF:", btf, 0},
                                               {".BTF.ext:", ext, 0},
                                               {".BTF.ext:", ext, 4},
                                               {".BTF.ext:", ext, 8},
                                               {".BTF.ext:", ext, 12},
                                               {".BTF.ext:", ext, 16},
                                               {".BTF.ext:", ext, 20}}) {
    const Result<Object> program = broken_at(place, offset);
    ASSERT_FALSE(program) << section << offset;
    EXPECT_EQ(program.error().code, ErrorCode::elf_malformed);
    EXPECT_THAT(to_string(program.error()), StartsWith(std::string("broken.o:") + section));
  }
}

TEST_P(ObjectOrder, TheProgramDoesWhatTheSourceSays) {
  const Program program = program_in(sample(GetParam()), "sample.o", "entry").value();
  Bytes data(16);
  store(data.data(), std::uint64_t{2}, GetParam());
  store(&data[8], std::uint64_t{10}, GetParam());
  AddressSpace memory({{.name = "data", .address = {0x1000}, .bytes = data}}, GetParam());
  const Result<InterpreterRun> run = interpret(program, {}, {0x1000}, {0x10000 + 8192}, memory);
  ASSERT_TRUE(run) << to_string(run.error());
  EXPECT_EQ(run.value().r0, kEntry);
}

TEST(Object, ReadsTheSameFromAFile) {
  const std::string path = temporary_path("file.o");
  const Bytes& object = sample(std::endian::little);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(object.data()),
             static_cast<std::streamsize>(object.size()));
  const Result<Program> program = program_in_file(path, "entry");
  ASSERT_TRUE(program) << to_string(program.error());
  EXPECT_EQ(program.value(), program_in(object, "sample.o", "entry").value());
  EXPECT_EQ(program.value().origins.at(0).file, path + ":prog+0x0");
  std::ofstream(path, std::ios::trunc).close();
  EXPECT_EQ(program_in_file(path, "entry").error().code, ErrorCode::file_empty);
  std::filesystem::remove(path);
  EXPECT_EQ(program_in_file(path, "entry").error().code, ErrorCode::file_unreadable);
  EXPECT_EQ(program_in_file("/", "entry").error().code, ErrorCode::file_unreadable);
}

TEST(Object, AnotherEntryHasAnotherProgram) {
  const Program program = program_in(sample(std::endian::little), "sample.o", "outer").value();
  EXPECT_THAT(function_names(program), ElementsAre("outer", "middle", "leaf"));
  EXPECT_TRUE(validate(program));
}

TEST(Object, TheOnlyGlobalFunctionNeedsNoName) {
  const Bytes object = compile(
      "static __attribute__((noinline)) long twice(long x) { return x * 2; }\n"
      "long only(long x) { return twice(x) + 1; }\n");
  EXPECT_THAT(function_names(program_in(object, "o", {}).value()), ElementsAre("only", "twice"));
}

TEST(Object, TheEntryMustBeAGlobalFunction) {
  const Bytes& object = sample(std::endian::little);
  for (const std::optional<std::string_view> entry :
       {std::optional<std::string_view>{}, std::optional<std::string_view>{"leaf"},
        std::optional<std::string_view>{"nobody"}, std::optional<std::string_view>{""}}) {
    const Result<Program> program = program_in(object, "sample.o", entry);
    ASSERT_FALSE(program);
    EXPECT_EQ(program.error().code, ErrorCode::elf_unknown_entry);
    EXPECT_THAT(program.error().message, HasSubstr("expected one of: "));
    EXPECT_THAT(program.error().message, HasSubstr("never_called"));
  }
}

// Globals of each kind, pointers among them, callbacks from a table and by argument.
constexpr const char* kGlobals = R"(
typedef unsigned long long u64;
#define NOINLINE static __attribute__((noinline))
NOINLINE u64 twice(u64 x) { return x * 2; }
NOINLINE u64 square(u64 x) { return x * x; }
NOINLINE u64 apply(u64 (*f)(u64), u64 x) { return f(x) + 1; }
static u64 (*const ops[2])(u64) = {twice, square};
static const u64 weights[4] = {3, 5, 7, 11};
static u64 total;
u64 count = 40;
const u64 *volatile which = &weights[2];
u64 f(u64 i) {
  total += weights[i & 3] + *which;
  count++;
  return ops[i & 1](total) + apply(square, count);
}
)";

TEST_P(ObjectOrder, GlobalsAndPointersToThemAndToFunctions) {
  const auto read =
      read_object(compile(kGlobals, GetParam() == std::endian::big ? "bpfeb" : "bpf"), "o", "f");
  ASSERT_TRUE(read) << to_string(read.error());
  Object object = read.value();
  object.program.callx = Callx::address;
  const Result<void> valid = validate(object.program);
  ASSERT_TRUE(valid) << to_string(valid.error());
  EXPECT_THAT(function_names(object.program),
              testing::UnorderedElementsAre("f", "apply", "square", "twice"));
  std::vector<std::string> regions;
  for (MemoryRegion& region : object.data) {
    regions.push_back(region.name);
    EXPECT_EQ(region.writable, region.name != ".rodata");
    region.address = {0x100000 + 0x1000 * regions.size()};
  }
  EXPECT_THAT(regions, testing::UnorderedElementsAre(".rodata", ".data", ".bss"));

  // Filled in as a loader does it.
  std::vector<GuestAddress> functions;
  for (std::size_t i = 0; i < object.program.functions.size(); ++i) {
    functions.push_back({0xc008000000000000 + 0x100000 * i});
  }
  for (const ObjectAddress& held : object.addresses) {
    const GuestAddress target = held.kind == ObjectTarget::function
                                    ? functions.at(held.target)
                                    : object.data.at(held.target).address;
    const std::uint64_t value = target.value + held.addend;
    if (held.region) {
      store(&object.data.at(*held.region).bytes.own()[held.offset], value, GetParam());
    } else {
      Slot* const load = &object.program.slots.at(held.offset);
      std::tie(load[0], load[1]) = load_immediate64_slots(load[0].dst, value);
    }
  }
  AddressSpace space(object.data, GetParam());
  const auto run = interpret(object.program, functions, {1}, {0x10000 + 8192}, space);
  ASSERT_TRUE(run) << to_string(run.error());
  // total = weights[1] + weights[2] = 12, squared; count = 41, squared, and 1.
  EXPECT_EQ(run.value().r0, 12U * 12 + 41 * 41 + 1);
}

// clang 14 has the register of a call in imm, later ones in dst.
TEST(Object, ACallThroughARegisterHasItInDst) {
  const Bytes object = compile("long f(long (*g)(long)) { return g(7); }");
  const Program program = program_in(object, "o", "f").value();
  const auto call = std::ranges::find(program.slots, 0x8d, &Slot::opcode);
  ASSERT_NE(call, program.slots.end());
  EXPECT_GT(call->dst, 0);
  EXPECT_EQ(call->imm, 0);
}

struct Refusal {
  std::string source;
  ErrorCode code;
  std::string where;
  std::string message;
};

TEST(Object, CallsOfHelpersAreLeftAsTheyAre) {
  const auto program = read_object(
      compile("static long (*helper)(void) = (void *)5; long f(void) { return helper(); }"), "o",
      {});
  ASSERT_TRUE(program) << to_string(program.error());
  EXPECT_EQ(program.value().program.slots[0], (Slot{.opcode = 0x85, .imm = 5}));
}

TEST(Object, RefusesWhatAProgramCannotSay) {
  const std::vector<Refusal> refusals = {
      {"struct { int a; } maps __attribute__((section(\".maps\"))); void *f(void) { return &maps; "
       "}",
       ErrorCode::elf_unsupported, "o:.text+0x0", "nothing says what kind of map 'maps' is"},
      {"extern long missing; long f(void) { return missing; }", ErrorCode::elf_undefined_symbol,
       "o:.text+0x0", "address of 'missing', which is not in this object"},
      {"__asm__(\".section .jumptables,\\\"\\\",@progbits\\n.globl "
       "BPF.JT.0.0\\nBPF.JT.0.0:\\n.quad 0\\n.text\");\n"
       "long f(void) { long p; __asm__(\"%0 = BPF.JT.0.0 ll\" : \"=r\"(p)); return p; }",
       ErrorCode::elf_malformed, "o:.text+0x0", "jump table 'BPF.JT.0.0' is 0 bytes from 0x0"},
      {"long f(void); long table[2] = {1, 2}; extern long missing;\n"
       "long *p = &missing; long f(void) { return *p; }",
       ErrorCode::elf_undefined_symbol, "o:.data+0x10", "address of 'missing'"},
      {"extern char missing[]; unsigned p = 1; long f(void) { return p; }\n"
       "__attribute__((section(\".data.big\"))) char big[33 << 20] = {1};",
       ErrorCode::elf_unsupported, "o:.data.big", "34603008 bytes of data: expected 33554432"},
  };
  for (const Refusal& refusal : refusals) {
    const Result<Program> program = program_in(compile(refusal.source), "o", "f");
    ASSERT_FALSE(program) << refusal.source;
    EXPECT_EQ(name(program.error().code), name(refusal.code)) << to_string(program.error());
    EXPECT_THAT(program.error().where.file, StartsWith(refusal.where));
    EXPECT_THAT(program.error().message, HasSubstr(refusal.message));
  }
}

constexpr const char* kUsesMuch = R"(
typedef unsigned int u32;
struct value { long a; char b; };
struct { int (*type)[2]; u32 *key; struct value *value; int (*max_entries)[7]; } counts
    __attribute__((section(".maps")));
struct { int (*type)[1]; int (*key_size)[12]; int (*value_size)[5]; int (*max_entries)[3]; } table
    __attribute__((section(".maps")));
extern int kernel(signed char a, unsigned short b, void *c) __attribute__((section(".ksyms")));
extern long elsewhere(long a);
extern const _Bool option __attribute__((section(".kconfig")));
struct context { long x[3]; };
static void *(*lookup)(void *, void *) = (void *)1;
long f(struct context *c)
{
	return (long)lookup(&counts, c) + (long)lookup(&table, c) + kernel(1, 2, c) + elsewhere(3) +
	       option + (long)lookup(&counts, 0);
}
)";

TEST(Object, SaysWhatItUsesAndDoesNotHave) {
  for (const char* target : {"bpfel -g", "bpfeb -g"}) {
    const auto object = read_object(compile(kUsesMuch, target), "o", "f");
    ASSERT_TRUE(object) << to_string(object.error());
    const Object& read = object.value();
    ASSERT_EQ(read.maps.size(), 2U);
    EXPECT_EQ(read.maps[0].name, "counts");
    EXPECT_EQ(read.maps[0].definition,
              (MapDefinition{.type = 2, .key_bytes = 4, .value_bytes = 16, .max_entries = 7}));
    EXPECT_EQ(read.maps[1].name, "table");
    EXPECT_EQ(read.maps[1].definition,
              (MapDefinition{.type = 1, .key_bytes = 12, .value_bytes = 5, .max_entries = 3}));

    ASSERT_EQ(read.externs.size(), 2U);
    EXPECT_EQ(read.externs[0].name, "kernel");
    EXPECT_TRUE(read.externs[0].is_kfunc);
    const Signature& kernel = read.externs[0].signature;
    EXPECT_EQ(kernel.argument_count, 3U);
    EXPECT_EQ(kernel.arguments[0], (ValueType{.bits = 8, .is_signed = true}));
    EXPECT_EQ(kernel.arguments[1], (ValueType{.bits = 16, .is_signed = false}));
    EXPECT_EQ(kernel.arguments[2], ValueType{});
    EXPECT_EQ(kernel.result, (ValueType{.bits = 32, .is_signed = true}));
    EXPECT_EQ(read.externs[1].name, "elsewhere");
    EXPECT_FALSE(read.externs[1].is_kfunc);
    EXPECT_EQ(read.externs[1].signature.argument_count, 1U);

    ASSERT_EQ(read.data.size(), 1U);
    EXPECT_EQ(read.data[0].name, "option");
    EXPECT_EQ(read.data[0].bytes, Bytes(8));
    ASSERT_TRUE(read.context);
    EXPECT_EQ(read.context->type, "context");
    EXPECT_EQ(read.context->bytes, 24U);
    EXPECT_EQ(read.structures.at("value"), 16U);
  }
}

// As `bpftool gen object` links them: clang has no two functions of one name in a unit.
TEST(Object, NumbersStaticFunctionsOfOneName) {
  Bytes object = compile(
      "static __attribute__((noinline)) long twin(long x) { return x * 3; }\n"
      "static __attribute__((noinline)) long twin_(long x) { return x + 5; }\n"
      "long f(long x) { return twin(x) + twin_(x); }");
  constexpr std::string_view kName("\0twin_\0", 7);
  const auto at = std::ranges::search(object, std::as_bytes(std::span(kName)));
  ASSERT_FALSE(at.empty());
  at[5] = std::byte{0};
  const auto read = read_object(object, "o", "f");
  ASSERT_TRUE(read) << to_string(read.error());
  std::vector<std::string> names;
  for (const Function& function : read.value().program.functions) {
    names.push_back(function.name);
  }
  EXPECT_THAT(names, ElementsAre("f", "twin", "twin.1"));
}

TEST(Object, AnEntryMayBeNamedByItsSection) {
  const Bytes object = compile(
      "__attribute__((section(\"tc/in\"))) long f(void) { return 1; }\n"
      "__attribute__((section(\"xdp\"))) long g(void) { return 2; }\n"
      "__attribute__((section(\"xdp\"))) long h(void) { return 3; }\n");
  const auto read = read_object(object, "o", "tc/in");
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(read.value().program.functions[0].name, "f");
  EXPECT_EQ(read_object(object, "o", "xdp").error().code, ErrorCode::elf_unknown_entry);
}

// The section headers of a little-endian object.
std::vector<Elf64_Shdr> sections_of(const Bytes& object) {
  Elf64_Ehdr header = {};
  std::memcpy(&header, object.data(), sizeof header);
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  std::memcpy(sections.data(), &object[header.e_shoff], sections.size() * sizeof(Elf64_Shdr));
  return sections;
}

void set_section(Bytes& object, std::size_t number, const Elf64_Shdr& section) {
  Elf64_Ehdr header = {};
  std::memcpy(&header, object.data(), sizeof header);
  std::memcpy(&object[header.e_shoff + number * sizeof section], &section, sizeof section);
}

// A callee in a section of its own is called through its symbol, so imm is -1.
Bytes two_sections() {
  return compile(
      "__attribute__((section(\"far\"), noinline)) long callee(long x) { return x + 1; }\n"
      "__attribute__((section(\"near\"))) long f(long x) { return callee(x) + 1; }\n");
}

// The number of the only section with relocations.
std::size_t relocation_section(const Bytes& object) {
  const std::vector<Elf64_Shdr> sections = sections_of(object);
  const auto found = std::ranges::find(sections, SHT_REL, [](const Elf64_Shdr& section) {
    return static_cast<int>(section.sh_type);
  });
  return static_cast<std::size_t>(found - sections.begin());
}

TEST(Object, ACallWithoutItsRelocationIsUnrelocated) {
  Bytes object = two_sections();
  ASSERT_TRUE(program_in(object, "o", "f"));
  const std::size_t number = relocation_section(object);
  Elf64_Shdr stripped = sections_of(object).at(number);
  stripped.sh_type = SHT_NULL;
  set_section(object, number, stripped);
  const Result<Program> program = program_in(object, "o", "f");
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().code, ErrorCode::elf_unrelocated_call);
  EXPECT_EQ(to_string(program.error().where), "o:near+0x0");
}

TEST(Object, ACallWithAnotherRelocationIsRefused) {
  Bytes object = two_sections();
  const Elf64_Shdr section = sections_of(object).at(relocation_section(object));
  Elf64_Rel relocation = {};
  ASSERT_EQ(section.sh_size, sizeof relocation);
  std::memcpy(&relocation, &object[section.sh_offset], sizeof relocation);
  ASSERT_EQ(ELF64_R_TYPE(relocation.r_info), R_BPF_64_32);
  relocation.r_info = ELF64_R_INFO(ELF64_R_SYM(relocation.r_info), R_BPF_64_64);
  std::memcpy(&object[section.sh_offset], &relocation, sizeof relocation);
  const Result<Program> program = program_in(object, "o", "f");
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().code, ErrorCode::elf_unsupported);
  EXPECT_EQ(to_string(program.error().where), "o:near+0x0");
}

TEST(Object, ACallIntoTheMiddleOfAFunctionIsRefused) {
  Bytes object = two_sections();
  for (const Elf64_Shdr& section : sections_of(object)) {
    // `call -1` of f becomes a call of the callee's second slot.
    if (section.sh_type == SHT_PROGBITS && object[section.sh_offset] == std::byte{0x85}) {
      store(&object[section.sh_offset + 4], std::uint32_t{0}, std::endian::little);
    }
  }
  const Result<Program> program = program_in(object, "o", "f");
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().code, ErrorCode::elf_malformed);
  EXPECT_EQ(program.error().message, "call to far+0x8, where no function's symbol is");
}

TEST(Object, WhatIsNoObjectForBpfIsMalformed) {
  const auto code = [](std::span<const std::byte> bytes) {
    const Result<Program> program = program_in(bytes, "o", "f");
    return program ? "accepted" : name(program.error().code);
  };
  EXPECT_EQ(code({}), "elf.malformed");
  const Bytes text(100, std::byte{'x'});
  EXPECT_EQ(code(text), "elf.malformed");
  EXPECT_EQ(code(compile("long f(long x) { return x; }", "x86_64")), "elf.malformed");
  for (const std::size_t field : {offsetof(Elf64_Ehdr, e_type), offsetof(Elf64_Ehdr, e_machine)}) {
    Bytes object = two_sections();
    EXPECT_EQ(code(object), "accepted");
    object[field] = std::byte{2};
    EXPECT_EQ(code(object), "elf.malformed");
  }
}

// A reader of damaged files may refuse or accept them, and nothing else. Each copy is as long as
// the damaged object to the byte, so that a sanitizer sees what is read after it.
void read_and_validate(const Bytes& object, std::size_t& accepted) {
  const Result<Program> program = program_in(object, "damaged.o", "entry");
  if (program) {
    const Result<void> valid = validate(program.value());
    accepted += valid ? 1U : 0U;
  } else {
    EXPECT_FALSE(program.error().message.empty());
    EXPECT_THAT(program.error().where.file, StartsWith("damaged.o"));
  }
}

TEST_P(ObjectOrder, SurvivesTruncation) {
  const Bytes& object = sample(GetParam());
  std::size_t accepted = 0;
  for (std::size_t size = 0; size < object.size(); ++size) {
    read_and_validate(Bytes(object.begin(), object.begin() + static_cast<std::ptrdiff_t>(size)),
                      accepted);
  }
  EXPECT_EQ(accepted, 0);
}

TEST_P(ObjectOrder, SurvivesDamage) {
  const Bytes& object = sample(GetParam());
  std::mt19937 random(1);
  const auto below = [&random](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  constexpr std::array<std::byte, 5> kEdges = {std::byte{0}, std::byte{1}, std::byte{0x7f},
                                               std::byte{0x80}, std::byte{0xff}};
  std::size_t accepted = 0;
  for (unsigned i = 0; i < 4000; ++i) {
    Bytes damaged = object;
    for (std::size_t changes = 1 + below(3); changes > 0; --changes) {
      std::byte& byte = damaged[below(damaged.size())];
      byte = below(2) == 0 ? kEdges[below(kEdges.size())] : static_cast<std::byte>(below(256));
    }
    read_and_validate(damaged, accepted);
  }
  // Some damage is to names and immediates only, and most of it is not.
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 3900);
}

}  // namespace
}  // namespace farcall::bpf::object_test
