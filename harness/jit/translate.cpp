#include "jit/translate.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstddef>
#include <vector>

#include "base/bits.hpp"
#include "bpf/instruction.hpp"
#include "external/external.hpp"
#include "jit/arithmetic.hpp"
#include "jit/call_target.hpp"
#include "jit/convention.hpp"
#include "jit/immediate.hpp"
#include "jit/memory.hpp"
#include "jit/tail_call.hpp"
#include "ppc64/abi.hpp"

namespace farcall::jit {
namespace {

using bpf::InstructionInfo;
using bpf::Operation;
using bpf::Slot;
using bpf::Source;
using ppc64::CrField;
using ppc64::Gpr;
using ppc64::Op;

// What a conditional jump compares, and which bit of the result makes it jump.
struct Comparison {
  enum class Kind : std::uint8_t { sign, magnitude, common_bits };
  Operation operation{};
  Kind kind{};
  ppc64::Condition condition{};
  bool jumps_if = true;
};

constexpr std::array kComparisons = {
    Comparison{Operation::jump_if_equal, Comparison::Kind::sign, ppc64::Condition::eq, true},
    Comparison{Operation::jump_if_not_equal, Comparison::Kind::sign, ppc64::Condition::eq, false},
    Comparison{Operation::jump_if_set, Comparison::Kind::common_bits, ppc64::Condition::eq, false},
    Comparison{Operation::jump_if_greater, Comparison::Kind::magnitude, ppc64::Condition::gt, true},
    Comparison{Operation::jump_if_greater_equal, Comparison::Kind::magnitude, ppc64::Condition::lt,
               false},
    Comparison{Operation::jump_if_less, Comparison::Kind::magnitude, ppc64::Condition::lt, true},
    Comparison{Operation::jump_if_less_equal, Comparison::Kind::magnitude, ppc64::Condition::gt,
               false},
    Comparison{Operation::jump_if_signed_greater, Comparison::Kind::sign, ppc64::Condition::gt,
               true},
    Comparison{Operation::jump_if_signed_greater_equal, Comparison::Kind::sign,
               ppc64::Condition::lt, false},
    Comparison{Operation::jump_if_signed_less, Comparison::Kind::sign, ppc64::Condition::lt, true},
    Comparison{Operation::jump_if_signed_less_equal, Comparison::Kind::sign, ppc64::Condition::gt,
               false},
};

constexpr std::size_t comparison_index(Operation operation) {
  return static_cast<std::size_t>(operation) - static_cast<std::size_t>(Operation::jump_if_equal);
}
static_assert([] {
  for (std::size_t i = 0; i < kComparisons.size(); ++i) {
    if (comparison_index(kComparisons[i].operation) != i) {
      return false;
    }
  }
  return true;
}());

class Translation {
 public:
  Translation(Pass pass, const FunctionSource& source, Layout& layout, Emitter& out)
      : pass_(pass),
        source_(source),
        abi_(source.target.convention),
        frame_(source.target.frame),
        program_(source.linked.program),
        function_(program_.functions[source.function]),
        layout_(layout),
        out_(out) {}

  Result<void> run() {
    out_.clear();
    layout_.slots.resize(function_.end - function_.begin + 1);
    layout_.calls.clear();
    linked_calls_ = source_.first_call;
    if (abi_.descriptor_bytes != 0) {
      descriptor();
    }
    prologue();
    for (slot_ = function_.begin; slot_ < function_.end; slot_ += slots_taken_) {
      FARCALL_TRYV(place(slot_ - function_.begin));
      FARCALL_TRYV(instruction());
    }
    FARCALL_TRYV(place(function_.end - function_.begin));
    epilogue();
    return success();
  }

 private:
  template <Op op, typename... Operands>
  void emit(Operands... operands) {
    out_.emit<op>(operands...);
  }

