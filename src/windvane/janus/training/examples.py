"""Rows of a collection -> training examples on trees: what of a prompt is shared, and how many tokens that saves.

In: SFT samples or preference pairs, a tokenizer. Out: `Example`s and a `Sharing`. The two answers of a pair share their whole prompt, and
so do several answers under one system message. The three system messages of one instruction share what stands before they part: through a
template that puts the system message first, as most do, a few tokens, and the instruction, which comes behind, not at all. `Sharing` says
what it was.

A prompt is rendered as inference renders it; the answer's ids are what the template makes of it behind that prompt, to the token
that ends a turn. Where the template renders a prompt otherwise under an answer, the answer is tokenised by itself and EOS added, as the
paper's trainer does (axolotl; arXiv 2405.17977). A row that is too long is refused by its place or left out with its reason, never cut.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, content_id
from windvane.janus.collection_rows import Preference, Sample, instruction_id
from windvane.janus.value_prompts import answer_prompt
from windvane.models.trees.tree import Tree
from windvane.prompts.chat import System, answered, merged, render
from windvane.train.batches import Example


@dataclass(slots=True)
class Sharing:
    """Tokens computed as rows and as trees; `apart`: answers that were tokenised by themselves; `left_out`: rows and why."""

    rows: int = 0
    row_tokens: int = 0
    tree_tokens: int = 0
    trees: int = 0
    apart: int = 0
    left_out: list[dict[str, Any]] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        saved = 1 - self.tree_tokens / self.row_tokens if self.row_tokens else 0.0
        names = ("rows", "trees", "row_tokens", "tree_tokens", "apart")
        return {**{n: getattr(self, n) for n in names}, "saved": round(saved, 4), "left_out": len(self.left_out)}


@dataclass(frozen=True, slots=True)
class Rows:
    """How a row becomes tokens. `stops`: ids that end a turn; `longest`: tokens of prompt and answer; `leave_out`: rows that are longer are
    counted, not refused."""

    tokenizer: Any
    system: System
    stops: Collection[int]
    longest: int
    leave_out: bool = False

    def ids(self, prompt: Prompt, answer: str, place: str, sharing: Sharing) -> tuple[list[int], int] | None:
        """(the row, where its answer starts), or None where it was left out."""
        messages = merged(prompt.messages) if self.system == "merge" else prompt.messages
        try:
            asked = list(render(self.tokenizer, messages))
            whole = list(answered(self.tokenizer, messages, answer))
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        told = self._answer(asked, whole, messages, answer)
        if told is None:
            sharing.apart += 1
            told = [*self.tokenizer(answer, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]
        row = asked + told
        if len(row) > self.longest:
            reason = f"{len(row)} tokens, longer than {self.longest}"
            if not self.leave_out:
                raise UserError(
                    f"{place}: {reason}; shorten the row, raise --longest or leave such rows out (--too-long leave-out)"
                )
            sharing.left_out.append({"place": place, "reason": reason})
            return None
        return row, len(asked)

    def _answer(self, asked: list[int], whole: list[int], messages: Sequence[Message], answer: str) -> list[int] | None:
        """The ids behind the prompt to the last one that ends a turn; None where the prompt is no prefix or none ends it."""
        if whole[: len(asked)] != asked:
            return None
        told = whole[len(asked) :]
        last = max((i for i, t in enumerate(told) if t in self.stops), default=None)
        return None if last is None else told[: last + 1]


def sft_examples(samples: Iterable[Sample], rows: Rows, share: bool) -> tuple[list[Example], Sharing]:
    """A tree an instruction (`share`), each of its rows a loss of its own, or a tree a row; sorted by id."""
    sharing = Sharing()
    groups: dict[str, list[tuple[list[int], int]]] = {}
    for number, sample in enumerate(samples):
        made = rows.ids(answer_prompt(sample.system, sample.prompt), sample.output, sample.place, sharing)
        if made is not None:
            key = instruction_id(sample.prompt)
            groups.setdefault(key if share else f"{key}-{number:08d}", []).append(made)
    found = []
    for key, members in sorted(groups.items()):
        tree = Tree.of_rows(members)
        found.append(
            Example(
                id=key,
                tree=tree,
                response_ids=tuple(f"{key}-{i}" for i in range(len(members))),
                p_win=(1.0,) * len(members),
                lengths=tuple(len(ids) - start for ids, start in members),
                chosen=0,
                rejected=None,
                comparisons=tuple((i,) for i in range(len(members))),
            )
        )
        _count(sharing, tree, [ids for ids, _ in members])
    return found, sharing


def pair_examples(pairs: Iterable[Preference], rows: Rows) -> tuple[list[Example], Sharing]:
    """A tree a pair, its prompt computed once; sorted by id. Equal answers, by their tokens, are refused by place."""
    sharing, found = Sharing(), list[Example]()
    for number, pair in enumerate(pairs):
        prompt = answer_prompt(pair.system, pair.prompt)
        sides = [rows.ids(prompt, text, pair.place, sharing) for text in (pair.chosen, pair.rejected)]
        if None in sides:
            continue
        members = [side for side in sides if side is not None]
        if members[0][0] == members[1][0]:
            raise UserError(f"{pair.place}: field 'rejected': the same tokens as chosen; remove the row")
        asked = members[0][0][: members[0][1]]
        tree = Tree.of(asked, [ids[start:] for ids, start in members])
        key = f"{content_id([pair.system, pair.prompt])}-{number:08d}"
        lengths = tuple(len(ids) - start for ids, start in members)
        found.append(Example(key, tree, (f"{key}-0", f"{key}-1"), (1.0, 0.0), lengths, 0, 1))
        _count(sharing, tree, [ids for ids, _ in members])
    return sorted(found, key=lambda e: e.id), sharing


def _count(sharing: Sharing, tree: Tree, members: list[list[int]]) -> None:
    sharing.rows += len(members)
    sharing.trees += 1
    sharing.row_tokens += sum(map(len, members))
    sharing.tree_tokens += tree.tokens


def batch_of_trees(batch: int, sharing: Sharing) -> int:
    """`batch` counts rows; how many trees hold about as many."""
    return max(1, round(batch * sharing.trees / sharing.rows)) if sharing.rows else batch
