"""The report of a run at the size of the paper's: seconds, peak memory, bytes of the page.

    python -m benchmarks.report_size                           # 60,000 prompts in each of 3 iterations, 300 words an answer
    python -m benchmarks.report_size --prompts 20000           # 60,000 prompts dealt out to 3 iterations, as SPPO's run has them
    python -m benchmarks.report_size --keep RUN                # leave the run folder there

In: nothing. Out: a run folder with the files that `windvane run sppo` leaves (5 answers and 10 verdicts a prompt, groups by
`windvane.stages.pair`; texts are made-up words), `windvane report` on it in a process of its own, and `windvane inspect RUN --id ID` for
a prompt
that the page does not show. The time that making the folder takes is no part of the figures.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from windvane.core.records import Response, Verdict, content_id
from windvane.stages.pair import group

K = 5
VOCABULARY = [f"{a}{b}" for a in "ba de fi go lu ma ne pi ro su".split() for b in "lan mer nis tor vel kop".split()]  # noqa: SIM905


def make_run(run: Path, prompts: int, iterations: int = 3, held: int = 512, words: int = 300, seed: int = 0) -> Path:
    """Write the folder; `prompts` are each iteration's."""
    dice = random.Random(seed)
    texts = [" ".join(dice.choices(VOCABULARY, k=max(3, round(words * dice.uniform(0.3, 1.7))))) for _ in range(400)]
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.toml").write_text('recipe = "sppo"\nmodel = "M"\n[train]\nobjective = "sppo"\neta = 1000.0\n')
    heldout = [_prompt(f"Held out {i}: {dice.choice(texts)[:200]}") for i in range(held)]
    _lines(run / "heldout.jsonl", heldout)
    rows = []
    for n in range(iterations + 1):
        rate = 0.5 + 0.06 * n
        folder = run / f"iter-{n}"
        _lines(folder / "answers.jsonl", (_answer(p["id"], 0, f"h{n}", dice, texts) for p in heldout))
        scores = [
            {"id": p["id"], "win_start": w, "win_previous": w, "proxy_start": min(w + 0.1, 1.0), "proxy_previous": w,
             "mean_length": 300.0, "kl": 2.0 * n * dice.random(), "kl_token": 0.01 * n, "finish_length_share": 0.0}
            for p in heldout
            for w in [min(max(dice.gauss(rate, 0.2), 0.0), 1.0)]
        ]  # fmt: skip
        _lines(folder / "evaluation.jsonl", scores)
        rows.append(
            {"iteration": n, "win_rate": rate, "low": rate - 0.03, "high": rate + 0.03, "proxy_win_rate": rate + 0.02,
             "proxy_low": rate - 0.01, "proxy_high": rate + 0.05, "mean_length": 300.0, "kl": 1.0 * n, "kl_token": 0.01 * n,
             "prompts": held}
        )  # fmt: skip
        if n:
            _training(folder, prompts, dice, texts)
    summary = {
        "recipe": "sppo", "model": "M", "judge": "pairrm:J", "evaluation_judge": "http://HOST/v1#E", "proxy_judge": "pairrm:J",
        "prompts": "made up", "iterations": rows, "report": "report.html", "notes": [],
    }  # fmt: skip
    (run / "summary.json").write_text(json.dumps(summary))
    return run