  // The code of this slot, or the epilogue, begins here.
  Result<void> place(std::uint32_t slot) {
    if (pass_ == Pass::emitting && layout_.slots[slot] != out_.position()) {
      return Error{
          .code = ErrorCode::jit_size_changed,
          .message = fmt::format("{}+{} is at word {} and was planned for word {}", function_.name,
                                 slot, out_.position(), layout_.slots[slot])};
    }
    layout_.slots[slot] = out_.position();
    return success();
  }

  // The nonvolatile registers of BPF that this function names, as a mask.
  std::uint32_t nonvolatiles() const {
    std::uint32_t named = 0;
    for (bpf::SlotIndex i = function_.begin; i < function_.end; i += slots_at(source_.linked, i)) {
      named |= 1U << program_.slots[i].dst | 1U << program_.slots[i].src;
    }
    return named & ((1U << bpf::kRegisterCount) - (1U << kFirstNonvolatile));
  }

  template <Op op>
  void each_saved_register() {
    for (std::uint32_t n = kFirstNonvolatile; n < bpf::kRegisterCount; ++n) {
      if ((saved_ >> n & 1) != 0) {
        emit<op>(kRegisterOf[n], frame_.saved + 8 * (n - kFirstNonvolatile), kStack);
      }
    }
  }

  GuestAddress address() const { return source_.linked.addresses[source_.function]; }

  void descriptor() {
    out_.emit_big_endian((address() + abi_.descriptor_bytes).value);
    out_.emit_big_endian(source_.linked.toc.value);
    out_.emit_big_endian(0);
  }

  // Whether the function, in a program with tail calls, keeps r26 of its caller.
  bool keeps_counter() const {
    if (!source_.target.tail_calls) {
      return false;
    }
    for (bpf::SlotIndex i = function_.begin; i < function_.end; i += slots_at(source_.linked, i)) {
      if (bpf::is_tail_call(program_.slots[i])) {
        return true;
      }
    }
    return begins_program();
  }
  bool has_may_goto() const {
    for (bpf::SlotIndex i = function_.begin; i < function_.end; i += slots_at(source_.linked, i)) {
      if (is_may_goto(program_.slots[i])) {
        return true;
      }
    }
    return false;
  }
  bool begins_program() const { return is_program(program_, source_.function); }

  // Whether the code of an instruction needs a frame: what calls, and what swaps bytes in memory.
  // And what passes arguments: they are in the frame.
  static bool needs_frame(const Slot& slot) {
    const InstructionInfo* const info = bpf::find(slot);
    if (info == nullptr || info->is_call() || info->swap_bits != 0 ||
        info->operation == Operation::may_goto) {
      return true;
    }
    const auto argument = bpf::stack_argument(slot, *info);
    return argument && !argument->is_own;
  }
  bool has_frame() const {
    bool wanted = saved_ != 0 || keeps_counter_;
    for (bpf::SlotIndex i = function_.begin; !wanted && i < function_.end;
         i += slots_at(source_.linked, i)) {
      wanted = needs_frame(program_.slots[i]);
    }
    return wanted;
  }

  void prologue() {
    saved_ = nonvolatiles();
    keeps_counter_ = keeps_counter();
    layout_.has_frame = has_frame();
    if (!layout_.has_frame) {
      return;
    }
    if (keeps_counter_ && begins_program()) {
      emit_tail_counter(out_, frame_);
    }
    emit<Op::mflr>(Gpr::r0);
    emit<Op::std_>(Gpr::r0, abi_.saved_lr, kStack);
    emit<Op::stdu>(kStack, -int{frame_.size}, kStack);
    each_saved_register<Op::std_>();
    if (keeps_counter_ && !begins_program()) {
      emit<Op::std_>(kTailCounter, frame_.saved_counter, kStack);
    }
    if (has_may_goto()) {
      emit<Op::addi>(kScratch, ppc64::kZero, std::int64_t{bpf::kMayGotoLimit});
      emit<Op::std_>(kScratch, frame_.may_goto, kStack);
    }
    if ((saved_ >> bpf::kFramePointer & 1) != 0) {
      emit<Op::addi>(kRegisterOf[bpf::kFramePointer], kStack, frame_.swap_buffer);
    }
  }

