"""Faults of SPPO's released code that this one must not have, one test a fault (docs/papers/sppo.md lists them).

Two more are tests of whole runs in test_sppo_variants.py: answers cut to 512 tokens, and stale folders reused.
"""

import re
from pathlib import Path

import pytest

from tests import tiny
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, Response, Verdict, by_prompt
from windvane.engines.local import LocalGenerator, Sampling
from windvane.prompts.chat import prepare
from windvane.stages.pair import ESTIMATES, Pairing, group
from windvane.train.batches import examples

SRC = Path(__file__).parents[2] / "src" / "windvane"
LLAMA3 = (  # the shape of Llama 3's template, its special tokens written as this tokenizer has them
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>\n\n{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n\n{% endif %}"
)


def trained(template, text, max_new_tokens=12):
    """(tokenizer, rendered prompt, answers, the rows of ids that training sees) for one prompt, from sampling to training example."""
    tokenizer = tiny.byte_tokenizer()
    tokenizer.chat_template = template
    (prompt,) = prepare([Prompt.of((Message("user", text),))], tokenizer, 4096, max_new_tokens)
    generator = LocalGenerator(tiny.model(seed=3), tokenizer, Sampling(k=5, max_new_tokens=max_new_tokens))
    answers = generator.generate([prompt], range(5), 1)[0]
    verdicts = [Verdict(f"{a}-{b}", prompt.id, a, b, 0.6, 0.4, 0.6, 0.0) for a in range(5) for b in range(a + 1, 5)]
    made = group(prompt.id, answers, verdicts)
    (example,) = examples({prompt.id: prompt}, {r.id: r for r in answers}, [made], "group", "all", True)
    rows = [
        [i for n in example.tree.path(leaf) for i in example.tree.nodes[n].token_ids] for leaf in example.tree.leaves
    ]
    return tokenizer, prompt, answers, rows


@pytest.mark.parametrize("template", [tiny.TEMPLATE, LLAMA3], ids=["mistral", "llama-3"])
@pytest.mark.parametrize("text", ["Is None an answer? None of these. Say why.", "None", "nothing special"])
def test_a_prompt_is_not_cut_at_the_word_none(template, text):
    tokenizer, prompt, _, rows = trained(template, text)
    head = tokenizer.decode(prompt.token_ids)
    assert text in head and head.count("None") == text.count("None")
    assert all(tuple(row[: len(prompt.token_ids)]) == prompt.token_ids for row in rows)


@pytest.mark.parametrize("template", [tiny.TEMPLATE, LLAMA3], ids=["mistral", "llama-3"])
def test_one_bos_and_no_doubled_eos(template):
    tokenizer, prompt, answers, rows = trained(template, "Hello?", max_new_tokens=500)
    assert any(a.finish == "stop" for a in answers)
    turns = 0 if template == tiny.TEMPLATE else 1  # the user's turn is closed by the same token
    assert prompt.token_ids.count(tokenizer.bos_token_id) == 1 and prompt.token_ids[0] == tokenizer.bos_token_id
    for row, answer in zip(rows, answers):
        told = answer.token_ids
        assert row[: len(prompt.token_ids)].count(tokenizer.eos_token_id) == turns
        assert told.count(tokenizer.eos_token_id) == (answer.finish == "stop") and tuple(row[-len(told) :]) == told


def test_no_assistant_header_after_an_answer():
    """The released data.py renders prompt + answer with a generation prompt: Llama-3 is trained to begin another turn."""
    tokenizer, prompt, answers, rows = trained(LLAMA3, "Hello?")
    header = "<assistant>"
    for row, answer in zip(rows, answers):
        assert tokenizer.decode(row).count(header) == 1 and len(row) == len(prompt.token_ids) + len(answer.token_ids)


def test_long_prompts_are_named_not_cut():
    """max_prompt_length 512, keep_end: the released trainer keeps a prompt's last 512 tokens."""
    tokenizer = tiny.byte_tokenizer()
    asked = Prompt.of((Message("user", "x" * 900),))
    with pytest.raises(UserError, match="and 200 new ones do not fit the window of 1000"):
        prepare([asked], tokenizer, 1000, 200)
    (ready,) = prepare([asked], tokenizer, 2000, 200)
    assert len(ready.token_ids) > 900


@pytest.mark.parametrize("estimate", sorted(ESTIMATES))
def test_an_answer_is_not_paired_with_itself(estimate):
    """compute_prob.py takes argmax and argmin of equal scores: the same answer, chosen and rejected."""
    answers = [Response(f"p-{i}", "p", i, "same", (5, 2), "stop") for i in range(5)]
    for p in (0.5, 0.7):
        told = [Verdict(f"{a}-{b}", "p", a, b, p, 1 - p, p, 0.0) for a in range(5) for b in range(a + 1, 5)]
        made = group("p", answers, told, Pairing(estimate))
        assert made.chosen is None and made.status == ("tie" if p == 0.5 else "same")
        assert examples({}, {r.id: r for r in by_prompt(answers)["p"]}, [made], "group", "best-worst", True) == []


def test_nothing_is_pushed_unless_it_is_asked_for():
    """compute_prob.py pushes its data to the hub three times. Here one file uploads, and only what --push names (test_push.py)."""
    uploads = re.compile(r"push_to_hub|upload_file|upload_folder|create_repo|create_commit|HfApi")
    found = [path.name for path in sorted(SRC.rglob("*.py")) if uploads.search(path.read_text(encoding="utf-8"))]
    assert found == ["push.py"]
