"""What judges and what reports must not be wrong unseen: mutants of harness/check/ and
harness/report/, each of which must fail the tests of its folder.

A mutant is one change in one file. That is compiled with the options of the build and linked with the
folder's test, in front of the library. By hand:
`python3 harness/tests/mutants_test.py BUILD [FOLDER...]`.
"""

import concurrent.futures
import dataclasses
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HARNESS = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str  # below harness/
    right: str  # there once
    wrong: str


MUTANTS = [
    # r0 is not compared; nor is memory, nor are frames, nor what the ABI preserves.
    Mutant("check/check.cpp", "if (expected && *expected != result) {", "if (expected && !expected) {"),
    Mutant("check/check.cpp", "append(findings, memory_findings(memory, observed));\n      append(findings, frame_", "append(findings, frame_"),
    Mutant("check/check.cpp", "append(findings, frame_findings(cell, image, source->run, observed));", ""),
    Mutant("check/check.cpp", "append(findings, abi_findings(cell.axes.abi, image, observed, *testimony.job));", ""),
    # The linked program may return something else.
    Mutant("check/check.cpp", "if (run.r0 != source.run.r0) {", "if (run.r0 != run.r0) {"),
    # Any failure is the expected one.
    Mutant("check/check.cpp", "if (first.code == expected.code && first.site == expected.site) {", "if (first.site == expected.site) {"),
    # A function may lie anywhere.
    Mutant("check/check.cpp", "if (function.address != wanted[i]) {", "if (function.address != function.address) {"),
    # A return goes anywhere; so does a call. The trace may have lost its end.
    Mutant("check/trace_findings.cpp", "if (open.empty() || branch.to != open.back()) {", "if (open.empty()) {"),
    Mutant("check/trace_findings.cpp", "if (wanted != seen) {", "if (wanted < seen) {"),
    Mutant(
        "check/trace_findings.cpp",
        "const bool complete = observed.trace_events == observed.trace.size();",
        "const bool complete = true;",
    ),
    # A call is wherever the bytes have one.
    Mutant("check/code_findings.cpp", "} else if (found->at != call.at) {", "} else if (found->at != found->at) {"),
    # Reports: a failure is missing from TAP, from JUnit and from the summary, and has no bundle.
    Mutant("report/tap.cpp", '"not ok"', '"ok"'),
    Mutant("report/junit.cpp", 'return "failure";', 'return "skipped";'),
    Mutant("report/junit.cpp", "set_value(totals.failed)", "set_value(totals.passed)"),
    Mutant("report/markdown.cpp", "outcome == model::Outcome::fail || outcome", "outcome"),
    Mutant("report/github.cpp", "if (report.verdict.outcome == model::Outcome::pass) {", "if (report.verdict.outcome != model::Outcome::error) {"),
    Mutant("report/bundle.cpp", "if (report.verdict.outcome == model::Outcome::pass || is_file) {", "if (report.verdict.outcome != model::Outcome::error || is_file) {"),
    # A part that is missing, or a cell that two parts have, is nothing to speak of.
    Mutant("report/merge.cpp", "if (!paths.contains(index)) {", "if (paths.empty()) {"),
    Mutant("report/merge.cpp", "if (!added && found->second != part) {", "if (added && found->second != part) {"),
]  # fmt: skip


def compile_command(build: Path, folder: str) -> list[str]:
    """That of some file of the folder's library, without its input and output."""
    commands = json.loads(
        subprocess.run(["ninja", "-C", build, "-t", "compdb"], capture_output=True, text=True, check=True).stdout
    )
    mark = f"/farcall_{folder}.dir/"
    words = shlex.split(next(one["command"] for one in commands if mark in one.get("output", "") and "-c " in one["command"]))
    if Path(words[0]).name == "ccache":
        words = words[1:]
    kept = []
    skipped = {"-o", "-MF", "-MT", "-c"}
    at = 0
    while at < len(words):
        if words[at] in skipped:
            at += 2
            continue
        if words[at] != "-MD":
            kept.append(words[at])
        at += 1
    return kept


def link_command(build: Path, folder: str) -> list[str]:
    commands = subprocess.run(
        ["ninja", "-C", build, "-t", "commands", "-s", f"harness/tests/test_{folder}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    words = shlex.split(commands.strip().splitlines()[-1])
    words = words[words.index("&&") + 1 :] if "&&" in words else words
    return words[: words.index("&&")] if "&&" in words else words


def changed(mutant: Mutant, scratch: Path) -> Path:
    """The file with the mutant in place of what it was."""
    text = (HARNESS / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.right) != 1:
        raise SystemExit(f"{mutant.file}: expected once, to make a mutant of it: {mutant.right}")
    file = scratch / Path(mutant.file).name
    file.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")
    return file


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def lives(build: Path, mutant: Mutant) -> str | None:
    """Why the mutant is not caught; None: it is."""
    folder = mutant.file.partition("/")[0]
    with tempfile.TemporaryDirectory(prefix="farcall-mutant-") as name:
        scratch = Path(name)
        made = scratch / "mutant.o"
        compiled = run(
            [*compile_command(build, folder), "-w", "-O0", "-o", str(made), "-c", str(changed(mutant, scratch))], build
        )
        if compiled.returncode != 0:
            return f"it does not compile: {compiled.stderr[:1000]}"
        program = scratch / "test"
        words = link_command(build, folder)
        # Of what is there twice, the first is taken.
        words = [*words, "-Wl,--allow-multiple-definition"]
        words.insert(words.index("-o"), str(made))
        words[words.index("-o") + 1] = str(program)
        linked = run(words, build)
        if linked.returncode != 0:
            return f"it does not link: {linked.stderr[:1000]}"
        tested = run([str(program)], build)
        if tested.returncode == 0 or "[  FAILED  ]" not in tested.stdout:
            return f"exit code {tested.returncode}: no test notices it"
    return None


def main() -> int:
    build = Path(sys.argv[1]).resolve()
    folders = set(sys.argv[2:]) or {mutant.file.partition("/")[0] for mutant in MUTANTS}
    mutants = [mutant for mutant in MUTANTS if mutant.file.partition("/")[0] in folders]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(lambda mutant: lives(build, mutant), mutants))
    bad = [(mutant, why) for mutant, why in zip(mutants, results, strict=True) if why]
    for mutant, why in bad:
        print(f"{mutant.file}: {mutant.wrong or 'without'} {'' if mutant.wrong else mutant.right}: {why}")
    print(f"{len(mutants) - len(bad)} of {len(mutants)} mutants are caught")
    return 1 if bad or not mutants else 0


if __name__ == "__main__":
    sys.exit(main())
