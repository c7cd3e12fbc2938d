#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "model/schemes.hpp"
#include "scheme/study.hpp"

namespace farcall::scheme {
namespace {

std::string hex(GuestAddress address) {
  return fmt::format("{:#x}", address.value);
}

model::Json to_json(const std::vector<Trial>& trials) {
  model::Json json = model::Json::array();
  for (const Trial& trial : trials) {
    json.push_back({{"question", trial.question},
                    {"outcome", name(trial.outcome)},
                    {"reason", trial.reason},
                    {"cell", trial.cell}});
  }
  return json;
}

model::Json to_json(const DumpedCall& dumped) {
  return {{"jit", name(dumped.mode)},
          {"address", dumped.call.address ? model::Json(hex(*dumped.call.address))
                                          : model::Json("not available")},
          {"name", dumped.name},
          {"distance", dumped.call.distance}};
}

model::Json to_json(const SchemeFindings& findings) {
  model::Json json = {{"scheme", model::scheme_info(findings.scheme).name},
                      {"cell", findings.cell},
                      {"outcome", name(findings.outcome)}};
  if (findings.was_run()) {
    json["placed"] = hex(findings.placed);
    json["jit"] = {{"reads", model::scheme_info(findings.scheme).jit_reads},
                   {"gets", hex(findings.jit_gets)}};
    json["interpreter"] = {{"reads", model::scheme_info(findings.scheme).interpreter_reads},
                           {"gets", findings.interpreter_distance}};
    json["slots"] = {{"before", findings.slots_before}, {"after", findings.slots_after}};
    json["calls"] = findings.calls;
    json["bytes_beside"] = findings.bytes_beside;
    json["call_before"] = findings.call_before;
    json["call_after"] = findings.call_after;
    json["code"] = findings.code;
    json["dumps"] = model::Json::array();
    for (const DumpedCall& dumped : findings.dumps) {
      json["dumps"].push_back(to_json(dumped));
    }
  }
  json["regions"] = to_json(findings.regions);
  json["limits"] = to_json(findings.limits);
  return json;
}

}  // namespace

model::Json scheme_json(const SchemeStudy& study) {
  model::Json json = {{"farcall", model::document_header()}};
  json["schemes"] = model::Json::array();
  for (const SchemeFindings& findings : study.schemes) {
    json["schemes"].push_back(to_json(findings));
  }
  return json;
}

}  // namespace farcall::scheme
