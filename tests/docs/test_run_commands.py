"""The commands of README and docs/, run as they are written there, in each page's order, on small files and tiny models.

Only names in capitals and example files are replaced, and flags that make a command small are put behind (`placed.py`). A command that is
not run says there what it needs, so a new one cannot be shown without either. Commands of pytest are looked at in test_named.py.
"""

import contextlib
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import room as rooms
from tests.docs.placed import AT, GIVEN_ALONE, NEEDS, ON, PUT, SMALL
from tests.docs.shown import commands, names
from tests.engines.scripted_server import Scripted
from windvane.cli.main import find, main

SERVED = re.compile(r"http://[^/\s]+/v1#\w+")
PAGES = [name for name in names() if commands(name)]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """The files, the server, and what most pages start from: RUN, by the README's command, and LORA."""
    room = tmp_path_factory.mktemp("docs")
    rooms.make(room)
    with Scripted(rooms.answer) as server, contextlib.chdir(room):
        lora = "train --objective dpo --model M --data pairs.jsonl --out LORA --train.lora-rank 2"
        assert main([*lora.split(), *SMALL["train"].split()]) == 0
        (readme,) = (line for line in commands("README") if "run sppo --model" in line)
        assert run(readme, "README", Place(room, server.spec)) == 0
        (room / "pages").mkdir()
        yield room, server.spec


class Place:
    """What one page's commands have made so far: a name that a page gives twice is another folder the second time."""

    def __init__(self, room, server):
        self.room, self.server, self.outs = room, server, {}

    def words(self, line, page):
        table = {**PUT, **ON.get(page, {})}
        for (where, start), own in AT.items():
            if where == page and line.startswith(start):
                table |= own
        for word in shlex.split(re.sub(r"[\[\]]", "", line)):  # `[--rows N]`: every flag is given
            placed = table.get(word, word)
            placed = SERVED.sub(self.server, placed).replace("SERVER", self.server)
            yield from sorted(map(str, Path().glob(placed))) if "*" in placed else [placed]

    def out(self, argv):
        if "--out" in argv:
            place = argv.index("--out") + 1
            path = Path(argv[place])
            taken = self.outs.get(path, int(path.exists()))
            self.outs[path] = taken + 1
            argv[place] = str(path.with_name(f"{path.stem}-{taken + 1}{path.suffix}")) if taken else str(path)
        return argv


def run(line, page, place):
    """The exit status of the line in this process (curl: in one of its own)."""
    words = list(place.words(line, page))
    name = Path(words[0]).name
    if name in ("python", "python3") and words[1] == "-c":
        exec(compile(words[2], line, "exec"), {})
        return 0
    if name == "python" and words[1] == "-m" and words[2].startswith(("windvane.", "studies.")):
        if words[2].startswith("studies."):  # minutes to an hour of CPU: tests/studies runs reduced forms
            words.append("--help")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words[2:])
            try:
                runpy.run_module(words[2], run_name="__main__")
            except SystemExit as end:
                return end.code or 0
        return 0
    if name == "curl":
        return subprocess.run(words, check=False, capture_output=True).returncode
    assert name == "windvane", f"{page}: {line}: run it here, or say in NEEDS what it takes"
    argv = place.out(words[1:])
    if "ID" in argv:
        first = (place.room / "RUN/iter-1/prompts.jsonl").read_text().splitlines()[0]
        argv[argv.index("ID")] = json.loads(first)["id"]
    verb = find(argv)[0]
    if "--help" not in argv and GIVEN_ALONE.get(verb, argv[0]) in argv:
        argv += SMALL.get(verb, "").split()
    return main(argv)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_page(page, room, monkeypatch, capsys):
    whole, server = room
    folder = whole / "pages" / page.replace("/", "-")  # what a page makes is its own
    (folder / "runs").mkdir(parents=True)
    for made in whole.iterdir():
        if made.name != "pages":
            (folder / made.name).symlink_to(made)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("COLUMNS", "120")
    place, stay = Place(folder, server), set(NEEDS.get(page, {}))
    with served(page, folder, monkeypatch) as address:
        for line in commands(page):
            line = line.removeprefix(".venv/bin/")
            if need := next((n for n in NEEDS.get(page, {}) if line.startswith(n)), None):
                stay.discard(need)
                continue
            if "pytest" in line.split()[:2] or line == README_RUN:
                continue
            code = run(line.replace("localhost:8765", address), page, place)
            assert code == 0, (page, line, capsys.readouterr().err)
    assert not stay, f"{page} no longer shows: {stay}"


README_RUN = "windvane run sppo --model MODEL --prompts FILE --judge JUDGE --out RUN"  # the fixture runs it


@contextlib.contextmanager
def served(page, folder, monkeypatch):
    """For docs/serve.md: `windvane serve` does everything but wait for requests, and curl asks a service of the same kind."""
    if page != "serve":
        yield ""
        return
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed (pip install 'windvane[serve]')")
    from tests.serve.conftest import behind_socket
    from windvane.serve.site import Site

    with behind_socket(Site(data=folder / "behind", people={}, rate=0)) as address:
        monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
        yield address.removeprefix("http://")


def test_every_need_is_of_a_page_that_is_there():
    assert set(NEEDS) | set(ON) | {page for page, _ in AT} <= set(PAGES)
