"""The command line: a verb is a "module:function" string, imported when it is called. Nothing heavy is imported before."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial

from windvane.core.errors import UserError
from windvane.core.interrupts import Interrupts, hang_up, how_to_go_on, to_nowhere

VERBS = {
    "demo": ("windvane.toy.demo:main", "SPPO, three iterations, on the embedded world: see it all work, offline"),
    "run sppo": ("windvane.sppo.recipe:main", "self-play preference optimization on your model and prompts"),
    "run longpo": ("windvane.longpo.recipe:main", "a short-context model teaches itself long documents"),
    "run janus": (
        "windvane.janus.collection.recipe:main",
        "a collection of individual values: system messages and answers, by a writer",
    ),
    "run evalyaks": ("windvane.evalyaks.recipe:main", "adapters that grade speaking transcripts, one a part"),
    "run rubrics": (
        "windvane.janus.collection.rubrics:main",
        "a bench of your own: rubrics for values' system messages, by a writer",
    ),
    "claim sppo": (
        "studies.sppo.study:main",
        "SPPO's claims re-run small: games, the embedded world, a cyclic judge",
    ),
    "claim longpo": ("studies.longpo.study:main", "LongPO's claims re-run small: three rounds, its arms, retention"),
    "claim longpo-weight": (
        "studies.longpo.study:weight",
        "LongPO's claim declared anew, the preference weighed against the NLL as in the paper",
    ),
    "claim evalyaks": (
        "studies.evalyaks.study:main",
        "EvalYaks' claim re-run small: adapters against a recalibrated base and no weights",
    ),
    "claim janus": (
        "studies.janus.study:main",
        "Janus' claims re-run small: many system messages against one, what is held out, DPO, ORPO, reward model",
    ),
    "claim rubric-sppo": (
        "studies.rubric_sppo.study:main",
        "self-play under each user's rubric, small, on the embedded world's values",
    ),
    "claim page": ("studies.page:main", "draw docs/claims.md from the kept claims"),
    "train": (
        "windvane.finetune.recipe:main",
        "any objective on your own pairs, scored groups, labelled answers or chats",
    ),
    "train janus": (
        "windvane.janus.training.command:main",
        "models that take values in the system message, from a collection",
    ),
    "train reward": ("windvane.stages.train_reward:main", "a reward model or general preference model from pairs"),
    "generate": ("windvane.stages.generate_command:main", "answers of any model to your prompts"),
    "judge": ("windvane.stages.judge_command:main", "judge answers, a run's or your own, by any judge or by a person"),
    "pair": (
        "windvane.stages.pair_command:main",
        "verdicts or scores to preference groups: best and worst, with probabilities",
    ),
    "inspect": (
        "windvane.stages.inspect.command:main",
        "what would be understood of a file or a chat template; any row of a run",
    ),
    "eval list": ("windvane.evals.catalog:main", "what can be evaluated, what it needs, whether it runs offline"),
    "eval alpaca": (
        "windvane.evals.alpaca.command:main",
        "AlpacaEval 2.0: figures from annotations, a model judged live, a bridge to a new judge",
    ),
    "eval arena-hard": (
        "windvane.evals.arena_hard.command:main",
        "Bradley-Terry ratings from judgements, or models judged live",
    ),
    "eval mt-bench": (
        "windvane.evals.mt_bench.command:main",
        "MT-Bench's two turns: from judgements, or models judged live",
    ),
    "eval length": ("windvane.evals.alpaca.length_adjusted:main", "win rate at equal length, from our own pairs"),
    "eval ruler": (
        "windvane.evals.ruler.command:main",
        "RULER: ask a model at growing lengths, or score given answers",
    ),
    "eval infinitebench": (
        "windvane.evals.infinitebench.command:main",
        "InfiniteBench: score predictions, or make a model's",
    ),
    "eval long-chat": ("windvane.evals.long_chat.command:main", "long documents: answers graded by a rubric judge"),
    "eval perplexity": ("windvane.evals.perplexity:main", "nats a token of held-out documents"),
    "eval harness": (
        "windvane.evals.harness.command:main",
        "the papers' short-context suites, through lm-evaluation-harness",
    ),
    "eval intransitivity": (
        "windvane.evals.intransitivity.command:main",
        "how intransitive a judge is, beyond its noise",
    ),
    "eval cefr": (
        "windvane.evalyaks.evaluation.command:main",
        "predicted against reference bands, beside constants, length and humans",
    ),
    "eval cefr-baseline": (
        "windvane.evalyaks.scoring.baseline:main",
        "the weight-free scorer of transcripts, cross-validated",
    ),
    "eval cefr-levels": (
        "windvane.evalyaks.evaluation.level_tasks:main",
        "levels of words and sentences: told, and written to order",
    ),
    "eval multifaceted": ("windvane.janus.bench.command:main", "answers graded by each user's rubrics; human votes"),
    "eval steerability": (
        "windvane.janus.steerability.command:main",
        "does an answer change as its system message asks, and only then",
    ),
    "eval toxicity": ("windvane.evals.toxicity.command:main", "the worst of 25 answers, by any classifier of toxicity"),
    "eval helpfulness": (
        "windvane.evals.helpfulness:main",
        "AlpacaEval, MT-Bench and Arena-Hard of a finished run",
    ),
    "eval judge": (
        "windvane.evals.judge_card.command:main",
        "a judge's card: accuracy, order flips, ties, null answers, length",
    ),
    "convert pairrm": (
        "windvane.judges.pairrm.convert:main",
        "PairRM from a pickle or LLM-Blender's layout to safetensors",
    ),
    "score": (
        "windvane.evalyaks.scoring.command:main",
        "bands for speaking transcripts, with probabilities, as a table",
    ),
    "data transcripts": (
        "windvane.evalyaks.transcripts.command:main",
        "read, repair, count and split speaking transcripts",
    ),
    "data speech-instructions": (
        "windvane.evalyaks.instructions_command:main",
        "instruction sets: marking parts, levels of words and sentences",
    ),
    "data synthesize": ("windvane.evalyaks.writing.command:main", "write practice conversations for planned bands"),
    "merge": (
        "windvane.models.merge:main",
        "an adapter, or a stack of them, added into its base: one plain model",
    ),
    "export": ("windvane.datasets.export:main", "a run's preference pairs for other trainers"),
    "status": ("windvane.report.status:main", "what stands of a run, what is going on, how long it will take"),
    "report": ("windvane.report.page:main", "write a run's report again"),
    "serve": (
        "windvane.serve.command:main",
        "in the browser: score transcripts, validate them, two models side by side, runs",
    ),
    "world build": ("windvane.toy.build:main", "learn an embedded model from scratch"),
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


def below(first: str) -> list[str]:
    """The two-word verbs that begin with `first`."""
    return [verb for verb in VERBS if verb.split()[0] == first and " " in verb]


def find(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The verb at the head of `argv` (one or two words) and the rest."""
    for words in (2, 1):
        verb = " ".join(argv[:words])
        if verb in VERBS:
            return verb, list(argv[words:])
    second = [verb.split()[1] for verb in below(argv[0])]
    if second and len(argv) == 1:
        raise UserError(f"{argv[0]} what? One of: {', '.join(second)}")
    raise UserError(f"no verb '{' '.join(argv[: 2 if second else 1])}'; there are: {', '.join(VERBS)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; 0 when done, or when nobody reads any more what it prints, 2 for what the user can mend (one line says what), 130 when
    interrupted, 143 by SIGTERM."""
    argv = list(sys.argv[1:] if argv is None else argv)
    interrupts = Interrupts(partial(how_to_go_on, argv))
    try:
        with interrupts.heard():
            try:
                code = _run(argv)
            except KeyboardInterrupt:
                code = interrupts.tell()
    except BrokenPipeError as error:
        code = 0 if hang_up() else _failed(error)
    except OSError as error:
        code = _failed(error)
    return _written() or code


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"windvane {version('windvane')}")
        return 0
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.showwarning = _one_line
    try:
        if len(argv) == 2 and argv[1] in ("-h", "--help") and argv[0] not in VERBS and below(argv[0]):
            print("\n".join(f"{name}: {VERBS[name][1]}" for name in below(argv[0])))
            return 0
        verb, rest = find(argv)
        module, _, function = VERBS[verb][0].partition(":")
        try:
            work = partial(_called, module, function, rest)
            if os.environ.get("WORLD_SIZE", "1") == "1":
                return work()
            # torchrun: the first process does the verb, the others train with it
            return int(importlib.import_module("windvane.train.processes").lead(work))
        except SystemExit as stop:
            if stop.code or not {"-h", "--help"} & set(rest):
                raise UserError(
                    f"{verb}: something called exit({stop.code!r}); what it should have done is not done"
                ) from None
            return 0
        except Exception as error:
            if type(error).__name__ == "SafetensorError":  # what safetensors could not read or write, a full disk say
                raise UserError(f"weights could not be read or written: {error}") from None
            raise
    except UserError as error:
        _say(f"windvane: {error}")
        return 2


def _called(module: str, function: str, rest: list[str]) -> int:
    return getattr(importlib.import_module(module), function)(rest) or 0


def _failed(error: OSError) -> int:
    """A file that could not be read or written, a full disk, a connection that was cut: one line."""
    place = f"{error.filename}: " if error.filename else ""
    _say(f"windvane: {place}{error.strerror or error}")
    return 2


def _say(text: str) -> None:
    """A line on standard error. Where nobody reads it any more, the exit code alone says that something is wrong."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        hang_up()


def _written() -> int:
    """Write out what is still in the buffer, while its errors can be handled; 2 where there is no room for it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        hang_up()  # all that was asked for was done, and a code that is not 0 still stands
    except OSError as error:
        to_nowhere(sys.stdout)
        return _failed(OSError(error.errno, error.strerror, "standard output"))
    return 0


def _one_line(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """A warning as one line, its place left out; those for the programmers of libraries are not shown."""
    if not issubclass(category, (DeprecationWarning, FutureWarning)):
        print(f"windvane: note: {' '.join(str(message).split())[:300]}", file=sys.stderr)
