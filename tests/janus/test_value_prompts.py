"""What a writer is asked holds the material; what it replies is read strictly, each rejection by its reason."""

import json

import pytest

from windvane.janus.value_prompts import (
    Value,
    answer_prompt,
    quotes,
    read_answer,
    read_system,
    read_values,
    system_messages,
    value_messages,
)
from windvane.janus.value_rubrics import read_rubric, rubric_maker_messages
from windvane.judges.rubric_rows import Rubric
from windvane.prompts.system_role import system_mode

VALUE = Value("background_knowledge", "newcomer", "curious child", "A child asks. Explain with {braces} and toys.")
ITEMS = [
    {"subdimension": "tone", "preference": p, "description": f"Wants it {p}, always."} for p in ("warm", "dry", "blunt")
]
GOOD = "You are a gardener " + "who speaks kindly of roses and moss " * 5


def test_the_questions_hold_the_material():
    (ask,) = value_messages("Plan {my} garden.", "background_knowledge", "What is known.", [VALUE], 3)
    for part in (
        "Plan {my} garden.",
        "background knowledge",
        "What is known.",
        "curious child",
        "{braces}",
        "exactly 3 objects",
    ):
        assert part in ask.content
    (ask,) = system_messages("Plan {my} garden.", [VALUE], 100, 180)
    for part in ("Plan {my} garden.", "curious child. A child asks.", "100 to 180 words", "background knowledge:"):
        assert part in ask.content
    assert [(m.role, m.content) for m in answer_prompt("Be kind.", "Hi?").messages] == [
        ("system", "Be kind."),
        ("user", "Hi?"),
    ]


@pytest.mark.parametrize("frame", ["{}", "```json\n{}\n```", "<think>[1, 2]</think>\n{}\n", "```\n{}\n```"])
def test_values(frame):
    found, reason = read_values(frame.replace("{}", json.dumps(ITEMS)), "style", 3)
    assert reason is None and [v.preference for v in found] == ["warm", "dry", "blunt"]
    assert found[0] == Value("style", "tone", "warm", "Wants it warm, always.")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no reply"),
        ("Here they are: []", "not JSON"),
        (json.dumps(ITEMS) + "\nI hope this helps.", "not JSON"),
        (json.dumps(ITEMS[:2]), "not a JSON list of 3 objects"),
        (json.dumps({"items": ITEMS}), "not a JSON list of 3 objects"),
        (json.dumps([*ITEMS[:2], "blunt"]), "item 3: not an object"),
        (json.dumps([*ITEMS[:2], ITEMS[2] | {"dimension": "style"}]), "item 3: not an object with the keys"),
        (json.dumps([*ITEMS[:2], ITEMS[2] | {"description": " "}]), "item 3: 'description' is empty or no text"),
        (json.dumps([*ITEMS[:2], ITEMS[2] | {"preference": 5}]), "item 3: 'preference' is empty or no text"),
        (json.dumps([*ITEMS[:2], ITEMS[2] | {"preference": "Warm!"}]), "two items have the same preference"),
        (json.dumps([*ITEMS[:2], ITEMS[2] | {"preference": "warm \ud83d"}]), "half of a surrogate pair"),
        (
            json.dumps([*ITEMS[:2], ITEMS[2] | {"description": "Blunt."}]),
            "item 3: the description repeats the preference",
        ),
    ],
)
def test_no_values(reply, reason):
    found, why = read_values(reply, "style", 3)
    assert found == () and why.startswith(reason)


def test_a_system_message():
    assert read_system(f" {GOOD}\n", "Plan my garden.", 20, 60) == (GOOD.strip(), None)
    assert read_system(f"<think>hm\n\n</think>{GOOD}", "Plan my garden.", 20, 60)[0] == GOOD.strip()


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("  ", "no reply"),
        (f"Here it is:\n{GOOD}", "more than one paragraph"),
        (f'"{GOOD}"', "not a plain paragraph"),
        (f"- {GOOD}", "not a plain paragraph"),
        ("You are kind.", "not 20 to 60 words"),
        (GOOD * 3, "not 20 to 60 words"),
        (GOOD.replace("You are a", "This is the"), "does not speak to the assistant"),
        (GOOD + " plan my small garden", "quotes the instruction"),
    ],
)
def test_no_system_message(reply, reason):
    text, why = read_system(reply, "Plan my small garden!", 20, 60)
    assert text is None and why.startswith(reason)


def test_quoting():
    long = "write me a poem about the old man and the sea in spring"
    assert quotes("so write me a poem about the old man, please", long), "8 words in a row"
    assert not quotes("so write me a poem about the young man and the sea", long)
    assert not quotes("you garden", "garden"), "one word is a topic, not a quotation"


def test_answers():
    assert read_answer(" Yes.\n", "stop") == ("Yes.", None)
    assert read_answer("<think>hm</think>  ", "stop") == (None, "empty answer")
    assert read_answer("<think>hm, what if", "stop") == (None, "empty answer"), "a thought that does not end"
    assert read_answer("Yes and", "length") == (None, "cut at max_new_tokens")


def test_rubrics():
    levels = {str(i): f"level {i}" for i in range(1, 6)}
    reply = json.dumps({"criteria": "Is it warm?", "score_descriptions": levels})
    rubric, reason = read_rubric(f"```json\n{reply}\n```")
    assert reason is None and rubric == Rubric("Is it warm?", tuple(levels.values()))
    (ask,) = rubric_maker_messages(VALUE, [rubric])
    assert "curious child. A child asks." in ask.content and rubric.text in ask.content
    for wrong in ("warm", "[]", '{"criteria": "x"}', json.dumps({"criteria": "", "score_descriptions": levels}),
                  json.dumps({"criteria": "x", "score_descriptions": levels | {"6": "y"}})):  # fmt: skip
        assert read_rubric(wrong)[0] is None and read_rubric(wrong)[1]


def test_a_template_without_a_system_role_is_said():
    from tests.tiny import byte_tokenizer

    tokenizer = byte_tokenizer()
    assert system_mode(tokenizer) == ("template", None)
    plain = "{% for m in messages %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}"
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + plain
    )
    mode, note = system_mode(tokenizer)
    assert (
        mode == "merge" and "refuses a system message: the system message is put at the head of the user's turn" in note
    )
    tokenizer.chat_template = plain.replace("{{ '[", "{% if m['role'] != 'system' %}{{ '[").replace(
        "' }}{% endfor", "' }}{% endif %}{% endfor"
    )
    mode, note = system_mode(tokenizer)
    assert mode == "merge" and "leaves the system message out" in note
