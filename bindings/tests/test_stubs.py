"""The stubs are held against the module: the same names, and the same arguments."""

import ast
import inspect
import re
from pathlib import Path

import farcall
from farcall import _farcall

STUB = ast.parse((Path(farcall.__file__).parent / "_farcall.pyi").read_text())
# Of every class; object has them.
ORDINARY = {"__eq__", "__ne__", "__repr__", "__hash__"}


def arguments_of_stub(function):
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [argument.arg for argument in every if argument.arg not in ("self", "flags")]


def arguments_of_module(function):
    """pybind11 writes the signature into the first line of a docstring."""
    signature = re.match(r"\w+\((.*)\) ->", function.__doc__ or "")
    assert signature, function
    # A default may be any repr; names stand before the colons outside brackets, which nest.
    text, last = signature[1], None
    while text != last:
        last = text
        text = re.sub(r"\[[^][]*\]|\([^()]*\)|<[^<>]*>|'[^']*'", "", text)
    names = [part.split(":")[0].strip() for part in text.split(",")]
    return [name for name in names if name not in ("self", "*", "/", "arg0", "*args", "")]


def classes_and_functions():
    classes = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
    functions = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
    variables = {node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign)}
    return classes, functions, variables


def test_the_module_has_what_the_stubs_say_and_nothing_else():
    classes, functions, variables = classes_and_functions()
    there = {name for name in vars(_farcall) if not name.startswith("_") or name == "__version__"}
    assert there == {*classes, *functions, *variables}
    for name in functions:
        assert arguments_of_module(getattr(_farcall, name)) == arguments_of_stub(functions[name]), name


def test_classes_have_what_the_stubs_say_and_nothing_else():
    classes, _, _ = classes_and_functions()
    for name, node in classes.items():
        kind = getattr(_farcall, name)
        members = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
        for new in ("__buffer__", "__release_buffer__"):  # Python has names for these from 3.12 on
            assert (new in members) <= ("Buffer" in {ast.unparse(base) for base in node.bases})
            members.pop(new, None)
        said = set(members) - ORDINARY
        there = {
            member
            for member in vars(kind)
            if not member.startswith("_")
            or (member.startswith("__") and callable(getattr(kind, member)))
            and "buffer" not in member
        }
        there -= ORDINARY | {"__new__"}
        if "__init__" not in said:
            there -= {"__init__"}
        assert there == said, name
        for member, function in members.items():
            decorators = {one.id for one in function.decorator_list if isinstance(one, ast.Name)}
            real = inspect.getattr_static(kind, member)
            assert isinstance(real, property) == ("property" in decorators), f"{name}.{member}"
            if "property" not in decorators and member != "__exit__":
                assert arguments_of_module(getattr(kind, member)) == arguments_of_stub(function), (
                    f"{name}.{member}"
                )


def test_no_signature_has_a_name_of_cpp():
    """pybind11 writes such a name where it does not know a class yet."""
    documented = [_farcall]
    for kind in vars(_farcall).values():
        documented += [kind, *(vars(kind).values() if isinstance(kind, type) else [])]
    documented += [one.fget for one in documented if isinstance(one, property)]
    texts = [one.__doc__ for one in documented if isinstance(getattr(one, "__doc__", None), str)]
    assert any("-> farcall._farcall.CodeImage" in text for text in texts)
    assert [text for text in texts if "::" in text or "std.string" in text] == []


def test_the_package_is_marked_as_typed():
    assert (Path(farcall.__file__).parent / "py.typed").is_file()


def test_all_is_all():
    assert set(farcall.__all__) <= set(vars(farcall))
    assert len(farcall.__all__) == len(set(farcall.__all__))
