"""How long pytest takes for 3,000 cells on two workers, against 3,000 items that do nothing.

At most twice the time, plus the boots. Times are of the CPU, pytest's and QEMU's together, so that
other work on the machine does not count; the wall's are shown.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 2
CELLS = 3000
BOOT_SECONDS = 0.15  # CPU time of a machine that boots and ends; each worker may boot two
MACHINES = 4

EMPTY = """\
import pytest

@pytest.mark.parametrize("number", range(3000))
def test_empty(number):
    pass
"""


def write_cells(folder: Path) -> None:
    """Cells of two machines, ten cells a file."""
    for number in range(CELLS // 10):
        callee = 0x1000000 + 0x1000 * number
        (folder / f"case{number}.case").write_text(
            "-- matrix\nendian le be\n-- asm\nmov %r1, 1\ncall local callee\nexit\n"
            f"callee:\nmov %r0, {number}\nadd %r0, %r1\nexit\n"
            f"-- place far\ncallee = vmalloc+{callee:#x}+sweep {{ 0..16 step 4 }}\n"
            f"-- result\n{number + 1}\n"
        )


def run(folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of pytest in `folder`; all items must have passed."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    before, begin = os.times(), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    after, end = os.times(), time.monotonic()
    if f"{CELLS} passed" not in done.stdout:
        sys.exit(f"error: expected {CELLS} passed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, end - begin


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        empty, cells = Path(scratch, "empty"), Path(scratch, "cells")
        empty.mkdir()
        cells.mkdir()
        (empty / "test_empty.py").write_text(EMPTY)
        write_cells(cells)
        pairs = [(run(empty), run(cells)) for _ in range(ROUNDS)]
    for nothing, something in pairs:
        print(
            f"{CELLS} cells: {something[0]:.2f} s of CPU, {something[1]:.2f} s; "
            f"empty items: {nothing[0]:.2f} s of CPU, {nothing[1]:.2f} s; "
            f"{something[0] / nothing[0]:.2f} times the CPU"
        )
    allowed = [2 * nothing[0] + MACHINES * BOOT_SECONDS for nothing, _ in pairs]
    if all(something[0] > most for (_, something), most in zip(pairs, allowed, strict=True)):
        sys.exit("error: expected at most twice the time of empty items, plus the boots")


if __name__ == "__main__":
    main()
