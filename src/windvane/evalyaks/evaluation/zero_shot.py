"""Models asked for bands, without training, as EvalYaks asks its baselines (arXiv 2408.12226, sections 4.3 and 6).

In: transcripts with reference bands, models' names, the forms of the prompt ("steps" has no descriptors, "descriptors" has them). Out: one
table: every model in every form beside constants, majority, length alone, on all rows and on global and Indian content apart; every answer
in DIR/answers/*.jsonl. Conversations are asked once, whatever prompts they stood under; intervals are over near-duplicate clusters. The
same command goes on after a kill. A record that does not say its context is put into one by names, places, festivals and dishes where
`guess` is set: a rule, no judgement.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import is_family, spelled
from windvane.core.records import content_id, seed_of, units
from windvane.core.schema import encode
from windvane.engines.http.flags import server_of
from windvane.evals.live.model import slug
from windvane.evalyaks.evaluation.measures import Scale
from windvane.evalyaks.evaluation.result import evaluate
from windvane.evalyaks.evaluation.rows import scored_of
from windvane.evalyaks.evaluation.systems import System
from windvane.evalyaks.scoring.model import ModelScorer, open_model
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript, unique
from windvane.evalyaks.transcripts.split import cluster
from windvane.evalyaks.writing.topics import LISTS
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder, read_jsonl

FORMS = ("steps", "descriptors")
INDIAN = re.compile(
    r"\b(?:india\w*|delhi|mumbai|bombay|hyderabad|bangalore|lucknow|ahmedabad|goa|kerala|punjab|rajasthan|tamil|hindi|bengali|bollywood|"
    r"rupees?|sari|saree|rangoli|puja|mela|chai|samosas?|rickshaw|"
    + "|".join(re.escape(w.casefold()) for k in ("names", "places", "festivals", "dishes") for w in LISTS["indian"][k])
    + r")\b"
)


def gather(
    files: Sequence[str], guess: bool, limit: int | None, part: int | None
) -> tuple[list[Transcript], dict[str, int]]:
    """(one record a conversation with every criterion of its part, what was left out)."""
    read = read_transcripts(files, part)
    left: Counter[str] = Counter({"not read": len(read.quarantined)} if read.quarantined else {})
    usable = []
    for record in unique(read.records):
        if not record.scores or record.part not in PART_CRITERIA:
            left["no bands" if record.part in PART_CRITERIA else "part not known"] += 1
        else:
            usable.append(record)
    if not usable:
        raise UserError(f"{files[0]}: no transcript has a part and reference bands ({dict(left)})")
    usable = cluster(usable)
    if limit is not None and limit < len(usable):
        left["beyond --limit"] = len(usable) - limit
        usable = sorted(usable, key=lambda r: seed_of("limit", r.id))[:limit]
    if guess:
        usable = [r if r.setting else dataclasses.replace(r, setting=setting_of(r)) for r in usable]
    return sorted(usable, key=lambda r: r.id), dict(left)


def setting_of(record: Transcript) -> str:
    """indian where an Indian name, place, festival or dish is named, else global."""
    text = "\n".join([*record.context.values(), *(t.text for t in record.turns)]).casefold()
    return "indian" if INDIAN.search(text) else "global"


def ask_all(
    run: RunFolder, o: argparse.Namespace, records: Sequence[Transcript]
) -> tuple[list[System], dict[str, dict[str, int]]]:
    """Every model in every form: (systems, invalid answers by reason)."""
    names = o.name or list(o.model)
    if len(names) != len(o.model) or len({slug(n) for n in names}) != len(names):
        raise UserError(
            f"--model, --name: {len(o.model)} models need as many names, all different (got {', '.join(names)})"
        )
    systems, invalid = [], {}
    for spec, name in zip(o.model, names):
        forms = o.form or (["compact"] if is_family(spec) else list(FORMS))
        for form in forms:
            label = f"{name} ({form})" if len(forms) > 1 else name
            rows = _rows(run, o, records, spec, name, form)
            predicted = []
            for record in records:
                found = {b["criterion"]: b["expected"] for b in rows[record.id]["assessment"]["bands"]}
                predicted.append(found or None)
            systems.append(System(label, predicted, "model", f"zero-shot, form {form}"))
            reasons = Counter(
                f"{a['status']}: {a['reason']}".split(" (")[0][:80]
                for r in records
                if (a := rows[r.id]["assessment"])["reason"]
            )
            if reasons:
                invalid[label] = dict(reasons)
    return systems, invalid


def _rows(
    run: RunFolder, o: argparse.Namespace, records: Sequence[Transcript], spec: str, name: str, form: str
) -> dict[str, Any]:
    asked = content_id([spelled(spec), form, o.method, [r.id for r in records]])
    stage = f"answers/{slug(name)}-{form}-{asked[:8]}"
    if not (run / f"{stage}.jsonl").exists():
        server = server_of(o)
        scorer = open_model(spec, o.device, o.dtype, o.method, form, None, server, run / f"{stage}.calls.jsonl")
        if isinstance(scorer, ModelScorer) and (cost := scorer.cost(records, server)):
            print(f"windvane: {spec}, {form}: {cost}", file=sys.stderr)

        def work(batch: Sequence[Transcript]) -> Iterable[dict[str, Any]]:
            found = scorer.assess(batch)
            return [{"id": r.id, "assessment": encode(a)} for r, a in zip(batch, found, strict=True)]

        LocalRunner(run, o.quiet).run(stage, units(records, o.batch), work)
    return {row["id"]: row for _, row in read_jsonl(run / f"{stage}.jsonl")}


def zero_shot(run: RunFolder, o: argparse.Namespace, scale: Scale) -> dict[str, Any]:
    """The whole evaluation's result."""
    if (scale.low, scale.high, scale.step) != (1.0, 5.0, 1.0):
        raise UserError("--scale: models are asked for bands 1 to 5; leave --scale out with --model")
    records, left_out = gather([str(f) for f in o.files], o.guess_settings, o.limit, o.part)
    systems, invalid = ask_all(run, o, records)
    rows = [scored_of(r, r.candidate or r.split_group) for r in records]
    result = evaluate(rows, systems, scale, o.resamples, o.seed)
    notes = [
        *result["notes"],
        f"models: {len(o.model)}; a record's context is "
        + ("guessed where not told" if o.guess_settings else "as told"),
    ]
    return {**result, "notes": notes, "left_out": left_out, "invalid": invalid}
