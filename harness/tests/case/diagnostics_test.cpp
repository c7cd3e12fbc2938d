// One malformed case for each diagnostic: code, line and column, and that the text names what was
// expected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.hpp"

namespace farcall::cases {
namespace {

using testing::HasSubstr;

struct Diagnostic {
  std::string_view name;
  std::string text;
  ErrorCode code;
  unsigned line;
  unsigned column;
  std::string_view says;  // somewhere in message or hint
};

void PrintTo(const Diagnostic& diagnostic, std::ostream* out) {
  *out << diagnostic.name;
}

class CaseDiagnostics : public testing::TestWithParam<Diagnostic> {};

TEST_P(CaseDiagnostics, IsLocatedAndSaysWhatWasExpected) {
  const Diagnostic& wanted = GetParam();
  const auto made = load(wanted.text);
  ASSERT_FALSE(made);
  const Error& error = made.error();
  EXPECT_EQ(name(error.code), name(wanted.code));
  EXPECT_EQ(
      error.where,
      (SourceLocation{.file = "folder/test.case", .line = wanted.line, .column = wanted.column}));
  EXPECT_THAT(error.message + "\n" + error.hint, HasSubstr(std::string{wanted.says}));
}

// Six lines of program, and then the section in question from line 7 on.
Diagnostic after_program(std::string_view name, std::string_view section, ErrorCode code,
                         unsigned line, unsigned column, std::string_view says) {
  return {name, two_functions(section), code, line, column, says};
}

// The same with a good result in the last two lines.
Diagnostic before_result(std::string_view name, std::string_view section, ErrorCode code,
                         unsigned line, unsigned column, std::string_view says) {
  return {name, two_functions(std::string{section} + "-- result\n1\n"), code, line, column, says};
}

using enum ErrorCode;

constexpr std::string_view kSections =
    "matrix, asm, elf, raw, mem, data, regs, place, result, mem-after, calls, fail";

INSTANTIATE_TEST_SUITE_P(
    Sections, CaseDiagnostics,
    testing::Values(
        Diagnostic{"no sections", "# nothing\n\n", case_missing_section, 0, 0, kSections},
        Diagnostic{"text above the first section", "# fine\n\n  mov %r0, 1\n", case_syntax, 3, 3,
                   "expected '-- SECTION' or a comment"},
        Diagnostic{"unknown section", "-- asm\nexit\n-- sam\nexit\n", case_unknown_section, 3, 4,
                   kSections},
        Diagnostic{"no word", "-- asm\nexit\n--\n", case_syntax, 3, 1, "expected '-- SECTION'"},
        Diagnostic{"no blank behind the dashes", "--asm\nexit\n", case_syntax, 1, 1,
                   "expected '-- SECTION'"},
        Diagnostic{"no program", "-- result\n1\n", case_missing_section, 0, 0,
                   "'-- asm', '-- elf FILE' or '-- raw'"},
        Diagnostic{"asm twice", "-- asm\nexit\n-- asm\nexit\n", case_duplicate_section, 3, 4,
                   "in line 1 already: expected one"},
        Diagnostic{"asm and elf", "-- elf a.o\n-- asm\nexit\n", case_duplicate_section, 1, 4,
                   "in line 2 already: expected one"},
        Diagnostic{"matrix twice", "-- matrix\ncall imm32\n-- asm\nexit\n-- matrix\ncall aux64\n",
                   case_duplicate_section, 5, 4, "in line 1 already"},
        Diagnostic{"mem twice", "-- mem\n00\n-- mem\n00\n", case_duplicate_section, 3, 4, "line 1"},
        Diagnostic{"regs twice", "-- regs\nr1 = 0\n-- regs\nr2 = 0\n", case_duplicate_section, 3, 4,
                   "line 1"},
        Diagnostic{"asm without body", "-- asm\n# nothing\n\n-- result\n1\n", case_syntax, 1, 4,
                   "expected BPF assembly"},
        Diagnostic{"last section without body", "-- asm\nexit\n-- result", case_syntax, 3, 4,
                   "expected an integer"},
        Diagnostic{"elf with body", "-- elf a.o\n\n  exit\n", case_syntax, 3, 3,
                   "expected nothing below '-- elf'"},
        Diagnostic{"asm with an argument", "-- asm fast\nexit\n", case_syntax, 1, 8,
                   "expected nothing more"},
        Diagnostic{"mem with an argument", "-- mem 4\n00\n-- asm\nexit\n", case_syntax, 1, 8,
                   "expected nothing more"},
        Diagnostic{"elf without file", "-- elf # none\n", case_syntax, 1, 7, "FILE [ENTRY]"},
        Diagnostic{"elf with too much", "-- elf a.o main more\n", case_syntax, 1, 17,
                   "expected nothing more"},
        Diagnostic{"elf of no file", "\n-- elf missing.o main\n", file_unreadable, 2, 8,
                   "folder/missing.o"},
        Diagnostic{"NUL", std::string{"-- asm\nex\0it\n", 13}, case_syntax, 2, 3,
                   "no control character, not 0x00"},
        Diagnostic{"lone carriage return", "-- asm\nexit\rexit\n", case_syntax, 2, 5,
                   "expected a line feed"},
        Diagnostic{"assembly", "# one\n-- asm\nmov %r0, 1\n  mvo %r0, 1\nexit\n",
                   asm_unknown_mnemonic, 4, 3, "mvo"},
        Diagnostic{"program that is not valid", "-- asm\nmov %r0, 1\nmov %r11, 1\nexit\n",
                   bpf_bad_register, 3, 1, "r11"}));

INSTANTIATE_TEST_SUITE_P(
    NotYetSupported, CaseDiagnostics,
    testing::Values(Diagnostic{"program", "-- program a\nexit\n", case_unsupported, 1, 4,
                               kSections},
                    Diagnostic{"array", "-- array a size=4\n", case_unsupported, 1, 4, kSections},
                    Diagnostic{"helper", "-- helper 5 time\n", case_unsupported, 1, 4, kSections},
                    Diagnostic{"linux", "-- matrix\nguest linux\n", case_unsupported, 2, 7,
                               "supported now: bare"},
                    after_program("selector", "-- result guest=linux\n1\n", case_unsupported, 7, 17,
                                  "supported now: bare")));

INSTANTIATE_TEST_SUITE_P(
    Matrix, CaseDiagnostics,
    testing::Values(Diagnostic{"unknown axis", "-- matrix\nendianess le\n", case_unknown_axis, 2, 1,
                               "endian, cpu, mmu, abi, call, reach, guest"},
                    Diagnostic{"place as an axis", "-- matrix\nplace near\n", case_unknown_axis, 2,
                               1, "'-- place NAME'"},
                    Diagnostic{"unknown value", "-- matrix\ncpu power9 power7\n",
                               case_unknown_value, 2, 12, "power8, power9, power10"},
                    Diagnostic{"no values", "-- matrix\ncall # imm32\n", case_syntax, 2, 5,
                               "imm32, aux64"},
                    Diagnostic{"value twice", "-- matrix\ncall aux64 imm32 aux64\n", case_syntax, 2,
                               18, "aux64 is there twice"},
                    Diagnostic{"axis twice", "-- matrix\ncall aux64\nendian le\ncall imm32\n",
                               case_syntax, 4, 1, "call is there twice"}));

INSTANTIATE_TEST_SUITE_P(
    Selectors, CaseDiagnostics,
    testing::Values(
        after_program("no equals sign", "-- result call\n1\n", case_syntax, 7, 11,
                      "AXIS=VALUE[,VALUE...]"),
        after_program("no axis", "-- result =le\n1\n", case_syntax, 7, 11, "AXIS=VALUE"),
        after_program("unknown axis", "-- result schema=imm32\n1\n", case_unknown_axis, 7, 11,
                      "endian, cpu, mmu, abi, call, reach, guest; selectors also know place"),
        after_program("unknown value", "-- result call=table,aux32\n1\n", case_unknown_value, 7, 22,
                      "imm32, aux64, pair64, table"),
        after_program("no value", "-- result call=\n1\n", case_syntax, 7, 16, "expected a value"),
        after_program("empty value", "-- result call=table,\n1\n", case_syntax, 7, 22,
                      "expected a value"),
        after_program("value twice", "-- result call=table,table\n1\n", case_syntax, 7, 22,
                      "table is there twice"),
        after_program("axis twice", "-- result call=table call=table\n1\n", case_syntax, 7, 22,
                      "call is there twice"),
        after_program("value of no cell", "-- result call=imm32\n1\n", case_selects_nothing, 7, 16,
                      "call is table"),
        after_program("placement of no case", "-- result place=near\n1\n", case_unknown_name, 7, 17,
                      "no named '-- place NAME'"),
        after_program("unknown placement",
                      "-- place near\ncallee = main+4K\n-- place far\ncallee = text+64K\n"
                      "-- result place=near,fra\n1\n",
                      case_unknown_name, 11, 22, "placements: near, far"),
        after_program("placement twice",
                      "-- place near\ncallee = main+4K\n-- result place=near,near\n1\n",
                      case_syntax, 9, 22, "near is there twice"),
        after_program("place twice",
                      "-- place a\ncallee = text\n-- place b\ncallee = io\n"
                      "-- result place=a place=b\n1\n",
                      case_syntax, 11, 19, "place is there twice"),
        after_program("nothing but cells that fail",
                      "-- place near call=table\ncallee = main+4K\n"
                      "-- result\n1\n-- fail call=table place=near\ncall.out-of-range\n",
                      case_selects_nothing, 9, 4, "'-- fail'")));

INSTANTIATE_TEST_SUITE_P(
    Bodies, CaseDiagnostics,
    testing::Values(
        Diagnostic{"mem digit", "-- asm\nexit\n-- mem\n00 11\n22 3g\n", case_bad_number, 5, 4,
                   "two hex digits each"},
        Diagnostic{"mem byte too long", "-- asm\nexit\n-- mem\n00 112\n", case_bad_number, 4, 4,
                   "two hex digits each"},
        Diagnostic{"mem byte too short", "-- asm\nexit\n-- mem\n1\n", case_bad_number, 4, 1,
                   "two hex digits each"},
        before_result("register", "-- regs\nr1 = 0\nr6 = 0\n", case_unknown_name, 9, 1,
                      "r1, r2, r3, r4, r5"),
        before_result("register without =", "-- regs\nr1 0\n", case_syntax, 8, 4, "expected ="),
        before_result("register without number", "-- regs\nr1 =\n", case_bad_number, 8, 5,
                      "number"),
        before_result("register too large", "-- regs\nr1 = 0x10000000000000000\n", case_bad_number,
                      8, 6, "64 bits"),
        before_result("register twice", "-- regs\nr1 = 1\nr1 = 1\n", case_syntax, 9, 1,
                      "r1 is there twice"),
        before_result("more behind a register", "-- regs\nr1 = 1 2\n", case_syntax, 8, 8,
                      "expected nothing more"),
        after_program("result", "-- result\n  one\n", case_bad_number, 8, 3, "0x and hex digits"),
        after_program("result too large", "-- result\n18446744073709551616\n", case_bad_number, 8,
                      1, "64 bits"),
        after_program("result too small", "-- result\n-9223372036854775809\n", case_bad_number, 8,
                      1, "-2^63"),
        after_program("two numbers", "-- result\n1 2\n", case_syntax, 8, 3,
                      "expected nothing more"),
        after_program("two lines", "-- result\n1\n\n 2\n", case_syntax, 10, 2,
                      "expected one line, an integer"),
        before_result("memory after of what", "-- mem-after\n0: 00\n", case_unknown_name, 7, 13,
                      "mem-after mem"),
        before_result("memory after of something else", "-- mem-after stack\n0: 00\n",
                      case_unknown_name, 7, 14, "mem-after mem"),
        before_result("memory after without memory", "-- mem-after mem\n0: 00\n",
                      case_missing_section, 7, 14, "'-- mem'"),
        before_result("memory after without colon", "-- mem\n00\n-- mem-after mem\n0 00\n",
                      case_syntax, 10, 3, "OFFSET: BYTES"),
        before_result("memory after without offset", "-- mem\n00\n-- mem-after mem\n: 00\n",
                      case_bad_number, 10, 1, "number"),
        before_result("memory after without bytes", "-- mem\n00\n-- mem-after mem\n0:\n",
                      case_syntax, 10, 3, "expected bytes"),
        before_result("memory after the end", "-- mem\n00 11\n-- mem-after mem\n1: 22 33\n",
                      case_bad_number, 10, 1, "mem, which has 2 bytes"),
        before_result("memory after at 2^64 - 1",
                      "-- mem\n00 11\n-- mem-after mem\n0xffffffffffffffff: 22 33\n",
                      case_bad_number, 10, 1, "mem, which has 2 bytes"),
        before_result("no site", "-- calls\ncallee\n", case_syntax, 8, 1,
                      "FUNCTION[N], not 'callee'"),
        before_result("site that is not closed", "-- calls\nmain[0 callee\n", case_syntax, 8, 1,
                      "FUNCTION[N]"),
        before_result("site number", "-- calls\nmain[x] callee\n", case_bad_number, 8, 6, "number"),
        before_result("site beyond the last", "-- calls\nmain[1] callee\n", case_unknown_site, 8, 1,
                      "call sites: main[0]"),
        before_result("site of a function that is not there", "-- calls\nmian[0] callee\n",
                      case_unknown_site, 8, 1, "call sites: main[0]"),
        before_result("site beyond 32 bits", "-- calls\nmain[4294967296] callee\n",
                      case_unknown_site, 8, 1, "call sites: main[0]"),
        before_result("no callee", "-- calls\nmain[0]\n", case_unknown_name, 8, 8,
                      "the function that main[0] calls"),
        before_result("unknown callee", "-- calls\nmain[0] caller\n", case_unknown_name, 8, 9,
                      "no function 'caller'"),
        before_result("another callee", "-- calls\nmain[0] main\n", case_unknown_site, 8, 9,
                      "main[0] calls callee, not main"),
        before_result("count without star", "-- calls\nmain[0] callee 5\n", case_syntax, 8, 16,
                      "*COUNT"),
        before_result("count", "-- calls\nmain[0] callee *-5\n", case_bad_number, 8, 17, "number"),
        before_result("more behind the count", "-- calls\nmain[0] callee *5 6\n", case_syntax, 8,
                      19, "expected nothing more"),
        after_program("unknown code", "-- fail\ncall.out-of-reach main[0]\n", case_unknown_code, 8,
                      1, "call.out-of-range"),
        after_program("failure at an unknown site", "-- fail\ncall.out-of-range main[7]\n",
                      case_unknown_site, 8, 19, "call sites: main[0]"),
        after_program("more behind the site", "-- fail\ncall.out-of-range main[0] callee\n",
                      case_syntax, 8, 27, "expected nothing more"),
        after_program("two failures", "-- fail\ncall.out-of-range\nguest.fault\n", case_syntax, 9,
                      1, "expected one line, CODE [SITE]")));

INSTANTIATE_TEST_SUITE_P(
    Places, CaseDiagnostics,
    testing::Values(
        before_result("unknown name", "-- place\ncalee = text\n", case_unknown_name, 8, 1,
                      "main, callee, mem, stack, callbase, toc"),
        before_result("no equals sign", "-- place\ncallee text\n", case_syntax, 8, 8,
                      "NAME = ADDRESS"),
        before_result("no address", "-- place\ncallee =\n", case_syntax, 8, 9,
                      "expected an address"),
        before_result("unknown region", "-- place\ncallee = txet+64K\n", place_unknown_region, 8,
                      10,
                      "regions: user, text, vmalloc, io, vmemmap, vmalloc_64k, vmalloc_2018; "
                      "placed: main, callee, mem"),
        before_result("no operator", "-- place\ncallee = text 64K\n", case_syntax, 8, 15,
                      "expected + or -"),
        before_result("no number", "-- place\ncallee = text+\n", case_syntax, 8, 15,
                      "expected a number"),
        before_result("unit alone", "-- place\ncallee = text+K\n", case_bad_number, 8, 15,
                      "number"),
        before_result("unknown unit", "-- place\ncallee = text+1E\n", case_bad_number, 8, 15,
                      "number"),
        before_result("two units", "-- place\ncallee = text+1KM\n", case_bad_number, 8, 15,
                      "number"),
        before_result("number that does not fit", "-- place\ncallee = text+16384P\n",
                      case_bad_number, 8, 15, "64 bits"),
        before_result("displacement too large", "-- place\ncallee = user+8191P+1P\n",
                      case_bad_number, 8, 21, "signed 64-bit"),
        before_result("displacement too small", "-- place\ncallee = user-8192P-1\n",
                      case_bad_number, 8, 21, "signed 64-bit"),
        before_result("two operators", "-- place\ncallee = text\nmain = text+ +4\n", case_syntax, 9,
                      14, "expected a number"),
        before_result("memory that is not there", "-- place\nmem = text\n", case_missing_section, 8,
                      1, "'-- mem'"),
        before_result("counted from memory that is not there", "-- place\ncallee = mem+4K\n",
                      case_missing_section, 8, 10, "'-- mem'"),
        before_result("name of a placement", "-- place n@r\ncallee = text\n", case_syntax, 7, 10,
                      "letters, digits"),
        before_result("selected by placement", "-- place far place=far\ncallee = text\n",
                      case_syntax, 7, 14, "'-- place NAME'"),
        before_result("placed twice in a section",
                      "-- place\ncallee = text\nmain = text+4K\ncallee = text\n", place_duplicate,
                      10, 1, "callee is placed in line 8 already"),
        before_result("placed twice in a cell",
                      "-- place\ncallee = text\n-- place far\ncallee = vmalloc\n", place_duplicate,
                      10, 1, "callee is placed in line 8 already\nin the cell test@far"),
        before_result("same placement twice",
                      "-- place far\ncallee = text\n-- place far\nmain = text+4K\n",
                      case_duplicate_section, 9, 4, "line 7"),
        before_result("own address", "-- place\ncallee = callee+4\n", place_cycle, 8, 1,
                      "callee is placed by callee"),
        before_result("circle", "-- place\nmain = stack+4K\nstack = toc-4K\ntoc = main\n",
                      place_cycle, 8, 1,
                      "main is placed by stack is placed by toc is placed by main"),
        before_result("circle through a default", "-- place\nmain = callee-4K\n", place_cycle, 8, 1,
                      "64K after the one before"),
        before_result("misaligned function", "-- place\ncallee = text+64K+2\n", place_misaligned, 8,
                      1, "c000000000010002: expected a multiple of 4"),
        before_result("misaligned default", "-- place\nmain = text+64K\n\ncallee = main+2\n",
                      place_misaligned, 10, 1, "c000000000010002"),
        before_result("misaligned stack", "-- place\nstack = text+64K+16\n", place_misaligned, 8, 1,
                      "c000000000010010: expected a multiple of 4096"),
        before_result("unmappable function", "-- place\ncallee = 0x10000000000000\n",
                      place_unmappable, 8, 1,
                      "0000000000000000 to 000fffffffffffff and c000000000000000 to "
                      "c00fffffffffffff"),
        before_result("unmappable above", "-- place\ncallee = 0xc010000000000000\n",
                      place_unmappable, 8, 1, "c010000000000000"),
        before_result("unmappable below", "-- place\nstack = text-4K\n", place_unmappable, 8, 1,
                      "bffffffffffff000"),
        before_result("stack that ends outside", "-- place\nstack = 0xc00ffffffffff000\n",
                      place_unmappable, 8, 1, "stack is at c00ffffffffff000"),
        before_result("default outside",
                      "-- place\n# callee is 64K on\nmain = 0xc00fffffffff0000\n", place_unmappable,
                      9, 1, "callee is at c010000000000000"),
        before_result("beyond 64 bits", "-- place\ncallee = 0xfffffffffffffffc+4\n",
                      place_unmappable, 8, 1, "outside the 64-bit address space"),
        before_result("below zero", "-- place\ncallee = user-4\n", place_unmappable, 8, 1,
                      "outside the 64-bit address space"),
        before_result("functions at one address", "-- place\nmain = text\ncallee = main\n",
                      place_overlap, 9, 1, "main at c000000000000000 and callee at"),
        before_result("function in the stack", "-- place\ncallee = stack+16K-4\n", place_overlap, 8,
                      1, "stack at c000000002000000 and callee at c000000002003ffc overlap"),
        before_result("function in a page of memory", "-- mem\n00\n-- place\ncallee = mem+4K-4\n",
                      place_overlap, 10, 1,
                      "mem at c000000001000000 and callee at c000000001000ffc overlap"),
        before_result("memory in the stack", "-- mem\n00 00\n-- place\nmem = stack-1\n",
                      place_overlap, 10, 1, "mem at c000000001ffffff and stack at")));

Diagnostic swept(std::string_view name, const std::string& sweep, ErrorCode code, unsigned column,
                 std::string_view says) {
  return before_result(name, "-- place\ncallee = text" + sweep + "\n", code, 8, column, says);
}

INSTANTIATE_TEST_SUITE_P(
    Sweeps, CaseDiagnostics,
    testing::Values(
        before_result("sweep as a base", "-- place\ncallee = sweep { 0..4 step 4 }\n",
                      place_unknown_region, 8, 10, "'sweep'"),
        swept("sweep that is taken away", "-sweep { 0..4 step 4 }", case_bad_number, 15, "number"),
        swept("no brace", "+sweep 0..4 step 4", case_syntax, 21, "expected {"),
        swept("no range", "+sweep { 4 step 4 }", case_syntax, 23, "FIRST..LAST"),
        swept("no first value", "+sweep { ..4 step 4 }", case_syntax, 23, "a number"),
        swept("no last value", "+sweep { 0.. step 4 }", case_syntax, 26, "a number"),
        swept("no step", "+sweep { 0..4 }", case_syntax, 28, "expected step"),
        swept("step of nothing", "+sweep { 0..4 step }", case_syntax, 33, "a number"),
        swept("step of zero", "+sweep { 0..4 step 0 }", case_bad_number, 23, "whole number"),
        swept("not a whole number of steps", "+sweep { -16..16 step 5 }", case_bad_number, 23,
              "whole number of steps"),
        swept("backwards", "+sweep { 16..-16 step 4 }", case_bad_number, 23, "above FIRST"),
        swept("too many values", "+sweep { 0..4096 step 1 }", case_bad_number, 23, "4096 values"),
        swept("not closed", "+sweep { 0..4 step 4", case_syntax, 34, "expected }"),
        swept("more behind a sweep", "+sweep { 0..4 step 4 }+4", case_syntax, 36, "nothing more"),
        before_result("two sweeps in a cell",
                      "-- place\nmain = text+sweep { 0..4 step 4 }\n-- place far\n"
                      "callee = io+sweep { 0..4 step 4 }\n",
                      case_syntax, 10, 1, "has a sweep in line 8 already: expected one"),
        before_result("value of a sweep that cannot be",
                      "-- place\ncallee = text+sweep { 0..4 step 2 }\n", place_misaligned, 8, 1,
                      "in the cell test@p2"),
        before_result("two cells of one name",
                      "-- place a\ncallee = text+sweep { 0..4 step 4 }\n"
                      "-- place a.p4\ncallee = io\n",
                      case_syntax, 7, 4, "two cells are called test@a.p4")));

INSTANTIATE_TEST_SUITE_P(
    Addresses, CaseDiagnostics,
    testing::Values(after_program("address of nothing known", "-- result\naddr(caller)\n",
                                  case_unknown_name, 8, 6, "known: main, callee"),
                    after_program("address that is not closed", "-- result\naddr(main\n",
                                  case_syntax, 8, 1, "addr(NAME)"),
                    after_program("address of memory that is not there", "-- result\naddr(mem)\n",
                                  case_missing_section, 8, 6, "'-- mem'"),
                    before_result("address in a register", "-- regs\nr3 = addr(calle)\n",
                                  case_unknown_name, 8, 11, "'calle'")));

INSTANTIATE_TEST_SUITE_P(
    Data, CaseDiagnostics,
    testing::Values(before_result("no name", "-- data\n00\n", case_syntax, 7, 8, "NAME [ro]"),
                    before_result("unknown access", "-- data table rw\n00\n", case_syntax, 7, 15,
                                  "ro or nothing"),
                    before_result("more behind the access", "-- data table ro 4\n00\n", case_syntax,
                                  7, 18, "nothing more"),
                    before_result("called like a function", "-- data callee\n00\n", case_syntax, 7,
                                  9, "another name"),
                    before_result("called like a region", "-- data vmalloc\n00\n", case_syntax, 7,
                                  9, "another name"),
                    before_result("called like a number", "-- data 4k\n00\n", case_syntax, 7, 9,
                                  "another name"),
                    before_result("data twice", "-- data a\n00\n-- data a ro\n00\n",
                                  case_duplicate_section, 9, 9, "'-- data a' already"),
                    before_result("no bytes of data", "-- data a\n0\n", case_bad_number, 8, 1,
                                  "two hex digits"),
                    before_result("data in another's page",
                                  "-- data a\n00\n-- data b ro\n00\n-- place\nb = a+1\n",
                                  place_overlap, 12, 1,
                                  "a at c000000002800000 and b at c000000002800001 overlap"),
                    before_result("memory after of nothing known",
                                  "-- data a\n00\n-- mem-after b\n0: 00\n", case_unknown_name, 9,
                                  14, "'-- data' section"),
                    before_result("memory after the end of data",
                                  "-- data a\n00 00\n-- mem-after a\n1: 00 00\n", case_bad_number,
                                  10, 1, "not all in a, which has 2 bytes")));

INSTANTIATE_TEST_SUITE_P(
    Raw, CaseDiagnostics,
    testing::Values(Diagnostic{"no number", "-- raw\n0x95\nexit\n", case_bad_number, 3, 1, "0x"},
                    Diagnostic{"more than 64 bits", "-- raw\n0x95 0x10000000000000095\n",
                               case_bad_number, 2, 6, "64 bits"},
                    Diagnostic{"raw and asm", "-- asm\nexit\n-- raw\n0x95\n",
                               case_duplicate_section, 3, 4, "in line 1 already"},
                    Diagnostic{"raw with an argument", "-- raw 1\n0x95\n", case_syntax, 1, 8,
                               "nothing more"},
                    Diagnostic{"call before relocation", "-- raw\n0xffffffff00001085\n0x95\n",
                               elf_unrelocated_call, 2, 1, "before relocation"},
                    Diagnostic{"call to nowhere", "-- raw\n0x0000000500001085 0x95\n",
                               bpf_call_target, 2, 1, "no function begins"},
                    Diagnostic{"opcode of nothing", "-- raw\n0x95\n0x00000000000000ff\n",
                               bpf_unknown_opcode, 3, 1, "0xff"}));

INSTANTIATE_TEST_SUITE_P(
    Outcomes, CaseDiagnostics,
    testing::Values(
        after_program("none", "", case_no_outcome, 1, 4, "'-- result' or '-- fail'"),
        Diagnostic{"none for one cell",
                   "-- matrix\ncall imm32 aux64\n-- asm\nexit\n-- result call=imm32\n1\n",
                   case_no_outcome, 3, 4, "in the cell test@aux64"},
        after_program("same section twice", "-- result\n1\n-- result\n1\n", case_duplicate_section,
                      9, 4, "line 7"),
        after_program("two results", "-- result\n1\n-- result call=table\n1\n", case_two_outcomes,
                      9, 4, "in line 7 is for the same cell: expected one\nin the cell test"),
        after_program("two failures",
                      "-- result\n1\n-- fail\nguest.fault\n-- fail endian=le\nguest.fault\n",
                      case_two_outcomes, 11, 4, "line 9"),
        after_program("result of cells that fail",
                      "-- fail\ncall.out-of-range\n-- result call=table\n1\n", case_selects_nothing,
                      9, 4, "'-- fail'"),
        after_program("calls of cells that fail",
                      "-- fail\ncall.out-of-range\n-- calls\nmain[0] callee\n",
                      case_selects_nothing, 9, 4, "'-- fail'"),
        Diagnostic{"memory of cells that fail",
                   "-- mem\n00\n" + two_functions("-- fail\ncall.out-of-range\n"
                                                  "-- mem-after mem\n0: 00\n"),
                   case_selects_nothing, 11, 4, "'-- fail'"},
        before_result("site twice", "-- calls\nmain[0] callee\nmain[0] callee\n", case_two_outcomes,
                      9, 1, "main[0] is in line 8 already"),
        before_result("site in two sections",
                      "-- calls\nmain[0] callee\n-- calls call=table\nmain[0] callee *2\n",
                      case_two_outcomes, 10, 1, "main[0] is in line 8 already"),
        before_result("same calls section twice",
                      "-- calls\nmain[0] callee\n-- calls\nmain[0] callee\n",
                      case_duplicate_section, 9, 4, "line 7"),
        before_result("byte twice", "-- mem\n00 11 22\n-- mem-after mem\n0: 00 01\n1: 02\n",
                      case_two_outcomes, 11, 1, "the byte at 1"),
        Diagnostic{"combination of no cell",
                   "-- matrix\ncall imm32 aux64\n" + std::string{kTwoFunctions} +
                       "-- place near call=imm32\ncallee = main+4K\n"
                       "-- place far call=aux64\ncallee = text\n-- result\n1\n"
                       "-- fail call=aux64 place=near\ncall.out-of-range\n",
                   case_selects_nothing, 15, 4, "this section is for no cell"},
        Diagnostic{"no placement for a cell",
                   "-- matrix\ncall imm32 aux64\n" + std::string{kTwoFunctions} +
                       "-- place near call=imm32\ncallee = main+4K\n-- result\n1\n",
                   case_selects_nothing, 9, 4, "no placement for the cell test@aux64"}));

TEST(CaseFile, EmptyFilesAreRefused) {
  const auto made = load("");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::file_empty);
  EXPECT_EQ(made.error().where.file, "folder/test.case");
}

TEST(CaseFile, LargeFilesAreRefused) {
  std::string text = two_functions("-- result\n1\n");
  text.resize(kMaxCaseBytes, '\n');
  EXPECT_TRUE(load(text));
  text += '\n';
  const auto made = load(text);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::file_too_large);
}

TEST(CaseFile, NamesThatAShellWouldTouchAreRefused) {
  const std::string text = two_functions("-- result\n1\n");
  for (const auto* path : {"a b.case", "a*.case", "a@b.case", "-a.case", "x/.case", ""}) {
    const auto parsed = parse_case(text, path);
    ASSERT_FALSE(parsed) << path;
    EXPECT_EQ(parsed.error().code, ErrorCode::case_syntax);
    EXPECT_EQ(parsed.error().where.file, path);
  }
}

TEST(CaseFile, UnreadableFilesAreErrors) {
  for (const auto* path : {"/nonexistent/a.case", "/"}) {
    const auto parsed = read_case(path);
    ASSERT_FALSE(parsed) << path;
    EXPECT_EQ(parsed.error().code, ErrorCode::file_unreadable);
    EXPECT_EQ(parsed.error().where.file, path);
  }
}

}  // namespace
}  // namespace farcall::cases
