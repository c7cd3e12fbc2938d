"""JITs under test, and guests that outlive what they run: one machine, a pool with one of each kind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from farcall import _farcall
from farcall._farcall import Cell, Document, Result

IMAGES = Path(__file__).parent / "images"
"""The folder of guest images that this package holds."""

Progress = Callable[[int, int], object]

Vm = Literal["direct", "libvirt"]
"""Who starts QEMU: farcall itself, or libvirt, one of farcall's own that needs no daemon."""


@functools.cache
def _libvirt() -> _farcall.Host:
    """A process can have one such libvirt in its life."""
    return _farcall.Host.libvirt()


def _host(vm: Vm) -> _farcall.Host | None:
    if vm not in ("direct", "libvirt"):
        raise ValueError(f"vm is 'direct' or 'libvirt', not {vm!r}")
    return _libvirt() if vm == "libvirt" else None


class Jit(_farcall.Jit):
    __doc__ = f"""{_farcall.Jit.__doc__}
`farcall`, `exec:COMMAND`, `kernel:DIR`, or `kernel:VERSION` of a source that was fetched; a kernel's is
compiled here. Raises UsageError: usage.bad-argument; CompileError: jit.not-built, jit.not-started."""

    def __init__(self, name: str = "farcall", *, images: Path = IMAGES) -> None:
        super().__init__(name, images=images)


class Machine(_farcall.Machine):
    __doc__ = f"""{_farcall.Machine.__doc__}
With `vm="libvirt"`, libvirt starts it; MachineError, machine.libvirt, if none is there."""

    def __init__(
        self,
        endian: str = "le",
        cpu: str = "power9",
        mmu: str = "radix",
        *,
        images: Path = IMAGES,
        vm: Vm = "direct",
    ) -> None:
        super().__init__(endian, cpu, mmu, images=images, host=_host(vm))


class MachinePool:
    """At most one machine of each kind, started when a cell first needs it.

    A context manager; machines die with the thread that started them, so keep a pool to a thread.
    """

    def __init__(self, *, images: Path = IMAGES, vm: Vm = "direct") -> None:
        self._images = images
        self._vm: Vm = vm
        self._machines: dict[tuple[str, str, str], Machine] = {}
        self.boots = 0

    def machine_for(self, cell: Cell) -> Machine:
        """The running machine that `cell` needs."""
        axes = cell.axes
        key = (axes["endian"], axes["cpu"], axes["mmu"])
        machine = self._machines.get(key)
        if machine is None or not machine.running:
            machine = self._machines[key] = Machine(*key, images=self._images, vm=self._vm)
            machine.start()
            self.boots += 1
        return machine

    def run(
        self,
        batch: Iterable[Cell | Document],
        progress: Progress | None = None,
        *,
        jit: Jit | None = None,
    ) -> list[Result]:
        """Runs cells or documents of any kind, and returns a Result for each, in their order.

        jit: makes the code of what has none; farcall's own if not given.
        """
        todo = list(batch)
        by_machine: dict[str, list[int]] = {}
        for index, one in enumerate(todo):
            by_machine.setdefault(machine_name(_cell(one)), []).append(index)
        results: dict[int, Result] = {}
        for indices in by_machine.values():
            machine = self.machine_for(_cell(todo[indices[0]]))
            done = len(results)
            report = None
            if progress is not None:
                tell = progress

                def report(part: int, _total: int, done: int = done) -> None:
                    tell(done + part, len(todo))

            ran = machine.run([todo[index] for index in indices], report, jit=jit)
            results.update(zip(indices, ran, strict=True))
        return [results[index] for index in range(len(todo))]

    def close(self) -> None:
        """Ends all machines."""
        for machine in self._machines.values():
            machine.close()
        self._machines.clear()

    def __enter__(self) -> MachinePool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = " ".join(m.name for m in self._machines.values() if m.running)
        return f"<MachinePool: {names or 'nothing runs'}>"


def machine_name(cell: Cell) -> str:
    """Which machine the cell needs, such as ``le-power9-radix``."""
    axes = cell.axes
    return f"{axes['endian']}-{axes['cpu']}-{axes['mmu']}"


def _cell(one: Cell | Document) -> Cell:
    return one.cell if isinstance(one, Document) else one
