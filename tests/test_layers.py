"""The house: a module imports from strictly lower floors or its own folder; no cycle; the command line starts light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "windvane"
FLOORS = {
    "errors": -2, "interrupts": -1, "schema": -1, "arguments": -1, "records": 0, "store": 0, "settings": 0.5, "hub": 0.5, "protocols": 0.5,
    "objectives": 1, "prompts": 1, "modeling": 2, "data": 2, "backends": 3, "train": 3, "runners": 3,
    "generate": 4, "judge": 4, "pair": 4, "evaluate": 5, "world": 5, "report": 6, "plan": 6, "recipes": 7,
    "claims": 8, "serve": 8, "cli": 9, "__main__": 10,
}  # fmt: skip
HEAVY = {"torch", "transformers", "datasets", "peft", "accelerate", "ray", "fastapi", "numpy", "pandas"}


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("windvane"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
            assert node.level == 0, f"{path}: relative import"
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("windvane.")}
    return found


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda p: p.relative_to(SRC).as_posix())
def test_floors(path):
    if path == SRC / "__init__.py" or path.name == "__init__.py":
        assert path.read_text() == "", "no re-exports"
        return
    here = room(path)
    for there in imports(path) - {here}:
        assert FLOORS[there] < FLOORS[here], f"{path}: {here} must not import {there}"


def test_cli_starts_light():
    code = f"import sys, windvane.cli; print([m for m in {sorted(HEAVY)} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
