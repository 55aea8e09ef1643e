"""Held-out perplexity: how well a model still predicts plain documents, beside whatever else it has learnt.

    windvane eval perplexity --model M --documents FILES [--tokens 4096] [--limit N] [--out DIR] [--against OTHER-DIR]

In: a model, documents it was not trained on (files, data sets or `world:FAMILY:SEED`, as `windvane run longpo` takes them). Out: nats a
token, sum of the negative log-likelihoods of all tokens over their number, and exp of it, the perplexity; the interval draws whole
documents with replacement. Each document stands alone after what the tokenizer puts before a text (BOS), whose first token nothing
predicts. A document longer than `--tokens` (the model's window where it is left out) is left out and counted, never cut.
`--against` an earlier --out: the difference in nats a token, paired, whole documents drawn; a document counts where both models read
it as the same number of tokens, because nats of other tokens cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from windvane.charts.intervals import Point, interval_plot
from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.records import content_id, seed_of
from windvane.datasets.documents import read_documents
from windvane.engines.local import window
from windvane.evals.result_files import keep_result, kept_result
from windvane.models.load import load_model, load_tokenizer
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import record_settings
from windvane.runs.store import RunFolder, read_jsonl
from windvane.stats.paired import clustered_error, minimum_detectable, resampled

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class DocumentNats:
    """One document: negative log-likelihood summed over the `tokens` that something predicts, in nats."""

    id: str
    nats: float
    tokens: int


@dataclass(frozen=True, slots=True)
class PerplexityRun:
    """What must be the same when the command is given again."""

    model: str
    documents: tuple[str, ...]
    tokens: int | None
    limit: int | None
    dtype: str


@torch.no_grad()
def document_nats(scorer: Scorer, rows: Sequence[tuple[str, Sequence[int]]]) -> list[DocumentNats]:
    """`rows`: (id, token ids) of at least two tokens each; one at a time, by the tree scorer or, where it falls back, by rows."""
    was = scorer.model.training
    scorer.model.eval()
    try:
        found = []
        for id, ids in rows:
            assert len(ids) > 1, f"{id}: nothing is predicted in {len(ids)} tokens"
            tree = Tree.of_rows([(tuple(ids), 1)])
            values = tree.tail(scorer.logps([tree])[0], tree.leaves[0], len(ids) - 1)
            found.append(DocumentNats(id, -float(values.double().sum()), len(ids) - 1))
        return found
    finally:
        scorer.model.train(was)


def summarise(found: Sequence[DocumentNats]) -> dict[str, Any]:
    """`nats_per_token` and `perplexity` with 95% percentile intervals over documents (None for one document)."""
    assert found, "no document"
    nats, tokens = np.array([d.nats for d in found]), np.array([float(d.tokens) for d in found])
    middle = float(nats.sum() / tokens.sum())
    low = high = None
    if len(found) > 1:
        means = np.concatenate([(draws @ nats) / (draws @ tokens) for draws in resampled(len(found), RESAMPLES, 0)])
        low, high = map(float, np.quantile(means, [0.025, 0.975]))
    return {
        "documents": len(found),
        "tokens": int(tokens.sum()),
        "nats_per_token": middle,
        "low": low,
        "high": high,
        "perplexity": math.exp(min(middle, 700.0)),
        "perplexity_low": None if low is None else math.exp(min(low, 700.0)),
        "perplexity_high": None if high is None else math.exp(min(high, 700.0)),
    }


def compare(ours: Sequence[DocumentNats], theirs: Sequence[DocumentNats], name: str) -> dict[str, Any]:
    """Nats a token of `ours` minus `theirs` on the documents of both, with the clustered error, the interval and the smallest difference
    that so many documents would show; below 0: ours predicts them better. `UserError` where there is none."""
    known = {d.id: d for d in theirs}
    pairs = [(d, known[d.id]) for d in ours if d.id in known and known[d.id].tokens == d.tokens]
    if not pairs:
        raise UserError(f"{name}: no document in common that both models read as the same number of tokens")
    sums, sizes = np.array([a.nats - b.nats for a, b in pairs]), np.array([float(a.tokens) for a, _ in pairs])
    error = clustered_error(sums, sizes)
    means = np.concatenate([(draws @ sums) / (draws @ sizes) for draws in resampled(len(pairs), RESAMPLES, 0)])
    low, high = map(float, np.quantile(means, [0.025, 0.975]))
    return {
        "against": name,
        "mean": float(sums.sum() / sizes.sum()),
        "standard_error": error,
        "low": low if error is not None else None,
        "high": high if error is not None else None,
        "mde": None if error is None else minimum_detectable(error),
        "documents": len(pairs),
        "unpaired": len(ours) + len(theirs) - 2 * len(pairs),
    }


def read_nats(folder: Path) -> list[DocumentNats]:
    """The documents of an earlier --out. `UserError` where it is none."""
    path = folder / "documents.jsonl"
    if not path.is_file() or (kept_result(folder, "perplexity") is None):
        raise UserError(f"{folder}: not a finished --out of windvane eval perplexity")
    return [DocumentNats(**row) for _, row in read_jsonl(path)]


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """A plain text's tokens after BOS, where the tokenizer has one."""
    ids = list(tokenizer(text, verbose=False)["input_ids"])
    if tokenizer.bos_token_id is not None and (not ids or ids[0] != tokenizer.bos_token_id):
        ids = [tokenizer.bos_token_id, *ids]
    return ids


