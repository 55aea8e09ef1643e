"""What the pages name is there: files, tests, benchmarks with their flags, pages, their headings, functions of the package."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from tests.docs.shown import BLOCK, PAGES, ROOT, blocks, inline

NAMED = re.compile(
    r"`((?:src/windvane|windvane|tests|benchmarks|examples|docs)/[\w./*-]+|[\w]+/[\w/]+\.(?:py|toml))(?:::\w+)?`"
)
TESTS = re.compile(r"`(test_\w+)`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
MODULE = re.compile(r"`(windvane(?:\.\w+)+)`")
FUNCTIONS = {
    node.name: path
    for path in sorted((ROOT / "tests").rglob("test_*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}
pages = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())


def prose(page):
    """The text without its blocks, on one line: names are broken by line ends."""
    return " ".join(BLOCK.sub("", page.read_text(encoding="utf-8")).split())


@pages
def test_files_that_are_named_exist(page):
    """As from the repository's root, or from the package: `janus/value_prompts.py` is src/windvane/janus/value_prompts.py."""
    missing = []
    for name in (n for n in NAMED.findall(prose(page)) if "NAME" not in n):
        found = [where for where in (ROOT, ROOT / "src", ROOT / "src/windvane") if any(where.glob(name.rstrip("/")))]
        if not found and name.split("/")[0] not in OTHERS:
            missing.append(name)
    assert not missing, missing


OTHERS = {"runs", "scripts"}  # a run's folder; SPPO's released scripts


@pages
def test_tests_that_are_named_exist(page):
    assert not [
        name
        for name in TESTS.findall(prose(page))
        if name not in FUNCTIONS and not any((ROOT / "tests").rglob(f"{name}.py"))
    ]


@pages
def test_commands_of_pytest_select_something(page):
    """Each file is there, and `-k` is in the name of one of its tests or in a file's name."""
    text = page.read_text(encoding="utf-8")
    for line in [*blocks(text), *inline(text)]:
        words = shlex.split(line)
        while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
            words.pop(0)
        if words[:1] != ["pytest"]:
            continue
        files = [f for w in words[1:] if w.startswith("tests/") for f in (sorted(ROOT.glob(w)) or [w])]
        assert files and all(isinstance(f, Path) for f in files), line
        if "-k" in words:
            wanted = words[words.index("-k") + 1]
            names = [f.name for f in files] + [name for name, path in FUNCTIONS.items() if path in files]
            assert any(wanted in name for name in names), line


@pages
def test_scripts_that_are_run_exist_and_have_their_flags(page):
    text = page.read_text(encoding="utf-8")
    for line in [*blocks(text), *inline(text)]:
        words = shlex.split(line)
        if words[0] != "python" or words[1] == "-c":
            continue
        scripts = (words[1],)
        if words[1] == "-m":
            module = words[2].replace(".", "/")
            scripts = (f"{module}.py", f"{module}/__main__.py")
        if scripts[0].startswith(("llama.cpp/", "studies/NAME")):
            continue
        path = next((p for s in scripts for p in (ROOT / s, ROOT / "src" / s) if p.exists()), None)
        assert path is not None, line
        code = path.read_text(encoding="utf-8")
        if "from studies.launch import start" in code:
            code += (ROOT / "studies" / "launch.py").read_text(encoding="utf-8")  # the flags of every study
        flags = [w for w in words[2:] if w.startswith("--") and w != "--"]
        assert not [f for f in flags if not re.search(rf"[\"'](--)?{f[2:]}[\"']", code)], line


def anchors(page):
    """Headings of three levels as the site and GitHub name them."""
    heads = re.findall(r"^#{1,3} (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@pages
def test_links_lead_somewhere(page):
    for target in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pages
def test_names_of_the_package_can_be_imported(page):
    """`windvane.datasets.fingerprints`, `windvane.stages.pair.effective_eta`."""
    for name in MODULE.findall(prose(page)):
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            for part in parts[cut:]:
                found = getattr(found, part)  # an AttributeError names it
            break
