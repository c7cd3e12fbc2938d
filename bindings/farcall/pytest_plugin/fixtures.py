"""Fixtures: a machine of each kind for the whole session, and an assertion about a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import pytest

from farcall import Cell, CodeImage, Document, Jit, Landing, MachinePool, Program, Result
from farcall.pytest_plugin.cells import JITS, POOL, headline

MakeImage = Callable[[Cell], CodeImage]


class AssertLands(Protocol):
    """Runs a program and fails the test unless every witness agrees on where its calls land.

    program: a Program, assembly text, or a Landing that says all of it.
    placement: addresses by name, as in ``-- place`` of case files.
    memory: bytes that r1 points at; r2 is their number.
    axes: values by axis, as ``{"endian": "be", "cpu": "power10"}``.
    jit: makes the code under test of a cell; if not given, the JIT of --farcall-jit, or farcall's own.
    Returns the Result; a program that the JIT does not do is a skip of the test. What is expected is what the interpreter says.
    """

    def __call__(
        self,
        program: Program | Landing | str,
        *,
        placement: Mapping[str, str | int] | None = None,
        memory: bytes = b"",
        axes: Mapping[str, str] | None = None,
        jit: MakeImage | None = None,
    ) -> Result: ...


@pytest.fixture(scope="session")
def farcall_machines(pytestconfig: pytest.Config) -> MachinePool:
    """The session's machines, at most one of each kind; case files run on the same ones."""
    return pytestconfig.stash[POOL]


@pytest.fixture(scope="session")
def farcall_jit(request: pytest.FixtureRequest) -> Jit:
    """The JIT of --farcall-jit, farcall's own without it; a test is run with each of several."""
    return getattr(request, "param", request.config.stash[JITS][0])


@pytest.fixture(scope="session")
def assert_lands(farcall_machines: MachinePool, farcall_jit: Jit) -> AssertLands:
    """See AssertLands. Of the session's scope, so that Hypothesis may use it."""

    def check(
        program: Program | Landing | str,
        *,
        placement: Mapping[str, str | int] | None = None,
        memory: bytes = b"",
        axes: Mapping[str, str] | None = None,
        jit: MakeImage | None = None,
    ) -> Result:
        __tracebackhide__ = True
        if isinstance(program, str):
            program = Program.assemble(program)
        if isinstance(program, Program):
            program = Landing(program, placement or {}, memory, axes or {})
        elif placement or memory or axes:
            raise TypeError("a Landing has placement, memory and axes already")
        cell = program.cell()
        image = jit(cell) if jit is not None else None
        if jit is not None and not isinstance(image, CodeImage):
            raise TypeError(
                f"jit= must return the farcall.CodeImage to test; it returned {image!r}, "
                f"of type {type(image).__name__}"
            )
        document = Document(cell, image)
        (result,) = farcall_machines.run([document], jit=farcall_jit)
        if result.outcome == "skip":
            pytest.skip(headline(result))
        if not result.passed:
            evidence = f"{headline(result)}\n{result.text().rstrip()}"
            pytest.fail(f"{evidence}\n\nthe case:\n{program.case_text()}", pytrace=True)
        return result

    return check
