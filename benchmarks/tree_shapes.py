"""Models and token rows of the tree benchmark: random ids, seeded; the shapes are what matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers as hf

from windvane.models.trees.tree import Node, Tree

# the small model that peers are measured on: 6 layers, 20.7M parameters, a 32,000-token vocabulary
SMALL = {
    "vocab_size": 32000, "hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4,
    "intermediate_size": 688, "head_dim": 32,
}  # fmt: skip
WIDE_HEADS = SMALL | {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 128}
MISTRAL_7B = {
    "vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14336, "head_dim": 128,
}  # fmt: skip
TINY = SMALL | {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 96, "head_dim": 8}


def make_model(shape: dict[str, int], scale: float = 1.0) -> hf.MistralForCausalLM:
    """A Mistral of random weights; `scale` enlarges its projections so that attention matters."""
    torch.manual_seed(0)
    config = hf.MistralConfig(
        **shape, tie_word_embeddings=False, sliding_window=None, max_position_embeddings=65536,
        attn_implementation="sdpa", use_cache=False,
    )  # fmt: skip
    model = hf.MistralForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj" in name:
                parameter.mul_(scale)
    return model.train()


def tokens(vocabulary: int, seed: int) -> Callable[[int], list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return lambda n: torch.randint(10, vocabulary, (n,), generator=generator).tolist()


@dataclass(frozen=True, slots=True)
class Batch:
    """The same work twice: `trees` share, `rows` are one-branch trees, one per response, that read the same tokens."""

    trees: list[Tree]
    rows: list[Tree]


def flat(trunk: int, branches: list[int], vocabulary: int, seed: int = 1) -> Batch:
    """A prompt and its responses."""
    r = tokens(vocabulary, seed)
    prompt, answers = r(trunk), [r(n) for n in branches]
    return Batch([Tree.of(prompt, answers)], [Tree.of(prompt, [a]) for a in answers])


def conversations(document: int, vocabulary: int, question: int = 32, answer: int = 96) -> Batch:
    """LongPO: four questions on a document, in one conversation; a chosen and a rejected conversation. The loss reads the whole
    chosen one (its NLL) and the rejected one's answers."""
    r = tokens(vocabulary, 2)
    questions = [r(question) for _ in range(4)]
    prompt = r(document) + questions[0]
    good, bad = ([r(answer) for _ in range(4)] for _ in range(2))
    chosen, parts = list(good[0]), [(tuple(bad[0]), True)]
    for q, a, b in zip(questions[1:], good[1:], bad[1:]):
        chosen += q + a
        parts += [(tuple(q), False), (tuple(b), True)]

    def chain(trunk: Node) -> list[Node]:
        return [trunk, *(Node(ids, i, read) for i, (ids, read) in enumerate(parts))]

    trunk, whole = Node(tuple(prompt), None, True), Node(tuple(chosen), 0, True)
    rejected = chain(trunk)
    nested = [*rejected, whole]
    alone = [Node(trunk.token_ids + whole.token_ids, None, True)]
    unread = Node(tuple(prompt), None, False)
    return Batch([Tree(tuple(nested))], [Tree(tuple(alone)), Tree(tuple(chain(unread)))])


def questions(document: int, vocabulary: int, count: int = 4, question: int = 32, answer: int = 64) -> Batch:
    """Independent questions on one document, two answers to each."""
    r = tokens(vocabulary, 3)
    text = r(document)
    rows = []
    for _ in range(count):
        q = r(question)
        rows += [(text + q + r(answer), document + question) for _ in range(2)]
    return Batch([Tree.of_rows(rows)], [Tree.of(ids[:start], [ids[start:]]) for ids, start in rows])


def mixed(pairs: int, vocabulary: int) -> list[Batch]:
    """Pairs of mixed lengths, eight to a batch: prompts of 20-400 tokens, responses of 10-300, long tails."""
    r, g = tokens(vocabulary, 4), torch.Generator().manual_seed(4)

    def length(low: int, high: int) -> int:
        return min(high, int(low * (1 + torch.empty(1).log_normal_(0.8, 0.9, generator=g).item())))

    made = [flat(length(20, 400), [length(10, 300), length(10, 300)], vocabulary, seed=100 + i) for i in range(pairs)]
    del r
    return [
        Batch([t for b in made[i : i + 8] for t in b.trees], [t for b in made[i : i + 8] for t in b.rows])
        for i in range(0, pairs, 8)
    ]
