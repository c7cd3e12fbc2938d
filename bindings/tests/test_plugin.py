"""The pytest plugin, through pytester: what must pass passes, what must fail fails, and how."""

import os
import pwd
import re
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import FAR

MATRIX = FAR.replace("-- asm", "-- matrix\nendian le be\ncpu power9 power10\n-- asm", 1)
WRONG = MATRIX.replace("42", "43")

BAD_JIT = '''
import farcall

def losing_the_top(cell):
    """The bug of 2018: the upper half of a callee's address is lost."""
    image = farcall.jit(cell)
    words = {}
    for call in farcall.decode(image, cell):
        if call.target >> 32 != 0xC0000000:
            words[call.at - 24] = 0x3D80C000  # lis r12,-16384
    return image.patched(words)
'''


def test_a_cell_is_an_item(pytester):
    pytester.makefile(".case", far=MATRIX)
    result = pytester.runpytest("-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [f"far.case::far@{cell} PASSED*" for cell in ("le-power9", "le-power10", "be-power9")]
    )


def test_a_wrong_expectation_fails_with_the_evidence_and_no_traceback(pytester):
    pytester.makefile(".case", far=FAR.replace("42", "43"))
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*case.contradicts-interpreter*", "*replay: farcall run far.case --filter far"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin*")


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_the_short_summary_says_what_was_found_first(pytester, monkeypatch, workers):
    monkeypatch.setenv("COLUMNS", "300")
    pytester.makefile(".case", far=FAR.replace("42", "43"), other="-- amts\n")
    pytester.makepyfile(
        test_lost=BAD_JIT
        + """
def test_lost(assert_lands):
    program = "call local f\\nexit\\nf: mov %r0, 7\\nexit"
    assert_lands(program, jit=losing_the_top, placement={"f": "vmalloc+0x12a468"})
"""
    )
    result = pytester.runpytest(*workers)
    result.assert_outcomes(failed=2, errors=1)
    summary = result.stdout.str().partition("short test summary info")[2]
    lines = dict(re.findall(r"^(?:FAILED|ERROR) (\S+) - (.*)$", summary, re.MULTILINE))
    assert re.search(r"\[case.contradicts-interpreter\]$", lines["far.case::far"])
    assert lines["far.case::far"][0].isalpha()  # the finding itself, no name of an exception
    assert "CellFailed" not in lines["far.case::far"]
    assert "[case.unknown-section]" in lines["other.case::other"]
    assert lines["test_lost.py::test_lost"].startswith(
        "Failed: main[0]: expected the bytes to lead to c00800000012a468 (f); they lead to c00000000012a468"
    )


