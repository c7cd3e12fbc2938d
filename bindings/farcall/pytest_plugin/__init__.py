"""farcall's plugin for pytest: case files are tests, one item a cell; it judges nothing itself.

Collected: ``*.case``, and ``*.data`` of the conformance suite that expect a result; files below folders
`reject` only if they are named.
Marks: the values of a cell's axes, as in ``pytest -m "be and power10 and not imm32"``.
With ``pytest -n N``, cells are spread by machine, so that no machine boots twice in a worker.
Fixtures: ``assert_lands``, ``farcall_machines``, ``farcall_jit``. ``--farcall-bless`` updates expectations.
``--farcall-jit NAME``: the JIT under test, of case files and ``assert_lands``; with several, there is an
item for each, named as a parameter is. JUnit has it as a property, ``farcall.jit``.
"""

from farcall.pytest_plugin.fixtures import assert_lands, farcall_jit, farcall_machines
from farcall.pytest_plugin.hooks import (
    pytest_addoption,
    pytest_collect_file,
    pytest_collection_finish,
    pytest_configure,
    pytest_generate_tests,
    pytest_report_header,
    pytest_runtest_makereport,
    pytest_terminal_summary,
    pytest_unconfigure,
    pytest_xdist_make_scheduler,
)

__all__ = [
    "assert_lands",
    "farcall_jit",
    "farcall_machines",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "pytest_xdist_make_scheduler",
]