  void epilogue() {
    emit<Op::or_>(abi_.result, kRegisterOf[0], kRegisterOf[0]);
    if (keeps_counter_) {
      emit<Op::ld>(kTailCounter, frame_.saved_counter, kStack);
    }
    if (layout_.has_frame) {
      leave_frame();
    }
    emit<Op::bclr>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
  }

  void leave_frame() {
    each_saved_register<Op::ld>();
    emit<Op::addi>(kStack, kStack, frame_.size);
    emit<Op::ld>(Gpr::r0, abi_.saved_lr, kStack);
    emit<Op::mtlr>(Gpr::r0);
  }
  std::uint32_t leave_frame_words() const {
    return static_cast<std::uint32_t>(std::popcount(saved_)) + 3;
  }

  // Arguments beyond the fifth are in the caller's frame.
  void stack_argument(bpf::StackArgument argument, const InstructionInfo& info, const Slot& slot) {
    const auto at = static_cast<std::int64_t>(frame_.arguments + 8 * argument.number);
    if (argument.is_own) {
      const std::int64_t own_frame = layout_.has_frame ? frame_.size : 0;
      return emit<Op::ld>(kRegisterOf[slot.dst], own_frame + at, kStack);
    }
    Gpr value = kRegisterOf[slot.src];
    if (info.source == bpf::Source::immediate) {
      value = kOtherScratch;
      load_immediate(out_, value, static_cast<std::uint64_t>(std::int64_t{slot.imm}));
    }
    emit<Op::std_>(value, at, kStack);
  }

  Result<void> instruction() {
    const Slot& slot = program_.slots[slot_];
    const InstructionInfo* const info = bpf::find(slot);
    slots_taken_ = slots_at(source_.linked, slot_);
    if (const auto argument = info == nullptr ? std::nullopt : bpf::stack_argument(slot, *info)) {
      stack_argument(*argument, *info, slot);
      return success();
    }
    if (info == nullptr || slot.dst >= bpf::kRegisterCount || slot.src >= bpf::kRegisterCount) {
      return unsupported(slot);
    }
    switch (info->form) {
      case bpf::Form::dst_source:
      case bpf::Form::dst:
        emit_arithmetic(out_, *info, slot, source_.target);
        break;
      case bpf::Form::dst_imm64:
        load_immediate(out_, kRegisterOf[slot.dst],
                       bpf::immediate64(slot, program_.slots[slot_ + 1]));
        break;
      case bpf::Form::dst_map:
      case bpf::Form::dst_value:
        load_immediate_fixed(out_, kRegisterOf[slot.dst],
                             (source_.linked.maps[static_cast<std::size_t>(slot.imm)] +
                              bpf::map_offset(slot, program_.slots[slot_ + 1]))
                                 .value);
        break;
      case bpf::Form::dst_function:
        load_immediate_fixed(out_, kRegisterOf[slot.dst],
                             bpf::immediate64(slot, program_.slots[slot_ + 1]));
        break;
      case bpf::Form::load:
      case bpf::Form::store:
      case bpf::Form::atomic:
        emit_memory_access(out_, *info, slot);
        break;
      case bpf::Form::target:
      case bpf::Form::target32:
        if (info->operation == Operation::may_goto) {
          may_goto(target_of(*info, slot));
        } else {
          jump(target_of(*info, slot));
        }
        break;
      case bpf::Form::branch:
        conditional_jump(*info, slot);
        break;
      case bpf::Form::local_callee:
        return call();
      case bpf::Form::helper:
      case bpf::Form::kfunc:
        if (bpf::is_tail_call(slot)) {
          tail_call();
          break;
        }
        return call();
      case bpf::Form::callee:
        if (program_.callx == bpf::Callx::helper) {
          call_by_number(kRegisterOf[slot.dst]);
        } else {
          call_through(kRegisterOf[slot.dst]);
        }
        break;
      case bpf::Form::pointer:
        jump_through(kRegisterOf[slot.dst]);
        break;
      case bpf::Form::nothing:  // exit
        if (slot_ + 1 != function_.end) {
          jump(function_.end - function_.begin);
        }
        break;
    }
    return success();
  }

