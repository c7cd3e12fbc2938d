"""What the plugin does at which step of pytest."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from farcall import AXES, FarcallError, Jit, MachinePool, __version__
from farcall.pytest_plugin import bless
from farcall.pytest_plugin.cells import (
    JITS,
    POOL,
    RUNNER,
    BadCaseItem,
    BatchRunner,
    CaseFile,
    CellItem,
    put_into_groups,
    wanted,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("farcall")
    group.addoption(
        "--farcall-jit",
        action="append",
        metavar="NAME",
        help="who makes the code: farcall (the default), exec:COMMAND, kernel:DIR or kernel:VERSION; "
        "several, to run everything with each",
    )
    group.addoption(
        "--farcall-bless",
        action="store_true",
        help="show how the case files' results and calls would have to change for failed cells to "
        "pass, and change them",
    )


def pytest_configure(config: pytest.Config) -> None:
    for axis, values in AXES.items():
        for value in values:
            config.addinivalue_line("markers", f"{value}: farcall's cells with {axis} {value}")
    config.stash[JITS] = _jits(config.getoption("farcall_jit") or ["farcall"])
    config.stash[POOL] = MachinePool()


def pytest_unconfigure(config: pytest.Config) -> None:
    if POOL in config.stash:
        config.stash[POOL].close()


def _jits(names: list[str]) -> list[Jit]:
    try:
        return [Jit(name) for name in dict.fromkeys(names)]
    except FarcallError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str:
    jits = ", ".join(
        jit.name if jit.identity == jit.name else f"{jit.name} ({jit.identity})"
        for jit in config.stash[JITS]
    )
    return f"farcall: {__version__}, code by {jits}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    jits = metafunc.config.stash[JITS]
    if len(jits) > 1 and "farcall_jit" in metafunc.fixturenames:
        names = [jit.name for jit in jits]
        metafunc.parametrize("farcall_jit", jits, ids=names, indirect=True, scope="session")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    config = parent.config
    named = [config.invocation_params.dir / arg.split("::")[0] for arg in config.args]
    if wanted(file_path, named):
        return CaseFile.from_parent(parent, path=file_path)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection_finish(session: pytest.Session) -> Generator[None, None, None]:
    config = session.config
    cells = [item for item in session.items if isinstance(item, CellItem)]
    put_into_groups(cells)
    on_worker = hasattr(config, "workerinput")
    together = not on_worker or config.getoption("dist") == "load"
    config.stash[RUNNER] = BatchRunner(cells if together else [], config.stash[POOL])
    if not on_worker:
        return (yield)
    # The scheduler below sees names with the group after them, nobody else does.
    names = [item.nodeid for item in cells]
    for item in cells:
        item._nodeid = f"{item.nodeid}@{item.group}"  # type: ignore[attr-defined]
    try:
        return (yield)
    finally:
        for item, name in zip(cells, names, strict=True):
            item._nodeid = name  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getoption("dist") != "load":
        return None  # the user wants another distribution
    from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

    return LoadGroupScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if isinstance(item, BadCaseItem) and report.failed and call.excinfo is not None:
        # pytest asks repr_failure() only of what runtest() raises.
        report.longrepr = item.repr_failure(call.excinfo)
    if isinstance(item, CellItem) and report.failed:
        # Travels with the report, from a worker of xdist too.
        report.farcall_case = str(item.path)  # type: ignore[attr-defined]
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("farcall_bless"):
        failed = terminalreporter.getreports("failed")
        paths = {Path(report.farcall_case) for report in failed if hasattr(report, "farcall_case")}
        bless.bless(sorted(paths), terminalreporter)
