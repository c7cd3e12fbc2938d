"""A JIT in Python that the command line runs: `--jit exec:`."""

import io
import struct
import subprocess
import sys

import farcall
import pytest

JIT = """\
import farcall

def compile(request):
    print("this is no answer")
    (function,) = request.functions
    first, last = request.slots_of(function)
    if first.opcode != 0xB7:
        raise farcall.Unsupported("anything but mov and exit")
    if first.imm == 13:
        raise ValueError("thirteen")
    high, low = first.imm >> 16 & 0xFFFF, first.imm & 0xFFFF
    return {function.address: [0x3C600000 | high, 0x60630000 | low, 0x4E800020]}

farcall.serve_jit(compile)
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "my_jit.py").write_text(JIT)

    def run(program, result):
        case = tmp_path / "two.case"
        case.write_text(f"-- asm\n{program}\nexit\n-- result\n{result}\n")
        command = f"exec:{sys.executable} {tmp_path / 'my_jit.py'}"
        return subprocess.run(
            [sys.executable, "-m", "farcall", "run", str(case), "--jit", command],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_its_code_runs_on_the_cpu(run):
    done = run("mov %r0, 0x1234567", "0x1234567")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_what_it_does_not_do_is_a_skip(run):
    done = run("mov32 %r0, 7", "7")
    assert "1 skipped" in done.stdout
    assert "anything but mov and exit" in done.stdout


def test_an_exception_is_the_failure_of_its_cell(run):
    done = run("mov %r0, 13", "13")
    assert done.returncode == 1
    assert "ValueError: thirteen [jit.refused]" in done.stdout


def request(*, flags=0, externals=b"", maps=b"", slots):
    """A request as farcall_jit.h says, for one function at 0x10000."""
    function = struct.pack("<Q4I", 0x10000, 0, len(slots) // 8, 1, 0)
    tables = function + externals + maps + slots
    counts = (1, len(externals) // 32, len(maps) // 16, len(slots) // 8)
    return struct.pack("<4I2Q4I", 48 + len(tables), 5, flags, 9, 0x200, 0x300, *counts) + tables


def test_a_request_is_read_as_the_protocol_says():
    seen = []
    message = request(
        flags=3,
        externals=struct.pack("<2QIi8B", 0x400, 0x408, 1, -7, 64, 32, 0x90, 64, 64, 0xA0, 0, 0),
        maps=struct.pack("<Q2I", 0x500, 24, 0),
        slots=bytes.fromhex("85 21 feff fdffffff"),
    )

    def compile(asked):
        seen.append(asked)
        return {0x10000: farcall.JitCode([1, 2, 3, 4, 5, 6, 7], descriptor_words=6, calls=[6])}

    output = io.BytesIO()
    farcall.serve_jit(compile, input=io.BytesIO(message), output=output)
    (asked,) = seen
    assert (asked.endian, asked.abi, asked.cpu) == ("be", "elfv1", "power9")
    assert (asked.toc, asked.call_base) == (0x200, 0x300)
    assert asked.functions == (farcall.JitFunction(0x10000, 0, 1, is_program=True),)
    assert asked.externals == (
        farcall.JitExternal(0x400, 0x408, "kfunc", -7, (64, 32, 0x90, 64, 64, 0xA0)),
    )
    assert asked.maps == (farcall.JitMap(0x500, 24),)
    assert asked.slots == (farcall.JitSlot(0x85, 1, 2, -2, -3),)
    answer = output.getvalue()
    assert struct.unpack_from("<4I", answer) == (len(answer), 5, 0, 1)
    assert struct.unpack_from("<Q7I", answer, 36) == (0x10000, 7, 6, 0, 0, 0, 1, 0)
    assert struct.unpack_from("<8I", answer, 72) == (1, 2, 3, 4, 5, 6, 7, 6)


def test_a_request_that_ends_early_is_an_error():
    message = request(slots=bytes(8))
    with pytest.raises(EOFError, match="a request of 80 bytes ends after 70"):
        farcall.serve_jit(
            lambda _: {}, input=io.BytesIO(message[:70]), output=io.BytesIO()
        )
