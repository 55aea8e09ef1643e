"""`windvane eval cefr-levels`: can a model tell a level, and write at one?

    windvane eval cefr-levels --model M --words held_out_words.csv --sentences held_out_sentences.csv --out DIR

In: a model, words and sentences with levels that it was not trained on. Out: the four tasks of EvalYaks' vocabulary and sentence adapters
(arXiv 2408.12226, section 4.2). Telling: accurate (the same level), acceptable (the next one; section 4.3 leaves this open), invalid.
Writing, which the paper does not score: how often what was written has the level asked for, by graders that are not the model: for words a
list (--grader-words; those not on it are told apart), for sentences a model without a network fitted on --grader-sentences, whose own
accuracy stands beside the figure. Every answer is kept in DIR; the same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.families import is_family, spelled
from windvane.core.records import Message, Prompt, content_id, units
from windvane.engines.http.flags import add_server_flags, server_of
from windvane.engines.local import Sampling
from windvane.engines.writer import Writer
from windvane.evals.result_files import default_folder, keep_result, kept_result
from windvane.evalyaks.evaluation.level_grader import fit_grader
from windvane.evalyaks.evaluation.measures import wilson
from windvane.evalyaks.instructions import WORDS_EACH, sentence_instructions, vocabulary_instructions
from windvane.evalyaks.levels import ABOUT_OWN, OWN, Levels, Listed, read_levels
from windvane.evalyaks.prompts.levels import read_level, read_sentence, read_words, sentence_of_level, words_of_level
from windvane.evalyaks.transcripts.record import LEVELS
from windvane.evalyaks.writing.topics import TOPICS
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder, read_jsonl

TELL, WRITE = ("level of words", "level of a sentence"), ("words of a level", "sentence of a level")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """One question; `index`: which answer to it (of several to the same prompt)."""

    id: str
    task: str
    level: str
    messages: tuple[Message, ...]
    index: int = 0


def main(argv: Sequence[str]) -> int:
    """Ask, grade, tell."""
    o = _options(argv)
    words = read_levels([OWN if f == "own" else f for f in o.words]) if o.words else []
    sentences = read_levels(o.sentences) if o.sentences else []
    if not words and not sentences:
        raise UserError("give --words or --sentences, or both: lists with levels that the model was not trained on")
    form = o.form or ("compact" if is_family(o.model) else "full")
    tasks = list(telling(words, sentences, form, o.limit)) + list(writing(words, sentences, form, o.samples))
    folder = o.out or default_folder("cefr-levels", o.model)
    kept_result(folder, "cefr-levels")
    with RunFolder(folder) as run:
        answers = ask(run, o, tasks)
        result = grade(o, tasks, answers, sentences, form)
        keep_result(run.path, result, "")
        run.write_manifest()
    print(json.dumps(result, allow_nan=False) if o.json else shown(result))
    return 0


def telling(words: Sequence[Listed], sentences: Sequence[Listed], form: str, limit: int | None) -> Iterator[Task]:
    """The instruction sets' own questions, `limit` a task."""
    for made in (vocabulary_instructions(words, form), sentence_instructions(sentences, form)):
        asked = sorted((i for i in made if i.task in TELL), key=lambda i: i.id)
        for i in asked[:limit]:
            yield Task(i.id, i.task, i.level or "", i.messages)


def writing(words: Sequence[Listed], sentences: Sequence[Listed], form: str, samples: int) -> Iterator[Task]:
    """`samples` a level that the list has, themes and wordings in turn."""
    themes = [t.name for t in TOPICS]
    for task, listed in zip(WRITE, (words, sentences)):
        for level in LEVELS:
            for n in range(samples if any(i.level == level for i in listed) else 0):
                theme, wording = themes[n % len(themes)], n % 3
                if task == WRITE[0]:
                    chat = words_of_level(level, WORDS_EACH, theme, form, wording)
                else:
                    chat = sentence_of_level(level, theme, form, wording)
                yield Task(content_id([task, level, n, chat[0].content]), task, level, chat, n)


def ask(run: RunFolder, o: argparse.Namespace, tasks: Sequence[Task]) -> dict[str, Row]:
    """DIR/answers.jsonl: rows {id, text, reason}. Levels are told greedily, texts are sampled."""
    writer = Writer(o.model, o.device, o.dtype, server_of(o), run / "calls.jsonl")
    stage = f"answers-{content_id([spelled(o.model), o.temperature, [t.id for t in tasks]])[:8]}"

    def work(batch: Sequence[Task]) -> Iterable[Row]:
        for task in batch:
            told = task.task in TELL
            sampling = Sampling(1, 0.0 if told else o.temperature, 1.0, 16 if told else 128)
            said = writer.ask([Prompt.of(task.messages)], sampling, 0 if told else task.index, o.seed)[0]
            yield {"id": task.id, "task": task.task, "level": task.level, "text": said.text, "reason": said.reason}

    try:
        LocalRunner(run, o.quiet).run(stage, units(tasks, o.batch), work)
    finally:
        writer.close()
    return {row["id"]: row for _, row in read_jsonl(run / f"{stage}.jsonl")}


