import json
import random
import re
import shutil

import pytest

from tests.report.words import Words
from windvane.cli.report import main, render
from windvane.core.errors import UserError
from windvane.report import browse as browsing
from windvane.report.browse import browse, pick
from windvane.report.gather import CURVE_POINTS, curve, gather, quantiles, shorten
from windvane.report.page import embedded, write_report
from windvane.runs.store import read_jsonl


def sets_of(html):
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.S).group(1))["sets"]


@pytest.fixture(scope="module")
def html(run):
    return write_report(run, render).read_text(encoding="utf-8")


def summary_with(run, tmp_path, **last):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    summary = json.loads((copy / "summary.json").read_text())
    summary["iterations"][-1] |= last
    (copy / "summary.json").write_text(json.dumps(summary))
    return Words(render(copy)).text


def test_the_answer_comes_first(html):
    text = Words(html).text
    assert "Better than the start" in text
    sentence = "After 3 iterations the model’s answers win 68.2% of comparisons with those it gave at the start "
    assert (
        sentence
        + "(95% interval 62.9% to 73.3%, 60 held-out prompts), says world:styles, a judge that training never saw."
        in text
    )
    assert (
        "Against iteration 2 it wins 52.1% (47.1% to 57.2%): the last iteration alone is not shown to have helped."
        in text
    )
    assert "(world:styles-proxy) says 74.3% (69.4% to 78.8%), 6.1 points above the held-out judge." in text
    assert "25% longer than the start’s (31.0 → 38.8 tokens on average)" in text
    assert "7.08 nats per sequence" in text
    assert "chosen answers became likelier by 0.42 nats and rejected ones less likely by 4.91 nats." in text
    assert "20% of the training verdicts are flipped by design." in text
    assert text.index("Better than the start") < text.index("Win rate against KL")


@pytest.mark.parametrize(
    ("last", "headline"),
    [
        ({"win_rate": 0.56, "low": 0.49, "high": 0.63}, "Not shown to be better than the start"),
        ({"win_rate": 0.41, "low": 0.35, "high": 0.48}, "Worse than the start"),
        ({"win_rate": 0.9, "low": None, "high": None}, "Not shown to be better than the start"),
    ],
)
def test_the_interval_decides(run, tmp_path, last, headline):
    text = summary_with(run, tmp_path, **last)
    assert headline in text and "Better than the start" not in text


def test_a_proxy_that_alone_is_pleased_is_named(run, tmp_path):
    assert "It sees a gain that the held-out judge does not." in summary_with(
        run, tmp_path, win_rate=0.5, low=0.44, high=0.56
    )


