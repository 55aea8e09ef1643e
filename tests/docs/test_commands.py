"""Every command that README and docs/ show: its verb exists, and so does each flag. `make docs` builds without a warning."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.shown import PAGES, ROOT, blocks, inline
from windvane.cli.main import find, main
from windvane.cli.verbs import VERBS

HELP: dict[str, str] = {}


def shown():
    """(page, words behind `windvane`) of every shown command."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for line in [*blocks(text), *inline(text)]:
            words = shlex.split(line.replace("...", "").replace("…", "").replace("[", "").replace("]", ""))
            for i, word in enumerate(words):
                if Path(word).name == "windvane" and not any("=" in w and "$" in w for w in words[:i]):
                    yield page.relative_to(ROOT).as_posix(), words[i + 1 :]
                    break


def help_of(verb, capsys):
    if verb not in HELP:
        assert main([*verb.split(), "--help"]) == 0
        HELP[verb] = capsys.readouterr().out
    return HELP[verb]


@pytest.mark.slow
def test_every_verb_and_flag_that_is_shown_exists(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    wrong, seen = [], 0
    for page, words in shown():
        if not words or words[0] in ("VERB", "--help", "--version") or words[0].isupper():
            continue
        spoken = [w for w in words[:2] if re.fullmatch(r"[a-z][a-z-]*", w)]
        if (
            spoken in (["eval"], ["run"], ["data"], ["train"]) and words[1:] and words[1].isupper()
        ):  # `windvane eval NAME`
            continue
        try:
            verb, rest = find(words)
        except Exception as error:
            wrong.append(f"{page}: {' '.join(words)}: {error}")
            continue
        seen += 1
        text = help_of(verb, capsys) if any(w.startswith("--") for w in rest) else ""
        wrong += [
            f"{page}: windvane {verb} {flag}"
            for flag in (w.split("=")[0] for w in rest if re.fullmatch(r"--[a-z][\w.-]*(=.*)?", w))
            if flag not in ("--help", "--preset", "--recipe")
            and not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text)
        ]
    assert not wrong, "\n".join(wrong)
    assert seen > 40


@pytest.mark.slow
def test_every_verb_has_a_help_that_says_what_it_does(capsys):
    for verb in VERBS:
        text = help_of(verb, capsys)
        assert "usage: windvane" in text and len(text.splitlines()) > 4, verb


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(ROOT / "docs"), str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert "self-play preference optimization" in (tmp_path / "papers" / "sppo.html").read_text(encoding="utf-8")
