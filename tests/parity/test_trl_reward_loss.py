"""The Bradley-Terry loss, with a margin too, and its gradient against TRL's RewardTrainer on the same pairs and weights."""

import warnings

import pytest
import torch

from tests import tiny
from windvane.core.schema import dumps
from windvane.datasets.preference_pairs import read_pairs
from windvane.models.load import load_sequence_classifier
from windvane.models.preference_heads import HeadShape
from windvane.models.preference_model import save_preference_model, start_preference_model
from windvane.train.reward import RewardTask, reward_example
from windvane.train.settings import RewardTrain

ROWS = [
    {"prompt": "Which one?", "chosen": "This one, since it is longer.", "rejected": "That."},
    {"prompt": "And now?", "chosen": "No.", "rejected": "Something else altogether."},
]


@pytest.mark.parametrize("margin", [None, 0.7])
def test_loss_and_gradient(tmp_path, margin):
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    base, tokenizer = str(tiny.folder(tmp_path / "base")), tiny.byte_tokenizer()
    model = start_preference_model(base, tokenizer, HeadShape.of("bt"), "float32", "cpu", seed=0)
    with torch.no_grad():
        model.head.score.weight.mul_(30)
    save_preference_model(model, tokenizer, tmp_path / "rm", base)
    rows = [r if margin is None else r | {"margin": margin} for r in ROWS]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(dumps, rows)))
    found = [reward_example(model, tokenizer, p) for p in read_pairs(tmp_path / "pairs.jsonl")]
    loss = RewardTask(model, RewardTrain()).losses(found).values.mean()
    loss.backward()

    def chat(row, side):
        return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[side]}]

    data = [
        {side: chat(r, side) for side in ("chosen", "rejected")} | {k: r[k] for k in r if k == "margin"} for r in rows
    ]
    config = RewardConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=2, report_to=[], use_cpu=True, bf16=False, disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = load_sequence_classifier(str(tmp_path / "rm"), "float32", "cpu")
        trainer = RewardTrainer(theirs, config, train_dataset=Dataset.from_list(data), processing_class=tokenizer)
        batch = next(iter(trainer.get_train_dataloader()))
        wanted = trainer.compute_loss(theirs.train(), batch)
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert abs(wanted.item() - 0.6931) > 1e-2, "the two answers differ in reward"
    assert torch.allclose(model.head.score.weight.grad, theirs.score.weight.grad, atol=1e-5)
    mine = dict(model.decoder.named_parameters())
    for name, parameter in theirs.model.named_parameters():
        assert (mine[name].grad - parameter.grad).norm() <= 1e-4 * parameter.grad.norm() + 1e-7, name
