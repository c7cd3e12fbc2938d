"""Reports for the CI of others, through the command line: shards and their merge, JUnit, GitHub,
Markdown, HTML in a headless Chromium, bundles."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import farcall
import pytest
from conftest import FAR

MATRIX = FAR.replace("-- asm", "-- matrix\nendian le be\ncpu power9 power10\ncall imm32 table aux64\n-- asm")


def run(*arguments, folder, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "farcall", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def folder(tmp_path):
    """Twelve cells, of which the four of imm32 fail at main[0], in line 6."""
    (tmp_path / "far.case").write_text(MATRIX)
    return tmp_path


def need(program):
    """A missing tool is a failure: ci/setup.sh installs it."""
    found = shutil.which(program)
    assert found, f"{program} is not on PATH"
    return found


def test_shards_are_by_name_and_cover_everything_once(folder):
    def cells(*arguments):
        return run("list", "far.case", *arguments, folder=folder).stdout.splitlines()

    every = cells()
    parts = [cells("--shard", f"{i}/3") for i in (1, 2, 3)]
    assert sorted(sum(parts, [])) == sorted(every)
    assert all(0 < len(part) < len(every) for part in parts)
    # A cell's shard does not depend on what else there is.
    only = [line for line in every if "power10" in line]
    assert cells("--shard", "2/3", "--where", "cpu=power10") == [x for x in parts[1] if x in only]
    assert cells("--shard", "1/1") == every


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"])
def test_impossible_shards_are_refused(folder, shard):
    assert "--shard" in run("list", "far.case", f"--shard={shard}", folder=folder, code=2).stderr


def test_an_empty_shard_is_a_part_too(folder):
    (folder / "far.case").write_text(FAR)
    outputs = []
    for index in range(1, 4):
        run("run", "far.case", "--shard", f"{index}/3", "--format", "json", "--output", f"{index}.json", folder=folder)
        outputs.append(f"{index}.json")
    done = run("merge", *outputs, "--output", "all.json", folder=folder)
    assert "1 cell: 1 passed" in done.stdout


def shards(folder, form):
    for index in (1, 2, 3):
        done = subprocess.run(
            [sys.executable, "-m", "farcall", "run", "far.case", "--shard", f"{index}/3"]
            + ["--format", form, "--output", f"{index}.{form}"],
            cwd=folder,
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 1)
    return [f"{index}.{form}" for index in (1, 2, 3)]


@pytest.mark.parametrize("form", ["json", "junit"])
def test_merge_is_as_one_run(folder, form):
    parts = shards(folder, form)
    done = run("merge", *parts, "--output", "all", folder=folder, code=1)
    assert "12 cells: 8 passed, 4 failed" in done.stdout
    run("run", "far.case", "--format", form, "--output", "one", folder=folder, code=1)

    def cells(path):
        text = (folder / path).read_text()
        if form == "json":
            return sorted((c["cell"], c["outcome"]) for c in json.loads(text)["cells"])
        return sorted(
            (test.get("name"), test.find("failure") is None)
            for test in ElementTree.fromstring(text).iter("testcase")
        )

    assert cells("all") == cells("one")
    # What was merged can be merged again.
    run("merge", "all", "--output", "again", folder=folder, code=1)


@pytest.mark.parametrize("form", ["json", "junit"])
def test_missing_and_doubled_shards_are_named_and_never_green(folder, form):
    (folder / "far.case").write_text(MATRIX.replace("call imm32 table", "call table"))
    one, two, three = shards(folder, form)
    assert not run("merge", one, two, three, "--output", "all", folder=folder).stderr
    done = run("merge", one, three, "--output", "all", folder=folder, code=2)
    assert done.stderr == "error: shard 2/3 is missing\n"
    done = run("merge", one, two, three, two, "--output", "all", folder=folder, code=2)
    assert done.stderr == f"error: shard 2/3 is doubled: {two} and {two}\n"
    assert "8 cells: 8 passed" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "not a report that can be merged"),
        ("<testsuites/>", "not of farcall run"),
        ("<oops", "not a report that can be merged"),
        ("", "not a report that can be merged"),
    ],
)
def test_what_is_no_report_is_refused(folder, text, words):
    (folder / "part").write_text(text)
    assert words in run("merge", "part", "--output", "all", folder=folder, code=2).stderr
    assert not (folder / "all").exists()


def test_a_report_that_lost_cells_is_refused(folder):
    (part, *_) = shards(folder, "json")
    report = json.loads((folder / part).read_text())
    report["cells"].pop()
    (folder / part).write_text(json.dumps(report))
    assert "says that they are" in run("merge", part, "--output", "all", folder=folder, code=2).stderr


def test_merge_keeps_the_worst_exit_code(folder):
    parts = shards(folder, "json")
    report = json.loads((folder / parts[0]).read_text())
    report["harness_failed"] = True
    (folder / parts[0]).write_text(json.dumps(report))
    run("merge", *parts, "--output", "all", folder=folder, code=3)


def test_junit_keeps_to_the_schema(folder):
    run("run", "far.case", "--format", "junit", "--output", "junit.xml", folder=folder, code=1)
    run("merge", "junit.xml", "--output", "merged.xml", folder=folder, code=1)
    schema = Path(__file__).parent / "junit.xsd"
    for path in ("junit.xml", "merged.xml"):
        done = subprocess.run(
            [need("xmllint"), "--noout", "--schema", schema, path],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    suite = ElementTree.parse(folder / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("12", "4")


def test_github_annotates_the_call(folder):
    done = run("run", "far.case", "--format", "github", folder=folder, code=1)
    annotations = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert len(annotations) == 4
    line = 1 + MATRIX.splitlines().index("call local callee")
    assert annotations[0].startswith(
        f"::error file=far.case,line={line},title=far@le-power9-imm32::far.case:{line}:1: main[0]: "
    )
    assert "%0Areplay: farcall run far.case --filter far@le-power9-imm32" in annotations[0]
    assert "12 cells: 8 passed, 4 failed" in done.stdout
    assert "far@le-power9-table" not in done.stdout


def test_several_reports_of_one_run(folder):
    done = run(
        *("run", "far.case", "--format", "junit", "--output", "a.xml"),
        *("--format", "markdown", "--output", "b.md", "--format", "github"),
        folder=folder,
        code=1,
    )
    assert "::error" in done.stdout
    assert (folder / "a.xml").read_text().startswith("<?xml")
    summary = (folder / "b.md").read_text()
    assert "| 12 | 8 | 4 |" in summary
    assert "| call | imm32 4/4, aux64 0/4, table 0/4 |" in summary
    assert summary.count("<details>") == 4
    words = run("run", "far.case", "--output", "a", "--output", "b", folder=folder, code=2).stderr
    assert "expected one --format for each --output" in words


def test_a_bundle_fails_elsewhere_as_it_did_here(folder, tmp_path_factory):
    # A cell that is wrong only as code: what is packed is the image, not the case.
    (cell,) = farcall.Case.parse(FAR, "far.case").cells()
    image = farcall.jit(cell)
    call = farcall.decode(image, cell)[0]
    lost = farcall.Document(cell, image.patched({call.at - 24: 0x3D80C000}))
    (folder / "lost.json").write_text(lost.to_json_text())
    run("run", "--from", "lost.json", "--bundle", "bundle.json", folder=folder, code=1)
    bundle = json.loads((folder / "bundle.json").read_text())
    assert bundle["qemu"].startswith("QEMU emulator version")
    (packed,) = bundle["cells"]
    assert "bctrl" in packed["evidence"]
    assert any("bctrl" in line for line in packed["listing"]["main"])

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(folder / "bundle.json", elsewhere)
    done = run("replay", "bundle.json", folder=elsewhere, code=1)
    assert "they lead to c00000000012a468" in done.stdout
    assert "1 of 1 end as they did" in done.stderr
    # Mended code passes, and that is said.
    packed["document"] = json.loads(farcall.Document(cell, image).to_json_text())
    (elsewhere / "bundle.json").write_text(json.dumps(bundle))
    assert "0 of 1 end as they did" in run("replay", "bundle.json", folder=elsewhere).stderr


def test_a_bundle_of_nothing_and_of_nonsense(folder):
    (folder / "far.case").write_text(FAR)
    run("run", "far.case", "--bundle", "bundle.json", folder=folder)
    assert "nothing to replay" in run("replay", "bundle.json", folder=folder, code=2).stderr
    (folder / "bundle.json").write_text('{"cells": []}')
    assert "this is not a bundle" in run("replay", "bundle.json", folder=folder, code=2).stderr


def page(folder, fragment="", width=1280):
    """The HTML report as a headless Chromium has it after its scripts have run."""
    chromium = need("chromium")
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        + [f"--window-size={width},1000", "--virtual-time-budget=5000", "--dump-dom", f"file://{folder}/report.html{fragment}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(dom):
    """Names and outcomes of the cells in the list."""
    rows = re.findall(r'class="outcome (\w+)">\w+</span><span class="name">([^<]+)<', dom)
    return [(name, outcome) for outcome, name in rows]


def test_html_is_one_file_that_filters(folder):
    run("run", "far.case", "--format", "html", "--output", "report.html", folder=folder, code=1)
    text = (folder / "report.html").read_text()
    # Nothing is loaded from anywhere.
    assert not re.search(r'(?:src|href)\s*=|@import|url\(', text)

    everything = page(folder)
    assert len(shown(everything)) == 12
    assert [outcome for _, outcome in shown(everything)] == ["fail"] * 4 + ["pass"] * 8
    assert "12 of 12 cells" in everything
    # The first failure is open: its listing or reason, and the address space.
    assert "call.out-of-range" in everything
    assert "<svg" in everything
    # The matrix in colours.
    assert everything.count('<td class="fail"') == 4 and everything.count('<td class="pass"') == 8

    assert [name for name, _ in shown(page(folder, "#power10%20be"))] == [
        "far@be-power10-imm32",
        "far@be-power10-table",
        "far@be-power10-aux64",
    ]
    assert {outcome for _, outcome in shown(page(folder, "#bad%20le"))} == {"fail"}
    assert shown(page(folder, "#nothing-like-this")) == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("command", ["run far.case", "schemes"])
def test_html_is_as_wide_as_its_window(folder, command, width):
    run(*command.split(), "--format", "html", "--output", "report.html", folder=folder, code=int("run" in command))
    with (folder / "report.html").open("a") as report:
        report.write(
            "<script>document.body.dataset.beyond = [document.documentElement,"
            "...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)</script>"
        )
    of_page, *of_tables = map(int, re.search(r'data-beyond="([0-9,]+)"', page(folder, width=width))[1].split(","))
    assert of_page == 0  # wide tables move in their own frames
    assert width < 1280 or not any(of_tables)


def test_html_holds_whatever_a_folder_is_called(folder):
    path = folder / "<script>alert(1)<!--" / "far.case"
    path.parent.mkdir()
    path.write_text(MATRIX)
    run("run", path, "--format", "html", "--output", "report.html", folder=folder, code=1)
    assert len(shown(page(folder))) == 12


def test_html_of_ten_thousand_cells_is_quick(folder):
    run("run", "far.case", "--repeat", "834", "--format", "html", "--output", "report.html", folder=folder, code=1)
    dom = page(folder)
    assert "10008 of 10008 cells, 200 shown" in re.sub(r"<[^>]+>", "", dom)
