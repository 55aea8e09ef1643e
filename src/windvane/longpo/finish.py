"""The end of a LongPO run: summary.json, report.html, RUN/model with its card, manifest.json; then a table on the terminal.

In: a run folder whose rounds stand. Everything written here but the manifest is a function of the run's files alone.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from windvane.core.records import Response
from windvane.longpo.documents import Held, read_cuts
from windvane.longpo.kl import ShortToLong
from windvane.longpo.questions import Question
from windvane.longpo.report.panels import render
from windvane.longpo.retention import ShortText, retention_figures
from windvane.longpo.settings import LongPO
from windvane.longpo.turns import Turns
from windvane.report.page import write_report
from windvane.runs.store import RunFolder, published, read_jsonl, read_records, write_atomic


def finish(run: RunFolder, s: LongPO, final_model: Callable[[Path], None]) -> None:
    """Write what is missing and print the table. `final_model` fills a folder with the last round's model."""
    if not run.finished("manifest.json"):
        run.status("report", 0, 1)
        found = summary(run, s)
        write_atomic(run / "summary.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
        write_report(run.path, render)
        with published(run / "model") as aside:
            final_model(aside)
            (aside / "README.md").unlink(missing_ok=True)
            (aside / "README.md").write_text(card(found), encoding="utf-8")
        run.write_manifest()
    run.status("done", 1, 1)
    print(table(json.loads((run / "summary.json").read_text(encoding="utf-8"))))
    adapters = adapters_told(run, s.rounds)
    print(adapters) if adapters else None
    print(f"\nreport: {run / 'report.html'}\nmodel:  {run / 'model'}")


def summary(run: RunFolder, s: LongPO) -> dict[str, Any]:
    """What summary.json holds: the settings that name the run, the documents by what became of them, and an entry a round."""
    documents = run / "documents.jsonl"
    held = read_records(documents, Held) if documents.exists() else []
    return {
        "recipe": "longpo",
        "arm": s.arm,
        "model": s.model,
        "documents": dict(sorted(Counter(h.status for h in held).items())),
        "rounds": [one_round(run / f"iter-{t}", s, t) for t in range(1, s.rounds + 1)],
    }


def one_round(folder: Path, s: LongPO, t: int) -> dict[str, Any]:
    """One round: what was asked, dropped and trained on, the KL before and after, short texts, and training's last figures."""
    entry: dict[str, Any] = {
        "round": t,
        "length": s.targets[t - 1],
        "theta": s.theta_of(t) or None,
        "start": s.start_of(t),
    }
    if (folder / "turns.jsonl").exists():
        cuts, questions = read_cuts(folder / "documents.jsonl"), read_records(folder / "questions.jsonl", Question)
        turns = read_records(folder / "turns.jsonl", Turns)
        chosen, rejected = (
            {r.prompt_id: r for r in read_records(folder / f"{n}.jsonl", Response)} for n in ("chosen", "rejected")
        )
        kept = [id for row in turns for id in row.turns]
        entry |= {
            "documents": len(cuts),
            "tokens": sum(c.tokens for c in cuts),
            "longest": max(c.tokens for c in cuts),
            "without_a_chunk": sum(not c.chunks for c in cuts),
            "chunks": sum(len(c.chunks) for c in cuts),
            "questions": sum(q.text is not None for q in questions),
            "replies_not_used": counted(r.reason for q in questions for r in q.replies if r.reason),
            "dropped": counted(d.reason for row in turns for d in row.dropped),
            "pairs": len(kept),
            "documents_trained_on": sum(bool(row.turns) for row in turns),
            "same_answer": sum(chosen[id].token_ids == rejected[id].token_ids for id in kept),
            "unfinished_chosen": sum(chosen[id].finish == "length" for id in kept),
            "unfinished_rejected": sum(rejected[id].finish == "length" for id in kept),
            "tokens_chosen": mean(len(chosen[id].token_ids) for id in kept),
            "tokens_rejected": mean(len(rejected[id].token_ids) for id in kept),
        }
    for name, stage in (("kl_before", "kl-start"), ("kl_after", "kl")):
        if (folder / f"{stage}.jsonl").exists():
            entry[name] = kl_figures(read_records(folder / f"{stage}.jsonl", ShortToLong))
    if (folder / "retention.jsonl").exists():
        entry["retention"] = retention_figures(read_records(folder / "retention.jsonl", ShortText))
    metrics = folder / "train" / "metrics.jsonl"
    if metrics.exists():
        rows = [row for _, row in read_jsonl(metrics)]
        measured = [r for r in rows if r["split"] == "held-out" and r["step"] > 0]
        last = measured[-1] if measured else rows[-1]
        entry["training"] = {"of": last["split"], **{k: v for k, v in last.items() if k != "split"}}
    return entry


def counted(reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(reasons).items()))


def mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) / len(found) if found else None


def kl_figures(rows: list[ShortToLong]) -> dict[str, Any]:
    """Nats a sequence with the standard error over questions, and nats a token."""
    n, tokens = len(rows), sum(r.tokens for r in rows)
    if not n:
        return {"questions": 0}
    middle = sum(r.kl for r in rows) / n
    spread = math.sqrt(sum((r.kl - middle) ** 2 for r in rows) / (n - 1) / n) if n > 1 else None
    return {"questions": n, "sequence": middle, "standard_error": spread, "token": sum(r.kl for r in rows) / tokens}


def card(found: dict[str, Any]) -> str:
    """The final model's README.md."""
    last = found["rounds"][-1]
    theta = f", its RoPE theta is {last['theta']:g}" if last["theta"] else ""
    name = found["model"].rstrip("/").split("/")[-1]
    rounds = len(found["rounds"])
    return (
        "---\nlibrary_name: transformers\ntags:\n- windvane\n- longpo\n---\n\n"
        f"# {name}, {last['length']} tokens\n\n"
        f"Made from `{name}` by Windvane's recipe `longpo`, arm `{found['arm']}` (arXiv 2502.13922), in {rounds} "
        f"round{'s' if rounds > 1 else ''} on its own answers about long documents. The last round's length is "
        f"{last['length']} tokens{theta}; both are in config.json.\n\n```\n{table(found)}\n```\n"
    )


def table(found: dict[str, Any]) -> str:
    """A line a round."""
    lines = [
        f"{'round':>5} {'length':>8} {'theta':>9} {'documents':>10} {'chunks':>7} {'questions':>10} {'pairs':>6} {'loss':>9} "
        f"{'KL before':>16} {'KL after':>16}"
    ]
    for r in found["rounds"]:
        theta = "own" if r["theta"] is None else f"{r['theta']:g}"
        counts = [f"{r[k]}" if k in r else "-" for k in ("documents", "chunks", "questions", "pairs")]
        loss = f"{r['training']['loss']:.4f}" if "training" in r else "-"
        lines.append(
            f"{r['round']:>5} {r['length']:>8} {theta:>9} {counts[0]:>10} {counts[1]:>7} {counts[2]:>10} {counts[3]:>6} {loss:>9} "
            f"{_kl(r.get('kl_before')):>16} {_kl(r.get('kl_after')):>16}"
        )
    lines.append("KL of the long side to the short model on the chunk, nats a sequence (a token)")
    lines += [f"round {r['round']}, {kept_told(r['retention'])}" for r in found["rounds"] if r.get("retention")]
    for r in found["rounds"]:
        for name, key in (("replies not used", "replies_not_used"), ("questions dropped", "dropped")):
            if r.get(key):
                lines.append(f"round {r['round']}, {name}: " + ", ".join(f"{k} {v}" for k, v in r[key].items()))
    held = found.get("documents", {})
    left = [f"{held[key]} too {key}" for key in ("short", "long") if held.get(key)]
    if left:
        lines.append(f"documents left out: {', '.join(left)}")
    return "\n".join(lines)


def adapters_told(run: RunFolder, rounds: int) -> str | None:
    """Rounds that are adapters: who reads one without the base's theta raised reads another model."""
    found = [t for t in range(1, rounds + 1) if (run / f"iter-{t}/model/adapter_config.json").exists()]
    if not found:
        return None
    names = ", ".join(f"iter-{t}/model" for t in found)
    return f"adapters, to be read with their base's theta and window as in this round's row: {names}; model/ is the last one, whole"


def kept_told(row: dict[str, Any]) -> str:
    """How short texts fared, in words."""
    if not row["chunks"]:
        return "short texts: none fits the start's window"
    gap, whose = row["difference"], "held aside" if row["aside"] else "trained on"
    span = "" if gap["low"] is None else f" [{gap['low']:+.4f}, {gap['high']:+.4f}]"
    seen = "" if gap["mde"] is None else f", under {gap['mde']:.4f} would probably go unseen"
    return (
        f"short texts ({row['chunks']} chunks of documents {whose}): {row['start']:.4f} nats a token at the start, {row['after']:.4f} "
        f"after ({gap['mean']:+.4f}{span}{seen})"
    )


def _kl(row: dict[str, Any] | None) -> str:
    return "-" if not row or not row["questions"] else f"{row['sequence']:.3f} ({row['token']:.3f})"
