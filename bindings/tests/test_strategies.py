"""The strategies: what they make is accepted and ends, and they find a seeded fault and shrink it."""

import re

import farcall
from farcall.strategies import axes, landings, programs
from hypothesis import given, settings
from test_plugin import BAD_JIT


@settings(max_examples=60, deadline=None)
@given(landings(axes=axes()))
def test_what_they_make_lands(assert_lands, landing):
    assert assert_lands(landing).passed


@settings(max_examples=100, deadline=None)
@given(programs(memory_bytes=4))
def test_programs_survive_text_and_have_several_functions(program):
    assert farcall.Program.assemble(program.text) == program
    assert len(program.calls) >= len(program.functions) - 1


@settings(max_examples=30, deadline=None)
@given(landings())
def test_a_landing_prints_a_case_file_that_is_itself(landing):
    text = repr(landing).partition("\n")[2]
    (cell,) = farcall.Case.parse(text, "landing.case").cells()
    assert cell == landing.cell()


def test_the_repr_of_a_landing_that_means_nothing_raises_nothing():
    program = farcall.Program.assemble("mov %r0, 1\nexit")
    assert "'nobody'" in repr(farcall.Landing(program, placement={"nobody": "text"}))
    assert "no axis 'color'" in repr(farcall.Landing(program, axes={"color": "red"}))


@settings(max_examples=40, deadline=None)
@given(axes(cpu="power8", endian="be"))
def test_axes_can_be_fixed(chosen):
    assert (chosen["cpu"], chosen["endian"], chosen["mmu"]) == ("power8", "be", "hash")


def test_a_seeded_fault_is_found_and_shrunk(pytester):
    """A transform of the code image: the JIT loses the top of far addresses."""
    pytester.makepyfile(
        BAD_JIT
        + """
from hypothesis import given, settings
from farcall.strategies import landings

@settings(database=None, deadline=None, derandomize=True, print_blob=False)
@given(landings())
def test_jit(assert_lands, landing):
    assert_lands(landing, jit=losing_the_top)
"""
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*call.decoded-elsewhere*", "E*the case:", "E*Failing test case*"])
    # A case file of two functions and one call, nothing else.
    shown = re.findall(r"^E +(.+)$", result.stdout.str().partition("the case:")[2], re.MULTILINE)
    text = "\n".join(shown[: shown.index("-- result") + 2]) + "\n"
    (cell,) = farcall.Case.parse(text).cells()
    assert cell.program.calls == [("main[0]", "f1")]
    assert len(cell.program) <= 6
