"""A run's preference pairs for other trainers.

In: a finished run folder (or one finished iteration of it). Out: one file, a row a pair, JSONL or Parquet by the suffix: `prompt`,
`chosen`, `rejected` as lists of turns (TRL's conversational preference format), or the same pairs in another trainer's layout
(`LAYOUTS`), and beside them the win probabilities, whether an answer was cut at max_new_tokens, the iteration and the prompt's id.

Departure from training here: text is what other trainers read, and they tokenise it again. An answer cut at max_new_tokens then gets
an EOS that was never sampled, and text may come back as other tokens than were sampled; both are counted, never left out.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.records import Group, Message, Prompt, Response
from windvane.core.schema import dumps
from windvane.prompts.chat import answered, merged
from windvane.runs.store import file_sha256, named, read_records, write_new


@dataclass(frozen=True, slots=True)
class Exported:
    """`pairs` written; groups without a pair by their status; pairs with an answer cut at max_new_tokens; pairs whose text a tokenizer
    turns into other token ids than were sampled (None where no tokenizer was given)."""

    pairs: int
    left_out: Mapping[str, int]
    cut: int
    other_tokens: int | None


def export_trl(
    run: Path, out: Path, iteration: int | None = None, tokenizer: Any = None, layout: str = "trl"
) -> Exported:
    """Write the pairs of `iteration` (None: of all, the run finished) to `out` (.jsonl or .parquet) in a `layout` of `LAYOUTS`.

    `tokenizer` (the run's): compare what a text-based trainer will tokenise with the ids that were sampled. Raises `UserError` for a
    run or iteration that is not finished, an unknown suffix, an `out` inside the run, a run without a single pair.
    """
    if out.suffix not in (".jsonl", ".parquet"):
        raise UserError(f"{out}: unknown kind of file; name it .jsonl or .parquet")
    if run.resolve() in out.resolve().parents:
        raise UserError(f"{out}: inside the run folder, whose files are listed in its manifest; write it elsewhere")
    recipe = _recipe(run)
    if "documents" in recipe and "lengths" in recipe:
        raise UserError(
            f"{run}: a LongPO run; TRL's format has one prompt a pair, and LongPO's loss needs two (the reference reads the chunk, the "
            "policy the document): --format trl would train another method. The pairs are in iter-*/chosen.jsonl and rejected.jsonl"
        )
    system = recipe.get("system", "template")
    rows: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    cut = other = 0
    for number in _iterations(run, iteration):
        folder = run / f"iter-{number}"
        prompts = {p.id: p for p in read_records(folder / "prompts.jsonl", Prompt)}
        responses = {r.id: r for r in read_records(folder / "responses.jsonl", Response)}
        if (folder / "spans.jsonl").exists() and (folder / "spans.jsonl").read_text(encoding="utf-8").strip():
            raise UserError(
                f"{folder}: some answers have several turns, and a run keeps their text as one; export is of answers of one turn: give the "
                "other trainer the file that this run was trained on"
            )
        for group in read_records(folder / "groups.jsonl", Group):
            if group.chosen is None or group.rejected is None:
                left_out[group.status] += 1
                continue
            row, pair = _row(group, prompts, responses, number, system, folder)
            rows.append(row)
            cut += any(answer.finish == "length" for answer in pair)
            if tokenizer is not None:
                other += any(_others(tokenizer, row, prompts[group.id], answer) for answer in pair)
    if not rows:
        counts = ", ".join(f"{n} {status}" for status, n in sorted(left_out.items())) or "no groups"
        raise UserError(f"{run}: not a single pair to export ({counts})")
    _write(out, [LAYOUTS[layout][0](row) for row in rows])
    return Exported(len(rows), dict(left_out), cut, None if tokenizer is None else other)


def _recipe(run: Path) -> dict[str, Any]:
    path = run / "recipe.toml"
    if not path.exists():
        raise UserError(f"{run}: not a run folder (it has no recipe.toml); name a run's --out")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _iterations(run: Path, wanted: int | None) -> list[int]:
    """The iterations to export, all of them with finished groups."""
    there = sorted(int(p.name[5:]) for p in run.glob("iter-*") if p.name[5:].isdigit() and p.name != "iter-0")
    ready = [n for n in there if (run / f"iter-{n}" / "groups.jsonl").exists()]
    if wanted is not None:
        if wanted not in ready:
            listed = ", ".join(map(str, ready)) or "none yet"
            raise UserError(f"{run}: iteration {wanted} has no finished pairs; iterations that have: {listed}")
        return [wanted]
    if not ready or ready != there or not (run / "summary.json").exists():
        mend = f", or give one of its iterations: --iteration {' | '.join(map(str, ready))}" if ready else ""
        raise UserError(f"{run}: this run is not finished; finish it with the command that started it{mend}")
    return ready


def _row(
    group: Group,
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
    number: int,
    system: str,
    folder: Path,
) -> tuple[dict[str, Any], list[Response]]:
    members = {m.index: m for m in group.members}
    chosen, rejected = members[group.chosen], members[group.rejected]  # type: ignore[index]
    missing = [m.response_id for m in (chosen, rejected) if m.response_id not in responses]
    if missing or group.id not in prompts:
        raise UserError(f"{folder}: groups.jsonl names {', '.join(missing) or group.id}, which the run does not hold")
    messages = prompts[group.id].messages
    pair = [responses[chosen.response_id], responses[rejected.response_id]]
    row = {
        "prompt": [
            {"role": m.role, "content": m.content} for m in (merged(messages) if system == "merge" else messages)
        ],
        "chosen": [{"role": "assistant", "content": pair[0].text}],
        "rejected": [{"role": "assistant", "content": pair[1].text}],
        "chosen_p_loo": chosen.p_loo,
        "chosen_p_incl": chosen.p_incl,
        "rejected_p_loo": rejected.p_loo,
        "rejected_p_incl": rejected.p_incl,
        "chosen_finish": pair[0].finish,
        "rejected_finish": pair[1].finish,
        "iteration": number,
        "prompt_id": group.id,
    }
    return row, pair


def _others(tokenizer: Any, row: dict[str, Any], prompt: Prompt, answer: Response) -> bool:
    """Whether the rendered text of prompt and answer has other token ids than were sampled (line ends after EOS aside)."""
    ids = answered(tokenizer, [Message(**turn) for turn in row["prompt"]], answer.text)
    sampled = prompt.token_ids + answer.token_ids
    return ids[: len(sampled)] != sampled or tokenizer.decode(ids[len(sampled) :]).strip() != ""


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    if out.suffix == ".jsonl":
        write_new(out, "".join(dumps(row) + "\n" for row in rows))
        return
    import pyarrow
    import pyarrow.parquet

    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(out.name + ".tmp")
    try:
        with named(out):
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), aside)
        if out.exists() and (not out.is_file() or file_sha256(out) != file_sha256(aside)):
            raise UserError(f"--out {out}: is there already, and is something else; name a new file or remove it")
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


# ---- the layouts of other trainers -----------------------------------------------------------------------------------------------------

Row = dict[str, Any]
SPEAKERS = {"user": "human", "assistant": "gpt"}


def trl(row: Mapping[str, Any]) -> Row:
    """As it is: conversational prompt, chosen, rejected."""
    return dict(row)


def axolotl(row: Mapping[str, Any]) -> Row:
    """`messages` before the answers, `chosen` and `rejected` a turn each."""
    rest = {k: v for k, v in row.items() if k not in ("prompt", "chosen", "rejected")}
    return {"messages": row["prompt"], "chosen": row["chosen"][0], "rejected": row["rejected"][0], **rest}


def llama_factory(row: Mapping[str, Any]) -> Row:
    """`conversations` with "from" and "value", the system message in a column of its own."""
    turns = list(row["prompt"])
    system = turns.pop(0)["content"] if turns[0]["role"] == "system" else ""
    rest = {k: v for k, v in row.items() if k not in ("prompt", "chosen", "rejected")}
    return {
        "conversations": [_sharegpt(t) for t in turns],
        "system": system,
        "chosen": _sharegpt(row["chosen"][0]),
        "rejected": _sharegpt(row["rejected"][0]),
        **rest,
    }


def _sharegpt(turn: Mapping[str, str]) -> dict[str, str]:
    return {"from": SPEAKERS[turn["role"]], "value": turn["content"]}


def trl_config(file: str) -> str:
    return f"load_dataset({'parquet' if file.endswith('.parquet') else 'json'!r}, data_files={file!r}, split='train')"


def axolotl_config(file: str) -> str:
    """The lines of a `rl: dpo` config."""
    kind = "parquet" if file.endswith(".parquet") else "json"
    return (
        f"rl: dpo\ndatasets:\n  - path: {file}\n    ds_type: {kind}\n    split: train\n    type: chat_template.default\n"
        "    field_messages: messages\n    field_chosen: chosen\n    field_rejected: rejected"
    )


def llama_factory_config(file: str) -> str:
    """The entry of dataset_info.json."""
    columns = {"messages": "conversations", "system": "system", "chosen": "chosen", "rejected": "rejected"}
    entry = {"windvane_pairs": {"file_name": file, "ranking": True, "formatting": "sharegpt", "columns": columns}}
    return json.dumps(entry, indent=2)


LAYOUTS: dict[str, tuple[Callable[[Mapping[str, Any]], Row], Callable[[str], str], str]] = {
    "trl": (trl, trl_config, "in Python"),
    "axolotl": (axolotl, axolotl_config, "in the config"),
    "llama-factory": (llama_factory, llama_factory_config, "in data/dataset_info.json"),
}


def main(argv: Sequence[str]) -> int:
    """`windvane export RUN [--format trl|axolotl|llama-factory] [--out FILE] [--iteration N]`."""
    parser = Parser(prog="windvane export", description="Write a run's preference pairs for other trainers.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--format", choices=[*LAYOUTS], default="trl", help="the trainer that is to read it (trl)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=".jsonl or .parquet (default: RUN's name -FORMAT.jsonl, here)"
    )
    parser.add_argument(
        "--iteration", type=int, metavar="N", help="one iteration's pairs (default: all of a finished run)"
    )
    given = parser.parse_args(list(argv))
    out = given.out or Path(f"{given.run.resolve().name}-{given.format}.jsonl")
    tokenizer = None
    if (given.run / "model" / "tokenizer_config.json").exists():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(given.run / "model")
    done = export_trl(given.run, out, given.iteration, tokenizer, given.format)
    print(f"{out}: {done.pairs} pairs; {LAYOUTS[given.format][2]}:\n{LAYOUTS[given.format][1](out.name)}")
    if done.left_out:
        print("groups without a pair: " + ", ".join(f"{n} {status}" for status, n in sorted(done.left_out.items())))
    if done.cut:
        print(
            f"{done.cut} pairs hold an answer cut at max_new_tokens (*_finish = length): other trainers end it with an EOS"
        )
    if done.other_tokens:
        print(f"{done.other_tokens} pairs come back from their text as other token ids than were sampled")
    return 0
