"""One's own preferences -> a trained model: any objective, on the file as it is.

    windvane train --objective dpo --model M --data pairs.jsonl --out RUN
    windvane train --objective kto --model M --data labelled.csv --columns answer=reply --out RUN
    windvane train --objective sft --model M --data sharegpt.json --train.lora-rank 16 --out RUN
    windvane train --objective mine.py --model M --data DIR_OF_WINDVANE_PAIR --out RUN

In: a file of pairs, scored groups, labelled answers or chats (docs/data_formats.md has every layout; `windvane inspect FILE --model M`
shows what would be understood), or the folder of `windvane pair`. Out: RUN/model, plain Hugging Face files (or a PEFT adapter),
RUN/report.html, RUN/iter-1 with the rows as they were trained on, token ids included, and train/metrics.jsonl. The reference is the model
at its start; its log-probs are computed once. The same command goes on where it was killed; on CPU it ends in the same bytes.
--push OWNER/NAME, never by default, uploads RUN/model to a private repository of the Hugging Face hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tyro

from windvane.finetune.settings import Finetune, usual_train
from windvane.finetune.stages import OwnFlow
from windvane.runs.launch import launch, taken


def run(settings: Finetune, out: str, quiet: bool = False) -> None:
    """Read and render, score by the start, train, report; what is finished is not done again."""
    with OwnFlow(settings, out, quiet) as flow:
        flow.rows()
        flow.reference()
        flow.train()
        flow.report()


def main(argv: Sequence[str]) -> int:
    """`windvane train --objective NAME --model M --data FILE --out RUN`."""
    repo, argv = taken(argv, "--push")
    objective, _ = taken(argv, "--objective")
    start = Finetune(tyro.MISSING, tyro.MISSING, tyro.MISSING, train=usual_train(objective or "dpo"))
    if repo is None:
        return launch(Finetune, run, argv, "windvane train", __doc__, default=start)
    from windvane.models.push import check_push, push

    check_push(repo)

    def run_and_push(settings: Finetune, out: str, quiet: bool) -> None:
        run(settings, out, quiet)
        print(f"pushed: {push(Path(out) / 'model', repo)} (private)")

    return launch(Finetune, run_and_push, argv, "windvane train", __doc__, default=start)
