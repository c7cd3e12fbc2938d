"""Programs, cases, and the stages of the host, as Python values."""

import pydoc

import farcall
import pytest

TWO = "mov %r0, 1\ncall local f\nexit\nf: mov %r0, 7\nexit\n"
CALLEE = 0xC00800000012A468


@pytest.fixture
def cell(far_case):
    (cell,) = farcall.Case.load(far_case)
    return cell


def test_a_program_is_a_value():
    program = farcall.Program.assemble(TWO)
    assert len(program) == 5
    assert [slot.opcode for slot in program] == [0xB7, 0x85, 0x95, 0xB7, 0x95]
    assert [function.name for function in program.functions] == ["main", "f"]
    assert program.calls == [("main[0]", "f")]
    assert program == farcall.Program.assemble(program.text)
    assert program != farcall.Program.assemble(TWO.replace("7", "8"))
    assert "main f" in repr(program)


def test_bytes_are_in_the_machine_s_order():
    program = farcall.Program.assemble("mov %r1, 0x12345678\nexit")
    assert program.encode("le").hex(" ", 8) == "b701000078563412 9500000000000000"
    assert program.encode("be").hex(" ", 8) == "b710000012345678 9500000000000000"
    with pytest.raises(ValueError, match="'le' or 'be'"):
        program.encode("middle")


def test_errors_have_code_and_place():
    with pytest.raises(farcall.ProgramError) as caught:
        farcall.Program.assemble("mov %r0, 1\nfrob %r1\nexit", file="some.s", line=10)
    error = caught.value
    assert (error.code, error.file, error.line, error.column) == (
        "asm.unknown-mnemonic",
        "some.s",
        11,
        1,
    )
    assert isinstance(error, farcall.FarcallError)
    assert "some.s:11:1: error:" in str(error)


@pytest.mark.parametrize(
    ("kind", "code", "act"),
    [
        (farcall.UsageError, "file.unreadable", lambda: farcall.Case.load("/none.case")),
        (farcall.CaseError, "case.unknown-section", lambda: farcall.Case.parse("-- frob\n1\n")),
        (
            farcall.CaseError,
            "place.misaligned",
            lambda: farcall.Case.parse("-- asm\nexit\n-- place\nmain = text+1\n-- result\n0\n").cells(),
        ),
        (farcall.ProgramError, "bpf.falls-off-end", lambda: farcall.Program.assemble("mov %r0, 1")),
        (farcall.UsageError, "json.malformed", lambda: farcall.Document.from_json("{")),
    ],
)
def test_the_exception_tree(kind, code, act):
    with pytest.raises(kind) as caught:
        act()
    assert caught.value.code == code
    assert code in farcall.ERROR_CODES


def test_type_errors_speak_python(cell):
    with pytest.raises(TypeError) as caught:
        farcall.Document(42)
    assert "farcall._farcall.Cell" in str(caught.value)
    assert "::" not in str(caught.value)
    with pytest.raises(TypeError) as caught:
        farcall.Machine().run([cell, 42])
    assert str(caught.value) == "a batch holds cells and documents; this is 42, of type int"


@pytest.mark.parametrize("name", ["check", "decode", "interpret", "jit", "link"])
def test_help_speaks_python(name):
    text = pydoc.render_doc(getattr(farcall, name), renderer=pydoc.plaintext)
    assert text.splitlines()[2].startswith(f"{name}(")
    assert "pybind11" not in text and "..." not in text and "_farcall" not in text


def test_classes_are_of_codes_that_there_are():
    from farcall.errors import _CLASSES

    assert set(_CLASSES) <= {code.split(".")[0] for code in farcall.ERROR_CODES}


def test_a_case_gives_its_cells(far_case):
    far_case.write_text("-- matrix\ncpu power9 power10\n" + far_case.read_text())
    case = farcall.Case.load(far_case)
    assert case.name == "far"
    assert [cell.name for cell in case] == ["far@power9", "far@power10"]
    power10 = case.cells()[1]
    assert power10.axes["cpu"] == "power10"
    assert power10.functions == {"main": 0xC000000000010000, "callee": CALLEE}
    assert power10 == farcall.Case.load(far_case).cells()[1]
    assert power10 != case.cells()[0]


