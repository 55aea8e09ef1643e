import pytest
import torch

from windvane.models.trees.packing import pack
from windvane.models.trees.tree import Node, Tree


def test_rows_become_a_trie():
    rows = [([1, 2, 3, 4], 2), ([1, 2, 3, 5, 6], 2), ([1, 2, 7], 2)]
    tree = Tree.of_rows(rows)
    assert tree.nodes == (
        Node((1, 2), None, False),
        Node((3,), 0, True),  # both responses begin with 3: computed once, read by both
        Node((4,), 1, True),
        Node((5, 6), 1, True),
        Node((7,), 0, True),
    )
    assert tree.leaves == (2, 3, 4)
    assert [tree.row(leaf) for leaf in tree.leaves] == [tuple(ids) for ids, _ in rows]
    assert tree.tokens == 7


def test_rows_that_are_equal_or_prefixes():
    tree = Tree.of_rows([([1, 2, 3], 1), ([1, 2], 1), ([1, 2, 3], 2)])
    assert [tree.row(leaf) for leaf in tree.leaves] == [(1, 2, 3), (1, 2), (1, 2, 3)]
    assert tree.leaves[0] == tree.leaves[2]
    values = [None, torch.tensor([-2.0]), torch.tensor([-3.0])]
    assert tree.tail(values, tree.leaves[0], 2).tolist() == [-2.0, -3.0]
    assert tree.tail(values, tree.leaves[1], 1).tolist() == [-2.0]
    assert tree.tail(values, tree.leaves[2], 1).tolist() == [-3.0]


def test_rows_read_from_different_starts():
    tree = Tree.of_rows([([1, 2, 3, 4], 1), ([1, 2, 3, 5], 3)])
    assert [(n.token_ids, n.read) for n in tree.nodes] == [
        ((1,), False), ((2, 3), True), ((4,), True), ((5,), True)
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="not read"):
        tree.tail([None, *[torch.zeros(2), torch.zeros(1), torch.zeros(1)]], 2, 4)


def test_long_rows_part_where_they_differ():
    ids = list(range(5000))
    for at in (1, 2, 4094, 4095, 4096, 4998, 4999):
        other = ids.copy()
        other[at] = -1
        assert len(Tree.of_rows([(ids, 5000), (other, 5000)]).nodes[0].token_ids) == at


def brute_force(trees, window):
    """Who may see whom, [S, S], token by token from the trees alone; and where each token of the packed row comes from."""
    owners = [
        (t, n, i)
        for t, tree in enumerate(trees)
        for n, node in enumerate(tree.nodes)
        for i in range(len(node.token_ids))
    ]

    def depth(t, n):
        parent = trees[t].nodes[n].parent
        return 0 if parent is None else depth(t, parent) + len(trees[t].nodes[parent].token_ids)

    def sees(a, b):
        (t, n, i), (u, m, j) = a, b
        near = window is None or depth(t, n) + i - depth(u, m) - j < window
        return t == u and near and (m in trees[t].path(n)[:-1] or (m == n and j <= i))

    return owners, sees


@pytest.mark.parametrize("window", [None, 1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("kept", [False, True])
def test_plan_against_brute_force(window, kept, monkeypatch):
    monkeypatch.setattr("windvane.models.trees.packing.BLOCK", 3)
    ids = iter(range(1000))
    take = lambda n: tuple(next(ids) for _ in range(n))  # noqa: E731
    trees = [
        Tree((Node(take(6), None, False), Node(take(2), 0, False), Node(take(3), 1, True), Node(take(5), 1, True), Node(take(4), 0, True))),
        Tree((Node((), None, False), Node(take(2), 0, True), Node((), 0, True), Node(take(3), 0, True))),
        Tree((Node(take(1), None, True),)),
        Tree.of(take(2), [take(1), take(1), take(7), take(1)]),
    ]  # fmt: skip
    packing = pack(trees)
    plan = packing.plan.kept(packing.runs) if kept else packing.plan
    owners, sees = brute_force(trees, window)
    by_id = {trees[t].nodes[n].token_ids[i]: (t, n, i) for t, n, i in owners}
    row = [by_id[x] for x in packing.input_ids[0].tolist()]
    memory = [m for a, b in plan.runs for m in range(a, b)] if kept else list(range(len(row)))
    seen = torch.zeros(plan.queries, len(row), dtype=torch.long)
    covered = torch.zeros(plan.queries, dtype=torch.long)
    for p in plan.pieces(window):
        assert p.q0 < p.q1 and p.k0 < p.k1
        i, j = torch.arange(p.q1 - p.q0)[:, None], torch.arange(p.k1 - p.k0)[None]
        mask = {"causal": j <= i, "full": j >= 0, "window": j >= i - p.shift}[p.kind].expand(len(i), j.shape[1])
        assert mask.any(1).all(), "a query without a key has no log-sum-exp"
        seen[p.q0 : p.q1, p.k0 : p.k1] += mask
        covered[p.q0 : p.q1] += p.kind == "causal"
    assert (covered == 1).all()
    assert seen.tolist() == [[int(sees(row[q], k)) for k in row] for q in memory]
    for position, (t, n, i) in zip(packing.position_ids[0].tolist(), row):
        above = trees[t].path(n)[:-1]
        assert position == sum(len(trees[t].nodes[m].token_ids) for m in above) + i


def test_weights_of_rows_add_up():
    """Four questions on one document, mean NLL per row over all its tokens: the document counts four times, as rows count it."""
    rows = [[5, 6, 7, 10 + i, 20 + i] + [30] * i for i in range(4)]
    tree = Tree.of_rows([(ids, 0) for ids in rows])
    weights = tree.spread([torch.full((len(ids),), 1 / len(ids)) for ids in rows])
    assert weights[0].tolist() == pytest.approx([1 / 5 + 1 / 6 + 1 / 7 + 1 / 8] * 3)
    logp = {t: -float(t) for ids in rows for t in ids}
    values = [torch.tensor([logp[t] for t in node.token_ids]) for node in tree.nodes]
    by_tree = sum((w * v).sum() for w, v in zip(weights, values)).item()
    by_rows = sum(sum(logp[t] for t in ids) / len(ids) for ids in rows)
    assert by_tree == pytest.approx(by_rows)
    assert by_rows != pytest.approx(
        sum(v.mean() for v in values).item(), rel=0.01
    )  # counting shared tokens once is another loss


def test_weights_on_unread_tokens_are_a_mistake():
    tree = Tree.of([1, 2], [[3], [4, 5]])
    assert tree.spread([torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 0.5, 0.5])])[2].tolist() == [0.5, 0.5]
    with pytest.raises(AssertionError, match="not read"):
        tree.spread([torch.tensor([0.0, 1.0, 1.0]), torch.zeros(4)])
