"""Chats to token ids: a byte tokenizer makes every expected id a matter of reading the text."""

import time
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.prompts.chat import Refused, answered, check_template, prepare, render, screen

SPECIAL = ["<s>", "</s>", "<|im_end|>"]
PLAIN = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}SYS {{ m.content }}\n"
    "{% elif m.role == 'user' %}[{{ m.content }}]{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
MISTRAL_02 = (
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + eos_token }}"
    "{% endif %}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer(template, **kwargs):
    """Three special tokens and then one token a byte, in the order of the byte-level alphabet."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {t: i for i, t in enumerate([*SPECIAL, *letters])}
    core = Tokenizer(models.BPE(vocab, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "extra_special_tokens": ["<|im_end|>"], **kwargs}
    made = PreTrainedTokenizerFast(tokenizer_object=core, **names)
    made.chat_template = template
    return made


def user(text, system=None):
    head = () if system is None else (Message("system", system),)
    return Prompt.of((*head, Message("user", text)))


def back(tok, ids):
    return tok.decode(ids)


def refusal(call, *args, **kwargs):
    with pytest.raises(UserError) as error:
        call(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_ids_are_the_templates_text_once():
    tok = tokenizer(PLAIN)
    assert tok("x")["input_ids"][0] == 0, "plain text gets a BOS from this tokenizer"
    chat = (Message("system", "S"), Message("user", "a"), Message("assistant", "b"), Message("user", "None"))
    ids = render(tok, chat)
    letter = {c: tok.convert_tokens_to_ids(c) for c in "SYabNone[]"}
    space, newline = tok.convert_tokens_to_ids(["Ġ", "Ċ"])
    head = [0, *(letter[c] for c in "SYS"), space, letter["S"], newline]
    assert ids == (*head, *(letter[c] for c in "[a]"), letter["b"], 1, *(letter[c] for c in "[None]"))
    assert answered(tok, chat, "b") == (*ids, letter["b"], 1)


def test_no_chat_template():
    assert "it has no chat template; take the instruct model" in refusal(check_template, tokenizer(None))
    assert "no chat template" in refusal(prepare, [user("x")], tokenizer(None), 100, 10)
    named = tokenizer({"tool_use": PLAIN, "rag": PLAIN})
    for line in (refusal(check_template, named), refusal(prepare, [user("x")], named, 100, 10)):
        assert "its chat templates are named tool_use, rag, and none of them is 'default'" in line
    assert render(tokenizer({"default": PLAIN, "rag": CHATML}), [Message("user", "x")])[0] == 0


def test_system_role_refused_or_merged():
    tok = tokenizer(MISTRAL_02)
    prompt = user("Why?", system="Be brief.")
    line = refusal(prepare, [user("x"), prompt], tok, 100, 10)
    assert line.startswith(
        f"prompt {prompt.id} ('Why?'): the chat template refuses the system message (roles must alternate"
    )
    assert "merge it into the user turn (system = 'merge')" in line
    (ready,), refused = screen([prompt], tok, 100, 10, system="merge")
    assert back(tok, ready.token_ids) == "<s>[INST] Be brief.\n\nWhy? [/INST]"
    assert (ready.id, ready.messages, refused) == (prompt.id, prompt.messages, [])


def test_system_role_dropped_in_silence():
    tok = tokenizer("{{ bos_token }}{% for m in messages if m.role == 'user' %}[{{ m.content }}]{% endfor %}")
    assert len(prepare([user("x")], tok, 100, 10)) == 1
    assert "leaves the system message out in silence" in refusal(prepare, [user("x", system="S")], tok, 100, 10)


def test_a_refused_chat_that_is_not_the_system_messages_fault():
    tok = tokenizer("{{ raise_exception('closed on Sundays') }}")
    assert "refuses this chat (closed on Sundays)" in refusal(prepare, [user("x", system="S")], tok, 100, 10)


def test_check_template_passes_sound_ones():
    assert check_template(tokenizer(PLAIN)) == []
    assert check_template(tokenizer(MISTRAL_02)) == []
    assert check_template(tokenizer("{{ bos_token }}" + CHATML, eos_token="<|im_end|>")) == []


def test_check_template_errors():
    assert "opens with <s> twice" in refusal(check_template, tokenizer("{{ bos_token }}" + PLAIN))
    headless = "{{ bos_token }}" + CHATML[: CHATML.index("{% if add")]
    line = refusal(check_template, tokenizer(headless, eos_token="<|im_end|>"))
    assert "writes '<|im_start|>assistant' before an answer but not when asked for a generation prompt" in line
    assert "leaves out what the user says" in refusal(check_template, tokenizer("{{ bos_token }}hello"))


def test_check_template_warnings():
    (bos,) = check_template(tokenizer(CHATML, eos_token="<|im_end|>"))
    assert "writes no <s>" in bos
    (stop,) = check_template(tokenizer("{{ bos_token }}" + CHATML))
    assert "none of the tokens that stop generation" in stop
    assert check_template(tokenizer("{{ bos_token }}" + CHATML), stop_ids=[1, 2]) == []
    thinking = "{{ bos_token }}" + CHATML.replace("assistant\n' }}", "assistant\n<think>\n\n</think>\n\n' }}")
    (prefix,) = check_template(tokenizer(thinking, eos_token="<|im_end|>"))
    assert "renders the prompt otherwise under an answer; Windvane trains on the sampled ids" in prefix
    empty_thoughts = (
        PLAIN.replace("{% else %}", "{% else %}{{ '<think></think>' }}") + "{% if add_generation_prompt %}>{% endif %}"
    )
    (between,) = check_template(tokenizer(empty_thoughts.replace("<think>", "><think>")))
    assert "writes '<think></think>' between prompt and answer" in between


# Templates of well-known models as another library ships them, the warnings their special tokens would give aside.
KNOWN = {
    "llama3": "", "llama3_1": "", "llama3_2": "prints today's date", "qwen2_5": "", "qwen3": "writes '<think>",
    "qwen3_instruct_2507": "", "gemma": "", "gemma3": "", "phi3": "", "deepseekv3": "renders the prompt otherwise",
    "glm4moe": "writes '<think>", "gptoss": "prints today's date + writes '<|channel|>final", "lfm2": "", "cohere": "",
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_check_template_on_known_models(name):
    trl = pytest.importorskip("trl")
    template = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()
    aside = ("writes no <s>", "none of the tokens that stop")
    warnings = [w for w in check_template(tokenizer(template)) if not any(a in w for a in aside)]
    expected = KNOWN[name].split(" + ") if KNOWN[name] else []
    assert len(warnings) == len(expected)
    assert all(e in w for e, w in zip(expected, warnings))


def test_a_template_that_prints_the_date_repeats_tomorrow():
    # as Llama 3.1's does it
    today = "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% endif %}Today is {{ day }}."
    tok = tokenizer("{{ bos_token }}" + today + PLAIN.replace("{{ bos_token }}", ""))
    assert time.strftime("%d %b %Y") in tok.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert back(tok, render(tok, [Message("user", "x")])) == "<s>Today is 26 Jul 2024.[x]"
    (warning,) = check_template(tok)
    assert "prints today's date; it is given 26 July 2024" in warning


def test_prompts_that_do_not_fit_are_named_and_never_cut():
    tok = tokenizer(PLAIN)
    # "<s>[", n letters and "]": n + 3 tokens
    fits, close, over = user("a" * 7), user("b" * 8), user("c" * 18)
    ready, refused = screen([over, fits, close], tok, window=20, max_new_tokens=10)
    assert [p.id for p in ready] == [fits.id]
    assert len(ready[0].token_ids) == 10
    assert refused == [
        Refused(over.id, 21, f"prompt {over.id} ('{'c' * 18}'): 21 tokens, longer than the window of 20"),
        Refused(close.id, 11, f"prompt {close.id} ('bbbbbbbb'): 11 tokens and 10 new ones do not fit the window of 20"),
    ]
    assert prepare([fits], tok, 20, 10) == ready
    line = refusal(prepare, [fits, over, close], tok, 20, 10, source="p.csv")
    assert line.startswith(f"p.csv: prompt {over.id} ('{'c' * 18}'): 21 tokens, longer than the window of 20")
    assert "2 of 3 prompts do not fit" in line
    assert "lower max_new_tokens" in refusal(prepare, [fits], tok, 20, 20)
