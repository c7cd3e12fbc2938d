"""The templates for the CI of others: what they run are commands and packages that there are."""

import re
import subprocess
from pathlib import Path

import farcall._farcall
import pytest
from test_reports import FAR, run

TREE = Path(__file__).parents[2]
# The package is built without farcall's own tests and benchmarks, and does not come from a Debian package.
NOT_FOR_THE_WHEEL = {"libgtest-dev", "libgmock-dev", "libbenchmark-dev", "dpkg-dev"}
TEMPLATES = sorted((TREE / "ci/templates").glob("*.yml"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_their_commands_work(path, tmp_path):
    (tmp_path / "far.case").write_text(FAR)
    text = path.read_text()
    # Continued lines become one; what the CI sets is set.
    text = re.sub(r"\s*\n\s+(?=--)", " ", text)
    for pattern, value in (
        (r"\$\{\{ matrix.shard \}\}/2", "1/1"),
        (r"\$CI_NODE_INDEX/\$CI_NODE_TOTAL", "1/1"),
        (r"\$\{\{ matrix.shard \}\}|\$CI_NODE_INDEX", "1"),
        (r'"\$GITHUB_STEP_SUMMARY"', "summary.md"),
        (r'"\$CASES"', "far.case"),
    ):
        text = re.sub(pattern, value, text)
    commands = re.findall(r"farcall ((?:run|merge) [^\n]+)", text)
    assert len(commands) == 2
    for command in commands:
        arguments = [word.strip('"') for word in command.split()]
        arguments = [str(next(tmp_path.glob(a)).name) if "*" in a else a for a in arguments]
        run(*arguments, folder=tmp_path)
    assert (tmp_path / "report-1.html").exists()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_their_packages_are_those_that_the_build_needs(path):
    setup = (TREE / "ci/setup.sh").read_text()
    lists = re.findall(r"^(?:test_)?packages=\((.*?)^\)", setup, re.M | re.S)
    assert len(lists) == 2
    known = set(re.sub(r"#.*", "", " ".join(lists)).split())
    installed = re.search(
        r"--no-install-recommends (.*?)[-\s]+python3 -m venv", path.read_text(), re.DOTALL
    )[1]
    installed = set(installed.replace("\\", " ").split())
    assert installed - known == set()
    libraries = {name for name in known if name.endswith("-dev") and "clang" not in name}
    assert libraries - NOT_FOR_THE_WHEEL - installed == set()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_what_the_wheel_needs_is_installed_where_it_runs(path):
    """Of the Debian release that the templates name; another one has other versions."""
    if 'VERSION_ID="12"' not in Path("/etc/os-release").read_text():
        return
    named = set(re.search(r"^  RUNTIME: (.*)$", path.read_text(), re.M)[1].split())
    libraries = subprocess.run(
        ["ldd", farcall._farcall.__file__], capture_output=True, text=True, check=True
    ).stdout
    # Those that a container of Debian has in any case are not named.
    expected = {
        package
        for library, package in (
            ("libboost_filesystem", "libboost-filesystem1.74.0"),
            ("libfmt", "libfmt9"),
            ("libpugixml", "libpugixml1v5"),
            ("libelf", "libelf1"),
            ("libbpf", "libbpf1"),
            ("libcrypto", "libssl3"),
        )
        if library in libraries
    }
    assert expected - named == set()
