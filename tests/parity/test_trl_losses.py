"""The objectives equal TRL's own trainers on the same tiny model, reference and rows: the loss, and its gradient in every parameter.

SFT from SFTTrainer; DPO, IPO (per token), hard SPPO from DPOTrainer; KTO from KTOTrainer; ORPO and SimPO from TRL's experimental
ORPOTrainer and CPOTrainer.
"""

import dataclasses

import pytest
import torch

from tests.tiny import byte_tokenizer, model
from windvane.losses.batch import load_objective
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree
from windvane.train.batches import Example, mismatched, with_reference
from windvane.train.loop import Trainer
from windvane.train.loss_inputs import batch_of, to_score
from windvane.train.policy import PolicyTask
from windvane.train.reference import reference_logps
from windvane.train.settings import Train

pytestmark = pytest.mark.slow

ROWS = [
    ("tell me about rain", " rain is wet", " no"),
    ("why", " because it is so", " who knows"),
    ("a cat", " purrs", " barks loudly"),
]
FLAGGED = [
    ("tell me about rain", " rain is wet", True),
    ("why", " who knows", False),
    ("a cat", " purrs", True),
    ("a dog", " barks loudly", True),
    ("name one", " none", False),
]


def options(folder, config, **changes):
    return config(
        output_dir=str(folder), max_length=None, bf16=False, use_cpu=True, report_to=[], per_device_train_batch_size=8,
        disable_tqdm=True, gradient_checkpointing=False, **changes,
    )  # fmt: skip


def run(trainer):
    """(loss, gradients, rows) of TRL's trainer on all its rows at once."""
    rows = [trainer.train_dataset[i] for i in range(len(trainer.train_dataset))]
    loss = trainer.compute_loss(trainer.model.eval(), trainer.data_collator(rows))
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in trainer.model.named_parameters()}, rows


def paired(trainer, config, folder, reference=True, **changes):
    from datasets import Dataset

    rows = Dataset.from_list([{"prompt": p, "chosen": c, "rejected": r} for p, c, r in ROWS])
    models = {"model": model(seed=1)} | ({"ref_model": model(seed=2)} if reference else {})
    arguments = options(folder, config, **changes)
    return run(trainer(**models, args=arguments, train_dataset=rows, processing_class=byte_tokenizer()))


def plain_logps(net, prompt, answer):
    """The sum of log-probs by the plain Hugging Face forward: nothing of ours."""
    ids = torch.tensor([list(prompt) + list(answer)])
    with torch.no_grad():
        logps = torch.log_softmax(net(ids).logits.float()[0, :-1], -1)
    return logps[torch.arange(ids.shape[1] - 1), ids[0, 1:]][len(prompt) - 1 :]


def pair_of(i, prompt, chosen, rejected):
    answers = [tuple(chosen), tuple(rejected)]
    reference = tuple(plain_logps(model(seed=2), prompt, a).sum().item() for a in answers)
    return Example(str(i), Tree.of(prompt, answers), ("c", "r"), (1.0, 0.0), tuple(map(len, answers)), 0, 1, reference)


def compare(found, objective, expected, gradients):
    """Our trainer's loss on `found`, computed as trees, and the gradient it would step by."""
    net = model(seed=1)
    trainer = Trainer(PolicyTask(Scorer(net), objective, Train(clip=0.0, micro_tokens=60)), None, 0)
    assert trainer.measure(found)["loss"] == pytest.approx(expected, rel=2e-5)
    kept = {}

    class Keep(torch.optim.SGD):
        def step(self):
            kept.update({n: p.grad.clone() for n, p in net.named_parameters()})

    trainer.step(found, Keep(net.parameters(), lr=0.0), 0.0, 0)
    norm = torch.stack([g.norm() for g in gradients.values()]).norm()
    for name, theirs in gradients.items():
        assert (kept[name] - theirs).norm() < 1e-4 * max(theirs.norm(), 1e-2 * norm), name


@pytest.mark.parametrize(
    ("theirs", "ours", "beta"), [("sigmoid", "dpo", 0.1), ("ipo", "ipo_mean", 0.2), ("sppo_hard", "sppo_hard", 0.05)]
)
def test_dpo_trainer(tmp_path, theirs, ours, beta):
    from trl import DPOConfig, DPOTrainer

    expected, gradients, rows = paired(DPOTrainer, DPOConfig, tmp_path, loss_type=[theirs], beta=beta)
    found = [pair_of(i, r["prompt_ids"], r["chosen_ids"], r["rejected_ids"]) for i, r in enumerate(rows)]
    compare(found, load_objective(ours, {"beta": beta}), expected, gradients)
    if theirs == "sppo_hard":
        nodes = [
            [None] + [plain_logps(model(seed=1), r["prompt_ids"], r[k]) for k in ("chosen_ids", "rejected_ids")]
            for r in rows
        ]
        soft = load_objective("sppo", {"eta": 1 / beta}).loss(batch_of(found, nodes))
        assert 2 * soft.mean().item() == pytest.approx(expected, rel=2e-5), (
            "the soft loss at P = 1, 0 is half of the hard one"
        )


def test_label_smoothing_does_nothing_to_the_sigmoid_loss_of_trls_dpo_trainer(tmp_path):
    """docs/from_trl.md says so."""
    from trl import DPOConfig, DPOTrainer

    losses = [
        paired(DPOTrainer, DPOConfig, tmp_path, loss_type=["sigmoid"], beta=0.1, label_smoothing=smoothing)[0]
        for smoothing in (0.0, 0.2)
    ]
    assert losses[0] == losses[1]


