"""gdb commands for a program of farcall in its guest: farcall where, regs, step, target, layout.

`farcall debug` loads this file and hands over a session (`farcall session FILE`): JSON with all that
is known of the program, addresses as strings of hex digits after 0x. The shape is that of
session_json() in harness/run/debug_session.cpp.
"""

import json

import gdb

MASK = (1 << 64) - 1
MSR_PR = 0x4000  # problem state, Power ISA 3.1 Book III section 4.2.1
session = None


def number(text):
    return int(text, 16)


def quoted(path):
    """As one word of a gdb command."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def show(address):
    return f"{address:016x}"


def distance(to, origin):
    """`+2.0 PiB`: as people compare distances."""
    value = (to - origin) & MASK
    sign = "+"
    if value >> 63:
        value, sign = (1 << 64) - value, "-"
    for unit, shift in (("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if value >> shift:
            return f"{sign}{value / (1 << shift):.1f} {unit}"
    return f"{sign}{value} B"


def register(name):
    return int(gdb.selected_frame().read_register(name)) & MASK


class Instruction:
    """A BPF instruction and its code; `bytes` may be 0."""

    def __init__(self, json_object):
        self.slot = json_object["slot"]  # from the function's first
        self.text = json_object["text"]
        self.begin = number(json_object["begin"])
        self.bytes = json_object["bytes"]

    def contains(self, address):
        return (address - self.begin) & MASK < self.bytes


class Function:
    def __init__(self, json_object):
        self.name = json_object["name"]
        self.symbol = json_object["symbol"]
        self.code = number(json_object["code"])
        self.bytes = json_object["bytes"]
        self.epilogue = json_object["epilogue"] and number(json_object["epilogue"])
        self.instructions = [Instruction(one) for one in json_object["instructions"]]

    def contains(self, address):
        return (address - self.code) & MASK < self.bytes

    def instruction_at(self, address):
        return next((one for one in self.instructions if one.contains(address)), None)

    def position(self, address):
        """`main+3: call local callee`, or where between the instructions it is."""
        instruction = self.instruction_at(address)
        if instruction:
            return f"{self.name}+{instruction.slot}: {instruction.text}"
        if not self.instructions:
            return f"{self.name}: the image has no line table"
        if (address - self.code) & MASK < (self.instructions[0].begin - self.code) & MASK:
            return f"{self.name}: prologue"
        return f"{self.name}: epilogue"


class Call:
    def __init__(self, json_object):
        self.site = json_object["site"]
        self.at = number(json_object["at"])
        # None: the call is through a register, which alone says whom it calls.
        self.callee = json_object["callee"]
        self.target = json_object["target"] and number(json_object["target"])
        self.decoded = json_object["decoded"] and number(json_object["decoded"])


class Session:
    def __init__(self, known):
        self.functions = [Function(one) for one in known["functions"]]
        self.calls = [Call(one) for one in known["calls"]]
        self.registers = known["bpf_registers"]
        self.gate = number(known["gate"])
        self.parts = [(number(one["address"]), one["bytes"], one["name"]) for one in known["parts"]]
        self.regions = sorted((number(one["address"]), one["name"]) for one in known["regions"])
        self.stop = known["stop"]
        self.ended = None  # what there is to say of the program's end

    def end(self, words):
        """Said at once, and by commands whose own output gdb hides while the program runs."""
        self.ended = words
        print(words)

    def function_at(self, address):
        return next((one for one in self.functions if one.contains(address)), None)

    def name_of(self, address):
        """`callee+0x10`, `mem+4`; empty where nothing is."""
        function = self.function_at(address)
        if function:
            offset = (address - function.code) & MASK
            return function.symbol + (f"+{offset:#x}" if offset else "")
        for start, size, name in self.parts:
            if (address - start) & MASK < size:
                return name + (f"+{address - start:#x}" if address != start else "")
        return ""

    def region_of(self, address):
        """`vmalloc+0x12a468`: the region that starts below."""
        below = [one for one in self.regions if one[0] <= address]
        if not below:
            return show(address)
        start, name = below[-1]
        return f"{name}+{address - start:#x}"


def at_pc():
    """The session, the pc and the function it is in; an error outside of the program."""
    if session is None:
        raise gdb.GdbError("There is no session; `farcall debug FILE@CELL` starts one.")
    try:
        pc = register("pc")
    except gdb.error as problem:
        raise gdb.GdbError(str(problem)) from problem
    function = session.function_at(pc)
    if function is None:
        name = "the return gate" if pc == session.gate else "none of the program's functions"
        raise gdb.GdbError(f"The CPU is at {show(pc)}: {name}.")
    return session, pc, function


class Farcall(gdb.Command):
    """What farcall knows of the program: where, regs, step, target, layout."""

    def __init__(self):
        super().__init__("farcall", gdb.COMMAND_USER, prefix=True)


class Where(gdb.Command):
    """The BPF function and instruction, the ppc64 instruction and address, and the region."""

    def __init__(self):
        super().__init__("farcall where", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        known, pc, function = at_pc()
        word = gdb.selected_frame().architecture().disassemble(pc)[0]["asm"]
        print(function.position(pc))
        print(f"  {show(pc)}  {' '.join(word.split())}")
        print(f"  {known.name_of(pc)}, {known.region_of(pc)}")


class Regs(gdb.Command):
    """r0 to r10 as BPF sees them, each beside the ppc64 register that holds it."""

    def __init__(self):
        super().__init__("farcall regs", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        known, _, _ = at_pc()
        if not known.registers:
            raise gdb.GdbError("The image does not say which registers hold BPF's.")
        for bpf, ppc64 in enumerate(known.registers):
            value = register(f"r{ppc64}")
            print(f"r{bpf:<3} r{ppc64:<3} {show(value)}  {known.name_of(value)}".rstrip())


class Step(gdb.Command):
    """Runs one BPF instruction; a call goes to the callee's first one."""

    def __init__(self):
        super().__init__("farcall step", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        known, pc, function = at_pc()
        if not function.instructions:
            raise gdb.GdbError("The image has no line table; `stepi` steps by ppc64 instructions.")
        here = function.instruction_at(pc)
        places = self.next_places(known, function)
        if here and here.text == "exit":  # jumps to the epilogue, which belongs to it
            places.discard(function.epilogue)
        places = [gdb.Breakpoint(f"*{address:#x}", internal=True) for address in places]
        for place in places:
            place.silent = True
        gdb.execute("continue", to_string=True)
        for place in places:
            place.delete()
        if known.ended:
            print(known.ended)
        elif known.function_at(register("pc")):
            gdb.execute("farcall where")

    @staticmethod
    def next_places(known, function):
        """All addresses where one instruction may lead: in this function, to a callee, to a caller."""
        places = {one.begin for one in function.instructions if one.bytes}
        for other in known.functions:
            in_order = [one for one in other.instructions if one.bytes]
            places.update(one.begin for one in in_order[:1])
            sites = [call.at for call in known.calls if other.contains(call.at)]
            for before, after in zip(in_order, in_order[1:]):
                if any(before.contains(at) for at in sites):
                    places.add(after.begin)
        return places


class Target(gdb.Command):
    """Where the call site at or after the CPU will land, and where it should."""

    def __init__(self):
        super().__init__("farcall target", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        known, pc, function = at_pc()
        ahead = [call for call in known.calls if function.contains(call.at) and call.at >= pc]
        if not ahead:
            raise gdb.GdbError(f"{function.name} has no call site from {show(pc)} on.")
        call = min(ahead, key=lambda one: one.at)
        if call.at == pc:
            lands, how = self.branch_target(pc), "by the registers"
        else:
            lands, how = call.decoded, "by the bytes"
        print(f"{call.site} → {call.callee or 'what a register says'}, at {show(call.at)}")
        if call.target is not None:
            print(f"  should land at {show(call.target)}  {known.name_of(call.target)}")
        if lands is None:
            print("  will land where no bytes say")
            return
        print(f"  will land at   {show(lands)}  {known.name_of(lands)}  {how}".rstrip())
        if call.target is not None:
            print("  right" if lands == call.target else f"  WRONG: {distance(lands, call.target)} off")

    @staticmethod
    def branch_target(pc):
        """Of `bl` (Power ISA: opcode 18, AA in bit 30), else CTR."""
        word = int(gdb.parse_and_eval(f"*(unsigned int *){pc:#x}"))
        if word >> 26 != 18:
            return register("ctr") & ~3
        offset = word & 0x03FFFFFC
        offset -= (offset & 0x02000000) << 1
        return (offset if word & 2 else pc + offset) & MASK


class Layout(gdb.Command):
    """What lies where, by address; the gaps between, and where the CPU is."""

    def __init__(self):
        super().__init__("farcall layout", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        if session is None:
            at_pc()
        pc, stack = register("pc"), register("r1")
        end = None
        for start, size, name in sorted(session.parts):
            if end is not None and start - end >= 1 << 16:
                print(f"                    ⋮ {distance(start, end)[1:]}")
            marks = [
                mark
                for mark, address in (("pc", pc), ("r1", stack))
                if (address - start) & MASK < size
            ]
            arrow = f"  ← {', '.join(marks)}" if marks else ""
            where = f"{show(start)}  {size:>8} bytes  {name:<12} {session.region_of(start)}"
            print(where + arrow)
            end = start + size


class ProgramEnd(gdb.Breakpoint):
    """At the address that the program returns to."""

    def __init__(self):
        super().__init__(f"*{session.gate:#x}", internal=True)
        self.silent = True

    def stop(self):
        session.end(f"The program has returned: r0 = {register('r3'):#x}.")
        return True


class GuestTakesOver(gdb.Breakpoint):
    """At the end of every interrupt handler of the guest: a fault, or the gate's system call."""

    def __init__(self):
        super().__init__("*leave_job", internal=True)
        self.silent = True

    def stop(self):
        if not register("srr1") & MSR_PR:  # the console has woken up the guest
            return False
        vector, address = register("r3"), register("srr0")
        if vector == 0xC00 and address == session.gate + 4:
            session.end("The program is over; nothing more will run.")
        else:
            name = session.name_of(address)
            where = f"{show(address)}{f' ({name})' if name else ''}"
            session.end(f"Interrupt {vector:#x} at {where} ended the program.")
        return True


class Load(gdb.Command):
    """farcall session FILE: takes what `farcall debug` knows, and connects to the guest."""

    def __init__(self):
        super().__init__("farcall session", gdb.COMMAND_SUPPORT, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        global session
        with open(argument, encoding="utf-8") as file:
            known = json.load(file)
        session = Session(known)
        for command in (
            "set pagination off",
            "set confirm off",
            "set architecture powerpc:common64",
            f"set endian {known['endian']}",
            f"file {quoted(known['guest'])}",
            f"add-symbol-file {quoted(known['symbols'])}",
            f"target remote {known['socket']}",  # all up to the end of the line
        ):
            gdb.execute(command, to_string=True)


class Start(gdb.Command):
    """Runs the guest up to where `farcall debug` was asked to stop."""

    def __init__(self):
        super().__init__("farcall start", gdb.COMMAND_SUPPORT)

    def invoke(self, argument, from_tty):
        ProgramEnd()
        GuestTakesOver()
        stop = session.stop
        place = gdb.Breakpoint(f"*{number(stop['address']):#x}", internal=True)
        place.silent = True
        place.ignore_count = stop["earlier"]
        gdb.execute("continue", to_string=True)
        place.delete()
        if register("pc") == number(stop["address"]):
            print(stop["why"])
            gdb.execute("farcall where")


for command in (Farcall, Where, Regs, Step, Target, Layout, Load, Start):
    command()
