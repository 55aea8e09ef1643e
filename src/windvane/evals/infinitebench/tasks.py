"""InfiniteBench's twelve tasks: their sizes, answer budgets, prompts; and the published task files.

In: an `Example` (from a published file or a generator). Out: what the model is asked. Two sets of prompts as published: "chat" (the
GPT-4 wording, through the model's chat template) and "completion" (the YaRN-Mistral wording: plain text that ends with the stub of
an answer, no chat template). Departure: Math.Calc's chat wording is the plain one, without the three-turn example that GPT-4 got.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.records import content_id
from windvane.runs.store import read_jsonl

Style = Literal["chat", "completion"]


@dataclass(frozen=True, slots=True)
class Task:
    """`rows`: examples in the published file; `tokens`: published answer budget; `synthetic`: has a generator here."""

    name: str
    title: str
    rows: int
    tokens: int
    synthetic: bool


TASKS = {
    t.name: t
    for t in (
        Task("passkey", "Retrieve.PassKey", 590, 6, True),
        Task("number_string", "Retrieve.Number", 590, 12, True),
        Task("kv_retrieval", "Retrieve.KV", 500, 50, True),
        Task("longbook_sum_eng", "En.Sum", 103, 1200, False),
        Task("longbook_qa_eng", "En.QA", 351, 40, False),
        Task("longbook_choice_eng", "En.MC", 229, 40, False),
        Task("longdialogue_qa_eng", "En.Dia", 200, 40, False),
        Task("longbook_qa_chn", "Zh.QA", 189, 40, False),
        Task("code_debug", "Code.Debug", 394, 5, False),
        Task("code_run", "Code.Run", 400, 5, True),
        Task("math_calc", "Math.Calc", 50, 30000, True),
        Task("math_find", "Math.Find", 350, 3, True),
    )
}


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one long context; `cluster` is the same for questions about the same context."""

    id: str
    context: str
    input: str
    answer: Any
    options: tuple[str, ...]
    cluster: str


_HIDDEN = (
    "There is an important info hidden inside a lot of irrelevant text. Find it{}. I will quiz you about the important "
)
_PASSKEY = _HIDDEN.format(" and memorize them") + "information there.\n\n{context}\n\n{input}"
_NUMBER = _HIDDEN.format("") + "information there.\n\n{context}\n\n{input}"
_KV = "Extract the value corresponding to the specified key in the JSON object below.\n\n{context}\n\n{input}"
_MASK = (
    'Below is a dialogue script where one random occurrence of a character name is replaced with "$$MASK$$", and you '
    "should try to guess who that character is.\n\n"
)
_OPTIONS = "A. {A}\nB. {B}\nC. {C}\nD. {D}"

CHAT = {
    "passkey": _PASSKEY,
    "number_string": _NUMBER,
    "kv_retrieval": _KV,
    "longbook_sum_eng": "Summarize the following book.\n\n{context}",
    "longbook_qa_eng": "Read the book below and answer a question.\n\n{context}\n\nQuestion: {input}\n\nBe very concise.",
    "longbook_choice_eng": "Read the book and answer the question.\n\n{context}\n\nQuestion: {input}\n\nOnly one of the following "
    "options is correct, tell me the answer using one single letter (A, B, C, or D). Don't say anything else.\n"
    + _OPTIONS,
    "longdialogue_qa_eng": _MASK
    + "The dialogue:\n\n---\n\n{context}\n\n---\n\nEnd of dialogue.\n\nWhich character is most likely "
    '"$$MASK$$"? Just say the name used by the scriptwriter (before the colon marks) of one single character and nothing else.',
    "longbook_qa_chn": "请根据以下书籍回答我的问题。\n\n{context}\n\n问题：{input}\n请尽量简短地回答。",
    "code_debug": "There is ONLY ONE function in the large project that is deliberately made to include an obvious error. Please find "
    "the function that contains the most obvious errors. I will give you four options to narrow your scope. You can inspect through "
    "the options and think. Eventually, tell me the answer using one single letter (A, B, C, or D).\n\n{context}\n\nWhich funtion has "
    "deliberate error?\n"
    + _OPTIONS
    + "\n\nYou should first find the functions in the options. Repeat their content, inspect through "
    "code, and at last give me your answer for the function that has the deliberate and obvious error in A, B, C, or D.",
    "code_run": "Following is a set of Python functions. There is a function called named {func}.\n\n{context}\n\nPlease give me the "
    "exact number of the return value of {call}. Be concise. Your response must end with the final returned value.",
    "math_calc": "Compute the intermediate values in the following long expression.\n\n{context}",
    "math_find": "{question}\n\n{context}\n\n{input}",
}  # wording as published, "them", "funtion" and "called named" included

