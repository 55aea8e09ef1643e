"""A journal loses at most the unit that was being written; publishing shows all of it or nothing."""

import json
import os
import subprocess
import sys
import time

import pytest

from windvane.core.errors import UserError
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import Journal, RunFolder, file_sha256, publish_folder, published, read_jsonl, write_atomic


def rows(unit):
    return [{"id": f"{unit}-{i}", "value": i} for i in (1, 0)]


def test_a_torn_tail_is_cut(tmp_path):
    final = tmp_path / "x.jsonl"
    journal = Journal(final)
    for unit in ("b", "a"):
        journal.add(unit, rows(unit))
    journal.close()
    whole = journal.path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        journal.path.write_bytes(whole[:cut])
        again = Journal(final)
        assert again.done == {"b"}, f"cut at {cut}"
        again.add("a", rows("a"))
        again.close()
        assert journal.path.read_bytes() == whole


def test_a_flipped_bit_is_seen(tmp_path):
    journal = Journal(tmp_path / "x.jsonl")
    journal.add("a", rows("a"))
    journal.close()
    data = bytearray(journal.path.read_bytes())
    data[-5] ^= 1
    journal.path.write_bytes(bytes(data))
    again = Journal(tmp_path / "x.jsonl")
    again.close()
    assert again.done == set() and journal.path.read_bytes() == b""


def test_finish_sorts_and_renames(tmp_path):
    journal = Journal(tmp_path / "x.jsonl")
    for unit in ("b", "a", "gone"):
        journal.add(unit, rows(unit))
    journal.finish(["a", "b"])
    assert [r["id"] for _, r in read_jsonl(tmp_path / "x.jsonl")] == ["a-0", "a-1", "b-0", "b-1"]
    assert not journal.path.exists()


def test_runner_goes_on_where_it_stopped(tmp_path):
    calls = []

    def work(payload):
        calls.append(payload)
        if payload == "stop":
            raise KeyboardInterrupt
        return rows(payload)

    with RunFolder(tmp_path) as run:
        with pytest.raises(KeyboardInterrupt):
            LocalRunner(run, quiet=True).run("s", [("1", "a"), ("2", "stop")], work)
        LocalRunner(run, quiet=True).run("s", [("1", "a"), ("2", "b")], work)
        LocalRunner(run, quiet=True).run("s", [("1", "a"), ("2", "b")], work)
    assert calls == ["a", "stop", "b"]
    assert len(list(read_jsonl(tmp_path / "s.jsonl"))) == 4


def test_what_a_kill_leaves_beside_a_published_file_goes(tmp_path):
    """Killed between publishing and removing: the journal, or the old folder, is removed by the next start."""
    with RunFolder(tmp_path) as run:
        (tmp_path / "s.jsonl").write_text("")
        (tmp_path / "s.journal").write_text("left over")
        LocalRunner(run, quiet=True).run("s", [("1", "a")], rows)
    assert not (tmp_path / "s.journal").exists()
    (tmp_path / "final.old").mkdir()
    (tmp_path / "aside").mkdir()
    publish_folder(tmp_path / "aside", tmp_path / "final")
    assert not (tmp_path / "final.old").exists()


def test_a_unit_is_synced_before_it_counts(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd))[1])
    journal = Journal(tmp_path / "x.jsonl")
    journal.add("a", rows("a"))
    assert len(synced) == 1
    write_atomic(tmp_path / "y", "text")
    assert len(synced) == 3, "the file and its folder"
    journal.close()


def test_second_process_is_refused(tmp_path):
    code = "import sys, time; from windvane.runs.store import RunFolder\n"
    code += "with RunFolder(sys.argv[1]): print('in', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(UserError, match="another process is working on this run"), RunFolder(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
    with RunFolder(tmp_path):  # a killed holder's lock is gone with it
        pass


def test_publish_replaces(tmp_path):
    for text in ("old", "new"):
        aside = tmp_path / "aside"
        aside.mkdir()
        (aside / "file").write_text(text)
        publish_folder(aside, tmp_path / "final")
    assert (tmp_path / "final" / "file").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["final"]


