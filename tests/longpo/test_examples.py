"""LongPO on trees: a document's loss is its rows' loss, whatever is shared; the reference reads the short contexts."""

import dataclasses
import math

import pytest
import torch

from tests.tiny import model
from windvane.longpo.examples import Turn, conversation, questions, short_contexts, supervised
from windvane.losses.batch import load_objective
from windvane.models.trees.logprobs import Scorer
from windvane.train.batches import with_reference
from windvane.train.loop import Trainer
from windvane.train.loss_inputs import batch_of, to_score
from windvane.train.policy import PolicyTask
from windvane.train.reference import reference_logps
from windvane.train.settings import Train

LENGTHS = [(5, 7, 4), (3, 2, 6), (6, 4, 4), (4, 5, 1)]  # question, chosen, rejected


def ids(generator, count):
    return tuple(torch.randint(4, 260, (count,), generator=generator).tolist())


def turns_of(name, history, count=4, document=40, chunk=9):
    """`count` questions on a document; with `history` a turn's prompt is what comes after the turn before."""
    g = torch.Generator().manual_seed(sum(map(ord, name)))
    text, made = ids(g, document), []
    for i, (asked, good, bad) in enumerate(LENGTHS[:count]):
        question, chosen, rejected = ids(g, asked), ids(g, good), ids(g, bad)
        prompt = question if history and i else text + question
        short = text[i * chunk : (i + 1) * chunk] + question
        made.append(Turn(prompt, short, chosen, rejected, f"{name}-{i}-s", f"{name}-{i}-l"))
    return made


def with_short_reference(net, found, turns):
    cached = reference_logps(Scorer(net), short_contexts(turns))
    return with_reference(found, {r.id: r.logps for r in cached})


def longpo(**arguments):
    return load_objective("longpo", arguments, gives=("short",))


def step_gradient(net, objective, found, micro_tokens=100_000):
    """(loss, gradient of every parameter) of one optimizer batch, as the trainer's own step makes it."""
    trainer = Trainer(PolicyTask(Scorer(net), objective, Train(clip=0.0, micro_tokens=micro_tokens)), None, 0)
    kept = {}

    class Keep(torch.optim.SGD):
        def step(self):
            kept.update({n: p.grad.clone() for n, p in net.named_parameters()})

    row = trainer.step(found, Keep(net.parameters(), lr=0.0), 0.0, 0)
    return row["loss"], kept


def apart(a, b):
    """The largest relative distance of a parameter's gradient."""
    whole = torch.stack([g.norm() for g in b.values()]).norm()
    return max(((a[n] - b[n]).norm() / torch.maximum(b[n].norm(), 1e-4 * whole)).item() for n in b)


def plain(net, row):
    """log p of every token but the first by the plain forward: [len(row) - 1]."""
    logps = net(torch.tensor([row])).logits[0, :-1].log_softmax(-1)
    return logps.gather(1, torch.tensor(row[1:])[:, None])[:, 0]


def test_a_conversation_is_the_papers_loss_by_the_plain_forward():
    net, reference = model(scale=2.0), model(seed=3, scale=2.0)
    turns = turns_of("doc", history=True)
    (example,) = with_short_reference(reference, [conversation("doc", turns)], turns)
    expected = {}
    for side in ("chosen", "rejected"):
        row, read, short = (), [], 0.0
        for t in turns:
            answer = getattr(t, f"{side}_ids")
            row += t.prompt_ids + answer
            read += range(len(row) - len(answer) - 1, len(row) - 1)
            short += plain(reference, t.short_ids + answer)[len(t.short_ids) - 1 :].sum()
        logps = plain(net, row)
        expected[side] = logps[read].sum() - short
        if side == "chosen":
            nll = -logps.mean()
    loss = 0.3 * -torch.nn.functional.logsigmoid(0.05 * (expected["chosen"] - expected["rejected"])) + nll
    objective = longpo(beta=0.05, lam=0.3)
    told = Trainer(PolicyTask(Scorer(net), objective, Train()), None, 0).measure([example])
    assert told["nll"] == pytest.approx(nll.item(), rel=1e-5) and told["loss"] == pytest.approx(loss.item(), rel=1e-5)
    ours, gradient = step_gradient(net, objective, [example])
    assert ours == pytest.approx(loss.item(), rel=1e-5)
    theirs = dict(zip(gradient, torch.autograd.grad(loss, [p for _, p in net.named_parameters()])))
    assert apart(gradient, theirs) < 1e-5
    assert example.lengths == (18, 15) and example.tree.tokens < sum(
        len(example.tree.row(leaf)) for leaf in example.tree.leaves
    )


