"""A writer in this process: a template without a system role gets the system message in the user's turn, and it is said."""

import pytest

from tests.tiny import byte_tokenizer, model
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling
from windvane.engines.writer import Said, Writer
from windvane.janus.bench.command import main as evaluate
from windvane.janus.value_prompts import answer_prompt

PLAIN = "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"  # noqa: E501


@pytest.fixture(scope="module")
def no_system_role(tmp_path_factory):
    place = tmp_path_factory.mktemp("m")
    model().save_pretrained(place)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('only user and assistant') }}{% endif %}" + PLAIN
    )
    tokenizer.save_pretrained(place)
    return place


def test_the_system_message_is_merged_and_said(no_system_role, tmp_path):
    writer = Writer(f"local:{no_system_role}", "cpu", "float32", Server(), tmp_path / "calls.jsonl")
    writer.prepare()
    assert writer.notes == [
        f"local:{no_system_role}: the chat template refuses a system message: the system message is put at the head of the user's turn, "
        "in training and inference alike"
    ]
    sampling = Sampling(1, 0.0, 1.0, 4)
    (merged,) = writer.ask([answer_prompt("Be kind.", "Hi?")], sampling, 0, 0)
    by_hand = writer.ask(
        [answer_prompt("x", "y").of(answer_prompt("x", "Be kind.\n\nHi?").messages[1:])], sampling, 0, 0
    )
    assert isinstance(merged, Said) and merged.text == by_hand[0].text and len(writer.notes) == 1


def test_a_chat_that_does_not_fit_is_a_rejected_reply(no_system_role, tmp_path):
    writer = Writer(str(no_system_role), "cpu", "float32", Server(), tmp_path / "calls.jsonl")
    told = writer.write(
        [("k", answer_prompt("Be kind.", "x" * 5000))],
        lambda key, said: (said.text, None),
        Sampling(1, 0.0, 1.0, 4),
        2,
        0,
    )
    assert told["k"].value is None and [r["attempt"] for r in told["k"].rejected] == [0, 1]
    assert "longer than the window of 4096" in told["k"].rejected[0]["reason"]


class Fives:
    def grade(self, questions):
        from windvane.core.protocols import Grade

        return [Grade(q.key, 5, "") for q in questions]


def test_the_bench_merges_and_says_so_too(no_system_role, tmp_path, capsys):
    from tests.janus.test_bench import bench

    argv = [
        "--bench",
        str(bench(tmp_path / "b.jsonl", 2)),
        "--model",
        str(no_system_role),
        "--judge",
        f"py:{__name__}:Fives",
    ]
    assert (
        evaluate([*argv, "--out", str(tmp_path / "out"), "--max-new-tokens", "4", "--temperature", "0", "--quiet"]) == 0
    )
    assert "note: the chat template refuses a system message" in capsys.readouterr().out
