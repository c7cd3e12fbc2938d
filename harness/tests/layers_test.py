"""Who may include whom: the includes of harness/ against the link lists of
harness/CMakeLists.txt.

All folders share one include path, so the compiler does not see when, say, check/ includes vm/.
This test does: a file may include headers of its own folder and of those that its library is linked
with, directly or not. Run it by hand as `python3 harness/tests/layers_test.py`.
"""

import re
import sys
import tempfile
from pathlib import Path

HARNESS = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^#include "([^"]+)/[^/"]+"', re.MULTILINE)


def linked(text: str) -> dict[str, set[str]]:
    """Folder by folder, the folders that its library is linked with, directly or not."""
    direct = {}
    for folder, rest in re.findall(r"^farcall_library\((\w+)([^)]*)\)", text, re.MULTILINE):
        direct[folder] = set(re.findall(r"\bfarcall_(\w+)", rest))

    def reach(folder: str, seen: set[str]) -> set[str]:
        for needed in direct.get(folder, set()) - seen:
            seen.add(needed)
            reach(needed, seen)
        return seen

    return {folder: reach(folder, set()) for folder in direct}


def violations(harness: Path, allowed: dict[str, set[str]]) -> list[str]:
    found = []
    for folder, needed in sorted(allowed.items()):
        for path in sorted((harness / folder).rglob("*.[ch]pp")):
            text = path.read_text()
            for match in INCLUDE.finditer(text):
                other = match.group(1).split("/")[0]
                if other != folder and other not in needed:
                    line = text.count("\n", 0, match.start()) + 1
                    found.append(
                        f"{path.relative_to(harness)}:{line}: {folder}/ includes {other}/, which"
                        f" farcall_{folder} is not linked with"
                    )
    return found


def test_the_tree() -> None:
    allowed = linked((HARNESS / "CMakeLists.txt").read_text())
    assert len(allowed) > 15, f"the link lists were not understood: {allowed}"
    assert violations(HARNESS, allowed) == []


def test_a_violation_is_found() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, include in (("check", "vm/machine.hpp"), ("model", "base/error.hpp")):
            path = Path(folder) / name / "a.cpp"
            path.parent.mkdir()
            path.write_text(f'// One line.\n#include "{include}"\n')
        found = violations(Path(folder), {"check": {"model", "base"}, "model": {"base"}})
        assert found == ["check/a.cpp:2: check/ includes vm/, which farcall_check is not linked with"]


if __name__ == "__main__":
    test_a_violation_is_found()
    try:
        test_the_tree()
    except AssertionError:
        sys.exit("\n".join(violations(HARNESS, linked((HARNESS / "CMakeLists.txt").read_text()))))
