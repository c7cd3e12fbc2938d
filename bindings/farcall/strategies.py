"""Hypothesis strategies: programs, places for their functions, machines, and all of it at once.

    @given(landings())
    def test_my_jit(assert_lands, landing):
        assert_lands(landing, jit=my_jit)

Programs are ones that the validator accepts and that end: functions call later ones only, jumps go
forward, what is read was written before. They shrink to few functions of few instructions, and a
failure shows the smallest as a case file.
"""

from __future__ import annotations

from hypothesis import strategies as st

from farcall._farcall import AXES, Program
from farcall.landing import Landing

__all__ = ["axes", "landings", "memories", "placements", "programs"]

# Registers that hold a value from the first instruction of a function to its last.
_REGISTERS = ("r0", "r6", "r7", "r8")
_STACK_SLOTS = (-8, -16, -24)
_BINARY = ("add", "sub", "mul", "or", "and", "xor", "div", "mod")
_SHIFTS = ("lsh", "rsh", "arsh")
_CONDITIONS = ("jeq", "jne", "jgt", "jlt", "jsgt", "jslt", "jset")

_immediates = st.one_of(
    st.integers(0, 16),
    st.sampled_from([-1, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, -0x80000000]),
    st.integers(-0x80000000, 0x7FFFFFFF),
)
_registers = st.sampled_from(_REGISTERS)


@st.composite
def _plain(draw: st.DrawFn) -> str:
    """One instruction that neither jumps nor calls."""
    into = draw(_registers)
    kind = draw(st.sampled_from(("mov", "binary", "shift", "store", "load")))
    width = draw(st.sampled_from(("", "32")))
    if kind == "mov":
        return f"mov %{into}, {draw(_immediates)}"
    if kind == "binary":
        source = draw(st.one_of(_immediates.map(str), _registers.map(lambda name: f"%{name}")))
        return f"{draw(st.sampled_from(_BINARY))}{width} %{into}, {source}"
    if kind == "shift":
        bits = draw(st.integers(0, 31 if width else 63))
        return f"{draw(st.sampled_from(_SHIFTS))}{width} %{into}, {bits}"
    slot = draw(st.sampled_from(_STACK_SLOTS))
    if kind == "store":
        return f"stxdw [%r10{slot}], %{into}"
    return f"ldxdw %{into}, [%r10{slot}]"


@st.composite
def _function(draw: st.DrawFn, number: int, callees: list[int], readable_bytes: int, size: int) -> list[str]:
    """The lines of function `number`, with a call of each of `callees`."""
    body: list[list[str]] = [[line] for line in draw(st.lists(_plain(), max_size=size))]
    for callee in callees:
        at = draw(st.integers(0, len(body)))
        body.insert(at, [f"mov %r1, %{draw(_registers)}", f"call local f{callee}"])
    if readable_bytes and draw(st.booleans()):
        body.insert(0, [f"ldxb %r6, [%r1+{draw(st.integers(0, readable_bytes - 1))}]"])
    elif number and draw(st.booleans()):
        body.insert(0, ["mov %r6, %r1"])
    if len(body) > 0 and draw(st.booleans()):
        # A jump forward over some of it.
        first = draw(st.integers(0, len(body) - 1))
        last = draw(st.integers(first, len(body)))
        label = f"f{number}_on"
        body.insert(last, [f"{label}:"])
        condition = draw(st.sampled_from(_CONDITIONS))
        body.insert(first, [f"{condition} %{draw(_registers)}, {draw(_immediates)}, {label}"])
    text = [line for lines in body for line in lines]
    used = " ".join(text)
    setup = [f"mov %{name}, {draw(st.integers(0, 9))}" for name in _REGISTERS if f"%{name}" in used]
    if not any(line.startswith("mov %r0,") for line in setup):
        setup.append("mov %r0, 0")
    setup += [f"stdw [%r10{slot}], 0" for slot in _STACK_SLOTS if f"[%r10{slot}]" in used]
    return [*setup, *text, "exit"]


@st.composite
def programs(
    draw: st.DrawFn, *, max_functions: int = 4, max_instructions: int = 8, memory_bytes: int = 0
) -> Program:
    """Programs of 1 ... `max_functions` functions `main`, `f1`, ..., each called at least once.

    `max_instructions` bounds what a function has beside calls and the setup of its registers.
    With `memory_bytes`, main may read as many bytes from r1 on.
    """
    count = draw(st.integers(1, max_functions))
    callees: list[list[int]] = [[] for _ in range(count)]
    for callee in range(1, count):
        callees[draw(st.integers(0, callee - 1))].append(callee)
        if draw(st.booleans()):
            callees[draw(st.integers(0, callee - 1))].append(callee)
    lines: list[str] = []
    for number in range(count):
        if number:
            lines.append(f"f{number}:")
        readable = memory_bytes if number == 0 else 0
        lines += draw(_function(number, callees[number], readable, max_instructions))
    return Program.assemble("\n".join(lines) + "\n")


_WINDOW = 256 << 20


@st.composite
def placements(draw: st.DrawFn, program: Program) -> dict[str, str]:
    """Where the program's functions lie, for ``-- place``: at their defaults, or far from each other.

    Each function has a window of 256 MiB of each region to itself, so no two overlap.
    """
    places: dict[str, str] = {}
    for number, function in enumerate(program.functions):
        region = draw(st.sampled_from((None, "vmalloc", "text", "io", "vmemmap")))
        if region is not None:
            words = draw(st.integers(0, 0x100000))
            places[function.name] = f"{region}+{(number + 1) * _WINDOW + 4 * words:#x}"
    return places


def memories(*, max_bytes: int = 32) -> st.SearchStrategy[bytes]:
    """Contents of the memory that r1 points at; empty: there is none."""
    return st.binary(max_size=max_bytes)


@st.composite
def axes(draw: st.DrawFn, /, **fixed: str) -> dict[str, str]:
    """Machines, call schemes and reaches that some hardware has; `axes(cpu="power10")` fixes some.

    `imm32` is left out unless asked for: it cannot express most placements.
    """
    chosen = {
        axis: fixed.get(axis) or draw(st.sampled_from(values))
        for axis, values in (
            ("endian", AXES["endian"]),
            ("cpu", ("power9", "power10", "power8")),
            ("call", ("table", "aux64", "pair64")),
        )
    }
    mmu = "hash" if chosen["cpu"] == "power8" else draw(st.sampled_from(("radix", "hash")))
    abi = draw(st.sampled_from(("elfv2", "elfv1"))) if chosen["endian"] == "be" else "elfv2"
    return {**chosen, "mmu": fixed.get("mmu", mmu), "abi": fixed.get("abi", abi), **fixed}


@st.composite
def landings(
    draw: st.DrawFn,
    *,
    max_functions: int = 4,
    max_instructions: int = 8,
    axes: st.SearchStrategy[dict[str, str]] | None = None,
) -> Landing:
    """Programs with placements, memory and, if `axes` is given, machines."""
    memory = draw(memories())
    program = draw(
        programs(
            max_functions=max_functions, max_instructions=max_instructions, memory_bytes=len(memory)
        )
    )
    return Landing(
        program=program,
        placement=draw(placements(program)),
        memory=memory,
        axes=draw(axes) if axes is not None else {},
    )
