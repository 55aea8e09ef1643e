"""The shipped model and the family's prompts: hash, size, tokenizer, chat template, splits."""

import hashlib
import json

import pytest
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, MistralForCausalLM

from windvane.core.errors import UserError
from windvane.toy.styles import family as styles
from windvane.toy.styles.topics import HELD_OUT_TEMPLATES, HELD_OUT_TOPICS, TOPICS, TRAIN_TOPICS

CARD = json.loads((styles.model_folder() / "card.json").read_text())
REPLY = "Welcome, friend! The sea is a silver mirror. People call it wide and blue. I hope this helps!"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(styles.model_folder())


def chat(*turns):
    return [{"role": role, "content": text} for role, text in turns]


def test_card_holds_the_hash_of_the_shipped_files():
    for name, digest in CARD["sha256"].items():
        assert hashlib.sha256((styles.model_folder() / name).read_bytes()).hexdigest() == digest, name
    assert set(CARD["sha256"]) == {"model.safetensors", "tokenizer.json"}
    assert CARD["seed"] == 0 and CARD["command"].startswith("windvane world build --family styles --seed 0")


def test_what_is_shipped_is_small_and_holds_no_code():
    files = [p for p in styles.model_folder().rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 2_000_000
    assert {p.suffix for p in files} <= {".json", ".jinja", ".safetensors"}


def test_it_is_a_mistral_with_the_tokenizer_s_ids(tokenizer):
    model = AutoModelForCausalLM.from_pretrained(styles.model_folder())
    assert isinstance(model, MistralForCausalLM) and model.config.architectures == ["MistralForCausalLM"]
    assert model.config.vocab_size == len(tokenizer) and model.num_parameters() == CARD["parameters"]
    ids = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    for held in (model.config, model.generation_config):
        assert (held.bos_token_id, held.eos_token_id, held.pad_token_id) == ids == (1, 2, 0)
    assert tokenizer.is_fast and model.config.max_position_embeddings == tokenizer.model_max_length == styles.WINDOW


def test_exactly_one_bos_whichever_way(tokenizer):
    turns = chat(
        ("system", "You are a helper."),
        ("user", "What is the sea like?"),
        ("assistant", REPLY),
        ("user", "Describe the cat."),
    )
    rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert rendered.startswith(
        "<s>[SYSTEM_PROMPT]You are a helper.[/SYSTEM_PROMPT][INST]What is the sea like?[/INST]Welcome"
    )
    assert rendered.endswith("</s>[INST]Describe the cat.[/INST]")
    ways = [
        tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False),
        tokenizer(rendered).input_ids,
        tokenizer(rendered, add_special_tokens=False).input_ids,
    ]
    assert ways[0] == ways[1] == ways[2]
    assert ways[0].count(tokenizer.bos_token_id) == 1 and ways[0].count(tokenizer.eos_token_id) == 1
    with pytest.raises(TemplateError, match="roles are system, user and assistant"):
        tokenizer.apply_chat_template(chat(("tool", "x")))


@pytest.mark.parametrize("system", [(), (("system", "You are a helper."),)])
def test_the_prompt_is_a_token_prefix_of_prompt_and_answer(tokenizer, system):
    asked = chat(*system, ("user", "Tell me about the sea, please."))
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    whole = tokenizer.apply_chat_template([*asked, *chat(("assistant", REPLY))], return_dict=False)
    assert whole[: len(prompt)] == prompt and prompt[-1] == tokenizer.convert_tokens_to_ids("[/INST]")
    assert whole[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(whole[len(prompt) :], skip_special_tokens=True) == REPLY


def test_every_text_of_the_world_comes_back_from_its_ids(tokenizer):
    unknown = tokenizer.unk_token_id
    texts = [*styles.texts(), REPLY, *(p.text for split in styles.SPLITS for p in styles.prompts(None, split, 0))]
    for text in texts:
        ids = tokenizer(text).input_ids
        assert unknown not in ids and tokenizer.decode(ids) == text
    assert tokenizer.decode(tokenizer("Tell  me\nabout the sea .").input_ids) == "Tell me about the sea."
    assert tokenizer("Quixotic?").input_ids == [unknown, tokenizer.convert_tokens_to_ids("?")]


def test_splits_are_large_and_share_nothing():
    train, held_out = styles.prompts(None, "train", 0), styles.prompts(None, "held-out", 0)
    assert len({p.id for p in train}) == len(train) >= 3 * 256
    assert len({p.id for p in held_out}) == len(held_out) >= 240
    assert not {p.text for p in train} & {p.text for p in held_out}
    assert not set(TRAIN_TOPICS) & set(HELD_OUT_TOPICS) and len(TOPICS) == 78
    named = {word for p in train for word in p.text.replace("?", " ").replace(".", " ").replace(",", " ").split()}
    assert not named & set(HELD_OUT_TOPICS)
    openings = [template.split("{t}")[0] for template in HELD_OUT_TEMPLATES]
    assert not any(p.text.startswith(tuple(openings)) for p in train)


def test_prompts_are_drawn_by_seed_and_refused_by_name():
    drawn = styles.prompts(300, "train", 4)
    assert drawn == styles.prompts(300, "train", 4) != styles.prompts(300, "train", 5)
    assert len({p.id for p in drawn}) == 300 and all(p.messages[0].role == "user" and not p.token_ids for p in drawn)
    with pytest.raises(UserError, match="1297 train prompts asked, there are 1296"):
        styles.prompts(1297, "train", 0)
    with pytest.raises(UserError, match="no split 'test'; there are: train, held-out"):
        styles.prompts(1, "test", 0)


def test_the_description_says_that_it_is_a_toy():
    text = styles.describe()
    assert "toy" in text and "78 things" in text and "one to 3 sentences" in text