def _training(folder: Path, count: int, dice: random.Random, texts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("prompts", "responses", "verdicts", "groups", "reference")
    files = {name: (folder / f"{name}.jsonl").open("w", encoding="utf-8") for name in names}
    write = {name: file.write for name, file in files.items()}
    for i in range(count):
        prompt = _prompt(f"{folder.name} prompt {i}: {dice.choice(texts)[:300]}")
        key = prompt["id"]
        answers = [_answer(key, k, folder.name, dice, texts) for k in range(K)]
        skill = [dice.gauss(0, 1) for _ in range(K)]
        verdicts = []
        for a in range(K):
            for b in range(a + 1, K):
                fair = min(max(0.5 + 0.15 * (skill[a] - skill[b]) + dice.gauss(0, 0.1), 0.03), 0.97)
                p_ab, p_ba = min(fair + 0.02, 1.0), min(1 - fair + 0.02, 1.0)
                p = None if i % 997 == 0 else (p_ab + 1 - p_ba) / 2
                told = (p_ab, p_ba, p, abs(p_ab + p_ba - 1)) if p is not None else (None, None, None, None)
                verdicts.append(Verdict(f"{key}-{a}{b}", key, a, b, *told, None if p is not None else "no answer"))
        made = group(key, [Response(**{**r, "text": r["text"], "token_ids": ()}) for r in answers], verdicts)
        write["prompts"](_line(prompt))
        write["responses"]("".join(_line(r) for r in answers))
        write["reference"]("".join(_line({"id": r["id"], "logps": r["logps"], "tokens": 300}) for r in answers))
        write["verdicts"](
            "".join(
                _line({"id": v.id, "prompt_id": key, "a": v.a, "b": v.b, "p_ab": v.p_ab, "p_ba": v.p_ba, "p": v.p,
                       "disagreement": v.disagreement, "reason": v.reason})
                for v in verdicts
            )
        )  # fmt: skip
        members = [
            {"index": m.index, "response_id": m.response_id, "p_loo": m.p_loo, "p_incl": m.p_incl} for m in made.members
        ]
        write["groups"](
            _line({"id": key, "members": members, "chosen": made.chosen, "rejected": made.rejected, "status": made.status,
                   "judged_pairs": made.judged_pairs, "failed_pairs": made.failed_pairs, "tied_pairs": made.tied_pairs,
                   "disagreement": made.disagreement, "cyclic_triples": made.cyclic_triples, "triples": made.triples})
        )  # fmt: skip
    for file in files.values():
        file.close()
    steps = max(1, count // 64)
    metrics = [
        {"step": s, "split": "train", "epoch": s / steps, "loss": 9e4 * (1 - s / steps / 2), "accuracy": 0.7, "lr": 5e-7,
         "chosen_logps": -200.0, "rejected_logps": -220.0, "chosen_logratio": s / steps, "rejected_logratio": -s / steps}
        for s in range(1, steps + 1)
    ]  # fmt: skip
    _lines(folder / "train" / "metrics.jsonl", metrics)


def _prompt(text: str) -> dict[str, Any]:
    return {"id": content_id([text]), "messages": [{"role": "user", "content": text}]}


def _answer(prompt: str, index: int, stage: str, dice: random.Random, texts: list[str]) -> dict[str, Any]:
    text = texts[int(dice.random() * len(texts))]
    return {
        "id": f"{prompt}-{stage}-{index}", "prompt_id": prompt, "index": index, "text": text,
        "token_ids": list(range(30_000, 30_000 + len(text) // 5)), "finish": "stop", "logps": -300.0,
    }  # fmt: skip


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


def _lines(path: Path, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(_line(row) for row in rows), encoding="utf-8")


def timed(*argv: str) -> tuple[str, dict[str, float]]:
    """(what the command prints, its figures), in a process of its own."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "windvane", *argv], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_memory_mb": round(after.ru_maxrss / 1024),  # of the largest child so far
    }
    return done.stdout, figures


def measure(run: Path) -> dict[str, Any]:
    _, report = timed("report", str(run))
    page = (run / "report.html").read_text(encoding="utf-8")
    ids = (json.loads(line)["id"] for line in (run / "iter-1" / "prompts.jsonl").open(encoding="utf-8"))
    unseen = next(key for key in ids if key not in page)
    told, inspected = timed("inspect", str(run), "--id", unseen)
    assert unseen in told
    size = sum(p.stat().st_size for p in run.rglob("*") if p.is_file())
    return {"run_gb": round(size / 1e9, 2), "page_mb": round(len(page.encode()) / 1e6, 2), "report": report,
            "inspect": inspected, "not_on_the_page": unseen}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=60_000, help="of each iteration")
    parser.add_argument("--words", type=int, default=300, help="an answer, on average")
    parser.add_argument("--keep", type=Path, metavar="RUN")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        run = options.keep or Path(aside) / "run"
        made = make_run(run, options.prompts, words=options.words)
        print(json.dumps({"prompts": options.prompts, "words": options.words, **measure(made)}, indent=1))


if __name__ == "__main__":
    main()
