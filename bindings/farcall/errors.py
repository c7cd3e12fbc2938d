"""What farcall raises: one exception tree, each with farcall's stable code and the place in a file."""

from __future__ import annotations


class FarcallError(Exception):
    """Anything that farcall refuses or cannot do.

    code: stable, such as ``case.unknown-axis``; all of them are in ``farcall.ERROR_CODES``.
    file, line, column: where in an input file; ``""`` and 0 where unknown. Counted from 1.
    site: the call site that it is about, such as ``main[0]``, or ``""``.
    hint: what to do about it, or ``""``.
    """

    def __init__(
        self,
        code: str,
        message: str,
        file: str = "",
        line: int = 0,
        column: int = 0,
        site: str = "",
        hint: str = "",
        text: str | None = None,
    ) -> None:
        super().__init__(code, message, file, line, column, site, hint, text)
        self.code = code
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.site = site
        self.hint = hint
        self._text = text

    def __str__(self) -> str:
        return self._text if self._text is not None else f"error: {self.message} [{self.code}]"


class UsageError(FarcallError):
    """A wrong argument, or a file or document that cannot be read."""


class CaseError(FarcallError):
    """A case file that means nothing, or a placement that cannot be."""


class ProgramError(FarcallError):
    """BPF assembly, an object or a program that is refused, or that the interpreter cannot run."""


class CompileError(FarcallError):
    """A program that cannot be linked or compiled as the cell asks."""


class MachineError(FarcallError):
    """A guest that cannot be started, or that failed."""


# By the first word of a code.
_CLASSES: dict[str, type[FarcallError]] = {
    "usage": UsageError,
    "file": UsageError,
    "json": UsageError,
    "document": UsageError,
    "case": CaseError,
    "place": CaseError,
    "asm": ProgramError,
    "elf": ProgramError,
    "bpf": ProgramError,
    "interpreter": ProgramError,
    "call": CompileError,
    "link": CompileError,
    "jit": CompileError,
    "machine": MachineError,
}


def from_error(
    code: str, message: str, file: str, line: int, column: int, site: str, hint: str, text: str
) -> FarcallError:
    """The exception that an error of the C++ side becomes."""
    kind = _CLASSES.get(code.split(".")[0], FarcallError)
    return kind(code, message, file, line, column, site, hint, text)
