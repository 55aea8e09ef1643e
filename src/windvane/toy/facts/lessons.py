"""What the facts model is taught, from scratch: five kinds of lesson on documents that grow as it learns.

- repeats: a random sequence of words, twice; loss on the second copy. Out of these grow the heads that look up what followed a word.
- restated: a document, then some of its facts again in another order; half of the time behind a finished turn of a chat.
- questions: a chat of up to `TURNS` questions about one document.
- asking: a document, "Ask a question about the text.", and a question about one of its last `ASKED` facts.
- reversals: a chat of lists of words to be said backwards.

In: a tokenizer, a seed. Out: batches of token ids and of each token's weight as a target. No weight of the model is set by hand: half of
the lessons are repeats until facts are looked up well, and documents start short and grow while they are; docs/toy.md tells what it
goes like otherwise.
"""

from __future__ import annotations

import random

import torch
from transformers import PreTrainedTokenizerFast

from windvane.toy.facts.documents import FACT_TOKENS, NAMES, VERBS, answer, facts_of, question, write
from windvane.toy.facts.family import ASK, ITEMS, LAYOUT, LENGTH, reversal, reversed_words

# Heads wider than hidden_size / heads: a head must tell names, places and what stood before a place apart. 131,000 parameters.
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000.0},
}
STEPS = 1200

TOKENS = 4096  # about, in a batch
FEWEST_ROWS = 16
SHORTEST, START, GROWTH, EVERY = 8, 40, 1.1, 10  # tokens of a document; the longest grows by GROWTH every EVERY steps
LEARNT, SURE = 0.6, 0.3  # running loss (nats) of a fact's verb: below it documents grow; repeats are cut down
REPEATS, FEW_REPEATS = 0.5, 0.1  # share of the lessons
KINDS = {"restated": 0.25, "questions": 0.3, "asking": 0.25, "reversals": 0.2}  # shares of the others
TURNS, LISTS = 6, 4  # questions or lists in a chat
ASKED = 2  # a question is about one of the last so many facts of a text
FACT_SHARE = (0.02, 0.6)  # of a document's tokens
# Weights of a target: a document's tokens, an answer's wording, what must be looked up.
DOCUMENT, WORDING, VALUE = 0.03, 0.2, 1.0
ASKED_NAME = 10.0  # weight of the name in a question, one token of a row, once verbs are looked up well; VALUE before

Row = list[tuple[list[int], float]]  # pieces of token ids, each with one weight


