"""`windvane data speech-instructions`: chats with answers that teach a model to mark parts, to tell levels and to write at a level.

    windvane data speech-instructions --transcripts RUN/transcripts.jsonl --words levels.csv --sentences sentences.csv --out DIR

In: graded transcripts, word and sentence lists with CEFR levels (whoever has EVP or CEFR-SP names their files; a small word list of our own
is the default for --words own). Out: DIR/part1.jsonl ... part4.jsonl, vocabulary.jsonl, sentences.jsonl: rows {id, task, group, level,
messages}, the last message being the answer; `group` is what a split must keep together. Counts, and what was left out, are printed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.schema import dumps, encode
from windvane.evalyaks.instructions import (
    SETS,
    Instruction,
    part_instructions,
    sentence_instructions,
    vocabulary_instructions,
)
from windvane.evalyaks.levels import OWN, read_levels
from windvane.evalyaks.prompts.scoring import FORMS
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import PART_CRITERIA, unique
from windvane.evalyaks.transcripts.split import cluster
from windvane.runs.store import write_atomic


def main(argv: Sequence[str]) -> int:
    """Read, build, write, count."""
    parser = Parser(
        "windvane data speech-instructions", description="Instruction sets for marking and for CEFR levels."
    )
    add = parser.add_argument
    add("--transcripts", nargs="+", default=[], metavar="FILE", help="graded transcripts")
    add("--words", nargs="+", default=[], metavar="FILE", help="columns word and level; own: this project's small list")
    add("--sentences", nargs="+", default=[], metavar="FILE", help="columns sentence and level")
    add("--forms", nargs="+", choices=FORMS, default=list(SETS), help=f"of the parts' prompts ({' '.join(SETS)})")
    add("--out", type=Path, required=True, metavar="DIR")
    add("--seed", type=int, default=0, help="of wordings and of the order of words")
    add("--json", action="store_true", help="print one JSON object")
    o = parser.parse_args(list(argv))
    if not (o.transcripts or o.words or o.sentences):
        raise UserError("give at least one of --transcripts, --words, --sentences")
    small = "compact" if o.forms == ["compact"] else "full"
    made: list[Instruction] = []
    left: Counter[str] = Counter()
    if o.transcripts:
        read = read_transcripts(o.transcripts)
        left["not read"] += len(read.quarantined)
        for record in cluster(unique(read.records)):
            whole = all(b == int(b) for b in record.scores.values())
            if record.part in PART_CRITERIA and record.scores and not record.missing and whole:
                made += part_instructions(record, o.forms, o.seed)
            else:
                left["without whole bands for every criterion of a known part"] += 1
    if o.words:
        made += vocabulary_instructions(read_levels([OWN if f == "own" else f for f in o.words]), small, o.seed)
    if o.sentences:
        made += sentence_instructions(read_levels(o.sentences), small, o.seed)
    for adapter in dict.fromkeys(i.adapter for i in made):
        write_atomic(o.out / f"{adapter}.jsonl", "".join(_row(i) for i in made if i.adapter == adapter))
    counts = {f"{a} {t}": n for (a, t), n in sorted(Counter((i.adapter, i.task) for i in made).items())}
    told = {"rows": len(made), "by_task": counts, "left_out": {k: n for k, n in left.items() if n}}
    print(
        json.dumps(told)
        if o.json
        else "\n".join(
            [f"{n:7} {k}" for k, n in counts.items()] + [f"left out, {k}: {n}" for k, n in left.items() if n]
        )
    )
    return 0


def _row(i: Instruction) -> str:
    chat = [*encode(i.messages), {"role": "assistant", "content": i.answer}]
    row = {"id": i.id, "task": i.task, "group": i.group, "level": i.level, "theme": i.theme, "context": i.context}
    return dumps({**row, "messages": chat}) + "\n"
