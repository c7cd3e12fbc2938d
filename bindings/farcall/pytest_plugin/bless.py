"""--farcall-bless: `farcall run --bless` for the case files whose cells have failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Protocol


class _Terminal(Protocol):
    def section(self, title: str, sep: str = "=") -> None: ...
    def write_line(self, line: str) -> None: ...


def bless(paths: list[Path], terminal: _Terminal) -> None:
    """Makes the case files `paths` expect what interpreter and CPU agree on, and shows it."""
    terminal.section("farcall bless")
    if not paths:
        terminal.write_line("no cell has failed: nothing to bless")
    cases = [path for path in paths if path.suffix == ".case"]
    for path in sorted(set(paths) - set(cases)):
        terminal.write_line(f"{path}: not blessed: what a file of the suite expects is the suite's")
    if not cases:
        return
    command = [sys.executable, "-m", "farcall", "run", "--bless", *map(str, cases)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in (finished.stdout + finished.stderr).splitlines():
        terminal.write_line(line)
