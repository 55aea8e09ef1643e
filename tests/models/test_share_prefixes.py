"""The drop-ins: somebody else's loop gives the same losses, metrics and gradients, and computes the prompt once."""

import runpy
from pathlib import Path

import peft
import pytest
import torch

from tests.models import tiny
from windvane.models.trees.logprobs import rows_logps
from windvane.models.trees.share_prefixes import share_prefixes
from windvane.models.trees.tree import Tree

EXAMPLES = Path(__file__).parents[2] / "examples"


def padded(rows, starts):
    longest = max(map(len, rows))
    ids = torch.tensor([r + [0] * (longest - len(r)) for r in rows])
    mask = torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in rows])
    labels = torch.tensor([[-100] * s + r[s:] + [-100] * (longest - len(r)) for r, s in zip(rows, starts)])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def tokens_computed(model):
    """Counts what the first layer's MLP sees."""
    seen = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda m, args: seen.append(args[0].shape[:2].numel()))
    return seen


@pytest.mark.parametrize("name", ["mistral-window", "qwen3-window", "gemma3"])
@pytest.mark.parametrize("bos", [[], [1]])
def test_a_padded_batch_of_rows(name, bos):
    """Two prompts, three answers: Hugging Face's own loss over right-padded rows, and its gradients. Prompts that have nothing but
    their first token in common, as a batch of most tokenizers', are a trunk of one token which nothing predicts."""
    r = tiny.tokens(4)
    first, second = bos + r(50 - len(bos)), bos + r(30 - len(bos))
    rows = [first + r(9), first + r(4), second + r(12)]
    batch = padded(rows, [50, 50, 30])
    plain, ours = tiny.model(name), tiny.model(name)
    scorer = share_prefixes(ours)
    seen = tokens_computed(ours)
    want, found = plain(**batch), ours(**batch)
    assert scorer.mode == "trees", scorer.reason
    assert seen[-1] == 50 + 9 + 4 + 30 + 12 - len(bos)  # of 3 x 59 with padding
    valid = batch["attention_mask"].bool()
    assert tiny.gap(found.logits[valid], want.logits[valid]) < 1e-5
    want.loss.backward()
    found.loss.backward()
    grads = [{n: p.grad for n, p in m.named_parameters()} for m in (ours, plain)]
    assert tiny.worst(*grads) < 1e-5


def test_what_trees_do_not_cover_runs_as_before():
    r = tiny.tokens(4)
    plain, ours = tiny.model("mistral").eval(), tiny.model("mistral").eval()
    share_prefixes(ours)
    ids = torch.tensor([r(6), r(6)])
    left = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
    for kwargs in (
        {"input_ids": ids[:1]},
        {"input_ids": ids, "attention_mask": left},
        {"inputs_embeds": torch.ones(2, 3, 64)},
    ):
        assert torch.equal(ours(**kwargs).logits, plain(**kwargs).logits)
    asked = {"max_new_tokens": 4, "do_sample": False}
    assert torch.equal(ours.generate(ids, **asked), plain.generate(ids, **asked))


def test_plain_loop_example():
    """The example's losses against a row per answer through the plain forward."""
    train = runpy.run_path(str(EXAMPLES / "plain_loop.py"))["train"]
    r = tiny.tokens(8)
    data = [(r(40), r(6), r(9)), (r(25), r(8), r(3))] * 2
    found = list(train(tiny.model("mistral", scale=3.0), data, lr=1e-3))
    model = tiny.model("mistral", scale=3.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    sums = lambda p, c, j: [v.sum() for v in rows_logps(model, [Tree.of(p, [c, j])])[0][1:]]  # noqa: E731
    with torch.no_grad():
        reference = [sums(*row) for row in data]
    want = []
    for row, ref in zip(data, reference):
        chosen, rejected = sums(*row)
        loss = -torch.nn.functional.logsigmoid(0.1 * ((chosen - ref[0]) - (rejected - ref[1])))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        want.append(loss.item())
    assert found == pytest.approx(want, rel=1e-4)
    assert len(set(want)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True])
def test_inside_trl(lora, tmp_path):
    """TRL's real DPOTrainer, reference computed live: its log after three steps with the adapter and without."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer

    words = Tokenizer(
        models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, 97)}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>", pad_token="</s>")
    r = tiny.tokens(6)
    text = lambda n: " ".join(f"w{t}" for t in r(n))  # noqa: E731
    data = [
        {"prompt": text(60), "chosen": " " + text(c), "rejected": " " + text(j)} for c, j in ((9, 5), (4, 4), (6, 11))
    ]
    logs, seen = {}, {}
    for adapted in (False, True):
        args = DPOConfig(
            output_dir=str(tmp_path / str(adapted)), per_device_train_batch_size=2, max_steps=3, logging_steps=1, max_length=None,
            learning_rate=1e-3, use_cpu=True, bf16=False, report_to=[], save_strategy="no", gradient_checkpointing=True, seed=1,
        )  # fmt: skip
        config = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]) if lora else None
        base = tiny.model("mistral", scale=3.0)
        torch.manual_seed(0)
        trainer = DPOTrainer(
            base, ref_model=None if lora else tiny.model("mistral", scale=3.0), args=args, processing_class=tokenizer,
            train_dataset=Dataset.from_list(data), peft_config=config,
        )  # fmt: skip
        scorer = share_prefixes(trainer.model) if adapted else None
        seen[adapted] = tokens_computed(base)
        trainer.train()
        logs[adapted] = trainer.state.log_history[:3]
        assert scorer is None or scorer.mode == "trees", scorer.reason
    assert max(seen[True][-2:]) < 0.7 * max(seen[False][-2:])
    for mine, theirs in zip(logs[True], logs[False]):
        keys = {
            k
            for k in theirs
            if k.startswith(("loss", "grad_norm", "rewards", "logps", "logits", "entropy", "mean_token"))
        }
        assert {"loss", "grad_norm", "rewards/margins", "logps/chosen"} <= keys
        assert {k: mine[k] for k in keys} == pytest.approx({k: theirs[k] for k in keys}, rel=2e-3, abs=2e-4)
