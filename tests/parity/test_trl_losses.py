"""DPO, IPO (per token) and hard SPPO equal TRL's own trainer on the same tiny model, reference and rows."""

import pytest
import torch

from tests.tiny import byte_tokenizer, model
from windvane.modeling.tree import Tree
from windvane.objectives.batch import load_objective
from windvane.train.batches import Example
from windvane.train.loop import batch_of

ROWS = [
    ("tell me about rain", " rain is wet", " no"),
    ("why", " because it is so", " who knows"),
    ("a cat", " purrs", " barks loudly"),
]


@pytest.fixture(scope="module")
def trl(tmp_path_factory):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    def loss_of(loss_type, beta, smoothing=0.0):
        arguments = DPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")), loss_type=[loss_type], beta=beta, label_smoothing=smoothing,
            max_length=None, bf16=False, use_cpu=True, report_to=[], per_device_train_batch_size=len(ROWS), disable_tqdm=True,
            gradient_checkpointing=False,
        )  # fmt: skip
        rows = Dataset.from_list([{"prompt": p, "chosen": c, "rejected": r} for p, c, r in ROWS])
        trainer = DPOTrainer(
            model=model(seed=1), ref_model=model(seed=2), args=arguments, train_dataset=rows, processing_class=byte_tokenizer()
        )  # fmt: skip
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(ROWS))])
        with torch.no_grad():
            found = trainer.compute_loss(trainer.model.eval(), batch).item()
        return found, [trainer.train_dataset[i] for i in range(len(ROWS))]

    return loss_of


def plain_logps(net, prompt, answer):
    """The sum of log-probs by the plain Hugging Face forward: nothing of ours."""
    ids = torch.tensor([list(prompt) + list(answer)])
    with torch.no_grad():
        logps = torch.log_softmax(net(ids).logits.float()[0, :-1], -1)
    return logps[torch.arange(ids.shape[1] - 1), ids[0, 1:]][len(prompt) - 1 :]


@pytest.mark.parametrize(
    ("theirs", "ours", "beta", "smoothing"),
    [("sigmoid", "dpo", 0.1, 0.0), ("ipo", "ipo_mean", 0.2, 0.0), ("sppo_hard", "sppo_hard", 0.05, 0.0)],
)
@pytest.mark.slow
def test_equal(trl, theirs, ours, beta, smoothing):
    expected, rows = trl(theirs, beta, smoothing)
    examples, logps = [], []
    for i, row in enumerate(rows):
        answers = [tuple(row["chosen_ids"]), tuple(row["rejected_ids"])]
        reference = tuple(plain_logps(model(seed=2), row["prompt_ids"], a).sum().item() for a in answers)
        tree = Tree.of(row["prompt_ids"], answers)
        examples.append(Example(str(i), tree, ("c", "r"), (1.0, 0.0), tuple(map(len, answers)), 0, 1, reference))
        logps.append([None] + [plain_logps(model(seed=1), row["prompt_ids"], a) for a in answers])
    losses = load_objective(ours, {"beta": beta}).loss(batch_of(examples, logps))
    assert losses.mean().item() == pytest.approx(expected, rel=2e-5)
    if theirs == "sppo_hard":
        soft = load_objective("sppo", {"eta": 1 / beta}).loss(batch_of(examples, logps))
        assert 2 * soft.mean().item() == pytest.approx(expected, rel=2e-5), (
            "the soft loss at P = 1, 0 is half of the hard one"
        )
