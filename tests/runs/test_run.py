"""`Run`: locked, resumed, reopened where a file was lost, finished in order; settings bind once the first row stands."""

import json
import tomllib
from dataclasses import dataclass, field, replace

import pytest

from windvane.core.errors import UserError
from windvane.runs.run import Run, RunResult
from windvane.runs.store import RunFolder


@dataclass(frozen=True)
class Server:
    budget: float = 1.0


@dataclass(frozen=True)
class Settings:
    model: str = "m"
    lr: float = 0.1
    limit: int | None = None
    server: Server = field(default_factory=Server)
    threads: int | None = 1


def opened(path, settings=None, **options):
    return Run(settings or Settings(), path, quiet=True, begun=["rows.jsonl", "rows.journal"], **options)


def finish(run, order=None):
    order = [] if order is None else order

    def noted(name, value):
        order.append(name)
        return value

    return run.finish(
        lambda: noted("summary", {"ä": 1.5}),
        page=lambda: noted("page", (run / "report.html").write_text("page")),
        model=lambda folder: noted("model", (folder / "weights").write_text("w")),
        card=lambda: noted("card", "a card"),
    )


def test_it_is_finished_in_order_once(tmp_path):
    order = []
    with opened(tmp_path / "run") as run:
        assert run.missing("rows.jsonl") and not run.finished
        run.write("rows.jsonl", [{"id": "a"}])
        result = finish(run, order)
        assert run.finished and finish(run, order) == result
    assert order == ["summary", "page", "card", "model"]
    assert result == RunResult({"ä": 1.5}, tmp_path / "run/model", tmp_path / "run")
    assert (tmp_path / "run/summary.json").read_bytes() == b'{\n "\\u00e4": 1.5\n}\n'
    assert (tmp_path / "run/model/README.md").read_text() == "a card"
    listed = json.loads((tmp_path / "run/manifest.json").read_text())
    assert sorted(listed) == [
        "model/README.md", "model/weights", "recipe.toml", "report.html", "rows.jsonl", "summary.json"
    ]  # fmt: skip


def test_a_finished_run_that_lost_a_file_is_reopened_and_its_model_made_again(tmp_path):
    with opened(tmp_path) as run:
        run.write("rows.jsonl", [])
        finish(run)
    (tmp_path / "model/weights").unlink()
    with opened(tmp_path) as run:
        assert not run.finished and run.missing("model") and not run.missing("rows.jsonl")
        finish(run)
    assert (tmp_path / "model/weights").exists() and (tmp_path / "manifest.json").exists()


def test_settings_bind_from_the_first_row_on(tmp_path):
    (tmp_path / "kept.journal").write_text("rows of other settings")
    with opened(tmp_path, stale=["kept.journal"]):
        pass
    (tmp_path / "kept.journal").write_text("rows")
    with opened(tmp_path, stale=["kept.journal"]):
        assert (tmp_path / "kept.journal").exists(), "the same settings go on with them"
    with opened(tmp_path, replace(Settings(), lr=0.2), stale=["kept.journal"]) as run:
        assert not (tmp_path / "kept.journal").exists(), "a start that made nothing binds nobody"
        (run / "rows.journal").write_text("")
    with pytest.raises(UserError, match=r"started with other settings \(lr: 0.2 -> 0.1\)"), opened(tmp_path):
        pass


def test_how_a_server_is_asked_may_change_until_the_run_is_finished(tmp_path):
    def budget():
        return tomllib.loads((tmp_path / "recipe.toml").read_text())["server"]["budget"]

    with opened(tmp_path) as run:
        run.write("rows.jsonl", [])
    with opened(tmp_path, replace(Settings(), server=Server(2.0))) as run:
        assert budget() == 2.0
        finish(run)
    with opened(tmp_path, replace(Settings(), server=Server(3.0))) as run:
        assert budget() == 2.0 and run.finished


def test_the_lock_is_let_go_where_a_start_fails(tmp_path):
    with opened(tmp_path) as run:
        run.write("rows.jsonl", [])
        with pytest.raises(UserError, match="another process is working on this run"), RunFolder(tmp_path):
            pass
    with pytest.raises(UserError, match="other settings"), opened(tmp_path, replace(Settings(), lr=9.0)):
        pass
    with RunFolder(tmp_path):
        pass


def test_another_rank_takes_no_lock_and_writes_nothing(tmp_path):
    with opened(tmp_path / "run"):
        assert Run.of_another_rank(Settings(), tmp_path / "run").settings == Settings()
    assert Run.of_another_rank(Settings(), tmp_path / "none").path == tmp_path / "none"
    assert not (tmp_path / "none").exists()


def test_a_line_is_logged_and_shown_unless_quiet(tmp_path, capsys):
    with Run(Settings(), tmp_path) as run:
        run.log("one")
        run.quiet = True
        run.log("two")
        run.log("three", always=True)
    assert capsys.readouterr().err == "windvane: one\nwindvane: three\n"
    texts = [json.loads(line)["text"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert texts == ["one", "two", "three"]


def old_folder(path, edit, status='{"stage": "x"}'):
    """A begun folder as version 0.1 left it: a status.json without a version, a recipe.toml that `edit` changes."""
    with opened(path) as run:
        run.write("rows.jsonl", [])
    recipe = path / "recipe.toml"
    recipe.write_text(edit(recipe.read_text()))
    (path / "status.json").write_text(status)


@pytest.mark.parametrize(
    ("edit", "differs"),
    [
        (lambda text: text.replace("lr = 0.1\n", ""), "lr: None -> 0.1"),
        (lambda text: text.replace("lr = 0.1\n", "lr = 0.1\nrate = 3\n"), "rate: 3 -> None"),
    ],
)
def test_a_folder_of_a_version_with_other_settings_is_refused_by_that_version(tmp_path, edit, differs):
    old_folder(tmp_path, edit)
    with pytest.raises(UserError) as refused, opened(tmp_path):
        pass
    assert str(refused.value) == (
        f"{tmp_path / 'recipe.toml'}: this run was made by windvane 0.1, whose settings are not this version's ({differs}); finish it with "
        "that version or use another --out"
    )


def test_a_folder_of_version_0_1_with_these_settings_is_resumed(tmp_path):
    """`world:` names the same models as `toy:`; a setting that was left open is no setting of another version."""
    old_folder(tmp_path, lambda text: text.replace('model = "m"', 'model = "world:styles"'))
    with opened(tmp_path, replace(Settings(), model="toy:styles")) as run:
        assert not run.missing("rows.jsonl")
    with (
        pytest.raises(UserError, match=r"started with other settings \(limit: None -> 3\)"),
        opened(tmp_path, replace(Settings(), model="toy:styles", limit=3)),
    ):
        pass


def test_this_version_does_not_blame_another(tmp_path):
    from windvane.runs.store import package_version

    old_folder(tmp_path, lambda text: text.replace("lr = 0.1\n", ""), json.dumps({"version": package_version()}))
    with pytest.raises(UserError, match="started with other settings"), opened(tmp_path):
        pass