def test_sft(tmp_path):
    """Answers of unequal length in one batch: a mean over all their tokens, the prompt masked."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_list([{"prompt": p, "completion": c} for p, c, _ in ROWS])
    arguments = options(tmp_path, SFTConfig, completion_only_loss=True)
    trainer = SFTTrainer(model=model(seed=1), args=arguments, train_dataset=rows, processing_class=byte_tokenizer())
    expected, gradients, rows = run(trainer)
    found = []
    for i, row in enumerate(rows):
        start = sum(label == -100 for label in row["labels"])
        prompt, answer = row["input_ids"][:start], row["input_ids"][start:]
        found.append(Example(str(i), Tree.of(prompt, [answer]), ("c",), (1.0,), (len(answer),), 0, None))
    assert len({e.lengths for e in found}) > 1, "a mean of means would be another number"
    compare(found, load_objective("sft", {}), expected, gradients)


def tokens_of(row, which):
    """Prompt and answer of a row of TRL's experimental trainers."""
    ids, labels = row[f"{which}_input_ids"], row[f"{which}_labels"]
    start = sum(label == -100 for label in labels)
    return ids[:start], ids[start:]


def test_label_smoothing(tmp_path):
    """DPOTrainer ignores it for "sigmoid"; CPOTrainer's sigmoid loss is DPO's with a reference that is 0 everywhere."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    expected, gradients, rows = paired(
        CPOTrainer, CPOConfig, tmp_path, reference=False, loss_type="sigmoid", cpo_alpha=0.0, beta=0.1, label_smoothing=0.2
    )  # fmt: skip
    found = [pair_of(i, *tokens_of(r, "chosen"), tokens_of(r, "rejected")[1]) for i, r in enumerate(rows)]
    found = [dataclasses.replace(e, reference=(0.0, 0.0)) for e in found]
    compare(found, load_objective("dpo", {"beta": 0.1, "label_smoothing": 0.2}), expected, gradients)


@pytest.mark.parametrize(
    "arguments", [{"beta": 2.0, "gamma": 0.5}, {"beta": 2.5, "gamma": 1.0, "label_smoothing": 0.1}]
)
def test_simpo(tmp_path, arguments):
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    expected, gradients, rows = paired(
        CPOTrainer, CPOConfig, tmp_path, reference=False, loss_type="simpo", cpo_alpha=0.0, beta=arguments["beta"],
        simpo_gamma=arguments["gamma"], label_smoothing=arguments.get("label_smoothing", 0.0),
    )  # fmt: skip
    found = [pair_of(i, *tokens_of(r, "chosen"), tokens_of(r, "rejected")[1]) for i, r in enumerate(rows)]
    compare(found, load_objective("simpo", arguments), expected, gradients)


def test_orpo(tmp_path):
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    expected, gradients, rows = paired(ORPOTrainer, ORPOConfig, tmp_path, reference=False, beta=0.3)
    found = [pair_of(i, *tokens_of(r, "chosen"), tokens_of(r, "rejected")[1]) for i, r in enumerate(rows)]
    compare(found, load_objective("orpo_trl", {"lam": 0.3}), expected, gradients)
    # the paper's: the same odds term, the NLL over the answer alone
    ours = load_objective("orpo", {"lam": 0.3})
    logps = Scorer(model(seed=1)).logps([to_score(e, ()) for e in found])
    batch = batch_of(found, logps)
    gap = (batch.logps[:, 0] / batch.lengths[:, 0]).mean() + ours.loss(batch).mean()
    nll = sum(-plain_logps(model(seed=1), e.tree.row(1)[:1], e.tree.row(1)[1:]).sum() for e in found)
    tokens = sum(len(e.tree.row(1)) - 1 for e in found)
    assert expected - (nll / tokens).item() == pytest.approx(gap.item(), rel=1e-4)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.5)])
def test_kto(tmp_path, weights):
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    rows = Dataset.from_list([{"prompt": p, "completion": c, "label": flag} for p, c, flag in FLAGGED])
    arguments = options(tmp_path, KTOConfig, beta=0.2, desirable_weight=weights[0], undesirable_weight=weights[1])
    expected, gradients, rows = run(
        KTOTrainer(model=model(seed=1), ref_model=model(seed=2), args=arguments, train_dataset=rows, processing_class=byte_tokenizer())
    )  # fmt: skip
    found = []
    for i, row in enumerate(rows):
        answer = tuple(row["completion_ids"])
        tree = Tree.of(row["prompt_ids"], [answer])
        found.append(
            Example(str(i), tree, (f"y{i}",), (0.0,), (len(answer),), None, None, desirable=(bool(row["label"]),))
        )
    found = mismatched(found)
    assert [list(e.mismatch.tree.nodes[1].token_ids) for e in found] == [r["KL_completion_ids"] for r in rows]
    cached = reference_logps(Scorer(model(seed=2)), found)
    found = with_reference(found, {r.id: r.logps for r in cached})
    objective = load_objective("kto", {"beta": 0.2, "desirable": weights[0], "undesirable": weights[1]})
    compare(found, objective, expected, gradients)
    without = Trainer(PolicyTask(Scorer(model(seed=1)), objective, Train()), None, 0)
    z0 = without.measure(found)["kl_estimate"]
    assert abs(z0) > 0.1, "the reference point is not trivially zero here"
    moved = [
        dataclasses.replace(
            e, mismatch=dataclasses.replace(e.mismatch, reference=tuple(r - 5 for r in e.mismatch.reference))
        )
        for e in found
    ]
    assert without.measure(moved)["loss"] != pytest.approx(expected, rel=1e-3), (
        "control: another reference point, another loss"
    )
