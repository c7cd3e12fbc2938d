// The native functions that look up, set and delete the elements of maps: arrays and hash tables, as
// bpf/map_layout.hpp has them.
#include "bpf/address_space.hpp"
#include "bpf/map_layout.hpp"
#include "external/words.hpp"

namespace farcall::external {
namespace {

constexpr std::int64_t kNoEntry = -2;    // ENOENT
constexpr std::int64_t kExists = -17;    // EEXIST
constexpr std::uint64_t kMustBeNew = 1;  // BPF_NOEXIST
constexpr std::uint64_t kMustExist = 2;  // BPF_EXIST

constexpr std::int64_t kFirstKey = bpf::kTableHeaderBytes + bpf::kSlotInUseBytes;
constexpr std::int64_t kInUse = -std::int64_t{bpf::kSlotInUseBytes};  // from a key

// Of Linux's struct htab_elem, where its key is.
constexpr std::int64_t kKeyInElement = 48;

// `to` = `from`, filled up to a multiple of eight.
Words filled_up(ppc64::Gpr to, ppc64::Gpr from) {
  return {encode<Op::addi>(to, from, 7), encode<Op::rldicr>(to, to, 0, 60)};
}

Words returns(std::int64_t value) {
  return {li(r3, value), kBlr};
}

// Looks for the key at r4 in the table r3. Leaves r11 = the key of its slot or 0, r12 = that of the
// first free slot or 0, r10 = bytes of a key. Writes r0 and r6 … r9 besides.
void find_key(LabelledWords& code) {
  const auto next = code.label();
  const auto some_left = code.label();
  const auto in_use = code.label();
  const auto compare = code.label();
  const auto advance = code.label();
  const auto done = code.label();
  code.add({encode<Op::lwz>(r9, bpf::kMapSlots, r3), encode<Op::lwz>(r10, bpf::kMapKeyBytes, r3),
            encode<Op::lwz>(r7, bpf::kMapValueBytes, r3)});
  code.add(filled_up(r7, r7));
  code.add(filled_up(r8, r10));
  code.add({encode<Op::add>(r7, r7, r8), encode<Op::addi>(r7, r7, 8),  // bytes of a slot
            encode<Op::addi>(r11, r3, kFirstKey), li(r12, 0)});
  code.here(next);
  code.add({encode<Op::cmpldi>(cr0, r9, 0)});
  code.branch_if_not(eq, some_left);
  code.add({li(r11, 0)});
  code.branch(done);
  code.here(some_left);
  code.add({encode<Op::ld>(r0, kInUse, r11), encode<Op::cmpldi>(cr0, r0, 0)});
  code.branch_if_not(eq, in_use);
  code.add({encode<Op::cmpldi>(cr0, r12, 0)});
  code.branch_if_not(eq, advance);
  code.add({mr(r12, r11)});
  code.branch(advance);
  code.here(in_use);
  code.add({li(r8, 0)});
  code.here(compare);
  code.add({encode<Op::cmpld>(cr0, r8, r10)});
  code.branch_if(eq, done);
  code.add({encode<Op::lbzx>(r0, r11, r8), encode<Op::lbzx>(r6, r4, r8),
            encode<Op::addi>(r8, r8, 1), encode<Op::cmpld>(cr0, r0, r6)});
  code.branch_if(eq, compare);
  code.here(advance);
  code.add({encode<Op::add>(r11, r11, r7), encode<Op::addi>(r9, r9, -1)});
  code.branch(next);
  code.here(done);
}

// Copies as many bytes as r10 says from `from` to r11. Writes r0 and r8.
void copy_bytes(LabelledWords& code, ppc64::Gpr from) {
  const auto next = code.label();
  const auto done = code.label();
  code.add({li(r8, 0)});
  code.here(next);
  code.add({encode<Op::cmpld>(cr0, r8, r10)});
  code.branch_if(eq, done);
  code.add(
      {encode<Op::lbzx>(r0, from, r8), encode<Op::stbx>(r0, r11, r8), encode<Op::addi>(r8, r8, 1)});
  code.branch(next);
  code.here(done);
}

// A hash table, as the interpreter finds it.
struct Table {
  GuestAddress address;
  bpf::MapLayout layout;

  GuestAddress in_use(std::uint64_t slot) const { return address + layout.in_use_at(slot); }
  GuestAddress key(std::uint64_t slot) const { return address + layout.key_at(slot); }
  GuestAddress value(std::uint64_t slot) const { return address + layout.value_at(slot); }
};

Result<Table> table_at(const bpf::AddressSpace& memory, GuestAddress map) {
  FARCALL_TRY(value_bytes, memory.load(map + bpf::kMapValueBytes, 4));
  FARCALL_TRY(slots, memory.load(map + bpf::kMapSlots, 4));
  FARCALL_TRY(key_bytes, memory.load(map + bpf::kMapKeyBytes, 4));
  return Table{.address = map,
               .layout = {.value_bytes = static_cast<std::uint32_t>(value_bytes),
                          .slots = static_cast<std::uint32_t>(slots),
                          .key_bytes = static_cast<std::uint32_t>(key_bytes)}};
}

Result<bool> same_bytes(const bpf::AddressSpace& memory, GuestAddress a, GuestAddress b,
                        std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    FARCALL_TRY(one, memory.load(a + i, 1));
    FARCALL_TRY(other, memory.load(b + i, 1));
    if (one != other) {
      return false;
    }
  }
  return true;
}

Result<void> copy(bpf::AddressSpace& memory, GuestAddress to, GuestAddress from,
                  std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    FARCALL_TRY(byte, memory.load(from + i, 1));
    FARCALL_TRYV(memory.store(to + i, 1, byte));
  }
  return success();
}