def test_a_jit_that_returns_no_image_is_a_type_error(pytester):
    """Nothing of farcall's own is tested in its place."""
    pytester.makepyfile(
        """
def test_none(assert_lands):
    assert_lands("mov %r0, 1\\nexit", jit=lambda cell: None)
"""
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TypeError: jit= must return the farcall.CodeImage*None*"])


def test_a_malformed_case_is_an_error_with_its_place(pytester):
    pytester.makefile(".case", far=FAR.replace("-- place", "-- plaice"), good=FAR, other="-- amts")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["far.case:*: error: *case.unknown-section*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("arguments", "passed", "deselected"),
    [
        (["-k", "power10"], 2, 2),
        (["-m", "be and power9"], 1, 3),
        (["-m", "radix and table and not be"], 2, 2),
        (["far.case::far@be-power10"], 1, 0),
    ],
)
def test_selection(pytester, arguments, passed, deselected):
    pytester.makefile(".case", far=MATRIX)
    result = pytester.runpytest("--strict-markers", *arguments)
    result.assert_outcomes(passed=passed, deselected=deselected)


def test_stop_at_the_first_failure_and_run_it_again(pytester):
    pytester.makefile(".case", a=FAR, far=WRONG)
    pytester.runpytest("-x").assert_outcomes(passed=1, failed=1)
    again = pytester.runpytest("--lf")
    again.assert_outcomes(failed=1)
    pytester.makefile(".case", far=MATRIX)
    pytester.runpytest("--lf").assert_outcomes(passed=1)


def test_folders_of_malformed_files_are_left_out_unless_named(pytester):
    folder = pytester.mkdir("reject")
    (folder / "bad.case").write_text("-- frob\n1\n")
    pytester.makefile(".case", far=FAR)
    pytester.runpytest().assert_outcomes(passed=1)
    pytester.runpytest("reject").assert_outcomes(errors=1)
    pytester.runpytest("reject/bad.case").assert_outcomes(errors=1)


def test_data_files_of_others_are_left_alone(pytester):
    pytester.makefile(
        ".data",
        noise="1 2 3\n",
        refused="-- asm\nmov %r0, 7\n-- error\nno exit\n",
        # As in the suite: nothing is said of a call that is never made.
        suite="-- asm\nmov %r0, 7\nja out\ncall local f\nout: exit\nf: exit\n-- result\n0x7\n",
    )
    pytester.runpytest("-v").assert_outcomes(passed=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_xdist_boot_each_machine_once(pytester, workers):
    pytester.makefile(".case", a=MATRIX, b=MATRIX, c=WRONG)
    pytester.makeconftest(
        """
        def pytest_sessionfinish(session):
            from farcall.pytest_plugin.cells import POOL
            pool = session.config.stash[POOL]
            if hasattr(session.config, "workerinput"):
                kinds = {name for name in pool._machines}
                print_to = session.config.rootpath / f"boots-{session.config.workerinput['workerid']}"
                print_to.write_text(f"{pool.boots} {len(kinds)}")
        """
    )
    result = pytester.runpytest("-n", str(workers), "-v")
    result.assert_outcomes(passed=8, failed=4)
    # Names are those of the cells, nothing after them.
    result.stdout.fnmatch_lines(["*PASSED a.case::far@le-power9"[:10] + "*"])
    assert not re.search(r"@\S+@", result.stdout.str())
    boots = [path.read_text().split() for path in pytester.path.glob("boots-*")]
    assert boots and all(number == kinds for number, kinds in boots)
    assert sum(int(number) for number, _ in boots) == 4  # no kind in two workers, as they are small
    again = pytester.runpytest("-n", str(workers), "--lf")
    again.assert_outcomes(failed=4)


def test_workers_of_xdist_run_each_cell_once_and_say_the_same(pytester):
    pytester.makefile(".case", a=MATRIX, b=WRONG, c=FAR)
    said = []
    for workers in ([], ["-n", "2"], ["-n", "3", "--dist", "load"]):
        result = pytester.runpytest("-v", *workers)
        lines = [
            re.search(r"(\S+\.case::\S+) (?:<- \S+ )?(PASSED|FAILED)|(PASSED|FAILED) (\S+\.case::\S+)", line)
            for line in result.outlines
            if not line.startswith("FAILED")
        ]
        said.append(sorted((m[1] or m[4], m[2] or m[3]) for m in lines if m))
    assert len(said[0]) == 9
    assert said[1] == said[0]
    assert said[2] == said[0]


def test_xdist_by_file_works_too(pytester):
    pytester.makefile(".case", a=MATRIX, b=WRONG)
    pytester.runpytest("-n", "2", "--dist", "loadfile").assert_outcomes(passed=4, failed=4)


def test_assert_lands_both_ways(pytester):
    pytester.makepyfile(
        BAD_JIT
        + '''
PROGRAM = """
call local callee
exit
callee:
mov %r0, 7
exit
"""
FAR = {"main": "text+64K", "callee": "vmalloc+0x12a468"}

def test_near(assert_lands):
    assert assert_lands(PROGRAM, jit=losing_the_top, placement={"main": "text+64K", "callee": "text+128K"}).passed

def test_far(assert_lands):
    result = assert_lands(PROGRAM, placement=FAR, axes={"cpu": "power10", "endian": "be"})
    assert result.verdict.result == 7

def test_lost(assert_lands):
    assert_lands(PROGRAM, jit=losing_the_top, placement=FAR)

def test_wrong(assert_lands):
    assert_lands(PROGRAM, placement={"nobody": "text"})
'''
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            ">*assert_lands(PROGRAM, jit=losing_the_top, placement=FAR)",
            "E*expected the bytes to lead to c00800000012a468 (callee); they lead to c00000000012a468*",
            "E*bctrl*",
            "E*-- asm",
            "E*callee = vmalloc+0x12a468",
            "*case.unknown-name*",
        ]
    )
    result.stdout.no_fnmatch_line("*raised in repr()*")
    result.stdout.no_fnmatch_line("*fixtures.py:*in check*")


def test_bless_shows_and_changes_what_the_witnesses_agree_on(pytester):
    wrong = WRONG.replace("-- result", "-- calls\nmain[0] callee *3   # once\n-- result")
    path = pytester.makefile(".case", far=wrong)
    before = path.read_text()
    result = pytester.runpytest("--farcall-bless")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["-main?0? callee *3*", "+main?0? callee   # once", "-43", "+0x2a"])
    assert path.read_text() == before.replace("callee *3", "callee").replace("43", "0x2a")
    pytester.runpytest().assert_outcomes(passed=4)
    blessed = path.read_text()
    pytester.runpytest("--farcall-bless").stdout.fnmatch_lines(["*nothing to bless*"])
    assert path.read_text() == blessed


def test_bless_leaves_alone_what_really_fails(pytester):
    text = FAR.replace("-- asm", "-- matrix\ncall imm32 table\n-- asm", 1)
    path = pytester.makefile(".case", far=text)
    before = path.read_text()
    result = pytester.runpytest("--farcall-bless")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*far.case: not blessed*"])
    assert path.read_text() == before