def test_what_stands_for_what_is_said(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    summary = json.loads((copy / "summary.json").read_text())
    summary["proxy_judge"] = "world:styles:proxy-clean"
    summary["iterations"][-1] |= {"logps_of": "the last training batch", "chosen_logps": -0.3}
    (copy / "summary.json").write_text(json.dumps(summary))
    text = Words(render(copy)).text
    assert "The proxy world:styles:proxy-clean, for the judge that trained it, says 74.3%" in text
    assert "(world:styles:proxy-clean) stands for the judge that trained (world:styles-proxy)." in text
    assert (
        "On the last training batch, for want of any held aside, chosen answers became less likely by 0.30 nats" in text
    )


def test_rounding_is_no_disagreement(tmp_path, write_lines):
    """p_ab + p_ba - 1 of a judge that minds no order is 1e-16 or so; it is neither drawn nor an extreme."""
    group = {"id": "a", "members": [], "chosen": None, "rejected": None, "status": "tie", "judged_pairs": 1, "failed_pairs": 0,
             "tied_pairs": 1, "disagreement": 1.1e-16, "cyclic_triples": 0, "triples": 0}  # fmt: skip
    write_lines(tmp_path / "recipe.toml", [])
    write_lines(tmp_path / "iter-1" / "groups.jsonl", [group])
    write_lines(
        tmp_path / "iter-1" / "verdicts.jsonl", [{"p": 0.5, "disagreement": 1.1e-16, "prompt_id": "a", "a": 0, "b": 1}]
    )
    assert gather(tmp_path).judged[1].mean_disagreement == 0.0
    assert [e["why"] for e in browse(tmp_path)[0]["entries"]] == [["nothing chosen"]]


def test_tables_and_files(html):
    text = Words(html).text
    assert "2 60 65.9% [60.4%, 71.1%] 55.2% [50.3%, 60.2%] 71.1% [66.1%, 75.9%] 56.6%" in text
    assert "35.9" in text and "0.1217" in text and "−3.400" in text
    for file in (
        "summary.json",
        "iter-*/train/metrics.jsonl",
        "iter-*/verdicts.jsonl",
        "iter-*/groups.jsonl",
        "recipe.toml",
    ):
        assert file in text
    assert "eta 10.0" in text and "betas [0.9, 0.95]" in text


def test_what_the_judge_said_is_counted(run):
    """40 prompts, 10 pairs each: prompt 1 lost all ten, prompt 2 the four of its first answer; prompt 3 is ten ties."""
    judged = gather(run).judged[1]
    assert (judged.prompts, judged.judged_pairs, judged.failed_pairs) == (40, 386, 14)
    assert judged.status == {"pair": 38, "tie": 1, "same": 0, "few": 0, "failed": 1} and judged.tied_pairs == 10
    assert judged.reasons == {"no probability in the judge's answer": 14}
    assert judged.triples == 38 * 10 + 4
    residuals = [v["disagreement"] for _, v in read_jsonl(run / "iter-1" / "verdicts.jsonl") if v["p"] is not None]
    assert judged.mean_disagreement == pytest.approx(sum(residuals) / 386)
    assert "42 of 1,200 training comparisons" in Words(render(run)).text


def test_model_output_is_never_markup(html, nasty):
    assert nasty not in html and "<img" not in html and "onerror" in html
    page = Words(html)
    assert [a.get("type") for tag, a in page.tags if tag == "script"] == ["application/json", None]
    entry = next(
        e
        for s in sets_of(html)
        if s["key"] == "iter-1"
        for e in s["entries"]
        if any(a["text"] == nasty for a in e["answers"])
    )
    assert entry["status"] == "pair"
    assert "</script" not in str(embedded(nasty)) and json.loads(str(embedded(nasty))) == nasty


def test_markup_in_settings_notes_and_names_is_escaped(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    summary = json.loads((copy / "summary.json").read_text())
    summary |= {"model": "<b>m</b>", "notes": ["<script>1</script>"], "evaluation_judge": "<i>j</i>"}
    (copy / "summary.json").write_text(json.dumps(summary))
    (copy / "recipe.toml").write_text('model = "<u>x</u>"')
    html = render(copy)
    for tag in ("<b>m", "<script>1", "<i>j", "<u>x"):
        assert tag not in html and tag.replace("<", "&lt;", 1).replace(">", "&gt;", 1) in html


def test_same_bytes_and_no_trace_of_the_place(run, tmp_path, html):
    copy = tmp_path / "elsewhere"
    shutil.copytree(run, copy)
    (copy / "report.html").unlink()
    assert write_report(copy, render).read_text(encoding="utf-8") == html
    assert str(run) not in html and "/home/someone" not in html and "…/tiny-mistral" in html
    assert "http://" not in html and "https://" not in html and not list(copy.glob("*.tmp"))


def test_the_browser_holds_the_numbers_of_the_files(run, html):
    sets = {s["key"]: s for s in sets_of(html)}
    assert list(sets) == ["heldout", "iter-3", "iter-2", "iter-1"]
    groups = {g["id"]: g for _, g in read_jsonl(run / "iter-2" / "groups.jsonl")}
    verdicts = [v for _, v in read_jsonl(run / "iter-2" / "verdicts.jsonl")]
    assert len(sets["iter-2"]["entries"]) == 40 == sets["iter-2"]["total"]
    for entry in sets["iter-2"]["entries"]:
        group = groups[entry["id"]]
        told = {m["index"]: (round(m["p_loo"], 4), round(m["p_incl"], 4)) for m in group["members"]}
        for i, answer in enumerate(entry["answers"]):
            assert (answer["p_loo"], answer["p_incl"]) == told.get(i, (None, None))
            assert (answer["mark"] == "chosen") == (group["chosen"] == i and group["status"] == "pair")
        for v in (v for v in verdicts if v["prompt_id"] == entry["id"] and v["p"] is not None):
            assert entry["p"][v["a"]][v["b"]] == round(v["p"], 4)
            assert entry["p"][v["a"]][v["b"]] + entry["p"][v["b"]][v["a"]] == pytest.approx(1, abs=2e-4)
    held = sets["heldout"]["entries"][0]
    assert [a["iteration"] for a in held["answers"]] == [0, 1, 2, 3]


def test_no_held_out_judge(make, tmp_path):
    text = Words(render(make(tmp_path / "run", judge=False))).text
    assert "Not measured The judge that trained would also have evaluated. To know whether" in text
    assert "Not measured: the judge that trained would also have evaluated." in text
    assert "a gain on the judge that one trains on is no evidence of better answers" in text
    assert "Better than the start" not in text and "there was no held-out judge" in text


def test_a_run_in_the_middle(make, tmp_path):
    """Killed in iteration 2, before its training: no summary, no metrics, no groups of iteration 2."""
    run = make(tmp_path / "run", iterations=2)
    (run / "summary.json").unlink()
    for name in ("groups.jsonl", "verdicts.jsonl", "answers.jsonl", "evaluation.jsonl", "train/metrics.jsonl"):
        (run / "iter-2" / name).unlink()
    html = render(run)
    text = Words(html).text
    assert "Not measured yet" in text and "there was no held-out judge" not in text and "Proxy: wins" not in text
    assert [s["key"] for s in sets_of(html)] == ["heldout", "iter-1"]


def test_a_run_that_has_only_begun(tmp_path):
    (tmp_path / "recipe.toml").write_text('recipe = "sppo"')
    assert "No prompts have been judged yet." in Words(render(tmp_path)).text


def test_not_a_run_folder(tmp_path, run, capsys):
    with pytest.raises(UserError, match="not a run folder"):
        write_report(tmp_path, render)
    assert main([str(run)]) == 0 and capsys.readouterr().out.strip() == str(run / "report.html")


def test_long_texts_of_many_prompts_stay_within_the_budget(tmp_path, monkeypatch, write_lines):
    """Every text is as long as the answers of a real run many times over; the budget holds and the extremes are among the shown."""
    dice = random.Random(3)
    rows, texts = [], []
    for i in range(5000):
        p = dice.random()
        members = [{"index": k, "response_id": f"{i}-{k}", "p_loo": v, "p_incl": v} for k, v in ((0, p), (1, 1 - p))]
        chosen = 0 if p > 0.5 else 1
        rows.append({"id": f"{i:05d}", "members": members, "chosen": chosen, "rejected": 1 - chosen, "status": "pair", "judged_pairs": 1,
                     "failed_pairs": 0, "tied_pairs": 0, "disagreement": 0.0, "cyclic_triples": 0, "triples": 0})  # fmt: skip
        texts += [{"id": f"{i}-{k}", "prompt_id": f"{i:05d}", "index": k, "text": "é<" * 12_500, "token_ids": [1], "finish": "stop"}
                  for k in (0, 1) if i % 10 == 0]  # fmt: skip
    folder = tmp_path / "iter-1"
    write_lines(folder / "groups.jsonl", rows)
    write_lines(folder / "responses.jsonl", texts)
    write_lines(
        folder / "prompts.jsonl",
        [{"id": r["id"], "messages": [{"role": "user", "content": "q"}], "token_ids": []} for r in rows],
    )
    write_lines(folder / "verdicts.jsonl", [])
    monkeypatch.setattr(browsing, "BUDGET", 400_000)
    (one,) = browse(tmp_path)
    assert one["total"] == 5000 and len(str(embedded([one]))) < 420_000
    assert 0 < len(one["entries"]) < 400
    clearest = max(rows, key=lambda r: abs(r["members"][0]["p_loo"] - 0.5))["id"]
    assert one["entries"][0]["id"] == clearest and one["entries"][0]["why"][0] == "surest choice"
    assert all(a["more"] == 5_000 for e in one["entries"] for a in e["answers"])


def test_the_sample_depends_on_ids_alone():
    rows = [{"id": f"{i:04d}", "score": i} for i in range(1000)]
    kinds = [("high", lambda r: r["score"])]
    shuffled = random.Random(1).sample(rows, len(rows))
    assert pick(rows, kinds, "s") == pick(shuffled, kinds, "s") and list(pick(rows, kinds, "s")) == list(
        pick(shuffled, kinds, "s")
    )
    assert [k for k, why in pick(rows, kinds, "s").items() if "high" in why] == [
        f"{i:04d}" for i in range(999, 987, -1)
    ]
    assert sum("seeded sample" in why for why in pick(rows, kinds, "s").values()) == 300


def test_quantiles_and_thinning():
    assert quantiles([4, 1, 3, 2, 5]) == pytest.approx((1.2, 2, 3, 4, 4.8))
    rows = [{"step": s, "split": "train", "loss": float(s)} for s in range(1, 2 * CURVE_POINTS + 1)]
    thinned = curve([*rows, {"step": 7, "split": "held-out", "loss": 9.0}])
    assert len(thinned.train) == CURVE_POINTS and thinned.train[0] == {"step": 1.5, "loss": 1.5}
    assert thinned.heldout == [{"step": 7.0, "loss": 9.0}] and thinned.steps == 2 * CURVE_POINTS


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/home/me/models/m7", "…/m7"),
        ("reward:/data/rm/x", "reward:…/x"),
        ("http://127.0.0.1:8000/v1#m", "http://127.0.0.1:8000/v1#m"),
        ("org/model-7B", "org/model-7B"),
        ("data/prompts.jsonl", "data/prompts.jsonl"),
        ("C:\\Users\\me\\m", "…/m"),
        ([{"a": "/x/y z"}], [{"a": "…/y z"}]),
    ],
)
def test_absolute_paths_are_shortened(given, kept):
    assert shorten(given) == kept