// Slots by what they hold; the number of slots stands for none.
struct Found {
  std::uint64_t slot = 0;
  std::uint64_t free = 0;
};

Result<Found> find(const bpf::AddressSpace& memory, const Table& table, GuestAddress key) {
  Found found{.slot = table.layout.slots, .free = table.layout.slots};
  for (std::uint64_t slot = 0; slot < table.layout.slots; ++slot) {
    FARCALL_TRY(in_use, memory.load(table.in_use(slot), 8));
    if (in_use == 0) {
      found.free = std::min(found.free, slot);
      continue;
    }
    FARCALL_TRY(same, same_bytes(memory, table.key(slot), key, table.layout.key_bytes));
    if (same) {
      found.slot = slot;
      return found;
    }
  }
  return found;
}

constexpr std::uint64_t result(std::int64_t error) {
  return static_cast<std::uint64_t>(error);
}

}  // namespace

Words map_lookup_elem(const Surroundings& /*surroundings*/) {
  LabelledWords code;
  const auto table = code.label();
  const auto nothing = code.label();
  code.add({encode<Op::lwz>(r9, bpf::kMapElements, r3), encode<Op::cmplwi>(cr0, r9, 0)});
  code.branch_if(eq, table);
  code.add({encode<Op::lwz>(r4, 0, r4), encode<Op::cmplw>(cr0, r4, r9)});
  code.branch_if_not(lt, nothing);
  code.add({encode<Op::lwz>(r9, bpf::kMapValueBytes, r3), encode<Op::mulld>(r4, r4, r9),
            encode<Op::addi>(r3, r3, std::int64_t{bpf::kArrayHeaderBytes}),
            encode<Op::add>(r3, r3, r4), kBlr});
  code.here(table);
  find_key(code);
  code.add({encode<Op::cmpldi>(cr0, r11, 0)});
  code.branch_if(eq, nothing);
  code.add(filled_up(r8, r10));
  code.add({encode<Op::add>(r3, r11, r8), kBlr});
  code.here(nothing);
  code.add(returns(0));
  return std::move(code).finish();
}

Result<std::uint64_t> map_lookup_elem(bpf::Caller& caller, const bpf::Arguments& arguments) {
  const bpf::AddressSpace& memory = caller.memory();
  const GuestAddress map{arguments[0]};
  FARCALL_TRY(elements, memory.load(map, 4));
  if (elements != 0) {
    FARCALL_TRY(index, memory.load({arguments[1]}, 4));
    FARCALL_TRY(element_bytes, memory.load(map + bpf::kMapValueBytes, 4));
    return index < elements ? (map + (bpf::kArrayHeaderBytes + index * element_bytes)).value : 0;
  }
  FARCALL_TRY(table, table_at(memory, map));
  FARCALL_TRY(found, find(memory, table, {arguments[1]}));
  return found.slot < table.layout.slots ? table.value(found.slot).value : 0;
}

Words hash_element(const Surroundings& /*surroundings*/) {
  LabelledWords code;
  const auto nothing = code.label();
  find_key(code);
  code.add({encode<Op::cmpldi>(cr0, r11, 0)});
  code.branch_if(eq, nothing);
  code.add({encode<Op::addi>(r3, r11, -kKeyInElement), kBlr});
  code.here(nothing);
  code.add(returns(0));
  return std::move(code).finish();
}

Result<std::uint64_t> hash_element(bpf::Caller& caller, const bpf::Arguments& arguments) {
  const bpf::AddressSpace& memory = caller.memory();
  FARCALL_TRY(table, table_at(memory, {arguments[0]}));
  FARCALL_TRY(found, find(memory, table, {arguments[1]}));
  return found.slot < table.layout.slots ? table.key(found.slot).value - kKeyInElement : 0;
}

