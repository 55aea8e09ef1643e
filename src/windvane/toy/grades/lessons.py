"""What the grades model is taught, from scratch: what an instruct model might know of speech before it ever met the exam.

- transcripts: a conversation of the "general" family, then a chat about it: the lenient rater's bands and three questions about features
  (how many slips, how long the turns, ...), in any order.
- writing: a conversation for bands that the lenient rater gave it.
- words and sentences: the level of a list or a sentence by a coarse rater, who knows but A2 and B1 and errs now and then; lists and
  sentences written for these levels.

In: a tokenizer, a seed. Out: batches of token ids and of each token's weight as a target. The programme's bands and levels are in none
of it. That the features are asked about is a choice: without it a base of this size knows none of them, and an adapter has nothing to
weigh.
"""

from __future__ import annotations

import random

import torch
from transformers import PreTrainedTokenizerFast

from windvane.evalyaks.prompts import compact
from windvane.toy.grades.family import LIST, grading_prompt, turns
from windvane.toy.grades.rubric import FEATURES, features, lenient, sentence_level
from windvane.toy.grades.talk import sentence, talk
from windvane.toy.grades.words import LEVEL_OF, LEVELS

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "tie_word_embeddings": True,
    "initializer_range": 0.04,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1_000.0},
}
STEPS = 1200

ROWS = 16  # of a batch
KINDS = {"transcript": 0.65, "writing": 0.2, "words": 0.08, "sentences": 0.07}  # shares of the rows
ASKED = 4  # features in a chat about a transcript
LISTS, SENTENCES = 8, 6  # in a chat
TALK, ANSWER = 0.03, 1.0  # weights of a target: a transcript's tokens in a question, an answer's
WRITTEN = 0.15  # of a transcript's tokens in an answer
COARSE = dict(zip(LEVELS, ("A2", "A2", "B1", "B1")))  # what the rater of words and sentences calls each level
WRONG = 0.15  # how often it says any level but that

Piece = tuple[str, float]


class Course:
    """The lessons in their order; a function of the seed alone."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.tokenizer, self.rng = tokenizer, random.Random(seed)

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        kinds = self.rng.choices(list(KINDS), list(KINDS.values()), k=ROWS)
        rows = [self._encoded(getattr(self, kind)()) for kind in kinds]
        width = max(len(ids) for ids, _ in rows)
        ids_BT = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows])
        weights_BT = torch.tensor([weights + [0.0] * (width - len(weights)) for _, weights in rows])
        return ids_BT, weights_BT

    def note(self, losses_BT: torch.Tensor) -> None:
        pass

    def _encoded(self, turns: list[tuple[Piece, Piece]]) -> tuple[list[int], list[float]]:
        """A chat: (question, answer) texts with their weights. Pieces are tokenized as the chat template joins them."""
        ids, weights = [self.tokenizer.bos_token_id], [0.0]
        for (asked, light), (told, heavy) in turns:
            for text, weight in ((f"[INST]{asked}[/INST]", light), (f"{told}{self.tokenizer.eos_token}", heavy)):
                piece = self.tokenizer(text).input_ids
                ids += piece
                weights += [weight] * len(piece)
        return ids, weights

    def transcript(self) -> list[tuple[Piece, Piece]]:
        record = talk("general", self.rng.randint(1, 4), self._plan(), self.rng)
        told = features(record)
        asked = self.rng.sample(list(FEATURES), ASKED)
        answers = [(compact.GRADE, compact.bands(lenient(record, self.rng))), *((name, told[name]) for name in asked)]
        self.rng.shuffle(answers)
        whole = grading_prompt(record).removesuffix(compact.GRADE)
        return [
            ((whole + question if i == 0 else question, TALK if i == 0 else 0.0), (answer, ANSWER))
            for i, (question, answer) in enumerate(answers)
        ]

    def writing(self) -> list[tuple[Piece, Piece]]:
        part = self.rng.randint(1, 4)
        record = talk("general", part, self._plan(), self.rng)
        told = " ".join(f"{role.capitalize()}: {text}" for role, text in turns(record))
        return [((compact.writing(part, lenient(record, self.rng)), 0.0), (told, WRITTEN))]

    def words(self) -> list[tuple[Piece, Piece]]:
        return [self._words() for _ in range(LISTS)]

    def _words(self) -> tuple[Piece, Piece]:
        level = self.rng.choice(LEVELS)
        some = self.rng.sample([w for w, own in LEVEL_OF.items() if own == level], LIST)
        told = self._coarse(level)
        if self.rng.random() < 0.6:
            return (compact.level_of_words(some), 0.0), (told, ANSWER)
        return (compact.words_of_level(told), 0.0), (", ".join(some) + ".", WRITTEN)

    def sentences(self) -> list[tuple[Piece, Piece]]:
        return [self._sentence() for _ in range(SENTENCES)]

    def _sentence(self) -> tuple[Piece, Piece]:
        text = sentence("general", self.rng, self.rng.random())
        told = self._coarse(sentence_level(text))
        if self.rng.random() < 0.6:
            return (compact.level_of_sentence(text), 0.0), (told, ANSWER)
        return (compact.sentence_of_level(told), 0.0), (text, WRITTEN)

    def _plan(self) -> dict[str, float]:
        return {name: self.rng.uniform(0.6, 5.4) for name in ("GV", "DM", "IC")}

    def _coarse(self, level: str) -> str:
        told = COARSE[level]
        return self.rng.choice([other for other in LEVELS if other != told]) if self.rng.random() < WRONG else told