def test_the_stages_follow_each_other(cell):
    seen = farcall.interpret(cell)
    assert (seen.r0, seen.calls) == (42, [("main[0]", "callee")])
    linked = farcall.link(cell)
    assert linked.scheme == "table"
    assert linked.addresses == [0xC000000000010000, CALLEE]
    image = farcall.jit(cell, linked)
    assert image == farcall.jit(cell)
    (call,) = farcall.decode(image, cell)
    assert (call.site, call.target) == ("main[0]", CALLEE)
    assert image.calls[0].at == call.at


def test_calls_of_what_is_no_function_of_the_program_have_names():
    case = farcall.Case.parse(
        "-- helper 5 weighted_sum\n-- asm\nmov %r1, 1\nmov %r2, 1\nmov %r3, 1\nmov %r4, 1\n"
        "mov %r5, 1\ncall 5\nexit\n-- result\n18\n"
    )
    seen = farcall.interpret(case.cells()[0])
    assert (seen.r0, seen.calls) == (18, [("main[0]", "weighted_sum")])


def test_what_cannot_be_linked_raises_with_its_site():
    case = farcall.Case.parse(
        "-- matrix\ncall imm32\n-- asm\ncall local f\nexit\nf: mov %r0, 1\nexit\n"
        "-- place\nf = text+5G\n-- result\n1\n"
    )
    with pytest.raises(farcall.CompileError) as caught:
        farcall.link(case.cells()[0])
    assert (caught.value.code, caught.value.site) == ("call.out-of-range", "main[0]")


def test_code_is_a_view_and_not_a_copy(cell):
    image = farcall.jit(cell)
    function = image["callee"]
    words = memoryview(function)
    assert words.format == "I"
    assert words.readonly
    assert list(words) == list(function)
    assert words[-1] == 0x4E800020  # blr
    assert memoryview(function).obj is words.obj is function
    del image, function
    assert words[-1] == 0x4E800020


def test_memory_is_a_view():
    case = farcall.Case.parse("-- mem\n11 22 33\n-- asm\nldxb %r0, [%r1+2]\nexit\n-- result\n0x33\n")
    (region,) = case.cells()[0].memory
    assert bytes(region) == b"\x11\x22\x33"
    assert case.cells()[0].arguments[1] == 3


@pytest.mark.parametrize(("endian", "order"), [("le", "little"), ("be", "big")])
def test_an_image_of_one_s_own_bytes(cell, endian, order):
    ours = farcall.jit(cell)
    own = farcall.CodeImage(
        [
            farcall.CodeFunction(
                function.name,
                function.address,
                b"".join(word.to_bytes(4, order) for word in function),
                endian=endian,
            )
            for function in ours
        ],
        calls=ours.calls,
    )
    assert [list(f) for f in own] == [list(f) for f in ours]
    assert own.entry == ours.entry
    assert farcall.decode(own, cell) == farcall.decode(ours, cell)


def test_wrong_code_is_refused():
    with pytest.raises(ValueError, match="whole number of 4-byte words"):
        farcall.CodeFunction("f", 0, b"abc")
    with pytest.raises(ValueError, match="at least one function"):
        farcall.CodeImage([])
    with pytest.raises(TypeError):
        farcall.CodeFunction("f", 2**64, b"")


def test_a_patched_image_is_another(cell):
    image = farcall.jit(cell)
    other = image.patched({image.entry: 0x60000000})
    assert other != image
    assert next(iter(other["main"])) == 0x60000000
    with pytest.raises(ValueError, match="0x10"):
        image.patched({0x10: 0})


def test_a_document_survives_json(cell):
    document = farcall.Document(cell, farcall.jit(cell))
    again = farcall.Document.from_json(document.to_json_text())
    assert again == document
    assert again.image == document.image
    assert again.cell.axes == cell.axes
