"""A program, where its functions lie, and what surrounds them: as a value, and as a case file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from farcall._farcall import AXES, Case, Cell, ObjectProgram, Program, interpret


@dataclass(frozen=True)
class Landing:
    """What `assert_lands` checks. Its `repr` is a case file that `farcall run` and pytest run.

    program: of an ObjectProgram the case file names the object, so its path has no blanks, and its
    cells have its byte order.
    placement: addresses by name, as in ``-- place``: ``{"callee": "vmalloc+0x12a468"}`` or an int.
    Global variables of objects are there by section, such as ``.rodata``.
    memory: bytes that r1 points at, r2 is their number.
    axes: values by axis, as ``{"cpu": "power10", "reach": "pcrel"}``.
    """

    program: Program
    placement: Mapping[str, str | int] = field(default_factory=dict)
    memory: bytes = b""
    axes: Mapping[str, str] = field(default_factory=dict)
    name: str = "landing"

    def cell(self) -> Cell:
        """The one cell, its expectation what the interpreter says. Raises CaseError."""
        return self._parse(self.case_text())

    def case_text(self) -> str:
        """The case file: result and calls that are never made are what the interpreter says."""
        seen = interpret(self._parse(self._text(0, [])))
        made = Counter(site for site, _ in seen.calls)
        never = [f"{site} {callee} *0" for site, callee in self.program.calls if site not in made]
        return self._text(seen.r0, never)

    def _parse(self, text: str) -> Cell:
        (cell,) = Case.parse(text, f"{self.name}.case").cells()
        return cell

    def _text(self, result: int, calls: list[str]) -> str:
        for axis in self.axes:
            if axis not in AXES:
                raise ValueError(f"no axis '{axis}'; expected one of {', '.join(AXES)}")
        program, axes, text = self.program, self.axes, ""
        if program.extension:
            text += f"-- extension {program.extension}\n"
        assembly: list[str] = []
        if isinstance(program, ObjectProgram):
            text += f"-- elf {program.path} {program.entry or ''}".rstrip() + "\n"
            axes = {"endian": program.endian, **axes}
        else:
            assembly = program.text.rstrip().splitlines()
        sections = [
            ("matrix", [f"{axis} {value}" for axis, value in axes.items()]),
            ("mem", [self.memory[i : i + 16].hex(" ") for i in range(0, len(self.memory), 16)]),
            ("asm", assembly),
            ("place", [f"{name} = {_address(at)}" for name, at in self.placement.items()]),
            ("result", [f"{result:#x}"]),
            ("calls", calls),
        ]
        return text + "".join(
            f"-- {word}\n" + "".join(f"{line}\n" for line in lines) for word, lines in sections if lines
        )

    def __repr__(self) -> str:
        """Never raises: of a landing that means nothing, it shows what there is, and why."""
        try:
            return f"Landing, as a case file:\n{self.case_text()}"
        except Exception as error:
            parts = f"{self.program!r}, placement={self.placement!r}, axes={self.axes!r}"
            return f"<Landing of {parts}: {error}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis shows it."""
        for line in repr(self).rstrip().splitlines():
            printer.text(line)
            printer.break_()


def _address(at: str | int) -> str:
    return at if isinstance(at, str) else f"{at:#x}"
