"""The house: which room may import which, no cycles between modules, no crowded folders, and a command line that starts light.

An import counts wherever it stands, inside functions too, and so does a string that names a module of this package ("windvane.a.b:f").
Each rule is a function of a source tree, so that the tests at the end can plant a violation in a small tree and see it caught.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "windvane"
FLOORS = (
    ("core",),
    ("runs", "stats", "prompts", "charts"),
    ("models", "losses", "datasets"),
    ("train", "engines"),
    ("judges",),
    ("plan",),
    ("stages",),
    ("evals",),
    ("report",),
    ("sppo", "longpo", "janus", "evalyaks", "finetune"),
    ("toy",),
    ("serve",),
    ("cli", "api"),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
# The three places that may name modules above them as strings: the verb table, the public API's table, the toy's registration.
TABLES = {"windvane.cli.verbs", "windvane", "windvane.toy.register"}
MOST_FILES = 20  # in one folder, __init__.py not counted; aim at 15
CROWDED: dict[str, str] = {}  # a folder that may hold more, with the reason
HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "peft",
    "accelerate",
    "ray",
    "fastapi",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
}


def modules(source: Path) -> dict[str, Path]:
    """Every module of the package at `source`/windvane by its dotted name."""
    found = {}
    for path in sorted((source / PACKAGE).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a module imports, wherever in its file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            if (node.module or "").split(".")[0] == PACKAGE:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found.add(inner if inner in known else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE}
    return found - {name, PACKAGE}


def named(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that strings of a module name, as "windvane.a.b" or "windvane.a.b:object"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}."):
            module = node.value.partition(":")[0].rstrip(".")
            if module in known or module.rpartition(".")[0] in known:
                found.add(module if module in known else module.rpartition(".")[0])
    return found - {name, PACKAGE}


def upward(source: Path) -> set[tuple[str, str]]:
    """(importer, imported) pairs that do not lead to a strictly lower floor or stay in one room."""
    known = modules(source)
    found = set()
    for name, path in known.items():
        if name.count(".") < 1 or name == f"{PACKAGE}.__main__":
            continue
        reached = imports(name, path, known) | (set() if name in TABLES else named(name, path, known))
        room = name.split(".")[1]
        for other in reached:
            there = other.split(".")[1]
            if there != room and LEVEL[there] >= LEVEL[room]:
                found.add((name, other))
    return found


def cycles(source: Path) -> set[tuple[str, ...]]:
    """The strongly connected groups of two or more modules, by imports alone (Tarjan's algorithm)."""
    known = modules(source)
    graph = {name: sorted(imports(name, path, known) & known.keys()) for name, path in known.items()}
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = set()

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.add(tuple(sorted(group)))

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 5000))
    try:
        for node in graph:
            if node not in order:
                visit(node)
    finally:
        sys.setrecursionlimit(limit)
    return found


def crowded(*sources: Path) -> dict[str, int]:
    """Folders with more than `MOST_FILES` modules."""
    found = {}
    for source in sources:
        for folder in [source, *(p for p in source.rglob("*") if p.is_dir() and p.name != "__pycache__")]:
            count = sum(p.name != "__init__.py" for p in folder.glob("*.py"))
            if count > MOST_FILES:
                found[folder.relative_to(source.parent).as_posix()] = count
    return found


def test_every_room_has_a_floor():
    rooms = {path.relative_to(ROOT / "src" / PACKAGE).parts[0] for path in (ROOT / "src" / PACKAGE).rglob("*.py")}
    assert rooms - {"__init__.py", "__main__.py", "api.py"} == set(LEVEL) - {"api"}


def test_imports_lead_down():
    assert upward(ROOT / "src") == set(), "imports of the same floor or a higher one"


def test_no_cycles():
    assert cycles(ROOT / "src") == set()


def test_packages_do_not_reexport():
    for path in (ROOT / "src" / PACKAGE).rglob("__init__.py"):
        if path.parent != ROOT / "src" / PACKAGE:
            assert path.read_text(encoding="utf-8") == "", path


def test_nothing_below_imports_the_studies():
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != "studies", path
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] != "studies" for alias in node.names), path


def test_folders_are_not_crowded():
    found = crowded(ROOT / "src" / PACKAGE, ROOT / "studies")
    assert found.keys() == CROWDED.keys()


def plant(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text, encoding="utf-8")
    (folder / PACKAGE / "__init__.py").touch()
    return folder


def test_a_planted_cycle_is_caught(tmp_path):
    """Inside functions as well, and over three modules."""
    files = {
        "core/a.py": "def f():\n    from windvane.core.b import g\n    return g\n",
        "core/b.py": "from windvane.core import c\n",
        "core/c.py": "import windvane.core.a\n",
        "core/d.py": "from windvane.core.a import f\n",
    }
    assert cycles(plant(tmp_path, files)) == {("windvane.core.a", "windvane.core.b", "windvane.core.c")}


def test_planted_upward_imports_are_caught(tmp_path):
    """A lazy import, a string that names an object, and one that names a module; the verb table may."""
    files = {
        "core/lazy.py": "def f():\n    from windvane.runs.store import g\n",
        "runs/store.py": "import windvane.core.errors\nWHERE = 'windvane.sppo.recipe:main'\n",
        "stats/same.py": "WHERE = 'windvane.runs.store'\n",
        "core/errors.py": "",
        "sppo/recipe.py": "from windvane.runs.store import g\n",
        "cli/verbs.py": "VERBS = {'run sppo': 'windvane.sppo.recipe:main'}\n",
    }
    assert upward(plant(tmp_path, files)) == {
        ("windvane.core.lazy", "windvane.runs.store"),
        ("windvane.runs.store", "windvane.sppo.recipe"),
        ("windvane.stats.same", "windvane.runs.store"),
    }


def test_a_crowded_folder_is_caught(tmp_path):
    source = plant(tmp_path, {f"core/m{i}.py": "" for i in range(MOST_FILES + 1)}) / PACKAGE
    assert crowded(source) == {f"{PACKAGE}/core": MOST_FILES + 1}


@pytest.mark.parametrize("module", ["windvane.cli.main", "windvane"])
def test_starts_light(module):
    code = f"import sys, {module}; print([m for m in {sorted(HEAVY)} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