def test_a_folder_is_published_whole_or_not_at_all(tmp_path):
    final = tmp_path / "models" / "model"
    with pytest.raises(RuntimeError), published(final) as aside:
        (aside / "half").write_text("half")
        raise RuntimeError
    assert not final.exists()
    with published(final) as aside:
        assert list(aside.iterdir()) == [], "what was left there is gone"
        (aside / "file").write_text("whole")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == ["models/model/file"]


def test_what_is_told_is_logged_and_said_unless_quiet(tmp_path, capsys):
    with RunFolder(tmp_path) as run:
        run.tell("one")
        run.tell("two", quiet=True)
    assert capsys.readouterr().err == "windvane: one\n"
    assert [row["text"] for _, row in read_jsonl(tmp_path / "log.jsonl")] == ["one", "two"]


def test_manifest_leaves_out_what_differs(tmp_path):
    with RunFolder(tmp_path) as run:
        write_atomic(run / "iter-1/rows.jsonl", '{"id": 1}\n')
        run.status("x", 1, 2)
        run.timing("x", 1.0, 1.0, 1)
        run.event("hello")
        assert run.write_manifest() == {"iter-1/rows.jsonl": file_sha256(tmp_path / "iter-1/rows.jsonl")}
    assert list(json.loads((tmp_path / "manifest.json").read_text())) == ["iter-1/rows.jsonl"]


def test_broken_row_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 1}\n\n{"id": \n')
    with pytest.raises(UserError, match=r"x\.jsonl: row 3: not valid JSON"):
        list(read_jsonl(path))


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path):
    """A process that writes units is killed 20 times; what it left behind is finished and equals an undisturbed run's bytes."""
    code = (
        "import sys, time\nfrom windvane.runs.store import RunFolder\nfrom windvane.runs.local_runner import LocalRunner\n"
        "with RunFolder(sys.argv[1]) as run:\n"
        "    LocalRunner(run, quiet=True).run('s', [(f'{i:04d}', i) for i in range(300)],\n"
        "        lambda i: (time.sleep(0.002), [{'id': f'{i:04d}-{j}', 'text': 'x' * 500} for j in range(5)])[1])\n"
    )
    command = [sys.executable, "-c", code]
    subprocess.run([*command, str(tmp_path / "calm")], check=True)
    kills = 0
    for trial in range(40):
        process = subprocess.Popen([*command, str(tmp_path / "killed")])
        time.sleep(0.25 + 0.013 * trial)
        kills += process.poll() is None
        process.kill()
        process.wait()
        if (tmp_path / "killed" / "s.jsonl").exists():
            break
    subprocess.run([*command, str(tmp_path / "killed")], check=True)
    assert kills >= 2, "the process was too fast to be killed"
    assert (tmp_path / "killed" / "s.jsonl").read_bytes() == (tmp_path / "calm" / "s.jsonl").read_bytes()
    assert not (tmp_path / "killed" / "s.journal").exists()


def test_a_log_file_hears_of_a_stage_now_and_then(tmp_path, capsys, monkeypatch):
    """Where no bar can be seen: a line when `pulse` seconds are over, with the rate and time left of this start."""
    clock = [1000.0]
    monkeypatch.setattr("windvane.runs.store.time.time", lambda: clock[0])
    with RunFolder(tmp_path / "run") as run:
        run.status("iter-1/responses", 50, 200)
        clock[0] += 100
        run.status("iter-1/responses", 60, 200)
        assert capsys.readouterr().err == "", "nobody asked for it"
        run.pulse = 300.0
        clock[0] += 300
        run.status("iter-1/responses", 90, 200)  # 40 in 400 s: 110 take 18 min
        clock[0] += 200
        run.status("iter-1/responses", 110, 200)
    assert capsys.readouterr().err == "windvane: iter-1/responses: 90 of 200, 0.1 a second, 18 min left\n"


def test_what_a_resumed_stage_had_done_is_not_in_its_rate(tmp_path):
    with RunFolder(tmp_path / "run") as run:
        run.status("iter-1/train", 0, 0)  # before the checkpoint was read
        assert json.loads((tmp_path / "run/status.json").read_text())["from"] == 0
        run.status("iter-1/train", 101, 200)
        assert json.loads((tmp_path / "run/status.json").read_text())["from"] == 100
        run.status("iter-1/train", 102, 200)
    assert json.loads((tmp_path / "run/status.json").read_text())["from"] == 100