  Error unsupported(const Slot& slot) const {
    return {.code = ErrorCode::jit_unsupported,
            .message = fmt::format("{}+{}: the JIT does not know the instruction {:#04x} "
                                   "(dst {}, src {}, imm {})",
                                   function_.name, slot_ - function_.begin, slot.opcode, slot.dst,
                                   slot.src, slot.imm),
            .where = program_.origins.at(slot_)};
  }

  // --- jumps

  std::uint32_t target_of(const InstructionInfo& info, const Slot& slot) const {
    return static_cast<std::uint32_t>(std::int64_t{slot_} + 1 + bpf::displacement(slot, info) -
                                      function_.begin);
  }

  Branch& next_branch(std::uint32_t target, bool conditional) {
    const std::size_t number = branches_++;
    if (number == layout_.branches.size()) {
      layout_.branches.push_back({.conditional = conditional});
    }
    Branch& branch = layout_.branches[number];
    branch.position = out_.position();
    branch.target = target;
    return branch;
  }

  // From the word at `position` to a slot, in bytes.
  std::int64_t distance(std::uint32_t position, std::uint32_t slot) const {
    return pass_ == Pass::sizing ? 0 : (std::int64_t{layout_.slots[slot]} - position) * 4;
  }

  void jump(std::uint32_t target) {
    const Branch& branch = next_branch(target, false);
    emit<Op::b>(distance(branch.position, target));
  }

  void jump_through(Gpr pointer) {
    emit<Op::mtctr>(pointer);
    layout_.calls.push_back({.position = out_.position(), .linked = {}, .is_jump = true});
    emit<Op::bcctr>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
  }

  void may_goto(std::uint32_t target) {
    emit<Op::ld>(kScratch, frame_.may_goto, kStack);
    emit<Op::cmpdi>(CrField::cr0, kScratch, 0);
    branch_if(ppc64::Condition::eq, true, target);
    emit<Op::addi>(kScratch, kScratch, -1);
    emit<Op::std_>(kScratch, frame_.may_goto, kStack);
  }

  void conditional_jump(const InstructionInfo& info, const Slot& slot) {
    const Comparison& comparison = kComparisons[comparison_index(info.operation)];
    compare(comparison.kind, info, slot);
    branch_if(comparison.condition, comparison.jumps_if, target_of(info, slot));
  }

  // To `target` if CR0 says so, or says not.
  void branch_if(ppc64::Condition condition, bool wanted, std::uint32_t target) {
    const unsigned jumps = wanted ? ppc64::kBranchIfTrue : ppc64::kBranchIfFalse;
    const unsigned passes = wanted ? ppc64::kBranchIfFalse : ppc64::kBranchIfTrue;
    const ppc64::CrBit bit = cr_bit(CrField::cr0, condition);
    const Branch& branch = next_branch(target, true);
    if (branch.far) {
      emit<Op::bc>(passes, bit, 8);
      emit<Op::b>(distance(branch.position + 1, target));
    } else {
      emit<Op::bc>(jumps, bit, distance(branch.position, target));
    }
  }

