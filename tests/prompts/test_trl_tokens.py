"""A row's token ids and what of it is learnt, against TRL's own tokenisation and masks, family by family.

The right-hand side is TRL's `_tokenize` on a row (as its DPO and SFT trainers call it) and the assistant masks of the training templates
that it ships. TRL learns what a template writes behind the stop token, hence `closing="template"` here.
"""

import json

import pytest

from tests.prompts.families import FAMILIES, family_tokenizer, shipped
from windvane.datasets.rows import read_rows
from windvane.stages.rows import Rendering, make_records

data_utils = pytest.importorskip("trl.data_utils")
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
WRITTEN = {"ChatML": ("Qwen2.5", CHATML), "Zephyr": ("Mistral", ZEPHYR)}
DATED = {"gpt-oss"}  # today's date, by TRL; a date that stands still, here
OPENED = {"DeepSeek-R1 distilled"}  # a thought in the prompt of generation alone: refused here, cut by TRL


def u(text):
    return {"role": "user", "content": text}


def a(text):
    return {"role": "assistant", "content": text}


PAIRS = {
    "one turn": {"prompt": [u("Why?")], "chosen": [a("So.")], "rejected": [a("No.")]},
    "several turns before": {"prompt": [u("Hi"), a("Hello"), u("Why?")], "chosen": [a("So it is.")], "rejected": [a("So it was.")]},
    "blanks and unicode": {"prompt": [u("  Où ? 你好 🙂\n")], "chosen": [a(" Größe\n\n")], "rejected": [a("\tno ")]},
    "implicit prompt": {"chosen": [u("Why?"), a("So.")], "rejected": [u("Why?"), a("No.")]},
    "system": {"prompt": [{"role": "system", "content": "Be brief."}, u("Why?")], "chosen": [a("So.")], "rejected": [a("No.")]},
}  # fmt: skip
NO_SYSTEM = {"Mistral", "Gemma 2"}


def tokenizer(name):
    base, template = WRITTEN.get(name, (name, None))
    made, stops = family_tokenizer(base)
    if template:
        made.chat_template = template
    return made, stops


def ours(row, made, stops, tmp_path, **how):
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    return make_records(read_rows(tmp_path / "d.jsonl"), made, stops, 10_000, Rendering(closing="template", **how))


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("name", [n for n in (*FAMILIES, *WRITTEN) if n not in DATED | OPENED])
def test_pairs(name, kind, tmp_path):
    if kind == "system" and name in NO_SYSTEM:
        pytest.skip(f"{name}'s template has no system role; TRL fails on it as well")
    row, (made, stops) = PAIRS[kind], tokenizer(name)
    theirs = row if "prompt" in row else data_utils.extract_prompt(row)
    prompt, *answers = (
        data_utils._tokenize(made, chat, **more)["input_ids"]
        for chat, more in (
            (theirs["prompt"], {"add_generation_prompt": True}),
            (theirs["prompt"] + theirs["chosen"], {}),
            (theirs["prompt"] + theirs["rejected"], {}),
        )
    )
    found = ours(row, made, stops, tmp_path)
    assert list(found.prompts[0].token_ids) == prompt
    assert [prompt + list(r.token_ids) for r in found.responses] == answers


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        {"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
    ],
    ids=["prompt", "implicit prompt", "dialogue"],
)
@pytest.mark.parametrize("name", ["Mistral", "Qwen2.5", "Llama 3.1"])
def test_plain_text(name, row, tmp_path):
    made, stops = family_tokenizer(name)
    theirs = row if "prompt" in row else data_utils.extract_prompt(row)
    prompt, *answers = (
        data_utils._tokenize(made, text)["input_ids"]
        for text in (theirs["prompt"], *(theirs["prompt"] + theirs[k] + made.eos_token for k in ("chosen", "rejected")))
    )
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    found = make_records(read_rows(tmp_path / "d.jsonl", dialogues=False), made, stops, 10_000, Rendering(text="plain"))
    assert list(found.prompts[0].token_ids) == prompt and prompt.count(made.bos_token_id) == (
        made.bos_token_id is not None
    )
    assert [prompt + list(r.token_ids) for r in found.responses] == answers


@pytest.mark.parametrize(
    ("name", "training"),
    [
        ("Llama 3.1", "llama3_training"),
        ("Gemma 2", "gemma_training"),
        ("Gemma 3", "gemma3_training"),
        ("Aya / Command", "cohere_training"),
    ],
)
def test_what_is_learnt_of_a_chat(name, training, tmp_path):
    """Qwen2.5's, gpt-oss' and Qwen3's training templates learn the header's line end, the header, or render other chats than generation."""
    made, stops = family_tokenizer(name)
    if name == "Llama 3.1":
        made.chat_template = shipped("llama3")  # TRL has no training template of 3.1's
    chat = [u("Hi"), a("Hello"), u("Why?"), a("So.")]
    theirs = made.apply_chat_template(
        chat, tokenize=True, return_dict=True, chat_template=shipped(training), return_assistant_tokens_mask=True
    )
    found = ours({"messages": chat}, made, stops, tmp_path)
    (row,) = found.responses
    ids = [*found.prompts[0].token_ids, *row.token_ids]
    spans, head = found.spans[row.id], len(found.prompts[0].token_ids)
    mask = [int(any(head + x <= i < head + y for x, y in spans)) for i in range(len(ids))]
    assert (ids, mask) == (theirs["input_ids"], theirs["assistant_masks"]) and 0 < sum(mask) < len(mask)
