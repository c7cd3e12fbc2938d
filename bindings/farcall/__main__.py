"""The command `farcall`, as the wheel has it."""

from __future__ import annotations

import signal
import sys

from farcall import _farcall
from farcall.machines import IMAGES


def main() -> int:
    # The command is C++ throughout, and nothing of Python's is left to run on Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _farcall.command_line(["farcall", *sys.argv[1:]], IMAGES)


if __name__ == "__main__":
    sys.exit(main())
