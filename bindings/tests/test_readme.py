"""The README's Python is true."""

import re
from pathlib import Path

from conftest import FAR

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_its_tests_pass(pytester):
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[-1]
    pytester.makepyfile("from farcall import jit as my_jit\n" + code)
    pytester.makefile(".case", far=FAR)
    pytester.runpytest("--hypothesis-profile=ci", "-W", "error").assert_outcomes(passed=5)
