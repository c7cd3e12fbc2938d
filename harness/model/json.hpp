// Stage values as JSON: what `farcall dump --json` writes, `farcall run --from` reads, and reports
// are made of.
//
// Shape of a document, format 1:
//   {"farcall": {"format": 1, "version": "0.2.0"}, "stage": "image",
//    "cell": {…}, "linked": {…}, "image": {…}}
// `cell` is always there, the others as far as the stage has come. Addresses and 64-bit values are
// strings of hex digits after 0x (JSON numbers are doubles to many readers), instruction words
// likewise, bytes are strings of hex digits. `cell.program` may be null: an image that another JIT
// made needs no BPF program, and then the interpreter is not a witness. `image.placement` says who
// chose the addresses of its functions: `cell`, whose placement they then must be, or `image`.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"
#include "model/decoded_call.hpp"
#include "model/document.hpp"
#include "model/job.hpp"
#include "model/linked_program.hpp"
#include "model/verdict.hpp"

namespace farcall::model {

inline constexpr int kJsonFormat = 1;

// Keeps the order in which keys are written, so that documents read like the pipeline. Who builds
// or reads one includes nlohmann/json.hpp: that takes the compiler seconds.
using Json = nlohmann::ordered_json;

// The text of `json`; in lines, if `indent` is not negative. JSON is UTF-8 and a file's name need not
// be: U+FFFD stands for what is not. These three are Json's own, compiled once:
// a reader or a writer takes the compiler seconds in each unit that has one.
std::string json_text(const Json& json, int indent = -1);

// What the text says. Throws Json::parse_error if it is not JSON, and Json::out_of_range for a number
// that no double holds (1e400). What is nested deeper than anything in a document is
// left out: walking over it, as Json does to write it, is recursive, and a file from elsewhere could
// use up the stack.
Json parse_json(std::string_view text);

// The same, discarded (Json::is_discarded()) if the text is not JSON.
Json json_or_discarded(std::string_view text);

Json to_json(const bpf::Program& program);
Json to_json(const Cell& cell);
Json to_json(const LinkedProgram& linked);
Json to_json(const CodeImage& image);
Json to_json(const std::vector<DecodedCall>& calls, const CodeImage& image);
Json to_json(const Observations& observations);
Json to_json(const Verdict& verdict);

// The {"format", "version"} object that opens every document.
Json document_header();

// `stage` is the name of the last stage that the document holds.
Json to_json(const Document& document, std::string_view stage);

// Reads a document back. Everything is checked that later stages rely on: indices, sizes, the
// program itself. Fails with json.malformed, or a code of validate(), located in
// `path` as closely as the JSON reader knows.
Result<Document> read_document(std::string_view text, const std::string& path);

}  // namespace farcall::model
