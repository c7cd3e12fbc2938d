from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

FAR = """\
# A callee 2 PiB away.
-- asm
mov %r6, 40
call local callee
add %r0, %r6
exit
callee:
mov %r0, 2
exit
-- place
main   = text+64K
callee = vmalloc+0x12a468
-- result
42
"""


@pytest.fixture
def far_case(tmp_path: Path) -> Path:
    path = tmp_path / "far.case"
    path.write_text(FAR)
    return path