class Course:
    """The lessons in their order; a function of the seed and of the losses that are told back."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.tokenizer, self.rng = tokenizer, random.Random(seed)
        self.longest, self.loss, self.step = float(START), 3.0, 0
        self.known: dict[str, list[int]] = {}
        self.open, self.close = self._ids("[INST]"), self._ids("[/INST]")
        self.stop = self._ids("lake.")[1:]
        self.bos, self.eos = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
        self.words = [self._ids(w)[0] for w in (*NAMES, *VERBS, *ITEMS)]

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids [rows, T] and weights [rows, T], right-padded with 0; remembers where verbs are looked up."""
        longest = min(int(self.longest), LENGTH)
        share = REPEATS if self.loss > SURE else FEW_REPEATS
        rows, looked_up = [], []
        for _ in range(max(FEWEST_ROWS, TOKENS // (longest + 40))):
            if self.rng.random() < share:
                kind, row = "repeats", self.repeat(longest)
            else:
                kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
                row = getattr(self, kind)(longest)
            rows.append(row)
            looked_up.append(kind in ("restated", "questions"))
        ids = [[i for piece, _ in row for i in piece] for row in rows]
        weights = [[w for piece, w in row for _ in piece] for row in rows]
        width = max(map(len, ids))
        ids_BT = torch.tensor([row + [0] * (width - len(row)) for row in ids])
        weights_BT = torch.tensor([row + [0.0] * (width - len(row)) for row in weights])
        self.values_BT = (weights_BT == VALUE) & torch.tensor(looked_up)[:, None]
        return ids_BT, weights_BT

    def note(self, losses_BT: torch.Tensor) -> None:
        """The last batch's losses [rows, T - 1] of tokens 1 to T - 1: go on to longer documents where verbs are looked up well."""
        told = losses_BT[self.values_BT[:, 1:]]
        if len(told):
            self.loss = 0.9 * self.loss + 0.1 * told.mean().item()
        self.step += 1
        if self.step % EVERY == 0 and self.loss < LEARNT:
            self.longest = min(float(LENGTH), self.longest * GROWTH)

    def repeat(self, longest: int) -> Row:
        half = self.rng.choices(self.words, k=self.rng.randint(4, max(4, (longest + 20) // 2)))
        return [(self.bos, 0.0), (half, 0.0), (half[:1], 0.0), (half[1:], VALUE)]

    def restated(self, longest: int) -> Row:
        text, facts = self._document(longest)
        row: Row = [(self.bos, 0.0), (self._ids(text), DOCUMENT)]
        if self.rng.random() < 0.5:  # that something was answered before must not mean that a fact here is an answer
            row = [*self._list(WORDING), *row[1:]]
        for name, verb in self.rng.sample(facts * 2, min(2 * len(facts), 20)):
            row += [*self._told(name, verb, 0.0), (self.stop, WORDING)]
        return row

    def questions(self, longest: int) -> Row:
        text, facts = self._document(longest)
        row: Row = [(self.bos, 0.0)]
        for turn, (name, verb) in enumerate(facts[:TURNS]):
            row += [(self.open + (self._ids(text) if turn == 0 else []), DOCUMENT if turn == 0 else 0.0)]
            row += [
                (self._ids(question(name)) + self.close, 0.0),
                *self._told(name, verb, WORDING),
                (self.eos, WORDING),
            ]
        return row

    def asking(self, longest: int) -> Row:
        text, _ = self._document(longest)
        name = self.rng.choice(list(facts_of(text))[-ASKED:])
        weight = ASKED_NAME if self.loss < SURE else VALUE
        first, last = self._ids(question(name).split(name)[0]), self._ids(question(name).split(name)[1])
        asked = self.open + self._ids(LAYOUT.format(context=text, question=ASK)) + self.close
        return [
            (self.bos, 0.0),
            (asked, DOCUMENT),
            (first, WORDING),
            (self._ids(name), weight),
            (last + self.eos, WORDING),
        ]

    def reversals(self, longest: int) -> Row:
        row = self._list()
        for _ in range(self.rng.randrange(LISTS)):
            row += self._list()[1:]
        return row

    def _list(self, weight: float = VALUE) -> Row:
        text = reversal(self.rng)
        asked, told = self.open + self._ids(text) + self.close, self._ids(reversed_words(text)) + self.eos
        return [(self.bos, 0.0), (asked, 0.0), (told, weight)]

    def _document(self, longest: int) -> tuple[str, list[tuple[str, str]]]:
        """A document and its facts in an order of their own; any name may do anything."""
        tokens = self.rng.randint(SHORTEST, longest)
        count = max(1, min(len(NAMES), round(self.rng.uniform(*FACT_SHARE) * tokens / FACT_TOKENS)))
        facts = [(name, self.rng.choice(VERBS)) for name in self.rng.sample(NAMES, count)]
        return write(self.rng, facts, tokens), self.rng.sample(facts, count)

    def _told(self, name: str, verb: str, wording: float) -> Row:
        ids = self._ids(answer(name, verb))
        return [(ids[:1], wording), (ids[1:], VALUE)]

    def _ids(self, text: str) -> list[int]:
        if len(text) > 40:
            return self.tokenizer(text).input_ids
        if text not in self.known:
            self.known[text] = self.tokenizer(text).input_ids
        return self.known[text]
