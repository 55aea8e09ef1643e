"""PairRM as a judge: P(a beats b) = sigmoid(logit of the row that shows a first).

In: pairwise questions. Out: probabilities in float64, and by `logits` what they are made of. Each question is one order; whoever asks both
(`windvane.stages.judge` does) sees PairRM's position asymmetry, which is real: logit(a, b) is not -logit(b, a). Rows are sorted by
length and
batched, which changes no logit beyond rounding; equal rows are computed once.

`pairrm:MODEL` is a folder or a hub id; `pairrm:MODEL#fixed` takes the budget of that name (`pairrm_tokens`), `#refuse` leaves a question
unanswered, with its lengths, where a text would have to be cut; both: `#fixed,refuse`. What was cut is said in `reasons`, question by
question, and kept in the verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Prompt, Response
from windvane.judges.pairrm.files import load
from windvane.judges.pairrm.model import PairRM, Row
from windvane.judges.pairrm.text import Texts, texts
from windvane.judges.pairrm.tokens import RowMaker
from windvane.models.load import DTYPES, pick_device
from windvane.stats.logistic import sigmoid

# rows x length^2 of one forward; DeBERTa keeps several such matrices a head. CPU: measured (docs/judges.md), past this nothing is gained;
# CUDA: 2 GiB a matrix of PairRM's 16 heads in float32, not tuned.
CELLS = {"cpu": 2**17, "cuda": 2**25}
WORDS = ("blender", "fixed", "refuse")
NOT_FINITE = "the logit is not a finite number"


class PairRMJudge:
    """`reasons`: for each question of the last call without an answer, why; for one whose texts were cut, by how much. `cut`: rows of
    the last call that lost tokens.

    `cells`: the bound of a batch, rows x (length of the longest)^2; at least one row goes.
    """

    def __init__(
        self, model: PairRM, maker: RowMaker, name: str = "model", refuse: bool = False, cells: int | None = None
    ) -> None:
        self.model, self.maker, self.name, self.refuse = model, maker, name, refuse
        self.cells = cells or CELLS.get(model.device.type, CELLS["cpu"])
        self.reasons: dict[str, str] = {}
        self.left: list[
            tuple[int, int, int]
        ] = []  # tokens left off each row of the last call: prompt, first answer, second

    @property
    def cut(self) -> int:
        return sum(map(any, self.left))

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        """sigmoid(logit), float64, so that it holds its logit up to about 30 either way; None where there is none."""
        return [None if z is None else sigmoid(z) for z in self.logits(questions)]

    def logits(self, questions: Sequence[Question]) -> list[float | None]:
        """log-odds that the first answer beats the second, as the released SPPO estimate aggregates them."""
        found = self.logits_of([texts(q) for q in questions])
        said = [z if isinstance(z, str) else _lost("cut", left) for z, left in zip(found, self.left)]
        self.reasons = {q.key: f"pairrm:{self.name}: {q.key}: {why}" for q, why in zip(questions, said) if why}
        return [z if isinstance(z, float) else None for z in found]

    def logits_of(self, compared: Sequence[Texts]) -> list[float | str]:
        """One logit a comparison, or the reason why there is none. Two conversations are laid out by `pairrm_text.conversations`."""
        made = self.maker.rows(compared)
        self.left = [left for _, left in made]
        found: list[float | str] = [(self.refuse and _lost("too long", left)) or math.nan for left in self.left]
        wanted = {row: math.nan for (row, _), z in zip(made, found) if isinstance(z, float)}
        for part in batches(list(wanted), self.cells):
            wanted.update(zip(part, self.model.logits(part)))
        for i, (row, _) in enumerate(made):
            if isinstance(found[i], float):
                found[i] = wanted[row] if math.isfinite(wanted[row]) else NOT_FINITE
        return found

    def matrix(self, prompt: Prompt, answers: Sequence[Response]) -> list[list[float]]:
        """M[i][k]: the logit with answer i shown first and k second, 0 on the diagonal: all K(K-1) ordered pairs, as Blender's `rank`
        has them (its scores are the row means of M - M transposed). `UserError` where a pair has no logit."""
        pairs = [(i, k) for i in range(len(answers)) for k in range(len(answers)) if i != k]
        asked = [Question(f"{prompt.id}-{i}-{k}", prompt, answers[i], answers[k]) for i, k in pairs]
        found = [[0.0] * len(answers) for _ in answers]
        for (i, k), question, logit in zip(pairs, asked, self.logits(asked)):
            if logit is None:
                raise UserError(self.reasons[question.key])
            found[i][k] = logit
        return found


def batches(rows: Sequence[Row], cells: int) -> list[list[Row]]:
    """`rows` sorted by length (then by their ids), in parts of at most `cells` attention cells."""
    parts: list[list[Row]] = []
    for row in sorted(rows, key=lambda r: (len(r.ids), r.ids)):
        if not parts or (len(parts[-1]) + 1) * len(row.ids) ** 2 > cells:
            parts.append([])
        parts[-1].append(row)
    return parts


def open_judge(spec: str, device: str, dtype: str) -> PairRMJudge:
    """`pairrm:MODEL[#WORD,...]`: a folder or a hub id."""
    name, _, said = spec.partition("#")
    words = [w for w in said.split(",") if w]
    if not set(words) <= set(WORDS) or {"blender", "fixed"} <= set(words):
        raise UserError(f"judge pairrm:{spec}: after # take {' or '.join(WORDS)} (or fixed,refuse)")
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype}: unknown; take {' or '.join(DTYPES)}")
    target = pick_device(device)
    model, parts = load(name, DTYPES[dtype])
    maker = RowMaker(parts.tokenizer, parts.limits, "fixed" if "fixed" in words else "blender")
    return PairRMJudge(model.to(target), maker, name, refuse="refuse" in words)


def _lost(how: str, left: tuple[int, int, int]) -> str:
    """Which texts lost tokens and how many; empty where none did."""
    told = [
        f"{what} by {n} tokens" for what, n in zip(("the prompt", "the first answer", "the second answer"), left) if n
    ]
    return f"{how}: {', '.join(told)}" if told else ""