def drawn(texts: Iterable[tuple[str, str]], limit: int | None) -> list[tuple[str, str]]:
    """(id, text), each text once; `limit` of them drawn by their content."""
    unique = dict(texts)
    if limit is None:
        return sorted(unique.items())
    return sorted(sorted(unique.items(), key=lambda row: seed_of("perplexity", row[0]))[:limit])


def main(argv: Sequence[str]) -> int:
    """Score and print; `--out` keeps every document's sum and goes on where it was killed."""
    options = _parser().parse_args(list(argv))
    for name in ("tokens", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: must be at least 1")
    others = read_nats(options.against) if options.against else []
    lengths = (options.tokens - 1,) if options.tokens else ()  # of the world, which makes its own; one for BOS
    texts = drawn(
        (
            (d.id, d.text)
            for d in read_documents(tuple(options.documents), options.column, options.split, lengths, None)
        ),
        options.limit,
    )
    model, tokenizer = load_model(options.model, options.dtype, options.device), load_tokenizer(options.model)
    most = options.tokens or window(model)
    rows, left_out = [], {"too long": 0, "fewer than two tokens": 0}
    for id, text in texts:
        ids = text_ids(tokenizer, text)
        if most is not None and len(ids) > most:
            left_out["too long"] += 1
        elif len(ids) < 2:
            left_out["fewer than two tokens"] += 1
        else:
            rows.append((id, ids))
    if not rows:
        raise UserError(
            f"documents: none of {len(texts)} can be scored ({', '.join(f'{n} {why}' for why, n in left_out.items())}); raise --tokens or "
            "give others"
        )
    found = _kept(options, Scorer(model), rows) if options.out else document_nats(Scorer(model), rows)
    result = {"name": "perplexity", "model": options.model, **summarise(found), "left_out": left_out}
    if options.against:
        result["comparison"] = compare(found, others, str(options.against))
    if options.out:
        keep_result(options.out, result, _plot(result, options.model))
    print(json.dumps(result, allow_nan=False) if options.json else told(result))
    return 0


def _kept(options: argparse.Namespace, scorer: Scorer, rows: Sequence[tuple[str, Sequence[int]]]) -> list[DocumentNats]:
    """The same through a stage of OUT, a document a unit."""
    with RunFolder(options.out) as run:
        given = PerplexityRun(options.model, tuple(options.documents), options.tokens, options.limit, options.dtype)
        record_settings(run / "eval.toml", given)

        def work(row: tuple[str, Sequence[int]]) -> list[dict[str, Any]]:
            return [{"id": d.id, "nats": d.nats, "tokens": d.tokens} for d in document_nats(scorer, [row])]

        LocalRunner(run, options.quiet).run("documents", [(content_id(row[0]), row) for row in rows], work)
        wanted = {id for id, _ in rows}
        found = [DocumentNats(**row) for _, row in read_jsonl(run / "documents.jsonl") if row["id"] in wanted]
    if len(found) != len(rows):
        raise UserError(f"{options.out}: was made of other documents; use another --out")
    return found


def told(result: dict[str, Any]) -> str:
    """What the terminal shows."""
    span = "" if result["low"] is None else f" [{result['low']:.4f}, {result['high']:.4f}]"
    left = ", ".join(f"{n} {why}" for why, n in result["left_out"].items() if n) or "none"
    return (
        f"{result['nats_per_token']:.4f}{span} nats a token, perplexity {result['perplexity']:.3f}, on {result['documents']} documents "
        f"({result['tokens']} tokens); left out: {left}" + _against(result.get("comparison"))
    )


def _against(c: dict[str, Any] | None) -> str:
    if c is None:
        return ""
    text = f"\nminus {c['against']}: {c['mean']:+.4f}"
    if c["mde"] is not None:
        text += f" [{c['low']:+.4f}, {c['high']:+.4f}]; under {c['mde']:.4f} would probably go unseen"
    return f"{text}; paired on {c['documents']} documents ({c['unpaired']} unpaired)"


def _plot(result: dict[str, Any], model: str) -> str:
    ends = (result["low"], result["high"])
    low, high = (result["nats_per_token"],) * 2 if None in ends else ends
    room = max(high - low, 0.1)
    point = Point(model[-30:], result["nats_per_token"], low, high)
    return interval_plot(
        [point], "Held-out documents", "nats a token, 95% interval over documents", (max(0.0, low - room), high + room)
    )


def _parser() -> Parser:
    parser = Parser("windvane eval perplexity", description="Nats a token of held-out documents")
    add = parser.add_argument
    add("--model", required=True, metavar="M", help="a folder, a hub id, an adapter or world:FAMILY")
    add("--documents", required=True, nargs="+", metavar="FILE", help="files, folders, data sets or world:FAMILY:SEED")
    add("--column", help="of tables: the one that holds the text")
    add("--split", help="of a data set with several")
    add("--tokens", type=int, metavar="N", help="longer documents are left out (the model's window)")
    add("--limit", type=int, metavar="N", help="N of the documents, drawn by their content (all)")
    add(
        "--against", type=Path, metavar="DIR", help="another model's --out on the same documents: the paired difference"
    )
    add("--out", type=Path, metavar="DIR", help="keep every document's sum there; the same command goes on")
    add("--device", default="auto")
    add("--dtype", default="float32", choices=("float32", "bfloat16"))
    add("--quiet", action="store_true", help="no progress bar")
    add("--json", action="store_true", help="print one JSON object")
    return parser
