"""The list of runs, and their reports in a sandbox."""

import json
import os

from tests.serve.conftest import opened


def run(folder, name, age, **files):
    path = folder / name
    path.mkdir(parents=True)
    for file, text in {"recipe.toml": "", **files}.items():
        (path / file.replace("_", ".")).write_text(text)
    os.utime(path, (age, age))
    return path


def test_a_list_and_reports(tmp_path):
    done = {"stage": "done", "done": 1, "total": 1, "pid": 1, "time": 0.0}
    at = {"stage": "iter-1/responses", "done": 3, "total": 9, "pid": 2**22 + 1, "time": 0.0}
    summary = json.dumps({"recipe": "sppo", "model": "/home/x/models/<b>tiny</b>"})
    run(
        tmp_path,
        "first",
        1000,
        status_json=json.dumps(done),
        manifest_json="{}",
        summary_json=summary,
        report_html="<h1>R</h1>",
    )
    run(tmp_path, "<i>second", 2000, status_json=json.dumps(at))
    run(tmp_path, "broken", 500, status_json="{")
    (tmp_path / "no run").mkdir()
    with opened(tmp_path / "data", runs=(tmp_path,)) as client:
        rows = client.get("/api/v1/runs").json()["runs"]
        assert [(r["name"], r["state"], r["report"]) for r in rows] == [
            ("<i>second", "stopped", False), ("first", "finished", True), ("broken", "unknown", False),
        ]  # fmt: skip
        assert (
            rows[0]["at"] == "iter-1/responses 3/9"
            and rows[1]["recipe"] == "sppo"
            and "cannot be read" in rows[2]["at"]
        )
        page = client.get("/runs").text
        assert "&lt;i&gt;second" in page and "<i>second" not in page and "/home/x" not in page
        report = client.get(f"/runs/{rows[1]['key']}/report")
        assert report.text == "<h1>R</h1>" and report.headers["content-security-policy"].startswith(
            "sandbox allow-scripts;"
        )
        for key in (rows[0]["key"], "0" * 16, "..%2f..%2fetc"):
            assert client.get(f"/runs/{key}/report").status_code == 404


def test_no_folder_is_said_so(client):
    assert "--runs DIR" in client.get("/runs").text and client.get("/api/v1/runs").json() == {"runs": []}
