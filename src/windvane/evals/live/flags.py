"""Flags that every evaluation with a live model and judge shares; nothing heavy is imported, since scoring a file needs none of it.

In: an argparse parser; later its options. Out: the options checked: what is missing or no count is one line.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from windvane.core.errors import UserError
from windvane.engines.http.flags import add_server_flags
from windvane.evals.result_files import default_folder, kept_result


def add_live_flags(
    parser: argparse.ArgumentParser, several: bool, temperature: float | None, top_p: float, max_new_tokens: int
) -> None:
    """Generation defaults are the benchmark's own; `temperature` None: by category."""
    group = parser.add_argument_group("a live model and judge")
    add = group.add_argument
    if several:
        add(
            "--model",
            nargs="+",
            action="extend",
            metavar="M",
            help="models to ask: folders, hub ids or backends' names",
        )
        add(
            "--name",
            nargs="+",
            action="extend",
            metavar="NAME",
            help="what they are called in rows (default: their specs)",
        )
    add("--judge", metavar="J", help="who judges: llm:BACKEND, http://HOST:PORT/v1#MODEL, py:module:object, ...")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="the folder for rows and results; the same command goes on there (evaluations/NAME/MODEL below this folder)",
    )
    add("--limit", type=int, metavar="N", help="N of the questions, drawn by their content (all)")
    shown = "as published, by category" if temperature is None else temperature
    add("--temperature", type=float, default=temperature, help=f"of the model's answers ({shown})")
    add("--top-p", type=float, default=top_p, help=f"({top_p})")
    add("--max-new-tokens", type=int, default=max_new_tokens, metavar="N", help=f"({max_new_tokens})")
    add("--batch", type=int, default=16, metavar="N", help="answers or judgements kept at a time (16)")
    add("--device", default="auto")
    add("--dtype", default="float32", choices=("float32", "bfloat16"), help="of a model here")
    add("--quiet", action="store_true", help="no progress bars")
    add("--model-price-in", type=float, default=0.0, metavar="N", help="as --price-in, for a model behind a server")
    add("--model-price-out", type=float, default=0.0, metavar="N", help="as --price-out, for a model behind a server")
    add_server_flags(parser)


def check_live(options: argparse.Namespace, verb: str, needed: Sequence[str], result: str | None = None) -> None:
    """`UserError` for what is missing or no count, and where --out holds another evaluation's result. `needed`: names of options;
    `result`: the name in result.json, where it is not the verb's. Without --out a folder named after the models is taken."""
    for name in needed:
        if getattr(options, name) is None:
            raise UserError(f"eval {verb}: --{name.replace('_', '-')} is needed too (see windvane eval {verb} --help)")
    for name in ("limit", "batch", "max_new_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: must be at least 1")
    if options.out is None:
        given = options.model or "given-answers"
        options.out = default_folder(result or verb, given if isinstance(given, str) else "-".join(given))
    kept_result(options.out, result or verb)