  // Leaves in cr0 how dst compares with the second operand, or their common bits with 0.
  void compare(Comparison::Kind kind, const InstructionInfo& info, const Slot& slot) {
    const Gpr dst = kRegisterOf[slot.dst];
    const bool wide = info.width == 64;
    const bool immediate = info.source == Source::immediate;
    const std::int64_t imm = slot.imm;
    switch (kind) {
      case Comparison::Kind::sign:
        if (immediate && fits_signed(imm, 16)) {
          return wide ? emit<Op::cmpdi>(CrField::cr0, dst, imm)
                      : emit<Op::cmpwi>(CrField::cr0, dst, imm);
        } else {
          const Gpr other = second_operand(out_, info, slot);
          return wide ? emit<Op::cmpd>(CrField::cr0, dst, other)
                      : emit<Op::cmpw>(CrField::cr0, dst, other);
        }
      case Comparison::Kind::magnitude:
        if (immediate && imm >= 0 && imm <= 0xffff) {
          return wide ? emit<Op::cmpldi>(CrField::cr0, dst, imm)
                      : emit<Op::cmplwi>(CrField::cr0, dst, imm);
        } else {
          const Gpr other = second_operand(out_, info, slot);
          return wide ? emit<Op::cmpld>(CrField::cr0, dst, other)
                      : emit<Op::cmplw>(CrField::cr0, dst, other);
        }
      case Comparison::Kind::common_bits:
        emit<Op::and_>(kScratch, dst, second_operand(out_, info, slot));
        return wide ? emit<Op::cmpdi>(CrField::cr0, kScratch, 0)
                    : emit<Op::cmpwi>(CrField::cr0, kScratch, 0);
    }
  }

  Result<void> check_target(const ReachInfo& reach, const CallPlace& place, GuestAddress target,
                            std::uint32_t ordinal) const {
    const bpf::CallSite site{source_.function, ordinal};
    if (target.value % 4 != 0) {
      return Error{.code = ErrorCode::place_misaligned,
                   .message = fmt::format("the call is to go to {}, which is not a multiple of 4",
                                          to_string(target)),
                   .site = bpf::to_string(program_, site)};
    }
    if (!reaches(reach, place, target)) {
      const GuestAddress origin = reach.origin(place);
      return Error{
          .code = ErrorCode::call_out_of_range,
          .message = fmt::format(
              "the callee at {} is {:+#x} bytes from {} at {}; {} reaches {:+#x} … {:+#x}",
              to_string(target), bytes(target - origin), reach.origin_name, to_string(origin),
              model::value_names(model::Axis::reach)[static_cast<std::size_t>(reach.reach)],
              reach.lowest, reach.highest),
          .site = bpf::to_string(program_, site),
          .hint = "abs64 reaches every address"};
    }
    return success();
  }

  Result<void> call() {
    const model::LinkedProgram& linked = source_.linked;
    const auto ordinal = static_cast<std::uint32_t>(layout_.calls.size());
    const std::size_t number = linked_calls_++;
    if (number >= linked.calls.size() || linked.calls[number].slot != slot_) {
      return Error{.code = ErrorCode::call_unresolved,
                   .message = "the linked program does not say where this call goes",
                   .site = bpf::to_string(program_, {source_.function, ordinal})};
    }
    const bpf::External* const external = external_called(linked.calls[number].callee);
    const bool is_kfunc = external != nullptr && external->kind == bpf::ExternalKind::kfunc;
    if (is_kfunc) {
      extend_arguments(external->signature);
    }
    const ReachInfo& reach =
        is_kfunc ? reach_info(model::Reach::abs64, source_.target.abi) : source_.reach;
    if (is_kfunc && !reach.through_descriptor) {
      emit<Op::std_>(abi_.toc, abi_.saved_toc, kStack);
    }
    const CallPlace place{.at = address() + std::uint64_t{out_.position()} * 4, .toc = linked.toc};
    GuestAddress target = reach.origin(place);  // any address that is in reach
    if (pass_ == Pass::emitting) {
      target = call_target(linked, number);
      if (!reach.through_descriptor) {
        target = target + entry_bytes(source_.target.abi, external);
      }
      FARCALL_TRYV(check_target(reach, place, target, ordinal));
    }
    const std::uint32_t first = out_.position();
    reach.emit_call(out_, place, target);
    after_call(is_kfunc || reach.through_descriptor, {.first = first, .linked = number});
    return success();
  }