@pytest.mark.parametrize("name", ["longpo", "dpo"])
def test_four_questions_as_one_tree_are_their_four_rows(name):
    """The document's NLL counts four times, each time over its own row's length; so does the mean over comparisons."""
    net = model(scale=2.0)
    turns = turns_of("doc", history=False)
    objective = longpo(lam=0.5) if name == "longpo" else load_objective("dpo", {})
    (tree,) = with_short_reference(model(seed=3), [questions("doc", turns)], turns)
    rows = with_short_reference(model(seed=3), [questions(f"q{i}", [t]) for i, t in enumerate(turns)], turns)
    assert tree.tokens < 0.45 * sum(e.tokens for e in rows)
    (ours, gradient), (theirs, expected) = (step_gradient(net, objective, found) for found in ([tree], rows))
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert apart(gradient, expected) < 1e-5
    once = tuple(((1, 40, 0.25), (40, e.row_length(0), 1.0)) for e in rows)
    if name == "longpo":
        wrong, other = step_gradient(net, objective, [dataclasses.replace(tree, nll=once)])
        assert abs(wrong / ours - 1) > 1e-3 and apart(other, expected) > 1e-2, "control: the document counted once"


def test_weights_of_the_nll_are_explicit():
    """On the answers alone it is their NLL; at half the weight everywhere, the same mean."""
    net = model(scale=2.0)
    turns = turns_of("doc", history=True)
    (example,) = with_short_reference(net, [conversation("doc", turns)], turns)
    only, whole = longpo(lam=0.0), plain(net, example.tree.row(example.tree.leaves[0]))

    def loss(nll):
        return Trainer(PolicyTask(Scorer(net), only, Train()), None, 0).measure(
            [dataclasses.replace(example, nll=nll)]
        )["loss"]

    read = [i - 1 for start, stop in example.spans[0] for i in range(start, stop)]
    assert loss((tuple((*span, 1.0) for span in example.spans[0]),)) == pytest.approx(
        -whole[read].mean().item(), rel=1e-5
    )
    assert loss(()) == pytest.approx(-whole.mean().item(), rel=1e-5)
    assert loss((((1, example.row_length(0), 0.5),),)) == pytest.approx(loss(()), rel=1e-6)


def test_the_short_context_as_the_long_one_is_dpo_at_its_start():
    net = model(scale=2.0)
    turns = [dataclasses.replace(t, short_ids=t.prompt_ids) for t in turns_of("doc", history=False)]
    (example,) = with_short_reference(net, [questions("doc", turns)], turns)
    trainer = Trainer(PolicyTask(Scorer(net), longpo(lam=1.0, nll=0.0), Train()), None, 0)
    measured = trainer.measure([example])
    assert measured["loss"] == pytest.approx(math.log(2), rel=1e-4)
    assert (8 * measured["accuracy"]).is_integer(), "four comparisons are followed, a tie counts half"


def test_the_reference_adds_up_over_turns():
    turns = turns_of("doc", history=True)
    example = conversation("doc", turns)
    logps = {r: float(i) for i, t in enumerate(turns) for r in (t.chosen, t.rejected)}
    assert with_reference([example], logps)[0].reference == (6.0, 6.0)
    assert [e.response_ids for e in short_contexts(turns)] == [(t.chosen, t.rejected) for t in turns]


