"""--farcall-bless: makes case files expect what interpreter and CPU agree on, and shows it.

Only results and counts of calls are changed, and only if the cells then pass: code that goes
elsewhere cannot be blessed.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from pathlib import Path
from typing import Protocol

from farcall import Case, Cell, FarcallError, Interpretation, MachinePool, interpret

_HEADER = re.compile(r"--\s+(\S+)\s*(.*?)\s*(#.*)?$")


class _Terminal(Protocol):
    def section(self, title: str, sep: str = "=") -> None: ...
    def write_line(self, line: str) -> None: ...


def bless(paths: list[Path], pool: MachinePool, terminal: _Terminal) -> None:
    """Rewrites what can be blessed of the case files `paths`, whose cells have failed."""
    terminal.section("farcall bless")
    if not paths:
        terminal.write_line("no cell has failed: nothing to bless")
    for path in paths:
        old = path.read_text()
        try:
            new = blessed(old, path)
            cells = Case.parse(new, str(path)).cells()
            refused = next((r for r in pool.run(cells) if not r.passed), None)
        except FarcallError as error:
            terminal.write_line(f"{path}: not blessed: {error}")
            continue
        if new == old or refused is not None:
            terminal.write_line(f"{path}: not blessed: no other result or calls make it pass")
            continue
        for line in difflib.unified_diff(
            old.splitlines(), new.splitlines(), str(path), f"{path}, blessed", lineterm=""
        ):
            terminal.write_line(line)
        path.write_text(new)


def blessed(text: str, path: Path) -> str:
    """The case file with the interpreter's results and counts of calls.

    A section that is for cells of different results stays as it is.
    """
    seen = [(cell, interpret(cell)) for cell in Case.parse(text, str(path)).cells()]
    lines: list[str] = []
    word, selected = "", seen
    for line in text.splitlines(keepends=True):
        if header := _HEADER.match(line):
            word = header[1]
            selected = [one for one in seen if _selects(header[2], one[0])]
        elif word == "result" and _says_something(line):
            line = _with_result(line, {run.r0 for _, run in selected})
        elif word == "calls" and _says_something(line):
            line = _with_count(line, [run for _, run in selected])
        lines.append(line)
    return "".join(lines)


def _says_something(line: str) -> bool:
    return bool(line.split("#")[0].strip())


def _with_result(line: str, results: set[int]) -> str:
    said = line.split("#")[0].strip()
    if len(results) != 1 or said.startswith("addr"):
        return line
    (result,) = results
    return line if int(said, 0) % (1 << 64) == result else line.replace(said, f"{result:#x}", 1)


def _with_count(line: str, runs: list[Interpretation]) -> str:
    said = line.split("#")[0].rstrip()
    site, callee, *_ = said.split()
    counts = {Counter(run.calls)[site, callee] for run in runs}
    if len(counts) != 1:
        return line
    (count,) = counts
    return line.replace(said, f"{site} {callee}" + ("" if count == 1 else f" *{count}"), 1)


def _selects(selector: str, cell: Cell) -> bool:
    """Whether a section with `selector`, `AXIS=VALUE,VALUE ...` or nothing, is for the cell."""
    for condition in selector.split():
        axis, _, values = condition.partition("=")
        wanted = values.split(",")
        if axis == "place":
            # The placement's name ends the cell's, a sweep's value behind it.
            suffix = re.sub(r"\.[mp]\d+$", "", cell.name.partition("@")[2])
            if not any(suffix == one or suffix.endswith(f"-{one}") for one in wanted):
                return False
        elif cell.axes.get(axis) not in wanted:
            return False
    return True
