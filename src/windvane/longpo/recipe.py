"""LongPO, whole (arXiv 2502.13922): a short-context model teaches itself long context, round by round.

In: a short-context instruct model and long documents. Out: a run folder, RUN/model in plain Hugging Face form. A round's model writes
questions about short chunks, answers each from the chunk (chosen) and from the whole document with its RoPE base raised (rejected), and
is trained to prefer, on the long input, what it said on the short one; the frozen short model on the short input is the reference.

Reading the documents for the rejected answers is most of the work: 45,000 documents of 131,072 tokens at 7B are about 200 GPU-hours
(6.4e15 operations each at 4e14 a second), with each document read once for all its questions. The run says its own estimate before it
starts.

The settings and their sources are in longpo/settings.py; docs/papers/longpo.md has where this departs from the released code."""

from __future__ import annotations

from collections.abc import Sequence

from windvane.longpo.settings import Answer, Ask, Chunks, Filters, LongPO
from windvane.longpo.stages import LongFlow
from windvane.runs.launch import launch
from windvane.train.settings import Train

TOYS = ("toy:facts", "world:facts")  # two spellings of the same toy model


def run(settings: LongPO, out: str, quiet: bool = False) -> None:
    """The rounds, resumable: every call below is skipped when its files stand."""
    with LongFlow(settings, out, quiet) as flow:
        made = flow.arm.objective is not None or settings.data is not None  # theta alone needs no data of its own
        if made:
            flow.gather()
        for t in range(1, settings.rounds + 1):
            if made:
                flow.chunk(t)
                flow.ask(t)  # I ~ pi_S(.|chunk)
                flow.choose(t)  # y_S ~ pi_S(.|chunk, I)
                flow.reject(t)  # y_L ~ pi_S(.|document, I), theta raised
                flow.filter(t)
                flow.reference(t)  # log pi_S(y|chunk, I) of both, once
            flow.train(t)  # -lam log sigmoid(beta [...]) + NLL
            if made:
                flow.measure(t)  # KL(pi(.|document, I) || pi_S(.|chunk, I))
                flow.retain(t)  # -log pi(chunk), beside the start's
        flow.report()


def toy_recipe(model: str = "toy:facts") -> LongPO:
    """Settings for the toy world, whose model knows documents of 128 tokens; `model` is either of its spellings.

    Only the loss, beta and the order of the stages are the paper's.
    """
    return LongPO(
        model=model,
        documents=(model,),
        lengths="512,1024",
        theta=(6.25e3,),  # 6.25 times its own: of five factors the best raised without training (docs/toy.md)
        nll="no-template",  # a template's own tokens are left out: see docs/papers/longpo.md
        iterate="chained",
        lam=0.1,
        chunks=Chunks(per_round=192, tokens=90, min_chunk=45, per_document=2),
        ask=Ask(
            prompt="{chunk}\n\nAsk a question about the text.",
            count=1,
            temperature=0.7,
            top_p=1.0,
            max_new_tokens=12,
            attempts=6,
            grounding=model,
            lead_ins=(),
            max_tokens=12,
        ),
        answer=Answer(temperature=1.0, max_new_tokens=12),
        filters=Filters(repetition_chosen=1.0, repetition_rejected=1.0, whole_repeats=0, min_words=0),
        train=Train(
            objective="longpo",
            optimizer="adamw",
            lr=5e-5,  # at 2e-4 round 1 unlearns more than it teaches (docs/papers/longpo.md)
            schedule="linear",
            warmup=0.1,
            epochs=2,
            batch=8,
            micro_tokens=8192,
            held_out=0.1,
            keep="last",
        ),
        batch_documents=16,
        device="cpu",
        threads=1,
    )


def main(argv: Sequence[str]) -> int:
    """`windvane run longpo --model M --documents FILES --lengths 128k,256k,512k --out RUN`."""
    toy = next((name for name in TOYS if name in argv or f"--model={name}" in argv), None)
    default = None if toy is None else toy_recipe(toy)
    return launch(LongPO, run, argv, "windvane run longpo", __doc__, default=default)
