"""A JIT in Python that the command `farcall run PATH --jit exec:COMMAND` can use.

The protocol is that of harness/engine/farcall_jit.h. This module needs nothing but Python itself.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

_HEADER = struct.Struct("<4I2Q4I")
_FUNCTION = struct.Struct("<Q4I")
_EXTERNAL = struct.Struct("<2QIi8B")
_MAP = struct.Struct("<Q2I")
_SLOT = struct.Struct("<2BhI")
_ANSWER = struct.Struct("<4I16BI")
_CODE = struct.Struct("<Q7I")

_BIG_ENDIAN = 1
_ELFV1 = 2
_PROGRAM = 1
_IMAGE = 0
_UNSUPPORTED = 1
_REFUSED = 2
_NOT_TOLD = 255


class Unsupported(Exception):  # noqa: N818 - not an error: the cell is skipped
    """To be raised by a JIT that does not do such programs: the cell is skipped with this reason."""


@dataclass(frozen=True)
class JitSlot:
    """Eight bytes of BPF, as RFC 9669 has them; `imm` of a local call counts slots."""

    opcode: int
    dst: int
    src: int
    offset: int
    imm: int


@dataclass(frozen=True)
class JitFunction:
    """A function of the program: slots `begin` to `end`, whose code must lie at `address`."""

    address: int
    begin: int
    end: int
    is_program: bool


@dataclass(frozen=True)
class JitExternal:
    """A helper or kfunc; `local_entry` is for callers whose r2 is the TOC already.

    `types` are those of five arguments and of the result: bits, and 0x80 if it is signed.
    """

    address: int
    local_entry: int
    kind: Literal["helper", "kfunc"]
    id: int
    types: tuple[int, ...]


@dataclass(frozen=True)
class JitMap:
    """A map: where it is, and how many bytes each of its values has."""

    address: int
    value_bytes: int


@dataclass(frozen=True)
class JitRequest:
    """A cell whose code is wanted. The first function is the entry."""

    endian: Literal["le", "be"]
    abi: Literal["elfv1", "elfv2"]
    cpu: str  # one of farcall.AXES["cpu"]
    toc: int
    call_base: int
    functions: tuple[JitFunction, ...]
    externals: tuple[JitExternal, ...]
    maps: tuple[JitMap, ...]
    slots: tuple[JitSlot, ...]

    def slots_of(self, function: JitFunction) -> tuple[JitSlot, ...]:
        """The slots of one function."""
        return self.slots[function.begin : function.end]


@dataclass(frozen=True)
class JitCode:
    """The code of one function, at its address; only `words` are needed.

    Words are numbers, a descriptor's first. `lines` are pairs of an instruction's number in the
    function and the word where its code begins; `calls` are the words that are calls, in program
    order; `passes` are how many words each pass had.
    """

    words: Iterable[int]
    descriptor_words: int = 0
    tail_entry_words: int = 0
    stub_words: int = 0
    lines: Iterable[tuple[int, int]] = ()
    calls: Iterable[int] = ()
    passes: Iterable[int] = ()


Compile = Callable[[JitRequest], Mapping[int, "JitCode | Iterable[int]"]]


def serve_jit(
    compile: Compile,
    *,
    input: BinaryIO | None = None,
    output: BinaryIO | None = None,
) -> None:
    """Answers farcall's requests until there are no more: all that a JIT's main program has to do.

    `compile` makes the code of a JitRequest: a mapping from the address of each function to its
    words, or to a JitCode that says more. It may raise Unsupported, and the cell is skipped; any
    other exception is the cell's failure, with its text. What is printed meanwhile goes to standard
    error::

        farcall.serve_jit(lambda request: {f.address: code_of(request, f) for f in request.functions})
    """
    source = input if input is not None else sys.stdin.buffer
    if output is None:
        # What the JIT prints must not get into the answers.
        output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while len(size := source.read(4)) == 4:
        (byte_count,) = struct.unpack("<I", size)
        message = size + source.read(byte_count - 4)
        if len(message) != byte_count:
            raise EOFError(f"a request of {byte_count} bytes ends after {len(message)}")
        output.write(_answer(message, compile))
        output.flush()  # before the next request is read: so whoever crashes is known


def read_request(message: bytes) -> JitRequest:
    """The cell that a request's bytes are about."""
    (_, _, flags, cpu, toc, call_base, function_count, external_count, map_count, slot_count) = (
        _HEADER.unpack_from(message)
    )
    at = _HEADER.size

    def table(shape: struct.Struct, count: int) -> list[tuple[int, ...]]:
        nonlocal at
        begin, at = at, at + shape.size * count
        return list(shape.iter_unpack(message[begin:at]))

    functions = table(_FUNCTION, function_count)
    externals = table(_EXTERNAL, external_count)
    maps = table(_MAP, map_count)
    slots = table(_SLOT, slot_count)
    return JitRequest(
        endian="be" if flags & _BIG_ENDIAN else "le",
        abi="elfv1" if flags & _ELFV1 else "elfv2",
        cpu=f"power{cpu}",
        toc=toc,
        call_base=call_base,
        functions=tuple(
            JitFunction(address, begin, end, bool(flags & _PROGRAM))
            for address, begin, end, flags, _ in functions
        ),
        externals=tuple(
            JitExternal(address, local, "kfunc" if kind else "helper", number, tuple(rest[:6]))
            for address, local, kind, number, *rest in externals
        ),
        maps=tuple(JitMap(address, value_bytes) for address, value_bytes, _ in maps),
        slots=tuple(
            JitSlot(opcode, registers & 15, registers >> 4, offset, _signed32(imm))
            for opcode, registers, offset, imm in slots
        ),
    )


def _answer(message: bytes, compile: Compile) -> bytes:
    number = struct.unpack_from("<I", message, 4)[0]
    try:
        code = compile(read_request(message))
        body = b"".join(_function(address, one) for address, one in code.items())
    except Unsupported as reason:
        return _reason(number, _UNSUPPORTED, str(reason))
    except Exception as error:
        return _reason(number, _REFUSED, f"{type(error).__name__}: {error}")
    size = _ANSWER.size + len(body)
    registers = [_NOT_TOLD] * 11 + [0] * 5
    return _ANSWER.pack(size, number, _IMAGE, len(code), *registers, 0) + body


def _function(address: int, code: JitCode | Iterable[int]) -> bytes:
    one = code if isinstance(code, JitCode) else JitCode(code)
    words, lines = list(one.words), list(one.lines)
    calls, passes = list(one.calls), list(one.passes)
    head = _CODE.pack(
        address,
        len(words),
        one.descriptor_words,
        one.tail_entry_words,
        one.stub_words,
        len(lines),
        len(calls),
        len(passes),
    )
    numbers = [*words, *(part for row in lines for part in row), *calls, *passes]
    return head + struct.pack(f"<{len(numbers)}I", *numbers)


def _reason(number: int, status: int, text: str) -> bytes:
    said = text.encode()
    return struct.pack("<3I", 12 + len(said), number, status) + said


def _signed32(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value
