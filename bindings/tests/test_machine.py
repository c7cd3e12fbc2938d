"""Machines: batches, verdicts, progress, Ctrl-C, and what is said when QEMU is missing."""

import os
import signal
import subprocess
import sys
import threading
import time

import farcall
import pytest


@pytest.fixture
def cell(far_case):
    (cell,) = farcall.Case.load(far_case)
    return cell


@pytest.fixture(scope="module")
def machine():
    with farcall.Machine() as machine:
        yield machine


# The budget of a cell's code goes by how long the interpreter runs the program.
LOOP = "mov %r0, 0\nagain: add %r0, 1\njlt %r0, 1000, again\nexit"
LOOP = farcall.Case.parse(f"-- asm\n{LOOP}\n-- result\n1000\n", "loop.case").cells()[0]


def endless():
    """A document whose code goes around for its whole budget, a million guest instructions."""
    image = farcall.jit(LOOP)
    return farcall.Document(LOOP, image.patched({image.entry + 4: 0x48000000}))  # b .


def test_a_batch_has_a_result_for_each(machine, cell):
    image = farcall.jit(cell)
    call = farcall.decode(image, cell)[0]
    lost = image.patched({call.at - 24: 0x3D80C000})  # lis r12 without the region's bits
    good, bad, again = machine.run([cell, farcall.Document(cell, lost), cell])
    assert good.passed and again.passed
    assert (good.verdict.result, good.verdict.findings) == (42, [])
    assert good.observations.calls == [(call.at, 0xC00800000012A468)]
    assert bad.outcome == "fail"
    assert [finding.code for finding in bad.verdict][:2] == [
        "call.decoded-elsewhere",
        "call.reached-elsewhere",
    ]
    (site,) = bad.verdict.sites
    assert (site.decoded, site.expected, site.agrees) == (
        0xC00000000012A468,
        0xC00800000012A468,
        False,
    )
    text = bad.text("farcall run far.case")
    assert "bctrl" in text and "c00000000012a468" in text and "replay: farcall run far.case" in text


def test_check_is_pure_and_says_the_same(machine, cell):
    document = farcall.Document(cell, farcall.jit(cell))
    first, second = machine.run([document, document])
    for result in (first, second):  # each has marks of its own in its registers
        assert farcall.check(document, result.observations) == result.verdict
    assert not farcall.check(document).passed  # nobody has seen it run


def test_machines_refuse_foreign_cells(cell):
    with farcall.Machine(endian="be") as machine:
        with pytest.raises(ValueError, match="far needs the machine le-power9-radix, this is be-"):
            machine.run([cell])


def test_a_machine_that_does_not_run(cell):
    machine = farcall.Machine()
    with pytest.raises(farcall.MachineError) as caught:
        machine.run([cell])
    assert caught.value.code == "machine.lost"
    with pytest.raises(ValueError, match="cpu is one of power8"):
        farcall.Machine(cpu="power11")


def test_a_killed_machine_costs_no_cell(cell):
    with farcall.MachinePool() as pool:
        machine = pool.machine_for(cell)
        killed = machine.process_id
        os.kill(killed, signal.SIGKILL)
        (found,) = pool.run([cell])
        assert found.passed
        assert machine.running
        assert machine.process_id != killed


def test_a_pool_keeps_the_order_and_one_machine_of_a_kind(far_case):
    far_case.write_text("-- matrix\nendian le be\nmmu radix hash\n" + far_case.read_text())
    cells = farcall.Case.load(far_case).cells()
    with farcall.MachinePool() as pool:
        for _ in range(2):
            told = []
            results = pool.run(cells, progress=lambda done, total: told.append((done, total)))
            assert [result.cell.name for result in results] == [cell.name for cell in cells]
            assert all(result.passed for result in results)
            assert told == sorted(told)
            assert told[-1] == (4, 4)
        assert pool.boots == 4


GLOBALS = """\
typedef unsigned long long u64;
#define function static __attribute__((noinline))
function u64 twice(u64 x) { return x * 2; }
function u64 square(u64 x) { return x * x; }
static u64 (*const operations[2])(u64) = {twice, square};
static const u64 weights[4] = {3, 5, 7, 11};
static u64 total;
u64 count = 40;
u64 globals(const void *memory, u64 length) {
  total += weights[length & 3];
  count++;
  return operations[length & 1](total + count) + twice(count);
}
"""


