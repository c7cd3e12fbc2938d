// Expected offsets, sizes and shifts are worked out by hand from the structures below.
#include "bpf/core_relocation.hpp"

#include <bpf/btf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/object.hpp"
#include "tests/program.hpp"

namespace farcall::bpf::core_relocation_test {
namespace {

using testing::HasSubstr;

// What the program was compiled with.
constexpr const char* kOwn = R"(
typedef unsigned u32;
struct in { int x; int y; };
struct s { int a; char b; short arr[4]; struct in in; u32 bits : 5; int sbits : 7;
           struct { int anon; }; void *p; u32 u; int gone; };
struct s___flavor { char b; };
struct nowhere { int x; };
enum e { ONE = 1, TWO = 2, THREE = 3 };
enum e___new { TWO___new = 7 };
)";

// offsets: first 0, b 8, arr 10, anon 24, in 32 (y 8, x 12), a 48, bits from bit 3 of 52, sbits from
// bit 8 of 52, u 56, p 64; 72 bytes.
constexpr const char* kKernel = R"(
struct in { long pad; short y; int x; };
struct s { long first; char b; short arr[6]; union { int other; int anon; }; struct in in; int a;
           unsigned pad : 3; unsigned bits : 5; int sbits : 7; unsigned long u; void *p; };
enum e { ZERO, TWO = 22, ONE = -11 };
struct s s;
enum e e;
)";

// For files of that name, gone with the test program.
std::string temporary(const std::string& name) {
  static const tests::ScratchFolder folder;
  return folder.path() / name;
}

// An object of that source, which stays until the test program ends.
std::string compiled(const std::string& name, const std::string& source,
                     const std::string& target) {
  const std::string stem = temporary(name + target);
  std::ofstream(stem + ".c") << source;
  const std::string command = fmt::format(
      "clang -target {} -g -O2 -Wno-everything -c '{}.c' -o '{}.o'", target, stem, stem);
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  return stem + ".o";
}

struct Wanted {
  std::string expression;
  std::uint64_t value;
};

std::string field(const char* access, int kind) {
  return fmt::format("__builtin_preserve_field_info(((struct s *)0)->{}, {})", access, kind);
}

// The value that `f`, which returns a constant, has.
std::uint64_t constant_of(const Program& program) {
  const Slot& first = program.slots[0];
  return find(first)->operation == Operation::load_immediate64
             ? immediate64(first, program.slots[1])
             : static_cast<std::uint64_t>(std::int64_t{first.imm});
}

class CoreOrder : public testing::TestWithParam<std::string> {
 protected:
  CoreOrder() : kernel_(KernelTypes::read(compiled("kernel", kKernel, GetParam())).value()) {}

  Result<Object> fitted(const std::string& body, const std::string& entry = "f") const {
    const std::string path = compiled("own", kOwn + body, GetParam());
    return read_object_file(path, entry, {}, &kernel_);
  }

  bool is_big() const { return GetParam() == "bpfeb"; }

  KernelTypes kernel_;
};
INSTANTIATE_TEST_SUITE_P(Core, CoreOrder, testing::Values("bpfel", "bpfeb"),
                         [](const auto& target) { return target.param; });

TEST_P(CoreOrder, ValuesByHand) {
  const std::vector<Wanted> all = {
      {field("a", 0), 48},
      {field("b", 0), 8},
      {field("arr[3]", 0), 16},
      {field("in.y", 0), 40},
      {field("in.x", 0), 44},
      {field("anon", 0), 24},
      {field("p", 0), 64},
      {field("a", 1), 4},
      {field("arr", 1), 12},
      {field("in", 1), 16},
      {field("u", 1), 8},
      {field("a", 2), 1},
      {field("gone", 2), 0},
      {field("a", 3), 1},
      {field("bits", 3), 0},
      {field("sbits", 3), 1},
      {field("bits", 0), 52},
      {field("bits", 1), 4},
      {field("bits", 4), is_big() ? 32U + 3 : 64U - 8},
      {field("bits", 5), 64 - 5},
      {field("sbits", 4), is_big() ? 32U + 8 : 64U - 15},
      {field("sbits", 5), 64 - 7},
      {"__builtin_preserve_field_info(((struct s___flavor *)0)->b, 0)", 8},
      {"__builtin_preserve_type_info(*(struct s *)0, 0)", 1},
      {"__builtin_preserve_type_info(*(struct nowhere *)0, 0)", 0},
      {"__builtin_preserve_type_info(*(struct s *)0, 1)", 72},
      {"__builtin_preserve_type_info(*(struct nowhere *)0, 1)", 0},
      {"__builtin_preserve_enum_value(*(enum e *)ONE, 0)", 1},
      {"__builtin_preserve_enum_value(*(enum e *)THREE, 0)", 0},
      {"__builtin_preserve_enum_value(*(enum e *)ONE, 1)", static_cast<std::uint64_t>(-11)},
      {"__builtin_preserve_enum_value(*(enum e___new *)TWO___new, 1)", 22},
  };
  std::string body;
  for (std::size_t i = 0; i < all.size(); ++i) {
    body += fmt::format("long f{}(void) {{ return {}; }}\n", i, all[i].expression);
  }
  const std::string path = compiled("values", kOwn + body, GetParam());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto object = read_object_file(path, fmt::format("f{}", i), {}, &kernel_);
    ASSERT_TRUE(object) << all[i].expression << to_string(object.error());
    EXPECT_EQ(constant_of(object.value().program), all[i].value) << all[i].expression;
  }
}