Words map_update_elem(const Surroundings& /*surroundings*/) {
  LabelledWords code;
  const auto table = code.label();
  const auto absent = code.label();
  const auto store_value = code.label();
  const auto copy_value = code.label();
  const auto exists = code.label();
  const auto no_entry = code.label();
  const auto too_big = code.label();
  code.add({encode<Op::lwz>(r9, bpf::kMapElements, r3), encode<Op::cmplwi>(cr0, r9, 0)});
  code.branch_if(eq, table);
  code.add({encode<Op::lwz>(r4, 0, r4), encode<Op::cmplw>(cr0, r4, r9)});
  code.branch_if_not(lt, too_big);
  code.add({encode<Op::cmpldi>(cr0, r6, kMustBeNew)});
  code.branch_if(eq, exists);
  code.add({encode<Op::lwz>(r10, bpf::kMapValueBytes, r3), encode<Op::mulld>(r4, r4, r10),
            encode<Op::addi>(r3, r3, std::int64_t{bpf::kArrayHeaderBytes}),
            encode<Op::add>(r11, r3, r4)});
  code.branch(copy_value);
  code.here(table);
  code.add({encode<Op::mtctr>(r6)});
  find_key(code);
  code.add({encode<Op::mfctr>(r6), encode<Op::cmpldi>(cr0, r11, 0)});
  code.branch_if(eq, absent);
  code.add({encode<Op::cmpldi>(cr0, r6, kMustBeNew)});
  code.branch_if(eq, exists);
  code.branch(store_value);
  code.here(absent);
  code.add({encode<Op::cmpldi>(cr0, r6, kMustExist)});
  code.branch_if(eq, no_entry);
  code.add({encode<Op::cmpldi>(cr0, r12, 0)});
  code.branch_if(eq, too_big);
  code.add({mr(r11, r12), li(r0, 1), encode<Op::std_>(r0, kInUse, r11)});
  copy_bytes(code, r4);
  code.here(store_value);
  code.add(filled_up(r8, r10));
  code.add({encode<Op::add>(r11, r11, r8), encode<Op::lwz>(r10, bpf::kMapValueBytes, r3)});
  code.here(copy_value);
  copy_bytes(code, r5);
  code.add(returns(0));
  code.here(exists);
  code.add(returns(kExists));
  code.here(no_entry);
  code.add(returns(kNoEntry));
  code.here(too_big);
  code.add(returns(kTooBig));
  return std::move(code).finish();
}

Result<std::uint64_t> map_update_elem(bpf::Caller& caller, const bpf::Arguments& arguments) {
  bpf::AddressSpace& memory = caller.memory();
  const auto [map_address, key, value, flags, unused] = arguments;
  const GuestAddress map{map_address};
  FARCALL_TRY(elements, memory.load(map, 4));
  if (elements != 0) {
    FARCALL_TRY(index, memory.load({key}, 4));
    if (index >= elements) {
      return result(kTooBig);
    }
    if (flags == kMustBeNew) {
      return result(kExists);
    }
    FARCALL_TRY(element_bytes, memory.load(map + bpf::kMapValueBytes, 4));
    FARCALL_TRYV(copy(memory, map + (bpf::kArrayHeaderBytes + index * element_bytes), {value},
                      element_bytes));
    return 0;
  }
  FARCALL_TRY(table, table_at(memory, map));
  FARCALL_TRY(found, find(memory, table, {key}));
  std::uint64_t slot = found.slot;
  if (slot < table.layout.slots) {
    if (flags == kMustBeNew) {
      return result(kExists);
    }
  } else {
    if (flags == kMustExist) {
      return result(kNoEntry);
    }
    slot = found.free;
    if (slot == table.layout.slots) {
      return result(kTooBig);
    }
    FARCALL_TRYV(memory.store(table.in_use(slot), 8, 1));
    FARCALL_TRYV(copy(memory, table.key(slot), {key}, table.layout.key_bytes));
  }
  FARCALL_TRYV(copy(memory, table.value(slot), {value}, table.layout.value_bytes));
  return 0;
}

Words map_delete_elem(const Surroundings& /*surroundings*/) {
  LabelledWords code;
  const auto table = code.label();
  const auto no_entry = code.label();
  code.add({encode<Op::lwz>(r9, bpf::kMapElements, r3), encode<Op::cmplwi>(cr0, r9, 0)});
  code.branch_if(eq, table);
  code.add(returns(kInvalid));
  code.here(table);
  find_key(code);
  code.add({encode<Op::cmpldi>(cr0, r11, 0)});
  code.branch_if(eq, no_entry);
  code.add({li(r0, 0), encode<Op::std_>(r0, kInUse, r11)});
  code.add(returns(0));
  code.here(no_entry);
  code.add(returns(kNoEntry));
  return std::move(code).finish();
}

Result<std::uint64_t> map_delete_elem(bpf::Caller& caller, const bpf::Arguments& arguments) {
  bpf::AddressSpace& memory = caller.memory();
  const GuestAddress map{arguments[0]};
  FARCALL_TRY(elements, memory.load(map, 4));
  if (elements != 0) {
    return result(kInvalid);
  }
  FARCALL_TRY(table, table_at(memory, map));
  FARCALL_TRY(found, find(memory, table, {arguments[1]}));
  if (found.slot == table.layout.slots) {
    return result(kNoEntry);
  }
  FARCALL_TRYV(memory.store(table.in_use(found.slot), 8, 0));
  return 0;
}

}  // namespace farcall::external
