"""Imports point down the list of rooms, and some things appear in one room only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "seqopt"
ROOMS = (  # docs/architecture.md: imports only point down; rooms on one line do not import each other
    ("cli",),
    ("workflows",),
    ("learn", "pulseq", "mrd", "images", "report"),
    ("sampling", "recon"),
    ("encoding", "gradients"),
    ("core",),
)
ANYONE = ("units", "registry", "errors")  # importable from everywhere; registry raises errors
LEVEL = {room: level for level, line in enumerate(ROOMS) for room in line}
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in FILES]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, source: ast.Module | None = None) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, inside functions and behind TYPE_CHECKING too."""
    package = ["seqopt", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(source or tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_room_is_on_the_map():
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms == {*LEVEL, *ANYONE}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_point_down(path):
    room, wrong = room_of(path), []
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] != "seqopt" or len(parts) == 1 or parts[1] == "__version__":
            continue
        target = parts[1]
        if target in ANYONE:
            allowed = room not in ANYONE or target == "errors"
        else:
            allowed = target == room or (room in LEVEL and LEVEL.get(target, -1) > LEVEL[room])
        if not allowed:
            wrong.append(f"line {line}: {room} imports {name}")
    assert wrong == []


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("pypulseq", {"pulseq"}),
        ("ismrmrd", {"mrd"}),
        ("click", {"cli"}),
        ("torchdiffeq", {"sampling"}),
        ("finufft", {"encoding"}),
        ("cufinufft", {"encoding"}),
        ("torchkbnufft", {"encoding"}),
        ("torch", {"encoding", "recon", "sampling", "learn", "gradients", "workflows"}),
    ],
)
def test_a_library_is_imported_in_its_own_room_only(library, rooms):
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in FILES
        for line, name in imports(path)
        if name.split(".")[0] == library and room_of(path) not in rooms
    ]
    assert wrong == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_gamma_is_written_in_units_only(path):
    """42.576 MHz/T, 267.5 Mrad/s/T and their powers of ten, as a number; and nobody takes them from scipy."""
    if path.name == "units.py":
        return
    numbers = [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, float | int) and not isinstance(node.value, bool)
    ]
    wrong = [f"line {node.lineno}: {node.value}" for node in numbers if _is_gamma(float(node.value))]
    assert wrong == []
    assert not [name for _, name in imports(path) if name.startswith("scipy.constants")]


def _is_gamma(value: float) -> bool:
    if value == 0 or value != value or abs(value) == float("inf"):
        return False
    digits = float(f"{abs(value):.9e}".split("e")[0])
    return 4.2565 < digits < 4.2585 or 2.6745 < digits < 2.6760


def calls(path: Path) -> Iterator[tuple[int, str, ast.Call]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_the_library_does_not_print(path):
    if room_of(path) == "cli":
        return
    written = ("print", "sys.stdout.write", "sys.stderr.write", "click.echo")
    assert [line for line, name, _ in calls(path) if name in written] == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_is_unpickled(path):
    modules = [name.split(".")[0] for _, name in imports(path)]
    assert not {"cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & set(modules)
    used = [ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)]
    assert {name for name in used if name.startswith("pickle.")} <= {"pickle.UnpicklingError", "pickle.PickleError"}
    assert not [name for _, name in imports(path) if name.startswith("pickle.")]
    for line, name, call in calls(path):
        options = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
        if name == "torch.load":
            assert options.get("weights_only") is True, f"line {line}: torch.load without weights_only=True"
        assert options.get("allow_pickle") is not True, f"line {line}: allow_pickle"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_modules_stay_short_enough_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_these_tests_can_fail():
    """The helpers find what they are meant to find."""
    assert _is_gamma(42.577478518e6)
    assert _is_gamma(267.522e6)
    assert _is_gamma(4257.6)
    assert not _is_gamma(42.0)
    source = ast.parse("from seqopt.learn import fit\nfrom ..pulseq import gre\nimport pypulseq\n")
    names = [name for _, name in imports(PACKAGE / "recon" / "imagined.py", source)]
    assert names == ["seqopt.learn.fit", "seqopt.pulseq.gre", "pypulseq"]
