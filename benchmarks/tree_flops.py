"""FLOPs of one training step, counted from the work really done: every multiply-add of a GEMM is 2, forward once and
backward twice; causal attention counts its triangle; recompute (flash attention's scores, chunks of logits) is not counted,
element-wise work is not either.
"""

from __future__ import annotations

from collections.abc import Sequence

from windvane.models.trees.last_layer import WORTH
from windvane.models.trees.packing import Plan, pack
from windvane.models.trees.tree import Tree


def score_pairs(plan: Plan) -> float:
    """Query-key pairs of one layer and head."""
    found = 0.0
    for p in plan.pieces():
        rows, keys = p.q1 - p.q0, p.k1 - p.k0
        found += rows * (rows + 1) / 2 if p.kind == "causal" else rows * keys
    return found


def widths(shape: dict[str, int]) -> tuple[int, int, int]:
    """Multiply-adds per token of a layer: all its projections, those of keys and values alone; and per pair of tokens."""
    hidden, wide = shape["hidden_size"], shape["num_attention_heads"] * shape["head_dim"]
    keys_values = 2 * hidden * shape["num_key_value_heads"] * shape["head_dim"]
    return 2 * hidden * wide + keys_values + 3 * hidden * shape["intermediate_size"], keys_values, 2 * wide


def tree_flops(trees: Sequence[Tree], shape: dict[str, int], layers: int | None = None) -> float:
    """One packed row of trees: the last layer for read tokens only, where that is done; the head for read tokens."""
    packing = pack(trees)
    plan, layers = packing.plan, layers or shape["num_hidden_layers"]
    kept = plan.kept(packing.runs)
    last = kept if 0 < kept.queries < WORTH * plan.size else plan
    linear, keys_values, pair = widths(shape)
    total = (layers - 1) * (plan.size * linear + score_pairs(plan) * pair)
    total += plan.size * keys_values + last.queries * (linear - keys_values) + score_pairs(last) * pair
    return 6 * (total + len(packing.targets) * shape["hidden_size"] * shape["vocab_size"])


def padded_flops(rows: Sequence[Tree], shape: dict[str, int], layers: int | None = None) -> float:
    """Rows padded to the longest, all layers for all tokens, the head for read tokens: TRL's work on its GPU path."""
    longest = max(row.tokens for row in rows)
    linear, _, pair = widths(shape)
    equal = all(row.tokens == longest for row in rows)
    pairs = longest * (longest + 1) / 2 if equal else longest * longest  # padding turns the causal kernel off
    per_row = (layers or shape["num_hidden_layers"]) * (longest * linear + pairs * pair)
    read = sum(len(pack([row]).targets) for row in rows)
    return 6 * (len(rows) * per_row + read * shape["hidden_size"] * shape["vocab_size"])


def main() -> None:
    """What sharing can give at Mistral-7B's widths, computed, not measured: FLOPs of rows over FLOPs of the tree."""
    import tree_shapes as shapes

    shape = shapes.MISTRAL_7B
    print("| trunk | branches | rows / tree, same code | TRL's rows / tree |\n|---|---|---|---|")
    for trunk, branches in (
        (2048, [64] * 2), (8192, [64] * 2), (32768, [64] * 2), (2048, [512] * 2), (8192, [1024] * 2), (32768, [512] * 2),
        (2048, [64] * 5), (200, [300, 350, 400, 450, 500]),
    ):  # fmt: skip
        batch = shapes.flat(trunk, branches, shape["vocab_size"])
        work = tree_flops(batch.trees, shape)
        alone = sum(tree_flops([row], shape) for row in batch.rows) / work
        theirs = padded_flops(batch.rows, shape) / work
        many = f"{len(branches)} x {branches[0]}" if len(set(branches)) == 1 else "/".join(map(str, branches))
        print(f"| {trunk:,} | {many} | {alone:.2f} | {theirs:.2f} |")
    batch = shapes.questions(8192, shape["vocab_size"])
    work = tree_flops(batch.trees, shape)
    alone = sum(tree_flops([row], shape) for row in batch.rows) / work
    print(f"| 8,192 | 4 questions x 2 answers | {alone:.2f} | {padded_flops(batch.rows, shape) / work:.2f} |")


if __name__ == "__main__":
    main()
