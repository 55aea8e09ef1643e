"""A user's own loss, named by file, module or object: the same training as the one shipped, metrics, and every mistake in one line."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from tests.longpo.test_examples import turns_of
from tests.tiny import model
from tests.train.test_loop import SETTINGS, apart, make_examples, with_cached
from windvane.core.errors import UserError
from windvane.longpo.examples import conversation, short_contexts
from windvane.losses import dpo, user_losses
from windvane.losses.batch import digest_of, load_objective, names
from windvane.models.trees.logprobs import Scorer
from windvane.train.batches import with_reference
from windvane.train.loop import Trainer
from windvane.train.loss_inputs import batch_of
from windvane.train.policy import PolicyTask
from windvane.train.reference import of_tokens, reference_logps

TOKEN_DPO = str(Path(__file__).parent / "token_dpo.py")
MEASURED = "def loss(batch):\n    m = batch.logps[:, 0]\n    return m, {{{}}}\n"
HEAD = 'BRANCHES, REFERENCE, REDUCTION = "pair", True, "example"\n'


def fit(folder, name, arguments=None, micro_tokens=60, count=14, **changes):
    net, objective = model(scale=2.0), load_objective(name, arguments or {})
    found = with_cached(net, make_examples(count), objective.level == "token")
    settings = dataclasses.replace(SETTINGS, objective=name, micro_tokens=micro_tokens, evaluate_every=2, **changes)
    held = with_cached(net, make_examples(3, seed=9), objective.level == "token")
    trainer = Trainer(PolicyTask(Scorer(net), objective, settings), folder, seed=7)
    return trainer.fit(found, held), {k: v.detach().clone() for k, v in net.state_dict().items()}


def written(path, code, head=HEAD):
    path.write_text(head + code)
    return str(path)


def refusal(name, folder=None, arguments=None, **changes):
    with pytest.raises(UserError) as error:
        load_objective(name, arguments or {}) if folder is None else fit(folder, name, arguments, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", [n for n in names() if n not in ("inpo", "longpo", "solopo")])
def test_a_copy_of_any_shipped_file_is_the_same_loss(tmp_path, name):
    """Constants, settings, target and all; those left out here read what judged groups do not hold."""
    source = Path(dpo.__file__).with_name(f"{name}.py")
    (tmp_path / "copied.py").write_text(source.read_text())
    ours, theirs = load_objective(str(tmp_path / "copied.py"), {}), load_objective(name, {})
    for field in ("branches", "reference", "reduction", "sequence", "reads", "arguments", "level"):
        assert getattr(ours, field) == getattr(theirs, field), field
    assert (ours.target is None) == (theirs.target is None)
    assert theirs.sha256 is None and ours.sha256 == digest_of(str(tmp_path / "copied.py")) and len(ours.sha256) == 64


def test_a_file_a_module_and_an_object_train_alike(tmp_path, monkeypatch):
    """Bit for bit what the shipped DPO gives, settings included."""
    (tmp_path / "my_dpo.py").write_text(Path(dpo.__file__).read_text())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    metrics, weights = fit(tmp_path / "shipped", "dpo", {"beta": 0.4})
    for i, name in enumerate(("my_dpo.py", str(tmp_path / "my_dpo.py"), "my_dpo", "my_dpo:loss", "my_dpo.py:loss")):
        ours, their = fit(tmp_path / str(i), name, {"beta": 0.4})
        assert ours == metrics and all(torch.equal(v, weights[k]) for k, v in their.items()), name
    other, _ = fit(tmp_path / "other", "my_dpo.py", {"beta": 0.1})
    assert other != metrics, "control: the setting counts"


def test_dpo_on_tokens_is_dpo(tmp_path):
    metrics, weights = fit(tmp_path / "sums", "dpo", {"beta": 0.4})
    ours, own = fit(tmp_path / "tokens", TOKEN_DPO, {"beta": 0.4})
    assert [r["loss"] for r in ours] == pytest.approx([r["loss"] for r in metrics], rel=1e-5)
    assert [r["chosen_logps"] for r in ours] == pytest.approx([r["chosen_logps"] for r in metrics], rel=1e-5)
    assert apart(weights, own) < 1e-5
    assert apart(weights, model(scale=2.0).state_dict()) > 1e-3, "control: training moves the weights by far more"


def test_tokens_add_up_to_the_answers():
    """Of answers of one turn, and of conversations of several whose reference read other, short contexts."""
    net = model(scale=2.0)
    for count in (1, 5):
        found = with_cached(net, make_examples(count), tokens=True)
        batch = batch_of(found, Scorer(net).logps([e.tree for e in found]), tokens=True)
        longest = max(max(e.lengths) for e in found)
        assert batch.token_logps.shape == batch.token_reference.shape == batch.token_mask.shape == (count, 2, longest)
        assert batch.token_mask.sum(-1).tolist() == [list(e.lengths) for e in found]
        for tokens, sums in ((batch.token_logps, batch.logps), (batch.token_reference, batch.reference)):
            assert torch.allclose((tokens * batch.token_mask).sum(-1), sums, rtol=1e-5, atol=1e-5)
            assert (tokens[~batch.token_mask] == 0).all()
        first = found[0]
        row = torch.tensor([[*first.tree.nodes[0].token_ids, *first.tree.nodes[1].token_ids]])
        plain = net(input_ids=row).logits[0, :-1].log_softmax(-1).gather(1, row[0, 1:, None])[:, 0]
        kept = batch.token_logps[0, 0][batch.token_mask[0, 0]]
        assert kept.tolist() == pytest.approx(plain[-first.lengths[0] :].tolist(), abs=1e-4)
    turns = turns_of("d", history=True, count=3, document=9)
    cached = reference_logps(Scorer(net), short_contexts(turns), tokens=True)
    (example,) = with_reference([conversation("d", turns)], {r.id: r.logps for r in cached}, tokens=of_tokens(cached))
    batch = batch_of([example], Scorer(net).logps([example.tree]), tokens=True)
    for tokens, sums in ((batch.token_logps, batch.logps), (batch.token_reference, batch.reference)):
        assert torch.allclose((tokens * batch.token_mask).sum(-1), sums, rtol=1e-5, atol=1e-5)
    assert batch.token_mask.sum(-1)[0].tolist() == list(example.lengths)


def test_metrics_are_means_over_the_optimizer_batch(tmp_path):
    """Whatever the micro-batches; a value a comparison, a value an answer, a value a token, or one for all."""
    whole, _ = fit(tmp_path / "a", TOKEN_DPO, {"beta": 0.4}, micro_tokens=100_000)
    single, _ = fit(tmp_path / "b", TOKEN_DPO, {"beta": 0.4}, micro_tokens=1)
    for name in ("margin", "mean_margin", "length", "token_logp"):
        assert [r[name] for r in single] == pytest.approx([r[name] for r in whole], rel=1e-3, abs=1e-6), name
    for row in whole:
        assert row["mean_margin"] == pytest.approx(row["margin"], rel=1e-5)
        assert row["margin"] == pytest.approx(
            0.4 * (row["chosen_logratio"] - row["rejected_logratio"]), rel=1e-3, abs=1e-5
        )
        summed = (row["chosen_logps"] + row["rejected_logps"]) / 2
        assert row["token_logp"] == pytest.approx(summed / row["length"], rel=1e-4), (
            "the mean over tokens that there are"
        )
    assert {r["split"] for r in whole} == {"train", "held-out"} and any(r["margin"] > 0.01 for r in whole)


@pytest.mark.parametrize(("code", "line"), [
    ("def loss(batch):\n    return 1 / 0\n", "{file}, line 3: ZeroDivisionError: division by zero"),
    ("def loss(batch):\n    return batch.logits\n", "{file}, line 3: AttributeError: 'Batch' object has no attribute 'logits'"),
    ("def loss(batch):\n    return 1.0\n", "its loss returned float; return one value a comparison"),
    ("def loss(batch):\n    return batch.logps[:, 0], 3\n", "its loss returned Tensor and int; return one value a comparison"),
    ("def loss(batch):\n    return batch.logps.sum()\n", "its loss has shape (), not (3,)"),
    ("def loss(batch):\n    return batch.logps\n", "its loss has shape (3, 2), not (3,)"),
    ("def loss(batch):\n    return batch.logps[:, 0].detach()\n", "its loss carries no gradient"),
    ("def loss(batch):\n    x = batch.logps[:, 0].exp()\n    x += 1\n    return x * 2\n", "{file} changes a Tensor in place"),
    (MEASURED.format("'odd': m * float('nan')"), "metric 'odd' is not finite for prompts e"),
    (MEASURED.format("'odd': (m * 0).sum().log()"), "metric 'odd' is not finite for prompts e"),
    (MEASURED.format("'odd': batch.logps.T"), "metric 'odd' has shape (2, 3); it must be one of (), (3,), (3, 2)"),
    (MEASURED.format("'loss': m"), "metric 'loss' is followed already"),
    (MEASURED.format("'odd': 'x'"), "metric 'odd' is no Tensor of numbers, but str"),
    (MEASURED.format("1: m"), "a metric is named 1; name it by a text"),
])  # fmt: skip
def test_what_a_loss_does_wrong_is_one_line(tmp_path, code, line):
    name = written(tmp_path / "mine.py", code)
    told = refusal(name, tmp_path / "run", micro_tokens=100_000, count=3, batch=3)
    assert told.startswith(f"objective {name}: ") and line.format(file=name) in told


def test_what_is_no_loss_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = "def loss(batch, *, beta=0.1, k: int = 2):\n    return -beta * batch.margin(batch.logps)\n"
    for name, text, line in (
        ("nowhere.py", None, "nowhere.py: cannot be read (No such file or directory)"),
        ("broken.py", "def loss(batch:\n", f"{tmp_path}/broken.py, line 2: SyntaxError"),
        ("fails.py", "import no_such_library\n", f"{tmp_path}/fails.py, line 2: ModuleNotFoundError: No module named 'no_such_library'"),
        ("empty.py", "", f"{tmp_path}/empty.py has no function loss; write loss(batch, *, beta=0.1) as in windvane/losses/dpo.py"),
        ("unset.py", "def loss(batch, *, beta):\n    return batch.logps[:, 0]\n", "its setting 'beta' has no default"),
        ("alone.py", "def loss(*, beta=1.0):\n    return None\n", "its loss takes no batch"),
    ):  # fmt: skip
        if text is not None:
            written(tmp_path / name, text)
        assert f"objective {name}: {line}" in refusal(name)
    (tmp_path / "bare.py").write_text(good)
    assert "bare.py lacks BRANCHES, REFERENCE, REDUCTION; write them beside the loss" in refusal("bare.py")
    assert "LEVEL is 'word'; must be one of sequence, token" in refusal(
        written(tmp_path / "level.py", good + 'LEVEL = "word"\n')
    )
    assert "REFERENCE is 1; must be True or False" in refusal(written(tmp_path / "flag.py", good + "REFERENCE = 1\n"))
    assert "READS has 'x'" in refusal(written(tmp_path / "reads.py", good + "READS = 'x'\n"))
    name = written(tmp_path / "good.py", good)
    assert f"objective {name}: no setting 'gamma'; it has beta, k" in refusal(name, arguments={"gamma": 1.0})
    assert "good.py has no 'other'" in refusal(f"{name}:other")
    assert "objective no_such_module: unknown; there are dpo, inpo" in refusal("no_such_module")
    assert "objective a/b: unknown" in refusal("a/b")
    for name in ("fails", "fails:loss"):
        assert "fails.py, line 2: ModuleNotFoundError: No module named 'no_such_library'" in refusal(name)


def test_settings_keep_their_kind(tmp_path):
    name = written(
        tmp_path / "kinds.py",
        "def loss(batch, beta=0.5, *, k=2, smooth=False, how='sum', **more):\n    return beta, k, smooth, how, more\n",
    )
    plain, set_ = load_objective(name, {}), load_objective(name, {"k": 3.0, "beta": 1, "extra": 0.25})
    assert plain.loss(None) == (0.5, 2, False, "sum", {}) and plain.arguments == {"beta": 0.5, "k": 2}
    assert set_.loss(None) == (1, 3, False, "sum", {"extra": 0.25}) and type(set_.loss(None)[1]) is int
    assert set_.arguments == {"beta": 1, "k": 3, "extra": 0.25}


def test_an_edited_file_is_read_again_and_helpers_beside_it_are_found(tmp_path):
    """Two versions of one length, written within the same second: no compiled copy of the first is taken."""
    (tmp_path / "beside_it.py").write_text("FACTOR = 2.0\n")
    code = "from beside_it import FACTOR\ndef loss(batch):\n    return {} * FACTOR\n"
    first = load_objective(written(tmp_path / "mine.py", code.format(3)), {})
    second = load_objective(written(tmp_path / "mine.py", code.format(4)), {})
    assert (first.loss(None), second.loss(None)) == (6.0, 8.0) and first.sha256 != second.sha256


def test_a_file_that_changes_while_the_run_goes_on_is_refused(tmp_path):
    name = written(tmp_path / "mine.py", "def loss(batch):\n    return -batch.margin(batch.logps)\n")
    before = digest_of(name)
    written(tmp_path / "mine.py", "def loss(batch):\n    return batch.margin(batch.logps)\n")
    assert "mine.py was changed while this run was going on" in refusal(name, tmp_path / "run", objective_sha256=before)
    metrics, _ = fit(tmp_path / "run", name, objective_sha256=digest_of(name))
    assert math.isfinite(metrics[-1]["loss"]) and user_losses.find(name, "").sha256 == digest_of(name)


def test_token_losses_want_the_reference_s_tokens(tmp_path):
    net = model(scale=2.0)
    trainer = Trainer(PolicyTask(Scorer(net), load_objective(TOKEN_DPO, {}), SETTINGS), tmp_path, seed=7)
    with pytest.raises(UserError, match=r"token_dpo\.py: example e0 lacks the reference's log-probs of each token"):
        trainer.fit(with_cached(net, make_examples(4)), ())
