#include "report/source_line.hpp"

#include "bpf/program.hpp"

namespace farcall::report {

unsigned source_line(const model::Cell& cell, const model::Verdict& verdict) {
  if (!verdict.findings.empty()) {
    const SourceLocation& where = verdict.findings.front().where;
    if (where.file == cell.case_path && where.line > 0) {
      return where.line;
    }
  }
  if (!cell.program) {
    return 1;
  }
  const auto line_at = [&cell](bpf::SlotIndex slot) {
    const SourceLocation origin = cell.program->origins.at(slot);
    return origin.file == cell.case_path && origin.line > 0 ? origin.line : 1;
  };
  if (!verdict.findings.empty()) {
    for (const bpf::CallInstruction& call : bpf::call_instructions(*cell.program)) {
      if (bpf::to_string(*cell.program, call.site) == verdict.findings.front().site) {
        return line_at(call.slot);
      }
    }
  }
  return line_at(0);
}

}  // namespace farcall::report
