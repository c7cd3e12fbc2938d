#include "check/branch_target.hpp"

namespace farcall::check {

std::optional<std::int64_t> branch_target(const model::CodeFunction& code, std::size_t at) {
  return branch_target(code, at, ppc64::find(code.words[at]));
}

std::optional<std::int64_t> branch_target(const model::CodeFunction& code, std::size_t at,
                                          const ppc64::Instruction* row) {
  const std::uint32_t word = code.words[at];
  if (row == nullptr || row->links ||
      (row->target != ppc64::BranchTarget::relative &&
       row->target != ppc64::BranchTarget::absolute)) {
    return std::nullopt;
  }
  const std::int64_t field = ppc64::extract(row->operands[row->operand_count - 1U], word);
  if (row->target == ppc64::BranchTarget::relative) {
    return static_cast<std::int64_t>(at) + field / 4;
  }
  return (field - static_cast<std::int64_t>(code.address.value)) / 4;
}

}  // namespace farcall::check