def test_the_session_s_machines(pytester):
    pytester.makefile(".case", far=FAR)
    pytester.makepyfile(
        """
        import farcall
        def test_shared(farcall_machines):
            (cell,) = farcall.Case.load("far.case")
            assert farcall_machines.run([cell])[0].passed
            assert farcall_machines.boots == 1
        """
    )
    pytester.runpytest("far.case", "test_the_session_s_machines.py").assert_outcomes(passed=2)


# One that does `mov %r0, IMM; exit` and nothing else, and by its argument one less than that.
SMALL_JIT = """\
import sys
import farcall

def compile(request):
    (function,) = request.functions
    first, _ = request.slots_of(function)
    if first.opcode != 0xB7:
        raise farcall.Unsupported("anything but mov and exit")
    return {function.address: [0x38600000 | first.imm - len(sys.argv) + 1, 0x4E800020]}

farcall.serve_jit(compile)
"""


@pytest.fixture
def small_jit(pytester):
    pytester.makepyfile(small_jit=SMALL_JIT)
    pytester.makefile(
        ".case",
        seven="-- asm\nmov %r0, 7\nexit\n-- result\n7\n",
        narrow="-- asm\nmov32 %r0, 7\nexit\n-- result\n7\n",
    )
    return f"exec:{sys.executable} small_jit.py"


def jits_of(pytester):
    """The JIT that JUnit names for each test."""
    return {
        test.get("name"): [
            one.get("value") for one in test.iter("property") if one.get("name") == "farcall.jit"
        ]
        for test in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    }


def test_another_jit_makes_the_code_and_what_it_does_not_do_is_a_skip(pytester, small_jit):
    result = pytester.runpytest("-rs", "--junit-xml=junit.xml", "--farcall-jit", small_jit)
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines([f"farcall: *, code by {small_jit}", "*anything but mov and exit*"])
    assert jits_of(pytester) == {"seven": [small_jit], "narrow": [small_jit]}


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_several_jits_are_an_item_each(pytester, small_jit, workers):
    wrong = f"{small_jit} wrong"
    arguments = ["--farcall-jit", "farcall", "--farcall-jit", wrong]
    result = pytester.runpytest("-v", "--junit-xml=junit.xml", *arguments, *workers)
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [f"*replay: farcall run seven.case --filter seven --jit '{wrong}'", "FAILED seven.case::seven*"]
    )
    assert jits_of(pytester) == {
        f"{name}[{jit}]": [jit] for name in ("seven", "narrow") for jit in ("farcall", wrong)
    }
    pytester.runpytest(*arguments, "seven.case::seven[farcall]").assert_outcomes(passed=1)
    pytester.runpytest(*arguments, "seven.case::seven").assert_outcomes(passed=1, failed=1)
    pytester.runpytest(*arguments, "--lf").assert_outcomes(failed=1)


def test_the_fixture_takes_its_code_from_each_jit(pytester, small_jit):
    pytester.makepyfile(
        test_seven="""
def test_seven(assert_lands):
    assert_lands("mov %r0, 7\\nexit")

def test_narrow(assert_lands):
    assert_lands("mov32 %r0, 7\\nexit")
"""
    )
    wrong = f"{small_jit} wrong"
    result = pytester.runpytest(
        "-v", "test_seven.py", "--farcall-jit", small_jit, "--farcall-jit", wrong
    )
    result.assert_outcomes(passed=1, failed=1, skipped=2)
    result.stdout.fnmatch_lines(["*test_seven?exec:*small_jit.py? PASSED*"])
    pytester.runpytest("test_seven.py").assert_outcomes(passed=2)


def test_a_jit_that_is_none_is_said_at_once(pytester, small_jit):
    for name, words in {
        "frob": "expected farcall, exec:COMMAND, kernel:DIR or kernel:VERSION [usage.bad-argument]",
        "exec:./frob": "there is no program './frob' [jit.not-started]",
        "kernel:/": "/ is not a Linux source tree*[jit.not-built]",
        "kernel:0.1": "[kernel.not-fetched]",
    }.items():
        result = pytester.runpytest("--farcall-jit", name)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        pattern = words.replace("[", "[[]")
        result.stderr.fnmatch_lines([f"*{pattern}*"])
        result.stderr.no_fnmatch_line("*Traceback*")


def test_the_jit_of_a_kernel(pytester, monkeypatch):
    """`farcall kernel fetch --source 6.12` has brought it, to the user's own cache."""
    cache = os.environ.get("XDG_CACHE_HOME", f"{pwd.getpwuid(os.getuid()).pw_dir}/.cache")
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    pytester.makefile(".case", far=MATRIX)
    known = FAR + "-- known\nkernel:6.12.* code.size\n"
    pytester.makefile(".case", known=known)
    result = pytester.runpytest("-v", "--junit-xml=junit.xml", "--farcall-jit", "kernel:6.12")
    # Nearly all of its code has words left over at the end: that fails, unless it is known.
    result.stdout.fnmatch_lines(["farcall: *, code by kernel:6.12 (kernel:6.12.*)"])
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(["known.case::known PASSED*", "*[[]code.size]*"])