  // Null if it is a function of the program.
  const bpf::External* external_called(std::uint32_t callee) const {
    const std::size_t functions = program_.functions.size();
    return callee < functions ? nullptr : &program_.externals[callee - functions];
  }

  void extend_arguments(const bpf::Signature& signature) {
    for (std::size_t i = 0; i < signature.arguments.size(); ++i) {
      const auto [bits, is_signed] = signature.arguments[i];
      const Gpr gpr = kRegisterOf[i + 1];
      if (bits == 64) {
        continue;
      }
      if (!is_signed) {
        emit<Op::rldicl>(gpr, gpr, 0, 64 - bits);
      } else if (bits == 32) {
        emit<Op::extsw>(gpr, gpr);
      } else if (bits == 16) {
        emit<Op::extsh>(gpr, gpr);
      } else {
        emit<Op::extsb>(gpr, gpr);
      }
    }
  }

  void tail_call() {
    emit_tail_call_checks(out_, source_.target, leave_frame_words() + 1);
    leave_frame();
    layout_.calls.push_back({.position = out_.position(), .linked = {}, .is_tail = true});
    emit<Op::bcctr>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
  }

  void call_through(Gpr pointer) {
    const std::uint32_t first = out_.position();
    emit_call_pointer(out_, source_.target.abi, pointer);
    after_call(abi_.descriptor_bytes != 0, {.first = first});
  }

  void call_by_number(Gpr number) {
    std::vector<NumberedEntry> entries;
    for (std::size_t i = 0; i < program_.externals.size(); ++i) {
      const bpf::External& external = program_.externals[i];
      if (external.kind == bpf::ExternalKind::helper) {
        const GuestAddress at = source_.linked.addresses[program_.functions.size() + i];
        entries.push_back(
            {.number = external.id, .entry = at + entry_bytes(source_.target.abi, &external)});
      }
    }
    const std::uint32_t first = out_.position();
    emit_call_by_number(out_, number, entries);
    after_call(false, {.first = first});
  }

  // The last word is the branch-and-link of `call`.
  void after_call(bool through_descriptor, CallCode call) {
    call.position = out_.position() - 1;
    layout_.calls.push_back(call);
    if (through_descriptor) {
      emit<Op::ld>(abi_.toc, abi_.saved_toc, kStack);
    }
    emit<Op::or_>(kRegisterOf[0], abi_.result, abi_.result);
  }

  const Pass pass_;
  const FunctionSource& source_;
  const ppc64::CallingConvention& abi_;
  const Frame& frame_;
  const bpf::Program& program_;
  const bpf::Function& function_;
  Layout& layout_;
  Emitter& out_;
  bpf::SlotIndex slot_ = 0;         // the instruction being translated
  bpf::SlotIndex slots_taken_ = 1;  // by it
  std::uint32_t saved_ = 0;
  bool keeps_counter_ = false;
  std::size_t branches_ = 0;
  std::size_t linked_calls_ = 0;
};

}  // namespace

Result<void> run_pass(Pass pass, const FunctionSource& source, Layout& layout, Emitter& out) {
  return Translation(pass, source, layout, out).run();
}

std::uint64_t entry_bytes(model::Abi abi, const bpf::External* external) {
  const std::uint64_t descriptor = model::convention(abi).descriptor_bytes;
  const bool has_local_entry =
      descriptor == 0 && external != nullptr && external->kind == bpf::ExternalKind::helper;
  return has_local_entry ? external::kLocalEntryBytes : descriptor;
}

bool widen_branches(Layout& layout) {
  bool widened = false;
  for (Branch& branch : layout.branches) {
    const std::int64_t words = std::int64_t{layout.slots[branch.target]} - branch.position;
    if (branch.conditional && !branch.far && !fits_signed(words * 4, 16)) {
      branch.far = true;
      widened = true;
    }
  }
  return widened;
}

}  // namespace farcall::jit
