"""What is found out about chat templates, and answers as ids: ten families' own templates, and each trap by itself."""

import re
from pathlib import Path

import pytest

from tests.prompts.families import FAMILIES, MISTRAL, family_tokenizer
from tests.prompts.test_chat import CHATML, PLAIN, tokenizer
from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.prompts.responses import Rewritten, render_answer, render_text
from windvane.prompts.template_checks import findings, refuse, set_thinking

U, A, S = (lambda t: Message("user", t)), (lambda t: Message("assistant", t)), (lambda t: Message("system", t))
PREFIX = "prompt is a prefix of prompt + answer"
NOTES = {  # what is not plainly right, family by family
    "Mistral": {"system role"},
    "Llama 3.1": set(),
    "Qwen2.5": set(),
    "Qwen3": {"thinking", "several turns in one row"},
    "Gemma 2": {"system role"},
    "Gemma 3": set(),
    "Phi-3": set(),
    "DeepSeek-R1 distilled": {PREFIX, "thinking", "several turns in one row", "EOS is learnt"},
    "gpt-oss": {"thinking", "several turns in one row", "date"},
    "Aya / Command": set(),
}
PAGE = Path(__file__).parents[2] / "docs" / "templates.md"


def told(tok, stops=None):
    return {f.check: f for f in findings(tok, stops)}


@pytest.mark.parametrize("name", FAMILIES)
def test_ten_families(name):
    pytest.importorskip("trl")
    found = findings(*family_tokenizer(name))
    assert {f.check for f in found if f.level != "ok"} == NOTES[name]
    for line in page_lines(name, found):
        assert line in PAGE.read_text(), "docs/templates.md is not what is found"


def page_lines(name, found):
    """A family's lines on the page: a sign a check, and in words what the signs leave open."""
    by = {f.check: f for f in found}

    def cell(text):
        return re.sub(r"'([^']*)'", r"`\1`", text).replace("\n", "\\n").replace("|", "\\|")

    notes = "; ".join(f"{f.check}: {f.told}" for f in found if f.level != "ok") or "nothing"
    signs = " | ".join({"ok": "✓", "note": "•"}[f.level] for f in found)
    stop = by["EOS is learnt"].told.partition(";")[0].removeprefix("yes, ")
    notes = re.sub(r"yes, (\S+);", r"yes, '\1';", notes)
    words = " | ".join(cell(t) for t in (by["generation prompt"].told, f"'{stop}'"))
    told = [f"- **{name}**: {cell(notes)}.".replace("\\|", "|")] if notes != "nothing" else []
    return [f"| {name} | {signs} |", f"| {name} | {words} |", *told]


@pytest.mark.parametrize("name", [n for n in FAMILIES if not n.startswith("DeepSeek")])
def test_a_familys_answer_is_learnt_up_to_its_stop_token_and_nothing_more(name):
    pytest.importorskip("trl")
    tok, stops = family_tokenizer(name)
    one = render_answer(tok, [U("Why?")], [A("Because.")], stops)
    assert tok.decode(one.prompt_ids + one.answer_ids).count("Because.") == 1
    assert one.answer_ids[-1] in stops and one.stopped and one.spans == ((0, len(one.answer_ids)),)
    assert tok.decode(one.answer_ids[:-1]).endswith("Because.")
    assert one.prompt_ids.count(tok.bos_token_id) == (
        1 if tok.bos_token and tok.bos_token in tok.decode(one.prompt_ids) else 0
    )
    head = "<think>\n\n</think>\n\n" if name == "Qwen3" else "<|channel|>final<|message|>" if name == "gpt-oss" else ""
    assert tok.decode(one.answer_ids[:-1]) == f"{head}Because."


def test_qwen3_without_thoughts():
    pytest.importorskip("trl")
    tok, stops = family_tokenizer("Qwen3")
    set_thinking(tok, on=False)
    one = render_answer(tok, [U("Why?")], [A("Because.")], stops)
    assert tok.decode(one.prompt_ids).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert tok.decode(one.answer_ids) == "Because.<|im_end|>"
    with pytest.raises(Rewritten, match="renders an earlier turn otherwise once more turns follow"):
        render_answer(tok, [U("a")], [A("b"), U("c"), A("d")], stops)
    with pytest.raises(UserError, match="no switch enable_thinking; leave --thinking out"):
        set_thinking(tokenizer(PLAIN), on=False)