TEST_P(CoreOrder, TypeIdsAreThoseOfEither) {
  const auto local = fitted("long f(void) { return __builtin_btf_type_id(*(struct s *)0, 0); }");
  const auto there = fitted("long f(void) { return __builtin_btf_type_id(*(struct s *)0, 1); }");
  ASSERT_TRUE(local);
  ASSERT_TRUE(there);
  const auto id = btf__find_by_name_kind(kernel_.types(), "s", BTF_KIND_STRUCT);
  EXPECT_EQ(constant_of(there.value().program), static_cast<std::uint64_t>(id));
  EXPECT_GT(constant_of(local.value().program), 0U);
}

// ldx, and its size: u has 4 bytes here and 8 there.
TEST_P(CoreOrder, AccessesGetTheKernelsOffsetAndSize) {
  const auto a = fitted("int f(struct s *s) { return __builtin_preserve_access_index(s->a); }");
  ASSERT_TRUE(a) << to_string(a.error());
  EXPECT_EQ(a.value().program.slots[0], (Slot{.opcode = 0x61, .src = 1, .offset = 48}));
  const auto u = fitted("u32 f(struct s *s) { return __builtin_preserve_access_index(s->u); }");
  ASSERT_TRUE(u) << to_string(u.error());
  EXPECT_EQ(u.value().program.slots[0], (Slot{.opcode = 0x79, .src = 1, .offset = 56}));
}

// Where the kernel has no such member, or one whose other size changes what a load comes to, libbpf
// puts a call of a helper that is not there.
TEST_P(CoreOrder, WhatIsMissingIsACallThatMustNotBeReached) {
  for (const char* const member : {"gone", "in.y"}) {
    const auto object = fitted(fmt::format(
        "int f(struct s *s) {{ return __builtin_preserve_access_index(s->{}); }}", member));
    ASSERT_TRUE(object) << to_string(object.error());
    EXPECT_EQ(object.value().program.slots[0], (Slot{.opcode = 0x85, .imm = 195896080}));
  }
}

TEST_P(CoreOrder, WithoutAKernelAllStandsAsItWasCompiled) {
  const std::string path = compiled(
      "alone",
      std::string(kOwn) + "int f(struct s *s) { return __builtin_preserve_access_index(s->u); }",
      GetParam());
  const auto object = read_object_file(path, "f");
  ASSERT_TRUE(object);
  EXPECT_EQ(object.value().core_relocations, 1U);
  // a 0, b 4, arr 6, in 16, bits 24, anon 28, p 32, u 40
  EXPECT_EQ(object.value().program.slots[0], (Slot{.opcode = 0x61, .src = 1, .offset = 40}));
}

std::uint64_t type_matches(const std::string& own, const std::string& kernel) {
  const auto own_types = KernelTypes::read(compiled("own", own + "struct s s;", "bpfel"));
  const auto types = KernelTypes::read(compiled("there", kernel + "struct s s;", "bpfel"));
  const auto id = btf__find_by_name_kind(own_types.value().types(), "s", BTF_KIND_STRUCT);
  const auto value = resolve(
      *own_types.value().types(),
      {.type = static_cast<std::uint32_t>(id), .access = "0", .kind = CoreKind::type_matches},
      types.value());
  return value.value().value;
}

