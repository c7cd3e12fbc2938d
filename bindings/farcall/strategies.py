"""Hypothesis strategies: programs, places for their functions, machines, and all of it at once.

    @given(landings())
    def test_my_jit(assert_lands, landing):
        assert_lands(landing, jit=my_jit)

Programs are ones that the validator accepts and that end, made by the generator of `farcall fuzz`:
what is read was written before. They shrink to few functions of few instructions, and a failure
shows the smallest as a case file.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from farcall._farcall import AXES, Program
from farcall.landing import Landing

__all__ = ["axes", "landings", "memories", "placements", "programs"]


@st.composite
def programs(
    draw: st.DrawFn, *, max_functions: int = 4, max_instructions: int = 8, memory_bytes: int = 0
) -> Program:
    """Programs of `main` and up to `max_functions` - 1 others, each called somewhere, made by the
    generator of `farcall fuzz`. Hypothesis makes its choices, and so can shrink what comes of them.

    `max_instructions` bounds what a function has beside the setup of its registers: instructions,
    jumps, calls, short loops. With `memory_bytes`, main gets as many bytes to read and write at r1.
    """
    return Program.generate(
        lambda most: draw(st.integers(0, most)),
        max_functions=max_functions,
        max_instructions=max_instructions,
        memory_bytes=memory_bytes,
    )


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


def _first(simplest: str, values: Iterable[str]) -> list[str]:
    """The values, with the one first that shrinking leads to."""
    return sorted(values, key=lambda value: value != simplest)


@st.composite
def axes(draw: st.DrawFn, /, **fixed: str) -> dict[str, str]:
    """Machines, call schemes and reaches that some hardware has; `axes(cpu="power10")` fixes some.

    `imm32` is left out unless asked for: it cannot express most placements.
    """
    chosen = {
        axis: fixed.get(axis) or draw(st.sampled_from(values))
        for axis, values in (
            ("endian", AXES["endian"]),
            ("cpu", _first("power9", AXES["cpu"])),
            ("call", _first("table", [scheme for scheme in AXES["call"] if scheme != "imm32"])),
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
