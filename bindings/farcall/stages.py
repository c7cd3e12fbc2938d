"""A cell's way, stage by stage: functions of Python, so that `help` speaks of nothing else."""

from __future__ import annotations

from farcall import _farcall
from farcall._farcall import (
    Cell,
    CodeImage,
    DecodedCall,
    Document,
    Interpretation,
    LinkedProgram,
    Observations,
    Verdict,
)


def interpret(cell: Cell) -> Interpretation:
    """Runs the cell's program on the host. Raises ProgramError (interpreter.*)."""
    return _farcall.interpret(cell)


def link(cell: Cell) -> LinkedProgram:
    """Encodes the calls by the cell's scheme. Raises CompileError where it cannot."""
    return _farcall.link(cell)


def jit(cell: Cell, linked: LinkedProgram | None = None) -> CodeImage:
    """Compiles the cell's program, linked by link() if `linked` is not given.

    Raises CompileError.
    """
    return _farcall.jit(cell, linked)


def decode(image: CodeImage, cell: Cell) -> list[DecodedCall]:
    """The call sites of any image, found in its bytes alone.

    `cell` gives byte order and TOC.
    """
    return _farcall.decode(image, cell)


def check(document: Document, observations: Observations | None = None) -> Verdict:
    """The verdict on a document and what was seen of it. Pure: nothing is run."""
    return _farcall.check(document, observations)
