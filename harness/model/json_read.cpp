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
#include "external/stub.hpp"
#include "model/json.hpp"
#include "model/json_error.hpp"
#include "model/rules.hpp"
#include "model/translation.hpp"

// nlohmann::json reports what does not fit by exceptions that name the place; they end at
// read_document(), which makes an Error of them. What is well-formed but means nothing throws
// BadDocument, and goes the same way.
namespace farcall::model {
namespace {

struct BadDocument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// More than a guest takes of code or data.
constexpr std::size_t kMaximumBytes = std::size_t{48} << 20;

std::uint64_t read_hex(const Json& json) {
  const auto text = json.get<std::string>();
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const bool prefixed = text.starts_with("0x");
  const auto parsed = std::from_chars(text.data() + (prefixed ? 2 : 0), end, value, 16);
  if (!prefixed || parsed.ec != std::errc() || parsed.ptr != end) {
    throw BadDocument(fmt::format("'{}' is not a 64-bit number in hex; expected 0x…", text));
  }
  return value;
}

GuestAddress read_address(const Json& json) {
  return {read_hex(json)};
}

std::vector<std::byte> read_bytes(const Json& json) {
  const auto text = json.get<std::string>();
  if (text.size() % 2 != 0 || text.size() / 2 > kMaximumBytes) {
    throw BadDocument("a string of bytes has an odd number of digits or is beyond 48 MiB");
  }
  std::vector<std::byte> bytes(text.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    unsigned value = 0;
    const char* const at = text.data() + (2 * i);
    const auto parsed = std::from_chars(at, at + 2, value, 16);
    if (parsed.ec != std::errc() || parsed.ptr != at + 2) {
      throw BadDocument(fmt::format("'{}' is not a byte in hex", std::string_view(at, 2)));
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

bpf::Signature read_signature(const Json& json) {
  const auto types = read_array(json, [](const Json& one) {
    const int bits = one.get<int>();
    const int width = std::abs(bits);
    if (width != 8 && width != 16 && width != 32 && width != 64) {
      throw BadDocument(
          "a type of a signature has 8, 16, 32 or 64 bits, negative for a signed one");
    }
    return bpf::ValueType{.bits = static_cast<std::uint8_t>(width), .is_signed = bits < 0};
  });
  bpf::Signature signature;
  if (types.empty() || types.size() > signature.arguments.size() + 1) {
    throw BadDocument("a signature has five arguments at most, and a result");
  }
  std::ranges::copy(types.begin(), types.end() - 1, signature.arguments.begin());
  signature.argument_count = static_cast<std::uint8_t>(types.size() - 1);
  signature.result = types.back();
  return signature;
}

std::uint8_t read_argument_number(const Json& json) {
  const auto number = read_number<std::uint8_t>(json);
  if (number >= std::tuple_size_v<bpf::Arguments>) {
    throw BadDocument("expected the number of an argument, 0 to 4");
  }
  return number;
}

bpf::Filling read_filling(const Json& json) {
  bpf::Filling filling{.pointer = read_argument_number(json.at("pointer"))};
  if (json.contains("length")) {
    filling.length = read_argument_number(json.at("length"));
  } else {
    filling.bytes = read_number<std::uint32_t>(json.at("bytes"));
    if (filling.bytes > external::kMostFilledBytes) {
      throw BadDocument(fmt::format("a stub fills {} bytes at most", external::kMostFilledBytes));
    }
  }
  return filling;
}

bpf::Stub read_stub(const Json& json) {
  bpf::Stub stub{.log = read_number<std::uint32_t>(json.at("log")),
                 .number = read_number<std::uint32_t>(json.at("number")),
                 .block = read_number<std::uint32_t>(json.at("block")),
                 .values = read_number<std::uint32_t>(json.at("values"))};
  if (json.contains("fills")) {
    stub.fills = read_filling(json.at("fills"));
  }
  return stub;
}

bpf::External read_external(const Json& json) {
  const auto text = json.at("name").get<std::string>();
  const auto kind = json.at("kind").get<std::string>();
  const external::Native* const found = external::find(text);
  const bool is_stub = json.contains("stub");
  if ((found == nullptr && !is_stub) || (kind != "helper" && kind != "kfunc")) {
    throw BadDocument(fmt::format("there is no {} called '{}'", kind, text));
  }
  const auto which = kind == "kfunc" ? bpf::ExternalKind::kfunc : bpf::ExternalKind::helper;
  const auto id = read_number<std::int32_t>(json.at("id"));
  return is_stub ? external::stub(text, which, id, read_signature(json.at("signature")),
                                  read_stub(json.at("stub")))
                 : external::external(*found, which, id);
}

// Its list lies within the log, and all stubs have one log.
void check_stub(const bpf::Program& program, const bpf::Stub& stub) {
  const bool fits = stub.log < program.maps.size() &&
                    &program.maps[stub.log] == external::stub_log(program) && stub.values != 0 &&
                    stub.values <= external::kMostValues && stub.number <= external::kMostStubs &&
                    stub.block >= external::kFirstBlock && stub.block % 8 == 0 &&
                    std::uint64_t{stub.block} + external::block_bytes(stub.values) <=
                        bpf::kArrayHeaderBytes + program.maps[stub.log].value_bytes;
  if (!fits) {
    throw BadDocument("the values of a stub are not in the log of the program's stubs");
  }
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
                      .value_bytes = read_number<std::uint32_t>(one.at("value_bytes")),
                      .simplified = one.value("simplified", false)};
    });
  }
  if (json.contains("code_pointers")) {
    program.code_pointers = read_array(json.at("code_pointers"), [](const Json& one) {
      return bpf::CodePointer{.region = one.at("region").get<std::string>(),
                              .offset = read_number<std::uint64_t>(one.at("offset")),
                              .slot = read_number<bpf::SlotIndex>(one.at("slot"))};
    });
  }
  for (const bpf::External& external : program.externals) {
    if (external.stub) {
      check_stub(program, *external.stub);
    }
  }
  if (json.contains("extension")) {
    const auto extension = json.at("extension").get<std::string>();
    const auto callx = bpf::extension_named(extension);
    if (!callx) {
      throw BadDocument(fmt::format("there is no extension '{}'", extension));
    }
    program.callx = *callx;
  }
  return program;
}

// 0 if the document names no line.
unsigned read_case_line(const Json& json, const char* key = "line") {
  return json.contains(key) ? read_number<unsigned>(json.at(key)) : 0;
}

ErrorCode read_code(const Json& json) {
  const auto text = json.at("code").get<std::string>();
  const auto code = error_code_named(text);
  if (!code) {
    throw BadDocument(fmt::format("unknown failure code '{}'", text));
  }
  return *code;
}

Expectation read_expectation(const Json& json) {
  Expectation expected{.result_line = read_case_line(json, "result_line")};
  if (const Json& result = json.at("result"); result == "none") {
    expected.no_result = true;
  } else if (!result.is_null()) {
    expected.result = read_hex(result);
  }
  expected.calls = read_array(json.at("calls"), [](const Json& one) {
    return ExpectedCall{.site = read_site(one.at("site")),
                        .callee = read_number<std::uint32_t>(one.at("callee")),
                        .count = one.at("count").get<std::uint64_t>(),
                        .line = read_case_line(one)};
  });
  expected.any_other_call = json.value("any_other_call", false);
  expected.memory = read_array(json.at("memory"), [](const Json& one) {
    return ExpectedMemory{.region = one.at("region").get<std::string>(),
                          .offset = one.at("offset").get<std::uint64_t>(),
                          .bytes = read_bytes(one.at("bytes")),
                          .line = read_case_line(one)};
  });
  if (const Json& failure = json.at("failure"); !failure.is_null()) {
    expected.failure = ExpectedFailure{.code = read_code(failure),
                                       .site = failure.at("site").get<std::string>(),
                                       .line = read_case_line(failure)};
  }
  if (json.contains("known")) {
    expected.known = read_array(json.at("known"), [](const Json& one) {
      return KnownFailure{.jit = one.at("jit").get<std::string>(),
                          .code = read_code(one),
                          .line = read_case_line(one)};
    });
  }
  if (json.contains("rejection")) {
    const Json& rejection = json.at("rejection");
    expected.rejection = ExpectedRejection{.text = rejection.at("text").get<std::string>(),
                                           .line = read_case_line(rejection)};
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
  if (json.contains("control")) {
    const Json& control = json.at("control");
    cell.control = Control{.fault = control.at("fault").get<std::string>(),
                           .code = read_code(control),
                           .line = read_case_line(control)};
  }
  if (json.contains("budget")) {
    cell.budget = read_number<std::uint64_t>(json.at("budget"));
    if (cell.budget == 0 || cell.budget > kMostBudget) {
      throw BadDocument(fmt::format("expected a budget of 1 to {} instructions", kMostBudget));
    }
  }
  if (const Json& program = json.at("program"); !program.is_null()) {
    cell.program = std::make_shared<const bpf::Program>(read_program(program));
  }
  return cell;
}

LinkedProgram read_linked(const Json& json, Endian endian) {
  return {.scheme = read_axes({{"call", json.at("scheme")}}).call,
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
}

CodeLine read_line(const Json& json) {
  const auto numbers = read_array(json, read_number<std::uint32_t>);
  if (numbers.size() != 2) {
    throw BadDocument("a line is [BPF instruction, word]");
  }
  return {.instruction = numbers[0], .word = numbers[1]};
}

// Words that are left out at the beginning of a function; 0 if the document does not say.
std::uint32_t read_if_there(const Json& function, const char* key) {
  return function.contains(key) ? read_number<std::uint32_t>(function.at(key)) : 0;
}

CodeImage read_image(const Json& json) {
  CodeImage image;
  if (json.contains("placement")) {
    const auto by = json.at("placement").get<std::string>();
    if (by != "cell" && by != "image") {
      throw BadDocument(fmt::format("an image's placement is by cell or image, not '{}'", by));
    }
    image.placed_by = by == "image" ? PlacedBy::image : PlacedBy::cell;
  }
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
        .local_entry_words = read_if_there(one, "local_entry_words"),
        .tail_entry_words = read_if_there(one, "tail_entry_words"),
        .stub_words = read_if_there(one, "stub_words"),
        .frame_top_bytes = read_if_there(one, "frame_top_bytes"),
        .frame_bytes = read_if_there(one, "frame_bytes")};
  });
  image.calls = read_array(json.at("calls"), [](const Json& one) {
    CodeCall call{.site = read_site(one.at("site")),
                  .at = read_address(one.at("at")),
                  .callee = {},
                  .is_tail = one.value("is_tail", false),
                  .is_jump = one.value("is_jump", false)};
    if (!one.at("callee").is_null() || !one.at("target").is_null()) {
      call.callee = {.function = read_number<std::uint32_t>(one.at("callee")),
                     .target = read_address(one.at("target"))};
    }
    return call;
  });
  if (json.contains("bpf_registers")) {
    image.bpf_registers = read_array(json.at("bpf_registers"), read_number<std::uint8_t>);
  }
  if (json.contains("thread_area")) {
    const Json& area = json.at("thread_area");
    image.thread_area = {.address = read_address(area.at("address")),
                         .bytes = read_bytes(area.at("bytes"))};
  }
  if (json.contains("code_pointers")) {
    image.code_pointers = read_array(json.at("code_pointers"), [](const Json& one) {
      return PlacedPointer{.region = one.at("region").get<std::string>(),
                           .offset = read_number<std::uint64_t>(one.at("offset")),
                           .address = read_address(one.at("address"))};
    });
  }
  if (json.contains("program_arrays")) {
    image.kernel_memory = read_array(json.at("program_arrays"), [](const Json& one) {
      return KernelMemory{.address = read_address(one.at("address")),
                          .bytes = read_bytes(one.at("bytes"))};
    });
  }
  return image;
}

Document read_stages(const Json& json) {
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
  }
  return document;
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
// numbers that are not integers, and nesting beyond that of any document.
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
  const auto malformed = [&](std::string message, SourceLocation where) {
    return Error{.code = ErrorCode::json_malformed,
                 .message = std::move(message),
                 .where = std::move(where),
                 .hint = std::string(kHint)};
  };
  try {
    Document document = read_stages(Json::parse(text, accept));
    if (auto kept = check_document(document, path); !kept) {
      kept.error().hint = kHint;
      return std::move(kept).error();
    }
    return document;
  } catch (const Json::parse_error& error) {
    return malformed("this is not JSON", locate(text, error.byte, path));
  } catch (const Json::exception& error) {
    return malformed(reason(error), {path});
  } catch (const BadDocument& error) {
    return malformed(error.what(), {path});
  }
}

}  // namespace farcall::model
