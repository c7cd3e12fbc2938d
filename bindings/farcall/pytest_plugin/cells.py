"""Case files as collectors, cells as items, and the machines that they share."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from farcall import Case, Cell, FarcallError, Jit, MachinePool, Result
from farcall.machines import machine_name

# Cells of one kind of machine that are run as a whole, by one worker of xdist: enough to make a boot
# pay, few enough that workers end together and that a result is not long in coming.
_CELLS_OF_A_GROUP = 512

# What makes a file named .data one of the conformance suite's: sections with a program.
_PROGRAM = re.compile(rb"^[ \t]*--[ \t]*(asm|raw)\b", re.MULTILINE).search

POOL = pytest.StashKey[MachinePool]()
RUNNER = pytest.StashKey["BatchRunner"]()
JITS = pytest.StashKey[list[Jit]]()


class CellFailed(Exception):
    """A cell that did not pass; its text is the evidence."""

    def __init__(self, result: Result, replay: str) -> None:
        super().__init__(result.text(replay).rstrip())
        self.headline = headline(result)


def headline(result: Result) -> str:
    """The first finding in one line: it explains the others."""
    findings = result.verdict.findings
    if not findings:
        return result.outcome
    first = findings[0]
    return f"{first.site}: {first.text} [{first.code}]".removeprefix(": ")


def _without_traceback(excinfo: pytest.ExceptionInfo[BaseException], summary: str) -> Any:
    """The exception's text alone; `summary` is for the line in pytest's summary at the end."""
    shown = excinfo.getrepr(style="value", chain=False)
    if shown.reprcrash is not None:
        shown.reprcrash.message = summary
    return shown


def _representation(excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """How an exception of farcall's is shown; None: it is somebody else's."""
    if isinstance(excinfo.value, CellFailed):
        return _without_traceback(excinfo, excinfo.value.headline)
    if isinstance(excinfo.value, FarcallError):
        return _without_traceback(excinfo, f"{excinfo.value.message} [{excinfo.value.code}]")
    return None


class CaseFile(pytest.File):
    def collect(self) -> Iterator[CellItem | BadCaseItem]:
        try:
            case = Case.load(_shown(self.path, self.config.invocation_params.dir))
            if self.path.suffix == ".data" and case.error:
                return  # what expects a refusal is for `farcall conformance`
            cells = case.cells()
        except FarcallError as error:
            yield BadCaseItem.from_parent(self, name=self.path.stem, error=error)
            return
        jits = self.config.stash[JITS]
        for cell in cells:
            for jit in jits:
                name = cell.name if len(jits) == 1 else f"{cell.name}[{jit.name}]"
                # As a text, it is read as that of a test with a parameter.
                nodeid = f"{self.nodeid}::{name}"
                yield CellItem.from_parent(self, name=name, nodeid=nodeid, cell=cell, jit=jit)


class BadCaseItem(pytest.Item):
    """In place of the cells of a file that means nothing: an error among the results of the others.

    An error of collecting would keep pytest from running anything.
    """

    def __init__(self, *, error: FarcallError, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.error = error

    def setup(self) -> None:
        raise self.error

    def runtest(self) -> None:
        raise AssertionError("setup() raises")

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:
        return _representation(excinfo) or super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, max(self.error.line - 1, 0), self.name


class CellItem(pytest.Item):
    def __init__(self, *, cell: Cell, jit: Jit, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.cell = cell
        self.jit = jit
        self.user_properties.append(("farcall.jit", jit.name))
        self.machine = machine_name(cell)
        self.group = ""  # set once all items are known
        for value in cell.axes.values():
            self.add_marker(value)

    def runtest(self) -> None:
        result = self.config.stash[RUNNER].result_of(self)
        if result.outcome == "skip":
            pytest.skip(headline(result))
        if not result.passed:
            raise CellFailed(result, self.replay)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> Any:
        return _representation(excinfo) or super().repr_failure(excinfo, style)

    @property
    def replay(self) -> str:
        words = ["farcall", "run", self.cell.case_path, "--filter", self.cell.name]
        if self.jit.name != "farcall":
            words += ["--jit", self.jit.name]
        return shlex.join(words)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, max(self.cell.line - 1, 0), self.name


class BatchRunner:
    """Runs an item together with those of its group, once one of them is due.

    `cells` are those that may be run before they are due: none, if another worker may get them.
    """

    def __init__(self, cells: Iterable[CellItem], pool: MachinePool) -> None:
        self._pool = pool
        self._waiting: dict[str, list[CellItem]] = {}
        self._results: dict[CellItem, Result] = {}
        for item in cells:
            self._waiting.setdefault(item.group, []).append(item)

    def result_of(self, item: CellItem) -> Result:
        if item not in self._results:
            batch = self._waiting.pop(item.group, [item])
            results = self._pool.run([one.cell for one in batch], jit=item.jit)
            self._results.update(zip(batch, results, strict=True))
        return self._results.pop(item)


def put_into_groups(cells: Iterable[CellItem]) -> None:
    """Gives each cell the group that is run, and given to a worker of xdist, as a whole."""
    seen: Counter[tuple[str, str]] = Counter()
    numbers: dict[str, int] = {}
    for item in cells:
        number = numbers.setdefault(item.jit.name, len(numbers))
        kind = (item.machine, item.jit.name)
        item.group = f"{item.machine}-{number}-{seen[kind] // _CELLS_OF_A_GROUP}"
        seen[kind] += 1


def wanted(path: Path, named: Iterable[Path]) -> bool:
    """Whether a file is one of ours; `named` are the paths of the command line.

    As for farcall itself, folders `reject` hold malformed files, and are left out unless named.
    """
    if path.suffix not in (".case", ".data"):
        return False
    rejects = [folder for folder in path.parents if folder.name == "reject"]
    if rejects and not any(one == path or one in path.parents and one in rejects for one in named):
        return False
    return path.suffix == ".case" or _looks_like_conformance(path)


def _looks_like_conformance(path: Path) -> bool:
    """Many things are called .data."""
    with path.open("rb") as file:
        return _PROGRAM(file.read(1 << 16)) is not None


def _shown(path: Path, folder: Path) -> Path:
    """The path as the user sees it, for evidence and replay commands."""
    return path.relative_to(folder) if path.is_relative_to(folder) else path
