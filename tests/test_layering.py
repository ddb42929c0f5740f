"""Who may import whom: upper layers import lower ones, never back, and heavy libraries stay in their place."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "costmodel"

# lowest first; modules of one level do not import each other unless listed in SIDEWAYS
LEVELS = [
    {"errors", "resources", "arrays", "arena", "uncollected"},
    {"textfile"},
    {"units", "table", "document"},
    {"graph", "hardware"},
    {"ops"},
    {"counting", "fuse", "importers", "zoo"},
    {"profile"},
    {"tile"},
    {"place", "memory", "execute"},
    {"schedule"},
    {"exporters", "simulate"},
    {"costmodel"},
    {"compare", "guard", "measure", "papers", "parity", "placements", "roofline", "schema", "timeline"},
    {"sizing"},
    {"report"},
    {"pytest_plugin"},
    {"cli"},
    {"__main__"},
]
SIDEWAYS = {("profile", "fuse"), ("units", "errors")}
HOMES = {
    "rich": {"report"},
    "typer": {"cli"},
    "yaml": {"document"},
    "pandas": {"table", "simulate"},
    "numpy": {"arrays", "execute", "table"},
    "pytest": {"pytest_plugin"},
    "numba": {"execute"},
    "matplotlib": {"report"},
    "highspy": {"place"},
    "onnx": {"costmodel", "exporters", "importers"},
    "torch": {"importers"},
}
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def sources():
    return sorted(PACKAGE.rglob("*.py"))


def component(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "costmodel" if first == "__init__" else first


def imports(path: Path, *, lazy: bool):
    """Absolute module names that a file imports; with ``lazy`` also inside functions and type-checking blocks."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if lazy else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module in ("costmodel", "costmodel.report"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_lower_ones(path):
    own = component(path)
    for name in imports(path, lazy=False):
        if name.startswith("costmodel.") and (other := name.split(".")[1]) in LEVEL:
            assert other == own or LEVEL[other] < LEVEL[own] or (own, other) in SIDEWAYS, f"{own} imports {other}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_place(path):
    for name in imports(path, lazy=True):
        library = name.split(".")[0]
        if library in HOMES:
            assert component(path) in HOMES[library], f"{component(path)} imports {library}"


def test_every_component_has_a_level():
    assert {component(path) for path in sources()} == set(LEVEL)


def test_right_of_the_profile_nothing_knows_operators():
    for own in ("tile", "place", "simulate"):
        for path in sources():
            if component(path) == own:
                known = {name.split(".")[1] for name in imports(path, lazy=True) if name.startswith("costmodel.")}
                assert not known & {"graph", "ops", "fuse", "counting", "zoo"}, f"{own} imports {known}"


def test_every_module_says_what_it_does():
    for path in sources():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
