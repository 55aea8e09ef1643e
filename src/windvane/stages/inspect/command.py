"""`windvane inspect`: what would be understood of a file, a model's chat template, or one row of a run.

    windvane inspect pairs.jsonl                  the layout, counts, lengths in words, duplicates, test prompts, refused rows
    windvane inspect pairs.jsonl --model M        the same in M's tokens, and a row as it would be trained on, what is learnt in colour
    windvane inspect M                            what M's chat template does where templates go wrong (docs/templates.md)
    windvane inspect RUN --id ID                  everything that a run holds of a prompt or an answer

In: any of these. Out: text, or with --json one object, nothing else; nothing is written to disk. A refused row is no error here: it is
what one wants to see.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windvane.core.arguments import Parser
from windvane.core.families import is_family
from windvane.datasets.columns import KINDS, mapping
from windvane.datasets.rows import Rows, read_rows
from windvane.stages.inspect.counts import counts, reasons
from windvane.stages.inspect.display import Paint, example, table
from windvane.stages.inspect.run_rows import inspect_row
from windvane.stages.rows import Made, Rendering, make_records

SHOWN = 10  # refused rows named on the terminal; --json has all


def main(argv: Sequence[str]) -> int:
    """Look, and tell."""
    o = _parser().parse_args(list(argv))
    path = Path(o.what).expanduser()
    if o.id is not None or (path / "recipe.toml").exists():
        return inspect_row(path, o.id, o.json)
    if (path.is_dir() and (path / "tokenizer_config.json").exists()) or (is_family(o.what) and not o.model):
        return _template(o.what, o)
    kind = None if o.layout == "auto" else o.layout
    data = read_rows(o.what, mapping(o.columns), kind, o.split, collect=True, dialogues=o.text == "chat")
    made, notes, rendered = None, list[Any](), None
    if o.model:
        made, notes, rendered = _rendered(data, o)
    told = counts(data, made, o.near, o.against)
    told["template"] = [n.line for n in notes if n.level != "ok"]
    if o.json:
        print(json.dumps(told | {"example": rendered}, ensure_ascii=False))
    else:
        print(_page(data, told, made, o, notes))
    return 0


def _rendered(data: Rows, o: Any) -> tuple[Made | None, list[Any], dict[str, Any] | None]:
    """(the rows in the model's tokens, the template's findings, the example's parts)."""
    from windvane.prompts.template_checks import findings, set_thinking
    from windvane.stages.tokenizer import own_tokenizer

    tokenizer, stops, window = own_tokenizer(o.model)
    if o.thinking != "template":
        set_thinking(tokenizer, o.thinking == "on")
    notes = findings(tokenizer, stops) if o.text == "chat" else []
    if any(n.level == "refuse" for n in notes):
        return None, notes, None
    how = Rendering(o.text, o.system, o.learn, o.closing, o.append_eos, None, o.max_length)
    made = make_records(data, tokenizer, stops, window, how, collect=True)
    shown = example(made, tokenizer, o.row, data.source) if made.prompts else None
    return made, notes, shown


def _page(data: Rows, told: dict[str, Any], made: Made | None, o: Any, notes: list[Any]) -> str:
    paint = Paint.here(sys.stdout)
    lines = [f"{paint.strong(data.source)}: {told['layout']}, {KINDS[told['layout']]}", ""]
    lines += [f"  {role:<14} {column}" for role, column in data.layout.columns.items()]
    if data.layout.unread:
        lines.append(f"  {'not read':<14} {', '.join(data.layout.unread)}")
    lines += ["", *table(told)]
    refused = told["refused"]
    if refused:
        lines += ["", paint.strong(f"{len(refused)} rows would be refused:")]
        lines += [f"  {count:>6}  {reason}" for reason, count in reasons(refused)]
        lines += [f"  {one['reason']}" for one in refused[:SHOWN]]
        if len(refused) > SHOWN:
            lines.append(f"  {SHOWN} of {len(refused)} shown; --json has all")
    if notes:
        lines += ["", paint.strong(f"the chat template of {o.model}:")]
        lines += [f"  {paint.sign(n.level)} {n.check}: {n.line}" for n in notes]
    if o.model and made is not None and made.prompts:
        from windvane.stages.tokenizer import own_tokenizer

        lines += ["", *paint.row(example(made, own_tokenizer(o.model)[0], o.row, data.source))]
    elif not o.model:
        lines += ["", "--model M counts in M's tokens and shows a row as it would be trained on"]
    return "\n".join(lines)


def _template(model: str, o: Any) -> int:
    from windvane.prompts.template_checks import findings, set_thinking
    from windvane.stages.tokenizer import own_tokenizer

    tokenizer, stops, window = own_tokenizer(model)
    if o.thinking != "template":
        set_thinking(tokenizer, o.thinking == "on")
    found = findings(tokenizer, stops)
    names = tokenizer.convert_ids_to_tokens(sorted(stops))
    if o.json:
        rows = [{"check": f.check, "level": f.level, "told": f.told, "mend": f.mend} for f in found]
        print(json.dumps({"model": model, "stops": names, "window": window, "findings": rows}, ensure_ascii=False))
    else:
        paint = Paint.here(sys.stdout)
        print(f"{paint.strong(model)}: answers stop at {', '.join(map(str, names))}; window {window:,} tokens")
        for f in found:
            print(f"  {paint.sign(f.level)} {f.check}: {f.line}")
    return 2 if any(f.level == "refuse" for f in found) else 0


def _parser() -> Parser:
    parser = Parser(
        "windvane inspect", description="What would be understood of a file, a chat template, or a run's row."
    )
    add = parser.add_argument
    add("what", metavar="FILE|MODEL|RUN", help="data in any layout, a model's folder, or a run's folder")
    add("--model", metavar="M", help="count in this model's tokens and show a row through its template")
    add("--id", metavar="ID", help="of a run: the prompt or answer to show")
    add("--row", type=int, metavar="N", help="the row to show, as the file counts them (the first that is read)")
    add(
        "--columns",
        nargs="*",
        default=[],
        metavar="ROLE=COLUMN",
        help="where names are not usual: prompt=frage chosen=gut",
    )
    add("--layout", choices=["auto", *KINDS], default="auto", help="what a row is, where its columns leave it open")
    add("--split", metavar="NAME", help="of a data set with several")
    add("--text", choices=["chat", "plain"], default="chat", help="plain: through no template")
    add(
        "--system",
        choices=["template", "merge"],
        default="template",
        help="merge: the system message goes into the user turn",
    )
    add("--thinking", choices=["template", "on", "off"], default="template", help="sets the template's enable_thinking")
    add("--learn", choices=["all", "last"], default="all", help="which of a chat's assistant turns are learnt")
    add(
        "--closing",
        choices=["stop", "template"],
        default="stop",
        help="whether what stands behind the stop token is learnt",
    )
    add("--append-eos", action="store_true", help="where the template ends an answer without one")
    add("--max-length", type=int, metavar="N", help="tokens of prompt and answer (the model's window)")
    add(
        "--against",
        metavar="FILE",
        help="a test set of your own: which rows hold one of its prompts, or 13 words in a row",
    )
    add(
        "--near",
        choices=["auto", "yes", "no"],
        default="auto",
        help="look for near-duplicates (auto: up to 20,000 prompts)",
    )
    add("--json", action="store_true", help="print one JSON object")
    return parser