TEST(CoreRelocation, TypesMatchMemberByMember) {
  const std::string s = "struct s { int a; struct t *p; };";
  EXPECT_EQ(type_matches(s, s), 1U);
  EXPECT_EQ(type_matches(s, "struct t { int x; }; struct s { long more; struct t *p; int a; };"),
            1U);
  EXPECT_EQ(type_matches(s, "struct s { int a; };"), 0U);
  EXPECT_EQ(type_matches(s, "struct s { unsigned a; struct t *p; };"), 0U) << "another sign";
  EXPECT_EQ(type_matches(s, "struct s { int a; union t *p; };"), 0U) << "struct and union";
  EXPECT_EQ(type_matches("struct s { int a[3]; };", "struct s { int a[3]; };"), 1U);
  EXPECT_EQ(type_matches("struct s { int a[3]; };", "struct s { int a[4]; };"), 0U);
  EXPECT_EQ(type_matches("enum e { A }; struct s { enum e e; };",
                         "enum e { B, A = 5 }; struct s { enum e e; };"),
            1U);
  EXPECT_EQ(type_matches("enum e { A, C }; struct s { enum e e; };",
                         "enum e { B, A = 5 }; struct s { enum e e; };"),
            0U);
}

// Two structures of one name whose member lies elsewhere: neither is the one that is meant.
TEST(CoreRelocation, SeveralThatFitAndDifferAreRefused) {
  const auto own = KernelTypes::read(compiled("own", "struct s { int a; } s;", "bpfel"));
  const auto types = KernelTypes::read(
      compiled("there", "struct s { int a; } s; struct s___2 { int b, a; } t;", "bpfel"));
  const auto id =
      static_cast<std::uint32_t>(btf__find_by_name_kind(own.value().types(), "s", BTF_KIND_STRUCT));
  const auto offset =
      resolve(*own.value().types(),
              {.type = id, .access = "0:0", .kind = CoreKind::field_byte_offset}, types.value());
  ASSERT_FALSE(offset);
  EXPECT_EQ(offset.error().code, ErrorCode::elf_unsupported);
  EXPECT_THAT(offset.error().message,
              HasSubstr("several types of the kernel fit, and say 0 and 4"));
  const auto size =
      resolve(*own.value().types(),
              {.type = id, .access = "0:0", .kind = CoreKind::field_byte_size}, types.value());
  ASSERT_TRUE(size);
  EXPECT_EQ(size.value().value, 4U);
}

TEST(CoreRelocation, AWayThatTheObjectsTypesDoNotHaveIsMalformed) {
  const auto own = KernelTypes::read(compiled("own", "struct s { int a; int b[2]; } s;", "bpfel"));
  const auto id =
      static_cast<std::uint32_t>(btf__find_by_name_kind(own.value().types(), "s", BTF_KIND_STRUCT));
  for (const char* const access : {"", "x", "0:", "0:2", "0:0:0", "0:1:2", "0:-1", "0:1:0:0"}) {
    const auto value =
        resolve(*own.value().types(),
                {.type = id, .access = access, .kind = CoreKind::field_byte_offset}, own.value());
    ASSERT_FALSE(value) << access;
    EXPECT_EQ(value.error().code, ErrorCode::elf_malformed) << access;
  }
  EXPECT_FALSE(resolve(*own.value().types(),
                       {.type = 9999, .access = "0", .kind = CoreKind::type_size}, own.value()));
}

TEST(CoreRelocation, AnInstructionMustHaveWhatItsOwnTypesSay) {
  const CoreValue value{.original = 4, .value = 12, .is_checked = true};
  std::vector<Slot> slots = {{.opcode = 0xb7, .imm = 4}};
  ASSERT_TRUE(fit(value, slots));
  EXPECT_EQ(slots[0].imm, 12);
  slots = {{.opcode = 0xb7, .imm = 5}};
  EXPECT_EQ(fit(value, slots).error().code, ErrorCode::elf_malformed);
  slots = {{.opcode = 0x61, .src = 1, .offset = 5}};
  EXPECT_EQ(fit(value, slots).error().code, ErrorCode::elf_malformed);
  slots = {{.opcode = 0x0f, .src = 1}};  // add %r0, %r1
  EXPECT_EQ(fit(value, slots).error().code, ErrorCode::elf_malformed);
  slots = {{.opcode = 0x61, .src = 1, .offset = 4}};
  EXPECT_EQ(fit({.original = 4, .value = 40000, .is_checked = true}, slots).error().code,
            ErrorCode::elf_unsupported);
}

TEST(CoreRelocation, WhatIsNoBtfIsRefused) {
  const std::string path = temporary("text");
  std::ofstream(path) << "no types\n";
  const auto text = KernelTypes::read(path);
  EXPECT_EQ(text.error().code, ErrorCode::file_unreadable);
  EXPECT_EQ(text.error().message, "expected BTF, or an ELF file with a section .BTF");
  const auto missing = KernelTypes::read(path + "-not-there");
  EXPECT_EQ(missing.error().code, ErrorCode::file_unreadable);
  EXPECT_EQ(missing.error().message, "No such file or directory");
}

}  // namespace
}  // namespace farcall::bpf::core_relocation_test
