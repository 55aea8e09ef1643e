import importlib

import pytest
import torch
import transformers as hf

from tests import tiny
from windvane.core.errors import UserError
from windvane.engines import names as generators
from windvane.engines.local import LocalGenerator, Sampling
from windvane.engines.names import resolve_generator
from windvane.judges import names as judges
from windvane.judges.names import resolve_judge, resolve_rubric_judge
from windvane.judges.reward import RewardJudge


def test_every_name_in_the_tables_is_there():
    for table in (judges.JUDGES, judges.GRADERS, generators.GENERATORS):
        for where in table.values():
            module, _, name = where.partition(":")
            assert callable(getattr(importlib.import_module(module), name)), where


def test_local_and_reward_from_folders(tmp_path):
    tiny.folder(tmp_path / "policy")
    made = resolve_generator(f"local:{tmp_path / 'policy'}", Sampling(k=2, max_new_tokens=3), device="cpu")
    assert isinstance(made, LocalGenerator) and made.sampling.k == 2
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=260, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=1
    )
    hf.LlamaForSequenceClassification(config).save_pretrained(tmp_path / "reward")
    tiny.byte_tokenizer().save_pretrained(tmp_path / "reward")
    assert isinstance(resolve_judge(f"reward:{tmp_path / 'reward'}", device="cpu"), RewardJudge)


def test_servers():
    made = resolve_generator("https://example.org/v1#org/model", Sampling(k=1))
    assert made.endpoint.place.model == "org/model" and made.endpoint.calls is None


def test_own_function():
    assert resolve_judge("py:math:fsum").judge([]) == []


def test_toy_judges():
    assert callable(resolve_judge("toy:styles:programme").judge)
    assert resolve_judge("toy:styles") == resolve_judge("toy:styles:proxy") == resolve_judge("world:styles:proxy")
    assert resolve_rubric_judge("rubric:toy:values") == resolve_rubric_judge("world:values:programme")


@pytest.mark.parametrize("spec", ["", "reward", "reward:", "gpt5:x", "styles", "py:", "pairrm"])
def test_unknown_judges_list_what_there_is(spec):
    with pytest.raises(UserError, match=r"toy:FAMILY.*reward:MODEL.*py:module:object"):
        resolve_judge(spec)


@pytest.mark.parametrize("spec", ["", "some/model", "local:", "reward:x", "toy:", "world:"])
def test_unknown_generators_list_what_there_is(spec):
    with pytest.raises(UserError, match=r"toy:FAMILY.*local:MODEL.*py:module:object"):
        resolve_generator(spec, Sampling())


def test_unknown_family():
    with pytest.raises(UserError, match=r"no toy family 'nowhere' that offers judge; there are: toy:styles, toy:facts"):
        resolve_judge("toy:nowhere")