def test_only_what_is_read_is_scored():
    """Without an NLL the document is not read; with it the chosen row is, and of the rejected row the answers alone."""
    example = questions("doc", turns_of("doc", history=False))
    assert not to_score(example, ()).nodes[0].read
    scored = to_score(example, ("nll",))
    assert scored.nodes[0].read and len(scored.nodes) == len(example.tree.nodes)
    assert to_score(example, ()) is example.tree
    with pytest.raises(AssertionError, match="is not read"):
        batch_of([example], Scorer(model()).logps([example.tree]), ("nll",))


@pytest.mark.parametrize("history", [True, False])
def test_sft_on_the_chosen_answers_is_the_plain_forwards(history):
    """The answers' tokens alone, or every token of the chosen rows; a document's questions on their own count it once each."""
    net = model(scale=2.0)
    turns = turns_of("doc", history=history, count=3)
    parts = [turns] if history else [[t] for t in turns]
    answers, everything = [], []
    for part in parts:
        row, read = (), []
        for t in part:
            row += t.prompt_ids + t.chosen_ids
            read += range(len(row) - len(t.chosen_ids) - 1, len(row) - 1)
        logps = plain(net, row)
        answers.append(logps[read])
        everything.append(logps)
    for whole, values in ((False, answers), (True, everything)):
        example = supervised("doc", turns, history, whole)
        ours, gradient = step_gradient(net, load_objective("sft", {}), [example])
        loss = -torch.cat(values).mean()
        assert ours == pytest.approx(loss.item(), rel=1e-5)
        grads = torch.autograd.grad(loss, [p for _, p in net.named_parameters()], retain_graph=True)
        assert apart(gradient, dict(zip(gradient, grads))) < 1e-5
    assert len(example.losses) == len(parts)


def test_an_answer_cut_at_its_longest_is_closed_before_the_next_turn():
    """By the template's closing tokens, which are no part of the answer; each side by itself."""
    first, second = turns_of("doc", history=True, count=2)
    first = dataclasses.replace(first, open=(True, False))
    second = dataclasses.replace(second, closing_ids=(2, 9))
    example = conversation("doc", [first, second])
    chosen, rejected = (example.tree.row(leaf) for leaf in example.tree.leaves)
    assert chosen == first.prompt_ids + first.chosen_ids + (2, 9) + second.prompt_ids + second.chosen_ids
    assert rejected == first.prompt_ids + first.rejected_ids + second.prompt_ids + second.rejected_ids
    at = len(first.prompt_ids + first.chosen_ids) + 2 + len(second.prompt_ids)
    assert example.spans[0][1] == (at, at + len(second.chosen_ids))


def test_a_templates_tokens_can_be_left_out_of_the_nll():
    """Outside of answers alone: an answer's own closing token counts."""
    turns = [
        Turn((1, 50, 51, 9), (1, 50, 9), (60, 2), (61, 2), "a-0", "a-1"),
        Turn((8, 52, 9), (1, 51, 9), (62, 8, 2), (63, 2), "b-0", "b-1"),
    ]
    example = conversation("doc", turns, skip=(1, 2, 8, 9))
    # 1 50 51 9 | 60 2 | 8 52 9 | 62 8 2: the first token is never predicted, 9, 8 and 9 are the template's
    assert example.nll_spans(0) == ((1, 3, 1.0), (4, 6, 1.0), (7, 8, 1.0), (9, 12, 1.0))
    assert conversation("doc", turns).nll_spans(0) == ((1, 12, 1.0),)
    whole = supervised("doc", turns, history=True, whole=True, skip=(1, 2, 8, 9))
    assert whole.spans == (((1, 3), (4, 6), (7, 8), (9, 12)),) and whole.lengths == (8,)
    alone = [turns[0], dataclasses.replace(turns[1], prompt_ids=(1, 50, 51, 8, 52, 9))]
    assert questions("doc", alone, skip=(1, 8, 9)).nll_spans(1) == ((1, 3, 1.0), (4, 5, 1.0), (6, 9, 1.0))
