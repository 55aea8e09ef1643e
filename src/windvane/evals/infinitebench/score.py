"""InfiniteBench's scorers: one pure function a task, from a prediction and its label to a score in [0, 1].

In: a prediction (text) and a label as the prediction files carry it (a string, a number, or a list of them). Out: the score.
The rules are those of the benchmark's second public release (2024), the one that scored ChatGLM3; the published rows of the other
models are from the first release (2023), which did not strip the prediction in Code.Debug and En.MC: `strip=False` is that one.
Quirks that the published numbers rest on are kept and named where they are.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from windvane.evals.infinitebench.rouge import rouge_lsum

CHINESE_PUNCTUATION = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃"
    "》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
)  # the released list, which has 》 without 《


def as_list(label: Any) -> list[Any]:
    return list(label) if isinstance(label, (list, tuple)) else [label]


def first(label: Any) -> Any:
    return as_list(label)[0]


def words(text: str, separators: str) -> list[str]:
    return text.translate({ord(c): " " for c in separators}).split()


def first_number(prediction: str, label: Any) -> float:
    """Retrieve.PassKey and Retrieve.Number: the first run of digits is the answer."""
    found = re.search(r"[0-9]+", prediction)
    return float(found is not None and found.group() == str(first(label)))


def value_among_words(prediction: str, label: Any) -> float:
    """Retrieve.KV: the value stands somewhere as a word."""
    return float(str(first(label)) in words(prediction, "\n:\"'.,?!{}"))


def last_word_is_number(prediction: str, label: Any) -> float:
    """Code.Run: the last word, dots and quotes aside, is the returned integer."""
    found = words(prediction, "\n.`'\":")
    try:
        return float(bool(found) and int(found[-1]) == int(first(label)))
    except ValueError:
        return 0.0


def first_decimal(prediction: str, label: Any) -> float:
    """Math.Find: the first number equals the label. An integer label is not met by a decimal ("88.0" is no 88)."""
    found = re.search(r"\d+\.\d+|\d+", prediction)
    if found is None:
        return 0.0
    wanted = first(label)
    if isinstance(wanted, int) and "." in found.group():
        return 0.0
    return float(float(found.group()) == float(wanted))


def correct_prefix(prediction: str, label: Any, skip_first: bool = False) -> float:
    """Math.Calc: the share of the label's intermediate values that are right before the first wrong one.

    Signs are not read (a minus only separates). `skip_first`: drop the prediction's first number, as published for GPT-4, whose
    answers repeat the expression's first operand.
    """
    wanted = first(label) if isinstance(first(label), (list, tuple)) else as_list(label)
    given = re.findall(r"[0-9]+", prediction)[int(skip_first) :]
    right = 0
    for a, b in zip(wanted, given):
        if str(int(a)) != (b.lstrip("0") or "0"):  # as text: Python refuses to read a loop of 5,000 digits as a number
            break
        right += 1
    return right / len(wanted)


def speaker(prediction: str, label: Any) -> float:
    """En.Dia: the first of the accepted names stands among the words (a name of two words never matches: published so)."""
    return float(str(first(label)) in [w.upper() for w in words(prediction, "\n:\"'.,?!{}")])


def _after_prefix(text: str, prefixes: Sequence[str], accepted: Sequence[str]) -> bool | None:
    """Whether an accepted answer follows the first of `prefixes` that occurs; None where none of them does."""
    for prefix in prefixes:
        at = text.find(prefix)
        if at >= 0:
            answer = text[at + len(prefix) + 1 :]
            return bool(len(text) > at + len(prefix)) and any(answer.startswith(a) for a in accepted)
    return None


def multiple_choice(prediction: str, label: Any, strip: bool = True) -> float:
    """En.MC: label [option text, letter]. The first letter if it is one of A-D, else an answer phrase, else the first bare letter."""
    accepted = [str(a) for a in as_list(label)]
    text = prediction.strip() if strip else prediction
    if not text:
        return 0.0
    if text[0] in "ABCD":
        return float(text[0] in accepted)
    if strip and text in accepted:
        return 1.0
    text = re.sub(" +", " ", text.translate({ord(c): " " for c in "\n\"'.,?!{}"}))
    told = _after_prefix(text, ("answer is:", "answer:", "answer is", "option is"), accepted)
    if told is not None:
        return float(told)
    for word in text.split():
        if word in "ABCD":  # as published: "AB" or "BCD" is taken for a letter, and then is none of the accepted
            return float(word in accepted)
    return 0.0


def buggy_function(prediction: str, label: Any, strip: bool = True) -> float:
    """Code.Debug: label [function, letter]. "B." or "B:" at the start, else letter or function right after an answer phrase."""
    function, letter = (str(a) for a in as_list(label)[:2])
    text = prediction.strip() if strip else prediction
    if text[:2] in (f"{letter}.", f"{letter}:"):
        return 1.0
    text = prediction.strip().translate({ord(c): " " for c in "\n`'\"-*"}).replace("Option", " ").replace("option", " ")
    text = re.sub(" +", " ", text)
    prefixes = ("answer is:", "is:", "answer:")
    return float(bool(_after_prefix(text, prefixes, (letter, function))))


def normalised(text: str) -> list[str]:
    """Lower case, no ASCII punctuation, no articles: SQuAD's normalisation, as tokens."""
    text = text.lower().translate({ord(c): None for c in string.punctuation})
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def normalised_chinese(text: str) -> list[str]:
    """Lower case, neither ASCII nor Chinese punctuation nor spaces; a token is a character."""
    text = text.lower().translate({ord(c): None for c in string.punctuation + CHINESE_PUNCTUATION})
    return list("".join(text.split()))


def f1(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """Bag-of-tokens F1."""
    same = sum((Counter(prediction) & Counter(reference)).values())
    return 2 * same / (len(prediction) + len(reference)) if same else 0.0


def token_f1(prediction: str, label: Any) -> float:
    """En.QA: the best token F1 over the references."""
    return max(f1(normalised(prediction), normalised(str(r))) for r in as_list(label))


def character_f1(prediction: str, label: Any) -> float:
    """Zh.QA: the best character F1 over the references."""
    return max(f1(normalised_chinese(prediction), normalised_chinese(str(r))) for r in as_list(label))


def summary(prediction: str, label: Any) -> float:
    """En.Sum: ROUGE-Lsum F1, the best over the references."""
    return rouge_lsum(prediction, [str(r) for r in as_list(label)])


SCORERS: dict[str, Callable[[str, Any], float]] = {
    "passkey": first_number,
    "number_string": first_number,
    "kv_retrieval": value_among_words,
    "longbook_sum_eng": summary,
    "longbook_qa_eng": token_f1,
    "longbook_choice_eng": multiple_choice,
    "longdialogue_qa_eng": speaker,
    "longbook_qa_chn": character_f1,
    "code_debug": buggy_function,
    "code_run": last_word_is_number,
    "math_calc": correct_prefix,
    "math_find": first_decimal,
}

FIRST_RELEASE: dict[str, Callable[[str, Any], float]] = {
    "code_debug": lambda p, label: buggy_function(p, label, strip=False),
    "longbook_choice_eng": lambda p, label: multiple_choice(p, label, strip=False),
}