def grade(
    o: argparse.Namespace, tasks: Sequence[Task], answers: dict[str, Row], sentences: Sequence[Listed], form: str
) -> Row:
    """The result: a table a task."""
    found: Row = {"name": "cefr-levels", "model": o.model, "tasks": {}, "graders": {}}
    for task in TELL:
        read = [(t.level, *_level(answers[t.id])) for t in tasks if t.task == task]
        if read:
            found["tasks"][task] = rates([(asked, got) for asked, got, _ in read], [why for _, _, why in read if why])
    lists = o.grader_words or [OWN]
    levels = Levels(read_levels([OWN if f == "own" else f for f in lists]))
    asked = [t for t in tasks if t.task == WRITE[0]]
    if asked:
        pairs, invalid, unlisted = [], [], 0
        for t in asked:
            words, why = read_words(answers[t.id]["text"] or "", None, form)
            invalid += [answers[t.id]["reason"] or why] if why else []
            of = [levels.level(w) for w in words]
            unlisted += of.count(None)
            pairs += [(t.level, level) for level in of if level]
        found["tasks"][WRITE[0]] = {**rates(pairs, invalid), "not_on_the_list": unlisted}
        found["graders"][WRITE[0]] = ABOUT_OWN if lists == [OWN] else f"a list of {len(levels.of)} words"
    asked = [t for t in tasks if t.task == WRITE[1]]
    if asked:
        grader = fit_grader(read_levels(o.grader_sentences) if o.grader_sentences else sentences, levels)
        pairs, invalid = [], []
        for t in asked:
            sentence, why = read_sentence(answers[t.id]["text"] or "")
            if sentence is None:
                invalid.append(answers[t.id]["reason"] or why or "no sentence")
            else:
                pairs.append((t.level, grader.grade(sentence)))
        found["tasks"][WRITE[1]] = rates(pairs, invalid)
        found["graders"][WRITE[1]] = {"held_out": grader.quality, "about": "counts and a word list, no language model"}
    said = [
        f"{name}: {100 * t['accurate']:.0f}% at the level"
        for name, t in found["tasks"].items()
        if t["accurate"] is not None
    ]
    return {**found, "headline": f"{o.model}: " + "; ".join(said) + "."}


def rates(pairs: Sequence[tuple[str, str | None]], invalid: Sequence[str | None]) -> Row:
    """Shares of all that was asked or written, invalid answers among them; Wilson's 95% interval of the first."""
    good = [(LEVELS.index(a), LEVELS.index(b)) for a, b in pairs if b is not None]
    n = len(good) + len(invalid)
    same = sum(a == b for a, b in good)
    low, high = wilson(same / n, n) if n else (None, None)
    reasons = [str(r) for r in invalid]
    return {
        "n": n,
        "accurate": same / n if n else None,
        "low": low,
        "high": high,
        "acceptable": sum(abs(a - b) == 1 for a, b in good) / n if n else None,
        "bias": sum(b - a for a, b in good) / len(good) if good else None,
        "invalid": {r: reasons.count(r) for r in dict.fromkeys(reasons)},
    }


def _level(row: Row) -> tuple[str | None, str | None]:
    return (None, row["reason"]) if row["text"] is None else read_level(row["text"])


def shown(result: Row) -> str:
    """For a terminal."""
    lines = []
    for name, t in result["tasks"].items():
        if t["n"]:
            sure = f"accurate {t['accurate']:.3f} [{t['low']:.3f}, {t['high']:.3f}]"
            lines.append(
                f"{name:20} {t['n']:5}  {sure}  next level {t['acceptable']:.3f}  invalid {sum(t['invalid'].values())}"
            )
    for name, g in result["graders"].items():
        lines.append(f"{name}: graded by {json.dumps(g) if isinstance(g, dict) else g}")
    return "\n".join(lines)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser("windvane eval cefr-levels", description="Levels of words and sentences, told and written.")
    add = parser.add_argument
    add(
        "--model",
        required=True,
        metavar="M",
        help="a folder or hub id, local:MODEL, world:grades, http://HOST:PORT/v1#MODEL, ...",
    )
    add(
        "--words", nargs="+", default=[], metavar="FILE", help="columns word and level (own: this project's small list)"
    )
    add("--sentences", nargs="+", default=[], metavar="FILE", help="columns sentence and level")
    add(
        "--grader-words", nargs="+", default=[], metavar="FILE", help="the list by which written words are graded (own)"
    )
    add(
        "--grader-sentences",
        nargs="+",
        default=[],
        metavar="FILE",
        help="what the grader of sentences is fitted on (--sentences)",
    )
    add("--form", choices=("full", "compact"), help="of the prompt (compact for the embedded world)")
    add("--limit", type=int, metavar="N", help="questions a task whose answer is a level (all)")
    add("--samples", type=int, default=12, metavar="N", help="texts to write a level (12)")
    add("--temperature", type=float, default=1.0, help="of what is written (1); levels are told greedily")
    add("--out", type=Path, metavar="DIR")
    add("--batch", type=int, default=16, metavar="N", help="answers kept at a time (16)")
    add("--seed", type=int, default=0)
    add("--device", default="auto")
    add("--dtype", default="float32", choices=("float32", "bfloat16"))
    add("--quiet", action="store_true", help="no progress bar")
    add("--json", action="store_true", help="print one JSON object")
    add_server_flags(parser, "a model behind a server")
    o = parser.parse_args(list(argv))
    if min(o.batch, o.samples, o.limit or 1) < 1:
        raise UserError("--batch, --samples, --limit: must be at least 1")
    return o
