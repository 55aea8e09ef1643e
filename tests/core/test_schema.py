"""Settings and records are strict: what is unknown, missing or of another type is named by its path."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, content_id, seed_of
from windvane.core.schema import decode, dumps, encode
from windvane.core.settings import differences, from_toml, to_toml
from windvane.runs.settings_file import record_settings


@dataclass(frozen=True)
class Inner:
    lr: float = 0.1
    kind: Literal["a", "b"] = "a"
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 3
    note: str | None = None
    sizes: tuple[int, ...] = (1, 2)
    inner: Inner = field(default_factory=Inner)


def test_round_trip_through_toml(tmp_path):
    made = Outer("x", inner=Inner(lr=5e-7, kind="b", more={"eta": 1e3}), sizes=(4,))
    (tmp_path / "s.toml").write_text(to_toml(made))
    assert from_toml(Outer, tmp_path / "s.toml") == made


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "field 'name': missing"),
        ({"name": 1}, "field 'name': expected str, got int '1'"),
        ({"name": "x", "inner": {"lr": "fast"}}, "field 'inner.lr': expected float, got str 'fast'"),
        ({"name": "x", "inner": {"rate": 1}}, "field 'inner.rate': unknown; known here: lr, kind, more"),
        ({"name": "x", "inner": {"kind": "c"}}, "field 'inner.kind': expected one of 'a', 'b', got 'c'"),
        ({"name": "x", "sizes": [1, "2"]}, r"field 'sizes\[1\]': expected int, got str '2'"),
        ({"name": "x", "count": True}, "field 'count': expected int, got bool 'True'"),
        ({"name": "x", "inner": [1]}, "field 'inner': expected a table, got a list"),
    ],
)
def test_errors_name_the_path(data, message):
    with pytest.raises(UserError, match=f"^file.toml: {message}$"):
        decode(Outer, data, "file.toml")


def test_numbers():
    assert decode(Inner, {"lr": 1}).lr == 1.0
    with pytest.raises(ValueError):
        dumps({"loss": float("nan")})


def test_records_round_trip():
    prompt = Prompt.of((Message("system", "be brief"), Message("user", "hé?")))
    assert decode(Prompt, encode(prompt)) == prompt
    assert prompt.id == content_id([["system", "be brief"], ["user", "hé?"]])
    assert seed_of(1, "a") != seed_of(1, "b") and seed_of(1, "a") == seed_of(1, "a") < 2**63


def test_another_setting_is_refused_on_resume(tmp_path):
    record_settings(tmp_path / "recipe.toml", Outer("x"))
    record_settings(tmp_path / "recipe.toml", Outer("x"))
    with pytest.raises(UserError, match=r"inner.lr: 0.1 -> 0.2.*use another --out"):
        record_settings(tmp_path / "recipe.toml", Outer("x", inner=Inner(lr=0.2)))
    assert differences({"a": {"b": 1}}, {"a": {}}) == ["a.b: 1 -> None"]
