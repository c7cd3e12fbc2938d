#!/usr/bin/env bash
# A new user's way, outside the source tree: a venv, the package, a three-line test, a failing test, a
# find by Hypothesis, xdist, the package's own tests, and how fast pytest is with 3,000 cells.
# Each step has a time limit, far above what it needs: a hang becomes a failure with a name.
#
#   bindings/tests/new_user.sh [PYTHON]      any interpreter with venv; python3 if none is given
set -euo pipefail
bindings=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH PYTEST_ADDOPTS
export CXX=${CXX:-c++}  # as the rest of the tree is built, so that a compiler cache serves both

exec 3>&2  # errors are seen wherever a step's own output goes

step() { printf '== %s (%d s)\n' "$*" $SECONDS; }

fail() {
  printf 'error: %s\n' "$1" >&3
  [[ -z ${2-} ]] || sed 's/^/  /' "$2" >&3
  exit 1
}

# within SECONDS COMMAND…: its exit code.
within() {
  local seconds=$1 code=0
  shift
  timeout --kill-after=10 "$seconds" "$@" || code=$?
  ((code != 124 && code != 137)) || fail "not ended after $seconds s: $*" "$([[ ! -f out ]] || echo out)"
  return $code
}

# ends_with CODE COMMAND…: its output goes to the file out.
ends_with() {
  local expected=$1 code=0
  shift
  within 120 "$@" >out 2>&1 || code=$?
  ((code == expected)) || fail "'$*' ended with $code; expected $expected" out
}

# said FILE PATTERN…: each of them is in the output.
said() {
  local file=$1 pattern
  shift
  for pattern in "$@"; do
    grep -qE -- "$pattern" "$file" || fail "expected '$pattern' in the output" "$file"
  done
}

step 'venv and install'
within 120 "${1:-python3}" -m venv "$work/venv"
within 1200 "$work/venv/bin/pip" --disable-pip-version-check install --quiet "$bindings[test]"
PATH=$work/venv/bin:$PATH
mkdir "$work/project"
cd "$work/project"
du -sh "$("$work/venv/bin/python" -c 'import farcall, pathlib; print(pathlib.Path(farcall.__file__).parent)')"

step 'a three-line test'
cat >test_far.py <<'END'
def test_far(assert_lands):
    program = "call local callee\nexit\ncallee: mov %r0, 7\nexit"
    assert_lands(program, placement={"main": "text+64K", "callee": "vmalloc+0x12a468"})
END
ends_with 0 pytest -q
said out '1 passed'

step 'a failing test'
cat >jit.py <<'END'
import farcall


def jit(cell):
    """A JIT that loses the upper half of a callee's address."""
    image = farcall.jit(cell)
    calls = farcall.decode(image, cell)
    return image.patched({call.at - 24: 0x3D80C000 for call in calls})
END
cat >test_jit.py <<'END'
from jit import jit


def test_jit(assert_lands):
    program = "call local callee\nexit\ncallee: mov %r0, 7\nexit"
    assert_lands(program, placement={"callee": "vmalloc+0x12a468"}, jit=jit)
END
ends_with 1 pytest -q test_jit.py
said out 'they lead to c00000000012a468' 'bctrl' '^-- asm|E +-- asm' 'callee = vmalloc\+0x12a468'

step 'a find by Hypothesis'
cat >test_find.py <<'END'
from farcall.strategies import landings
from hypothesis import given
from jit import jit


@given(landings())
def test_find(assert_lands, landing):
    assert_lands(landing, jit=jit)
END
ends_with 1 pytest -q --hypothesis-profile=ci test_find.py
said out 'call.decoded-elsewhere' 'call local f1' 'Falsifying example|Failing test case'

step 'case files with xdist'
cat >far.case <<'END'
-- matrix
endian le be
mmu    radix hash
-- asm
call local callee
exit
callee:
mov %r0, 7
exit
-- place
callee = vmalloc+0x12a468
-- result
7
END
ends_with 0 pytest -q -n 2 far.case
said out '4 passed'
ends_with 0 farcall run far.case
said out '4 cells: 4 passed'

step 'what a command needs beside itself'
ends_with 0 farcall doctor
ends_with 0 farcall schemes
said out '^imm32 .* refused' '^aux64 .* 8 a call'
printf -- '-- asm\nmov %%r0, 42\nexit\n-- result\n42\n' >answer.data
ends_with 0 farcall conformance answer.data
ends_with 0 farcall debug far.case@be-radix <<<'farcall where'
said out 'bpf_prog_[0-9a-f]{16}_main, vmalloc\+0x10000'

step "the package's own tests"
within 900 pytest -q -n 2 -c "$bindings/pyproject.toml" --rootdir "$bindings" -p no:cacheprovider "$bindings/tests" >out 2>&1 ||
  fail 'tests of the package fail' out
tail -n 1 out

step 'throughput'
within 600 python "$bindings/tests/throughput.py"
step 'done'