COMPLETION = CHAT | {
    "passkey": _PASSKEY + "\n\nThe pass key is",
    "number_string": _NUMBER + "\n\nThe sequence of digits is",
    "longbook_sum_eng": "Summarize the book below.\n\n{context}\n\nSummary:",
    "longbook_qa_eng": "Read the book and answer the question. Be very concise in your answer.\n\n{context}\n\nQuestion: {input}\nAnswer:",
    "longbook_choice_eng": "Read the book and answer the question.\n\n{context}\n\nQuestion: {input}\n"
    + _OPTIONS
    + "\n\nThe letter of the correct answer is",
    "longdialogue_qa_eng": _MASK + "{context}\n\nThe name that has been replaced with $$MASK$$ is likely",
    "longbook_qa_chn": "阅读以下书籍然后回答问题。\n\n{context}\n\n问题：{input}\n答案：",
    "code_debug": "Following is a Python code where exactly one of the functions/methods has a deliberate error that makes it crash.\n\n"
    "{context}\n\nOptions:\n" + _OPTIONS + "\n\nThe correct option is:",
    "code_run": "There is a function called {func} in the following Python code.\n\n{context}\n\nPlease compute the exact value of "
    "{call}. The value of {call} is",
    "math_calc": "Let us calculate the intermediate values of an expression.\n\nExpression: 1 + 3 + 4\nValues: [1, 4, 8]\n\n"
    "Expression: 8 - 3 + 2 - 4\nValues: [8, 5, 7, 3]\n\nExpression: {context}\nValues:",
}


def prompt_text(task: str, example: Example, style: Style) -> str:
    """The whole prompt of one example, untruncated."""
    template = (CHAT if style == "chat" else COMPLETION)[task]
    values = {"context": example.context, "input": example.input}
    values |= dict(zip("ABCD", example.options))
    if task == "code_run":
        call = re.search(r"(\w+)\(-?\d+\)", example.input)
        if call is None:
            raise UserError(f"code_run: row {example.id}: field 'input' names no call such as func_1(3)")
        values |= {"func": call.group(1), "call": call.group()}
    if task == "math_find":
        what = re.search(r"The (.+?) of", example.input)
        values["question"] = f"What is the {what.group(1) if what else 'number asked for'} in the following list?"
    # One pass, so that a brace in a book or a script is left alone.
    return re.sub(r"\{(\w+)\}", lambda m: values[m.group(1)], template)


def read_task_file(path: Path, task: str) -> Iterator[Example]:
    """The published files (`id`, `context`, `input`, `answer`, `options`); options come with an answer as [text, letter].

    Raises `UserError` naming file, row and field.
    """
    for number, row in read_jsonl(path):
        where = f"{path}: row {number}"
        if not isinstance(row, dict):
            raise UserError(f"{where}: expected a JSON object")
        context = row.get("context", row.get("content"))
        answer, given = row.get("answer"), row.get("options")
        options = tuple(map(str, given)) if isinstance(given, list) else ()
        if not isinstance(context, str):
            raise UserError(f"{where}: field 'context': missing; take the files that carry their contexts")
        if answer in (None, [], ""):
            raise UserError(f"{where}: field 'answer': missing")
        if task in ("code_debug", "longbook_choice_eng"):
            answer = answer if isinstance(answer, list) else [answer]
            if len(options) != 4 or (len(answer) == 1 and answer[0] not in options):
                raise UserError(f"{where}: field 'options': needs four options with the answer among them")
            answer = answer if len(answer) > 1 else [answer[0], "ABCD"[options.index(answer[0])]]
        question = str(row.get("input", row.get("question", "")))
        yield Example(str(row.get("id", number - 1)), context, question, answer, options, content_id(context))