def test_a_prompt_that_opens_a_thought_is_refused_for_text():
    pytest.importorskip("trl")
    tok, stops = family_tokenizer("DeepSeek-R1 distilled")
    with pytest.raises(
        UserError, match=r"ends the prompt with '<think>\\n' when it asks for an answer and goes on with 'Because"
    ):
        render_answer(tok, [U("Why?")], [A("Because.")], stops)


def test_each_turn_of_the_assistant_and_no_other():
    tok = tokenizer(PLAIN)
    one = render_answer(tok, [S("S"), U("a")], [A("bc"), U("d"), A("e")], [1])
    assert tok.decode(one.prompt_ids) == "<s>SYS S\n[a]" and tok.decode(one.answer_ids) == "bc</s>[d]e</s>"
    assert one.spans == ((0, 3), (6, 8)) and one.learnt == 5


def test_what_stands_behind_the_stop_token():
    tok = tokenizer("{{ bos_token }}" + CHATML, eos_token="<|im_end|>")
    one = render_answer(tok, [U("a")], [A("b")], [2])
    assert tok.decode(one.answer_ids) == "b<|im_end|>"
    assert tok.decode(render_answer(tok, [U("a")], [A("b")], [2], closing="template").answer_ids) == "b<|im_end|>\n"


def test_no_stop_token():
    tok = tokenizer("{{ bos_token }}" + CHATML)  # its EOS is </s>
    one = render_answer(tok, [U("a")], [A("b")], [1])
    assert not one.stopped and tok.decode(one.answer_ids) == "b<|im_end|>\n"
    added = render_answer(tok, [U("a")], [A("b")], [1], append_eos=True)
    assert added.stopped and added.answer_ids == (*one.answer_ids, 1)
    finding = told(tok, [1])["EOS is learnt"]
    assert finding.level == "note" and finding.mend.startswith("train with --append-eos")


def test_pad_is_eos():
    finding = told(tokenizer(PLAIN, pad_token="</s>"))["EOS is learnt"]
    assert finding.level == "note" and "pad is the same token" in finding.told


def test_tokens_that_merge_across_the_border():
    """A merge of "]" and "b": the prompt is then no token prefix, and the answer is tokenised by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {t: i for i, t in enumerate(["<s>", "</s>", *letters, "]b", "]Q"])}
    core = Tokenizer(models.BPE(vocab, [("]", "b"), ("]", "Q")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tok = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    tok.chat_template = PLAIN
    one = render_answer(tok, [U("a")], [A("b")], [1])
    assert one.border and one.answer_ids == (vocab["b"], 1) and one.prompt_ids[-1] == vocab["]"]
    assert "tokens merge across the border" in told(tok)[PREFIX].told
    plain = render_text(tok, "a]", "b", [1])
    assert plain.border and plain.answer_ids == (vocab["b"], 1)


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{{ bos_token }}" + PLAIN, "opens with <s> twice; take one out of the template"),
        ("{{ bos_token }}" + CHATML[: CHATML.index("{% if add")], "honour add_generation_prompt in the template"),
        ("{{ bos_token }}hello", "leaves out what the user says; mend the template"),
        (None, "no chat template; take the instruct model"),
    ],
)
def test_what_stops_a_run(template, line):
    found = findings(tokenizer(template, eos_token="<|im_end|>"))
    assert [f.level for f in found] == ["refuse"]
    with pytest.raises(UserError, match=f"tokenizer: .*{line}"):
        refuse(found)


def test_system_role():
    assert "refused by the template" in told(tokenizer(MISTRAL))["system role"].told
    dropping = PLAIN.replace("SYS {{ m.content }}\n", "")
    finding = told(tokenizer(dropping))["system role"]
    assert "left out in silence" in finding.told and "--system merge" in finding.mend