@pytest.mark.parametrize(("target", "endian"), [("bpfel", "le"), ("bpfeb", "be")])
def test_global_variables_of_an_object(tmp_path, assert_lands, target, endian):
    (tmp_path / "globals.c").write_text(GLOBALS)
    command = ["clang", "-target", target, "-mcpu=v3", "-O2", "-c", "globals.c", "-o", "globals.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    with pytest.raises(farcall.ProgramError, match="callx"):
        farcall.Program.from_elf(tmp_path / "globals.o", "globals")
    program = farcall.Program.from_elf(
        tmp_path / "globals.o", "globals", extension="callx-address"
    )
    assert program.endian == endian
    assert program.extension == "callx-address"
    data = {region.name: region for region in program.data}
    assert bytes(data[".data"]) == (40).to_bytes(8, "little" if endian == "le" else "big")
    assert bytes(data[".bss"]) == bytes(8)
    result = assert_lands(
        program,
        placement={"globals": "text+64K", "twice": "io+64K", ".rodata": "vmemmap+64K", ".bss": "text+512M"},
        memory=bytes(7),
    )
    # (11 + 41)² + 2 · 41
    assert result.verdict.result == 2786
    assert {site.callee for site in result.verdict.sites} >= {"square", "twice"}
    assert farcall.Landing(program, memory=bytes(7)).cell().axes["endian"] == endian


def test_other_threads_run_meanwhile_and_progress_is_told(machine):
    ticks, told, done = [], [], threading.Event()

    def tick():
        while not done.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.monotonic()
    results = machine.run([endless()] * 400, progress=lambda *step: told.append(step))
    end = time.monotonic()
    done.set()
    thread.join()
    assert [result.verdict.findings[0].code for result in results] == ["guest.budget"] * 400
    # A run that kept the lock would have let nobody tick.
    assert len([at for at in ticks if begin < at < end]) >= 2
    assert told[-1] == (400, 400)


def test_an_exception_of_progress_ends_the_run(cell):
    class Enough(Exception):
        pass

    def progress(done, total):
        raise Enough

    with farcall.Machine() as machine:
        with pytest.raises(Enough):
            machine.run([endless()] * 50, progress=progress)


def test_ctrl_c_ends_a_run_within_a_second():
    script = """
import farcall, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
sys.path.insert(0, sys.argv[1])
from test_machine import endless
with farcall.Machine() as machine:
    batch = [endless()] * 20_000
    told = []
    def progress(done, total):
        if not told:
            told.append(print("running", flush=True))
    try:
        machine.run(batch, progress=progress)
    except KeyboardInterrupt:
        print(time.monotonic(), machine.running, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, os.path.dirname(__file__)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "running\n"  # and will for some seconds
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    at, running = out.split()
    assert running == "False"
    # A second is promised on a machine that is free; this one may have other work.
    assert float(at) - sent < 10


def test_libvirt_starts_machines_too(cell):
    """In a process of its own: it has one libvirt in its life."""
    script = """
import farcall, sys
from pathlib import Path
cells = farcall.Case.load(sys.argv[1]).cells()
with farcall.MachinePool(vm="libvirt") as pool, farcall.Machine(vm="libvirt") as other:
    assert all(result.passed for result in [*pool.run(cells), *other.run(cells)])
    guests = [pool.machine_for(cells[0]).process_id, other.process_id]
    for guest in guests:  # libvirt names its domain on QEMU's command line
        assert b"guest=farcall-" in Path(f"/proc/{guest}/cmdline").read_bytes()
print(*guests)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, cell.case_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert first != second
    assert not any(os.path.exists(f"/proc/{guest}") for guest in (first, second))
    with pytest.raises(ValueError, match="vm is 'direct' or 'libvirt', not 'xen'"):
        farcall.Machine(vm="xen")


def test_without_qemu_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(farcall.MachineError) as caught:
        farcall.Machine().start()
    assert caught.value.code == "machine.no-qemu"
    assert "apt-get install qemu-system-ppc" in caught.value.hint


def test_without_images_it_says_where_they_should_be(tmp_path):
    with pytest.raises(farcall.MachineError) as caught:
        farcall.Machine(images=tmp_path).start()
    assert caught.value.code == "machine.no-image"
    assert str(tmp_path) in str(caught.value)


def test_everything_that_farcall_needs_beside_itself_is_in_the_package():
    there = {path.name for path in farcall.IMAGES.iterdir()}
    assert {"bare-le.bin", "bare-be.bin", "bare-le.elf", "bare-be.elf", "farcall_gdb.py"} <= there
