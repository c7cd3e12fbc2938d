#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>

#include "base/locate.hpp"
#include "bpf/instruction.hpp"
#include "bpf/validator.hpp"
#include "external/external.hpp"
#include "model/json.hpp"
#include "model/json_error.hpp"
#include "model/translation.hpp"

// nlohmann::json reports what does not fit by exceptions that name the place; they end at
// read_document(), which makes an Error of them. What is well-formed but means nothing throws
// BadDocument, and goes the same way.
namespace farcall::model {
namespace {

struct BadDocument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Larger than any honest document by an order of magnitude: 4 MiB of code or data.
constexpr std::size_t kMaximumBytes = std::size_t{4} << 20;

std::uint64_t read_hex(const Json& json) {
  const auto text = json.get<std::string>();
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const bool prefixed = text.starts_with("0x");
  const auto parsed = std::from_chars(text.data() + (prefixed ? 2 : 0), end, value, 16);
  if (!prefixed || parsed.ec != std::errc() || parsed.ptr != end) {
    throw BadDocument(fmt::format("'{}' is no 64-bit number in hex; expected 0x…", text));
  }
  return value;
}

GuestAddress read_address(const Json& json) {
  return {read_hex(json)};
}

std::vector<std::byte> read_bytes(const Json& json) {
  const auto text = json.get<std::string>();
  if (text.size() % 2 != 0 || text.size() / 2 > kMaximumBytes) {
    throw BadDocument("a string of bytes has an odd number of digits or is beyond 4 MiB");
  }
  std::vector<std::byte> bytes(text.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    unsigned value = 0;
    const char* const at = text.data() + (2 * i);
    const auto parsed = std::from_chars(at, at + 2, value, 16);
    if (parsed.ec != std::errc() || parsed.ptr != at + 2) {
      throw BadDocument(fmt::format("'{}' is no byte in hex", std::string_view(at, 2)));
    }
    bytes[i] = static_cast<std::byte>(value);
  }
  return bytes;
}

template <typename One>
auto read_array(const Json& json, One one) {
  std::vector<std::decay_t<decltype(one(json))>> values;
  if (!json.is_array()) {
    static_cast<void>(json.get<Json::array_t>());  // throws, and says where
  }
  values.reserve(json.size());
  for (const Json& element : json.get_ref<const Json::array_t&>()) {
    values.push_back(one(element));
  }
  return values;
}

// A number that must be in the range of `Number`; JSON's own conversion would truncate it.
template <typename Number>
Number read_number(const Json& json) {
  const auto value = json.get<std::int64_t>();
  if (!json.is_number_integer() || !std::in_range<Number>(value)) {
    throw BadDocument(fmt::format("{} is out of range", json.dump()));
  }
  return static_cast<Number>(value);
}

AxisValues read_axes(const Json& json) {
  AxisValues axes;
  for (const auto& [key, value] : json.items()) {
    const auto axis = axis_named(key);
    if (!axis) {
      throw BadDocument(fmt::format("unknown axis '{}'", key));
    }
    const auto text = value.get<std::string>();
    const auto names = value_names(*axis);
    const auto found = std::ranges::find(names, text);
    if (found == names.end()) {
      throw BadDocument(fmt::format("unknown value '{}' of axis {}; expected one of {}", text, key,
                                    fmt::join(names, " ")));
    }
    set_value(axes, *axis, static_cast<std::size_t>(found - names.begin()));
  }
  return axes;
}

bpf::CallSite read_site(const Json& json) {
  return {.function = read_number<std::uint32_t>(json.at("function")),
          .ordinal = read_number<std::uint32_t>(json.at("ordinal"))};
}

bpf::Slot read_slot(const Json& json) {
  if (json.size() != 5) {
    throw BadDocument("a slot is [opcode, dst, src, off, imm]");
  }
  const bpf::Slot slot{.opcode = read_number<std::uint8_t>(json.at(0)),
                       .dst = read_number<std::uint8_t>(json.at(1)),
                       .src = read_number<std::uint8_t>(json.at(2)),
                       .offset = read_number<std::int16_t>(json.at(3)),
                       .imm = read_number<std::int32_t>(json.at(4))};
  if (slot.dst > 15 || slot.src > 15) {
    throw BadDocument("a register field of a slot holds more than four bits");
  }
  return slot;
}

bpf::External read_external(const Json& json) {
  const auto text = json.at("name").get<std::string>();
  const auto kind = json.at("kind").get<std::string>();
  const external::Native* const found = external::find(text);
  if (found == nullptr || (kind != "helper" && kind != "kfunc")) {
    throw BadDocument(fmt::format("there is no {} called '{}'", kind, text));
  }
  return external::external(*found,
                            kind == "kfunc" ? bpf::ExternalKind::kfunc : bpf::ExternalKind::helper,
                            read_number<std::int32_t>(json.at("id")));
}

bpf::Program read_program(const Json& json) {
  bpf::Program program;
  program.slots = read_array(json.at("slots"), read_slot);
  program.functions = read_array(json.at("functions"), [](const Json& one) {
    return bpf::Function{.name = one.at("name").get<std::string>(),
                         .begin = read_number<bpf::SlotIndex>(one.at("begin")),
                         .end = read_number<bpf::SlotIndex>(one.at("end")),
                         .anonymous = one.value("anonymous", false),
                         .begins_program = one.value("begins_program", false)};
  });
  if (json.contains("externals")) {
    program.externals = read_array(json.at("externals"), read_external);
  }
  if (json.contains("maps")) {
    program.maps = read_array(json.at("maps"), [](const Json& one) {
      return bpf::Map{.name = one.at("name").get<std::string>(),
                      .value_bytes = read_number<std::uint32_t>(one.at("value_bytes"))};
    });
  }
  if (json.contains("extension")) {
    const auto extension = json.at("extension").get<std::string>();
    const auto callx = bpf::extension_named(extension);
    if (!callx) {
      throw BadDocument(fmt::format("there is no extension '{}'", extension));
    }
    program.callx = *callx;
  }
  bpf::SlotIndex next = 0;
  for (const bpf::Function& function : program.functions) {
    if (function.begin != next || function.end <= function.begin) {
      throw BadDocument(
          fmt::format("function {} does not begin where the one before ends", function.name));
    }
    next = function.end;
  }
  if (next != program.slots.size()) {
    throw BadDocument("the last function does not end with the program");
  }
  return program;
}

Expectation read_expectation(const Json& json) {
  Expectation expected;
  if (const Json& result = json.at("result"); !result.is_null()) {
    expected.result = read_hex(result);
  }
  expected.calls = read_array(json.at("calls"), [](const Json& one) {
    return ExpectedCall{.site = read_site(one.at("site")),
                        .callee = read_number<std::uint32_t>(one.at("callee")),
                        .count = one.at("count").get<std::uint64_t>()};
  });
  expected.memory = read_array(json.at("memory"), [](const Json& one) {
    return ExpectedMemory{.region = one.at("region").get<std::string>(),
                          .offset = one.at("offset").get<std::uint64_t>(),
                          .bytes = read_bytes(one.at("bytes"))};
  });
  if (const Json& failure = json.at("failure"); !failure.is_null()) {
    const auto text = failure.at("code").get<std::string>();
    const auto code = error_code_named(text);
    if (!code) {
      throw BadDocument(fmt::format("unknown failure code '{}'", text));
    }
    expected.failure =
        ExpectedFailure{.code = *code, .site = failure.at("site").get<std::string>()};
  }
  return expected;
}

Placement read_placement(const Json& json) {
  return {.functions = read_array(json.at("functions"), read_address),
          .stack = read_address(json.at("stack")),
          .call_base = read_address(json.at("call_base")),
          .toc = read_address(json.at("toc"))};
}

Cell read_cell(const Json& json) {
  Cell cell{.case_path = json.at("case").get<std::string>(),
            .name = json.at("name").get<std::string>(),
            .axes = read_axes(json.at("axes")),
            .placement = read_placement(json.at("placement")),
            .memory = read_array(json.at("memory"),
                                 [](const Json& one) {
                                   return bpf::MemoryRegion{
                                       .name = one.at("name").get<std::string>(),
                                       .address = read_address(one.at("address")),
                                       .bytes = read_bytes(one.at("bytes")),
                                       .writable = one.at("writable").get<bool>()};
                                 }),
            .expected = read_expectation(json.at("expected"))};
  const auto arguments = read_array(json.at("arguments"), read_hex);
  if (arguments.size() != cell.arguments.size()) {
    throw BadDocument("expected five arguments");
  }
  std::ranges::copy(arguments, cell.arguments.begin());
  if (const Json& program = json.at("program"); !program.is_null()) {
    cell.program = std::make_shared<const bpf::Program>(read_program(program));
    if (cell.placement.functions.size() != callee_count(*cell.program)) {
      throw BadDocument(
          "the placement has not one address for each function of the program and each external");
    }
    for (const bpf::Map& map : cell.program->maps) {
      const auto region = std::ranges::find(cell.memory, map.name, &bpf::MemoryRegion::name);
      if (region == cell.memory.end() || region->bytes.size() < bpf::kArrayHeaderBytes ||
          region->bytes.size() - bpf::kArrayHeaderBytes < map.value_bytes) {
        throw BadDocument(fmt::format("map {} is not a region of the cell that holds its {} bytes",
                                      map.name, map.value_bytes));
      }
    }
  } else if (!cell.expected.result) {
    throw BadDocument("without a program, the cell must say which result it expects");
  }
  return cell;
}

LinkedProgram read_linked(const Json& json, Endian endian) {
  LinkedProgram linked{
      .scheme = read_axes({{"call", json.at("scheme")}}).call,
      .endian = endian,
      .program = read_program(json.at("program")),
      .addresses = read_array(json.at("addresses"), read_address),
      .maps = json.contains("maps") ? read_array(json.at("maps"), read_address)
                                    : std::vector<GuestAddress>(),
      .call_base = read_address(json.at("call_base")),
      .toc = read_address(json.at("toc")),
      .calls = read_array(json.at("calls"),
                          [](const Json& one) {
                            return LinkedCall{
                                .site = read_site(one.at("site")),
                                .slot = read_number<bpf::SlotIndex>(one.at("slot")),
                                .callee = read_number<std::uint32_t>(one.at("callee")),
                                .target = read_address(one.at("target"))};
                          }),
      .side_table = read_array(json.at("side_table"), read_address)};
  if (!is_consistent(linked)) {
    throw BadDocument("the linked program's addresses, maps, calls or side table do not fit it");
  }
  return linked;
}

CodeLine read_line(const Json& json) {
  const auto numbers = read_array(json, read_number<std::uint32_t>);
  if (numbers.size() != 2) {
    throw BadDocument("a line is [BPF instruction, word]");
  }
  return {.instruction = numbers[0], .word = numbers[1]};
}

// Whether both numbers of each row are at least those of the row before, and all words are words of
// the function.
bool lines_fit(const CodeFunction& function) {
  const std::span lines(function.lines);
  const auto descends = [](const CodeLine& a, const CodeLine& b) {
    return b.instruction <= a.instruction || b.word < a.word;
  };
  return std::ranges::adjacent_find(lines, descends) == lines.end() &&
         (lines.empty() || (lines.front().word >= function.descriptor_words &&
                            lines.back().word < function.words.size()));
}

template <typename Member>
bool has_twice(const std::vector<CodeCall>& calls, Member member) {
  std::vector<std::decay_t<decltype(calls.front().*member)>> all;
  all.reserve(calls.size());
  std::ranges::transform(calls, std::back_inserter(all), member);
  std::ranges::sort(all);
  return std::ranges::adjacent_find(all) != all.end();
}

// Words that are left out at the beginning of a function; 0 if the document does not say.
std::uint32_t read_entry_words(const Json& function, const char* key) {
  return function.contains(key) ? read_number<std::uint32_t>(function.at(key)) : 0;
}

CodeImage read_image(const Json& json) {
  CodeImage image;
  image.entry = read_address(json.at("entry"));
  image.functions = read_array(json.at("functions"), [](const Json& one) {
    return CodeFunction{
        .name = one.at("name").get<std::string>(),
        .address = read_address(one.at("address")),
        .words = read_array(one.at("words"),
                            [](const Json& word) {
                              const std::uint64_t value = read_hex(word);
                              if (!std::in_range<std::uint32_t>(value)) {
                                throw BadDocument("an instruction word has more than 32 bits");
                              }
                              return static_cast<std::uint32_t>(value);
                            }),
        .pass_words = read_array(one.at("pass_words"), read_number<std::uint32_t>),
        .descriptor_words = one.contains("descriptor_words")
                                ? read_number<std::uint32_t>(one.at("descriptor_words"))
                                : 0,
        .lines = one.contains("lines") ? read_array(one.at("lines"), read_line)
                                       : std::vector<CodeLine>(),
        .local_entry_words = read_entry_words(one, "local_entry_words"),
        .tail_entry_words = read_entry_words(one, "tail_entry_words")};
  });
  image.calls = read_array(json.at("calls"), [](const Json& one) {
    CodeCall call{.site = read_site(one.at("site")),
                  .at = read_address(one.at("at")),
                  .callee = {},
                  .is_tail = one.value("is_tail", false)};
    if (!one.at("callee").is_null() || !one.at("target").is_null()) {
      call.callee = {.function = read_number<std::uint32_t>(one.at("callee")),
                     .target = read_address(one.at("target"))};
    }
    return call;
  });
  if (json.contains("bpf_registers")) {
    image.bpf_registers = read_array(json.at("bpf_registers"), read_number<std::uint8_t>);
    if (!image.bpf_registers.empty() && (image.bpf_registers.size() != bpf::kRegisterCount ||
                                         std::ranges::max(image.bpf_registers) > 31)) {
      throw BadDocument("expected eleven ppc64 registers, for r0 … r10, or none");
    }
  }
  std::size_t words = 0;
  for (const CodeFunction& function : image.functions) {
    words += function.words.size();
    if (function.words.empty() || function.address.value % 4 != 0) {
      throw BadDocument(fmt::format("function {} is empty or not word aligned", function.name));
    }
    if (function.descriptor_words != 0 && (function.descriptor_words != kDescriptorWords ||
                                           function.words.size() <= kDescriptorWords)) {
      throw BadDocument(
          fmt::format("the descriptor of function {} is not {} words in front of its code",
                      function.name, kDescriptorWords));
    }
    if (!lines_fit(function)) {
      throw BadDocument(
          fmt::format("the lines of function {} do not ascend within its code", function.name));
    }
  }
  if (has_twice(image.calls, &CodeCall::site) || has_twice(image.calls, &CodeCall::at)) {
    throw BadDocument("two calls of the image have one site, or one branch-and-link");
  }
  const std::size_t functions = image.functions.size();
  const bool calls_fit = std::ranges::all_of(image.calls, [functions](const CodeCall& call) {
    return call.site.function < functions && (!call.callee || call.callee->function < functions);
  });
  if (functions == 0 || words * 4 > kMaximumBytes || !calls_fit) {
    throw BadDocument("an image needs functions, at most 4 MiB of code, and calls among them");
  }
  return image;
}

// What the case expects must be about things that there are.
void check_expectation(const Document& document) {
  const Cell& cell = document.cell;
  const std::size_t functions =
      cell.program ? callee_count(*cell.program) : document.image->functions.size();
  for (const ExpectedCall& call : cell.expected.calls) {
    if (call.site.function >= functions || call.callee >= functions) {
      throw BadDocument("an expected call is of a function that is not there");
    }
  }
  for (const CodeCall& call : document.image ? document.image->calls : std::vector<CodeCall>{}) {
    const bool told = cell.program || call.callee ||
                      std::ranges::find(cell.expected.calls, call.site, &ExpectedCall::site) !=
                          cell.expected.calls.end();
    if (!told) {
      throw BadDocument(
          fmt::format("without a program, the cell must say whom the call through a register at "
                      "{} calls",
                      site_name(*document.image, call.site)));
    }
  }
  for (const ExpectedMemory& memory : cell.expected.memory) {
    const auto region = std::ranges::find(cell.memory, memory.region, &bpf::MemoryRegion::name);
    if (region == cell.memory.end() || memory.offset > region->bytes.size() ||
        memory.bytes.size() > region->bytes.size() - memory.offset) {
      throw BadDocument("expected memory is not within a region of the cell");
    }
  }
}

// Where the image lies, as a machine can map it.
void check_places(const CodeImage& image, Mmu mmu) {
  std::vector<const CodeFunction*> by_address;
  for (const CodeFunction& function : image.functions) {
    if (!admits(mmu, function.address, function.words.size() * 4)) {
      throw BadDocument(fmt::format("function {} at {} is outside what the MMU translates",
                                    function.name, to_string(function.address)));
    }
    by_address.push_back(&function);
  }
  std::ranges::sort(by_address, {}, &CodeFunction::address);
  for (std::size_t i = 1; i < by_address.size(); ++i) {
    if (by_address[i]->address.value - by_address[i - 1]->address.value <
        by_address[i - 1]->words.size() * 4) {
      throw BadDocument(fmt::format("functions {} and {} overlap at {}", by_address[i - 1]->name,
                                    by_address[i]->name, to_string(by_address[i]->address)));
    }
  }
}

Document read_checked(const Json& json) {
  const int format = json.at("farcall").at("format").get<int>();
  if (format != kJsonFormat) {
    throw BadDocument(
        fmt::format("format {} is not the one that this farcall reads, {}", format, kJsonFormat));
  }
  Document document{.cell = read_cell(json.at("cell"))};
  if (json.contains("linked")) {
    document.linked = read_linked(json.at("linked"), document.cell.axes.endian);
  }
  if (json.contains("image")) {
    document.image = read_image(json.at("image"));
    check_places(*document.image, document.cell.axes.mmu);
    if (document.cell.program && !is_complete(*document.image, *document.cell.program)) {
      throw BadDocument(
          fmt::format("the image has {} functions: expected one for each of the program's and each "
                      "of its externals, {}",
                      document.image->functions.size(), callee_count(*document.cell.program)));
    }
  }
  if (document.cell.axes.abi == Abi::elfv1 && document.image &&
      (document.cell.axes.endian != Endian::big ||
       !descriptor_at(*document.image, document.image->entry))) {
    throw BadDocument("ELFv1 wants big-endian code whose entry is a function descriptor");
  }
  if (!document.cell.program && !document.image) {
    throw BadDocument("there is neither a program nor an image to run");
  }
  check_expectation(document);
  return document;
}

bool same_call(const bpf::PseudoCall& found, const LinkedCall& stated) {
  return found.site == stated.site && found.slot == stated.slot && found.callee == stated.callee;
}

// What a document's texts come to is printed: nothing in them may drive a terminal.
// In UTF-8, C1 controls are 0xc2 and a byte below 0xa0.
bool has_control_character(const std::string& text) {
  char before = 0;
  for (const char c : text) {
    const bool is_c1 = before == '\xc2' && static_cast<unsigned char>(c) < 0xa0;
    if (static_cast<unsigned char>(c) < 0x20 || c == '\x7f' || is_c1) {
      return true;
    }
    before = c;
  }
  return false;
}

// Refuses while parsing, before anything walks over the whole: texts with control characters,
// numbers that are no integers, and nesting beyond that of any document.
bool accept(int depth, Json::parse_event_t event, Json& parsed) {
  constexpr int kDeepest = 32;
  const bool is_text = event == Json::parse_event_t::key || event == Json::parse_event_t::value;
  if (is_text && parsed.is_string() && has_control_character(parsed.get_ref<std::string&>())) {
    throw BadDocument(fmt::format("{} holds a control character", parsed.dump(-1, ' ', true)));
  }
  if (event == Json::parse_event_t::value && parsed.is_number_float()) {
    throw BadDocument(fmt::format("expected integers only, found {}", parsed.dump()));
  }
  if (depth > kDeepest) {
    throw BadDocument(fmt::format("expected nesting no deeper than {}", kDeepest));
  }
  return true;
}

}  // namespace

std::string reason(const Json::exception& error) {
  const std::string_view text = error.what();
  const auto bracket = text.find("] ");
  return std::string(text.substr(bracket == std::string_view::npos ? 0 : bracket + 2));
}

Result<Document> read_document(std::string_view text, const std::string& path) {
  constexpr std::string_view kHint =
      "farcall dump --json --stage=image FILE@CELL writes a good one";
  // A program in a document has no origins of its own.
  const auto valid = [&path](const bpf::Program& program) {
    Result<void> result = bpf::validate(program);
    if (!result) {
      result.error().where = {path};
    }
    return result;
  };
  const auto malformed = [&](std::string message, SourceLocation where) {
    return Error{.code = ErrorCode::json_malformed,
                 .message = std::move(message),
                 .where = std::move(where),
                 .hint = std::string(kHint)};
  };
  try {
    Document document = read_checked(Json::parse(text, accept));
    if (document.cell.program) {
      FARCALL_TRYV(valid(*document.cell.program));
    }
    if (document.linked) {
      const bpf::Program view = interpreter_view(*document.linked);
      FARCALL_TRYV(valid(view));
      if (!std::ranges::equal(pseudo_calls(view), document.linked->calls, same_call)) {
        throw BadDocument("the linked program's calls are not those of its slots");
      }
    }
    return document;
  } catch (const Json::parse_error& error) {
    return malformed("this is no JSON", locate(text, error.byte, path));
  } catch (const Json::exception& error) {
    return malformed(reason(error), {path});
  } catch (const BadDocument& error) {
    return malformed(error.what(), {path});
  }
}

}  // namespace farcall::model
