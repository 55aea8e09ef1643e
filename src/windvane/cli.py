"""The command line: a verb is a "module:function" string, imported when it is called. Nothing heavy is imported before."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from windvane.errors import UserError

VERBS = {
    "demo": ("windvane.recipes.demo:main", "SPPO, three iterations, on the embedded world: see it all work, offline"),
    "run sppo": ("windvane.recipes.sppo:main", "self-play preference optimization on your model and prompts"),
    "eval list": ("windvane.evaluate.listing:main", "what can be evaluated, what it needs, whether it runs offline"),
    "eval alpaca": ("windvane.evaluate.alpaca:main", "AlpacaEval 2.0 figures from annotations, length-controlled too"),
    "eval arena-hard": ("windvane.evaluate.pairwise:main", "Bradley-Terry ratings from pairwise judgements"),
    "eval mt-bench": ("windvane.evaluate.mt_bench:main", "MT-Bench's two-turn scores from judgements"),
    "eval length": ("windvane.evaluate.length_adjusted:main", "win rate at equal length, from our own pairs"),
    "eval ruler": ("windvane.evaluate.ruler:main", "RULER: ask a model at growing lengths, or score given answers"),
    "eval infinitebench": (
        "windvane.evaluate.infinitebench:main",
        "InfiniteBench: score predictions, or make a model's",
    ),
    "export": ("windvane.data.export:main", "a run's preference pairs for other trainers"),
    "report": ("windvane.report.page:main", "write a run's report again"),
    "world build": ("windvane.world.build:main", "learn an embedded model from scratch"),
}


def usage() -> str:
    lines = ["usage: windvane VERB [options]      windvane VERB --help for a verb's options", ""]
    width = max(map(len, VERBS))
    lines += [f"  {name:{width}}  {text}" for name, (_, text) in VERBS.items()]
    lines += [
        "",
        "generate -> judge -> pair -> train -> evaluate -> report, repeated; every run can be killed and resumed",
        "by the same command.",
    ]
    return "\n".join(lines)


def find(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The verb at the head of `argv` (one or two words) and the rest."""
    for words in (2, 1):
        verb = " ".join(argv[:words])
        if verb in VERBS:
            return verb, list(argv[words:])
    second = [v.split()[1] for v in VERBS if v.split()[0] == argv[0] and " " in v]
    if second and (len(argv) == 1 or argv[1] in ("-h", "--help")):
        raise UserError(f"{argv[0]} what? One of: {', '.join(second)}")
    raise UserError(f"no verb '{' '.join(argv[: 2 if second else 1])}'; there are: {', '.join(VERBS)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; 0 when done, 2 for what the user can mend (one line says what), 130 when interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"windvane {version('windvane')}")
        return 0
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        verb, rest = find(argv)
        module, _, function = VERBS[verb][0].partition(":")
        try:
            return getattr(importlib.import_module(module), function)(rest) or 0
        except SystemExit as stop:  # --help of a verb
            return int(stop.code or 0)
    except UserError as error:
        print(f"windvane: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        place = f"{error.filename}: " if error.filename else ""
        print(f"windvane: {place}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("windvane: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
