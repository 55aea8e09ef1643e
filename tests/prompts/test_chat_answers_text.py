"""Answers given as text, tokenised as the model would have sampled them: by tokenizers of SentencePiece's kind, which put a blank before
every text, by tokenizers that end every text with EOS, and through templates that leave out a thought."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.prompts.families import MISTRAL
from tests.prompts.test_chat import PLAIN, tokenizer
from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.prompts.responses import render_answer, render_text

U, A = (lambda t: Message("user", t)), (lambda t: Message("assistant", t))
BOS, EOS = 1, 2


def sentencepiece(kind, single="<s> $A"):
    """Llama 2's and Mistral's way ("prepend": a blank before every text), and the newer one ("first": unless one stands there)."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    if kind == "prepend":
        core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        core.decoder = decoders.Metaspace(prepend_scheme="first")
    letters = [*"▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ()[]/?."]
    train = trainers.BpeTrainer(
        vocab_size=72, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=letters, show_progress=False
    )
    core.train_from_iterator(["](a ](b ](c is(a is(b is(c"] * 20, train)
    core.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", BOS), ("</s>", EOS)])
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    made.chat_template = MISTRAL
    return made


@pytest.mark.parametrize("kind", ["prepend", "first"])
@pytest.mark.parametrize("answer", ["(x)", "(y) so", " (x)", "Because"])
def test_no_blank_is_put_into_an_answer(kind, answer):
    """Of Mistral's own template: "]" and "(" merge, so that the answer is tokenised by itself, and begins as the text does."""
    tok = sentencepiece(kind)
    one = render_answer(tok, [U("Why?")], [A(answer)], [EOS])
    assert tok.decode(one.prompt_ids + one.answer_ids).endswith(f"[/INST]{answer}</s>")
    assert one.prompt_ids == render_answer(tok, [U("Why?")], [A("Because")], [EOS]).prompt_ids, "what generation sees"
    assert one.border or answer not in ("(x)", "(y) so")
    plain = render_text(tok, "The sky is", answer, [EOS])
    assert (
        tok.decode(plain.prompt_ids + plain.answer_ids) == f"<s> The sky is{answer}</s>" if kind == "prepend" else True
    )
    assert tok.decode(plain.prompt_ids + plain.answer_ids).replace(" ", "") == f"<s>Thesky is{answer}</s>".replace(
        " ", ""
    )


@pytest.mark.parametrize("kind", ["prepend", "first"])
def test_a_tokenizer_that_ends_every_text_does_not_end_the_prompt(kind):
    one = render_text(sentencepiece(kind, "<s> $A </s>"), "The sky is", "(x)", [EOS])
    assert one == render_text(sentencepiece(kind), "The sky is", "(x)", [EOS])
    assert EOS not in one.prompt_ids and one.prompt_ids.count(BOS) == 1
    assert one.answer_ids.count(EOS) == 1 and one.stopped


def test_an_answer_that_brings_its_own_end_ends_once():
    tok = sentencepiece("prepend")
    assert render_text(tok, "[/INST]", "(x)</s>", [EOS]) == render_text(tok, "[/INST]", "(x)", [EOS])


def test_a_thought_that_the_template_leaves_out_is_not_lost_in_silence():
    """As DeepSeek-R1's template does with what stands before </think>."""
    leaving = tokenizer(PLAIN.replace("{{ m.content }}{{ eos", "{{ m.content.split('</think>')[-1] }}{{ eos"))
    assert render_answer(leaving, [U("a")], [A("b")], [1]).stopped
    with pytest.raises(UserError, match="leaves out a part of the answer"):
        render_answer(leaving, [U("a")], [A("<think>hm</think>b")], [1])
    trimming = tokenizer(PLAIN.replace("{{ m.content }}{{ eos", "{{ m.content.strip() }}{{ eos"))
    assert render_answer(trimming, [U("a")], [A(" b\n")], [1]).stopped, "blanks are the template's own affair"
