"""`toy:` names: what a family offers, that `world:` means the same, and that an unknown name is one line that says what there is."""

import importlib
import subprocess
import sys
from dataclasses import dataclass, fields

import pytest

from windvane.core.errors import UserError
from windvane.core.families import Family, is_family, offer, offers, spelled
from windvane.runs.settings_file import record_settings
from windvane.toy.register import FAMILIES


def test_everything_that_is_offered_is_there():
    for family in FAMILIES:
        for part in (f.name for f in fields(Family) if f.name != "name"):
            where = getattr(family, part)
            if where is not None:
                module, _, function = where.partition(":")
                assert callable(getattr(importlib.import_module(module), function)), where


def test_both_spellings_open_the_same():
    for prefix in ("toy:", "world:"):
        assert is_family(f"{prefix}styles") and not is_family(f"local:{prefix}styles")
        assert offers(f"{prefix}values:noisy", "grader") and not offers(f"{prefix}styles", "grader")
    function, rest = offer("toy:grades:test:3", "transcripts")
    assert (function, rest) == offer("world:grades:test:3", "transcripts") and rest == "test:3"
    assert function.__module__ == "windvane.toy.grades.family"


def test_what_is_not_offered_is_refused_in_one_line():
    for spec in ("toy:styles", "world:styles", "toy:nowhere:3", "toy:"):
        with pytest.raises(UserError) as error:
            offer(spec, "steering")
        assert str(error.value) == (
            f"{spec}: there is no toy family '{spec.split(':')[1]}' that offers steering; there are: toy:values"
        )


def test_without_registration_the_line_names_the_call():
    code = "from windvane.core.families import offer\noffer('toy:styles', 'model')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "windvane.toy.register.register() was not called" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("spec", "world"),
    [
        ("toy:styles:proxy", "world:styles:proxy"),
        ("world:styles:proxy", "world:styles:proxy"),
        ("rubric:toy:values:noisy", "rubric:world:values:noisy"),
        ("llm:local:toy:values", "llm:local:world:values"),
        ("py:toy:judge", "py:toy:judge"),
        ("folder/toy:a", "folder/toy:a"),
        ("mytoy:a", "mytoy:a"),
    ],
)
def test_what_ids_are_derived_from_is_spelled_world(spec, world):
    assert spelled(spec) == world


@dataclass(frozen=True)
class Settings:
    model: str
    data: tuple[str, ...] = ()


def test_a_run_goes_on_under_the_other_spelling_and_keeps_its_own(tmp_path):
    path = tmp_path / "recipe.toml"
    record_settings(path, Settings("world:grades", ("world:grades:train:0", "a.csv")))
    before = path.read_bytes()
    record_settings(path, Settings("toy:grades", ("toy:grades:train:0", "a.csv")))
    assert path.read_bytes() == before
    for other in (Settings("toy:grades", ("toy:grades:train:1", "a.csv")), Settings("toy:styles", ("a.csv",))):
        with pytest.raises(UserError, match="was started with other settings"):
            record_settings(path, other)
