"""`windvane run janus` with a scripted writer: every step, every gate, every rejected item, and a kill at any unit."""

import json
from collections import Counter

import pytest

from benchmarks.janus_collection import ScriptedWriter, reply
from tests.engines.scripted_server import Scripted, chat
from windvane.core.errors import UserError
from windvane.datasets.preference_pairs import read_pairs
from windvane.janus.collection.recipe import main, run
from windvane.janus.collection.settings import Janus
from windvane.janus.collection.stages import gate
from windvane.janus.collection_rows import instruction_id, read_preferences, read_samples
from windvane.janus.value_prompts import Value
from windvane.runs.store import read_jsonl

WRITER = "py:benchmarks.janus_collection:ScriptedWriter"


def instructions(path, count=40):
    rows = [
        {"prompt": f"Tell me number {i} of the many things that one may ask.", "main_source": f"m{i % 3}"}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def rows(path):
    return [row for _, row in read_jsonl(path)]


def command(source, out):
    given = ["--instructions", source, "--writer", WRITER, "--out", out, "--batch", "7", "--test", "0.1", "--quiet"]
    return [str(one) for one in given]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("janus")
    source = instructions(place / "i.jsonl")
    assert main(command(source, place / "run")) == 0
    return place / "run"


def test_the_collection(done):
    found = list(read_samples(done / "collection.jsonl"))
    summary = json.loads((done / "summary.json").read_text())
    assert summary["instructions"] == 40 and summary["rows"] == len(found) > 100
    assert max(Counter(s.prompt for s in found).values()) == 3
    dimensions = ["style", "background_knowledge", "informativeness", "harmlessness"]
    assert all([v.dimension for v in s.preference_set] == dimensions for s in found)
    assert all(s.system.startswith("You are") and s.main_source[0] == "m" for s in found)
    by_text = {}
    for s in found:
        by_text.setdefault(s.prompt, []).append({v.preference for v in s.preference_set})
    for sets in by_text.values():
        assert all(len(a - b) >= 2 for a in sets for b in sets if a is not b)


def test_the_sets(done):
    training = {name: list(read_samples(done / f"sets/{name}.jsonl")) for name in ("sft", "sft-one", "sft-test")}
    pairs = list(read_preferences(done / "sets/pairs.jsonl"))
    rewards, tests = read_pairs(done / "sets/rm.jsonl"), read_pairs(done / "sets/rm-test.jsonl")
    test = {instruction_id(s.prompt) for s in training["sft-test"]}
    assert len(test) == 4
    for part in (training["sft"], training["sft-one"], pairs):
        assert not test & {instruction_id(x.prompt) for x in part}
    assert {instruction_id(p.prompt.messages[-1].content) for p in tests} <= test
    assert not test & {instruction_id(p.prompt.messages[-1].content) for p in rewards}
    written = {(s.system, s.prompt): s.output for s in training["sft"]}
    for p in pairs:
        assert written[p.system, p.prompt] == p.chosen
        others = {o for (system, prompt), o in written.items() if prompt == p.prompt and system != p.system}
        assert p.rejected in others
    assert len(training["sft-one"]) == len({s.prompt for s in training["sft"]}) and len(pairs) == len(rewards)


def test_nothing_is_lost(done):
    """Rejected replies, by stage and reason, are exactly those of the stages' files; the summary counts them."""
    kept = rows(done / "rejected.jsonl")
    held = [
        r for name in ("values", "systems", "answers") for row in rows(done / f"{name}.jsonl") for r in row["rejected"]
    ]
    told = Counter((r["reason"], r["text"]) for r in kept)
    assert held and all(told[r["reason"], r["text"]] for r in held)
    summary = json.loads((done / "summary.json").read_text())
    assert sum(summary["rejected"].values()) == len(kept)
    assert {"values: not JSON", "answers: empty answer"} & summary["rejected"].keys()
    assert all(row["system"] is None or len(row["rejected"]) < 3 for row in rows(done / "systems.jsonl"))


def test_the_same_command_again_asks_nothing(done, monkeypatch, capsys):
    monkeypatch.setattr(ScriptedWriter, "generate", lambda *_: pytest.fail("asked again"))
    before = (done / "manifest.json").read_text()
    source = done.parent / "i.jsonl"
    assert main(command(source, done)) == 0
    assert (done / "manifest.json").read_text() == before and "rows of 40 instructions" in capsys.readouterr().out
    with pytest.raises(UserError, match="started with other settings"):
        main(["--instructions", str(source), "--writer", WRITER, "--out", str(done), "--batch", "8", "--quiet"])


@pytest.mark.parametrize("after", [1, 9, 16])
def test_broken_off_and_taken_up_again(done, tmp_path, monkeypatch, after):
    """Stopped at a call and taken up: nothing that stood is asked again, and every file is what the undisturbed run has."""
    whole, asked = ScriptedWriter.generate, []

    def generate(self, prompts, indices, seed):
        asked.append([p.id for p in prompts])
        if len(asked) == after:
            raise KeyboardInterrupt
        return whole(self, prompts, indices, seed)

    monkeypatch.setattr(ScriptedWriter, "generate", generate)
    settings = Janus(str(done.parent / "i.jsonl"), WRITER, batch=7, test=0.1, threads=1)
    with pytest.raises(KeyboardInterrupt):
        run(settings, str(tmp_path / "run"), quiet=True)
    run(settings, str(tmp_path / "run"), quiet=True)
    theirs, ours = (json.loads((p / "manifest.json").read_text()) for p in (done, tmp_path / "run"))
    assert {k: v for k, v in ours.items() if k != "recipe.toml"} == {
        k: v for k, v in theirs.items() if k != "recipe.toml"
    }


def test_gates():
    a = [Value("style", "t", "warm", "x"), Value("depth", "t", "deep", "x"), Value("c", "t", "c", "x")]
    near = [Value("style", "t", "Warm!", "x"), Value("depth", "t", "shallow", "x"), Value("c", "t", "c", "x")]
    assert gate(a, [], 2) is None and gate(near, [a], 1) is None
    assert gate(near, [a], 2) == "differs from set 0 in 1 values, not in 2"
    assert gate([a[0], a[0]], [], 2) == "a dimension stands twice in the set"


def test_instructions_that_cannot_be_used(tmp_path):
    bench = tmp_path / "bench.jsonl"
    bench.write_text(json.dumps({"prompt": "Name the six largest lakes of the world."}) + "\n")
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "So?"},
    ]
    own = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "What now?"}]
    asked = ["How do birds sleep?", "how do birds sleep", "Please name the six largest lakes of the world!", turns, own]
    (tmp_path / "i.jsonl").write_text(
        "".join(
            json.dumps({"messages": a if isinstance(a, list) else [{"role": "user", "content": a}]}) + "\n"
            for a in asked
        )
    )
    run(
        Janus(str(tmp_path / "i.jsonl"), WRITER, bench=(str(bench),), values="taxonomy", threads=1),
        str(tmp_path / "run"),
        True,
    )
    out = [(r["place"], r["reason"]) for r in rows(tmp_path / "run/instructions-rejected.jsonl")]
    assert out == [
        ("row 2", "repeats another instruction"),
        ("row 3", "shares 8 words in a row with the benchmark's prompt bench.jsonl: prompt 1"),
        ("row 4", "has more than one turn"),
        ("row 5", "has a system message of its own"),
    ]
    assert [r["text"] for r in rows(tmp_path / "run/instructions.jsonl")] == ["How do birds sleep?"]
    assert len([r for r in rows(tmp_path / "run/rejected.jsonl") if r["stage"] == "instructions"]) == 4


def test_an_instruction_beside_a_system_message_is_not_used(tmp_path):
    """In a column of its own it would have been dropped without a word."""
    asked = [{"system": "Be terse.", "prompt": "What now?"}, {"system": "", "prompt": "How do birds sleep?"}]
    (tmp_path / "i.jsonl").write_text("".join(json.dumps(a) + "\n" for a in asked))
    run(Janus(str(tmp_path / "i.jsonl"), WRITER, values="taxonomy", threads=1), str(tmp_path / "run"), True)
    out = [(r["place"], r["reason"]) for r in rows(tmp_path / "run/instructions-rejected.jsonl")]
    assert out == [("row 1", "has a system message of its own")]
    assert [r["text"] for r in rows(tmp_path / "run/instructions.jsonl")] == ["How do birds sleep?"]


def test_a_script_is_a_writer(tmp_path):
    """`scripted:FILE`: the first answer cannot be read, the second is taken; the same dimension's values at every step."""
    (tmp_path / "i.jsonl").write_text('{"prompt": "How do birds sleep?"}\n')
    system = "You are an ornithologist " + "who speaks softly of nests and wings " * 15
    values = json.dumps([{"subdimension": "tone", "preference": "soft", "description": "Speaks softly to a child."}])
    script = [
        {"contains": "in one respect only", "answers": ["Let me think.", values]},
        {"contains": "Write the system message", "answers": [f"Sure! Here it is:\n{system}", system]},
        {"answers": ["", "On one leg."]},
    ]
    (tmp_path / "w.jsonl").write_text("".join(json.dumps(r) + "\n" for r in script))
    argv = [
        "--instructions",
        str(tmp_path / "i.jsonl"),
        "--writer",
        f"scripted:{tmp_path / 'w.jsonl'}",
        "--sets",
        "1",
        "--quiet",
    ]
    assert main([*argv, "--out", str(tmp_path / "run")]) == 0
    (sample,) = read_samples(tmp_path / "run/collection.jsonl")
    assert (sample.system, sample.output, sample.main_source) == (system.strip(), "On one leg.", "i.jsonl")
    assert [(v.dimension, v.preference) for v in sample.preference_set][1] == ("background_knowledge", "soft")
    told = Counter((r["stage"], r["reason"]) for r in rows(tmp_path / "run/rejected.jsonl"))
    assert told == {
        ("values", "not JSON"): 4,
        ("systems", "more than one paragraph"): 1,
        ("answers", "empty answer"): 1,
    }


class Refuses(ScriptedWriter):
    """Values are always prose."""

    def generate(self, prompts, indices, seed):
        return [[type(r)(r.id, r.prompt_id, r.index, "Prose." if r.text.startswith("[") else r.text, (), "stop") for r in rs]
                for rs in super().generate(prompts, indices, seed)]  # fmt: skip


def test_an_instruction_with_no_set(tmp_path):
    settings = Janus(str(instructions(tmp_path / "i.jsonl", 2)), f"py:{__name__}:Refuses", attempts=2, threads=1)
    run(settings, str(tmp_path / "run"), quiet=True)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["instructions_without_a_set"], summary["rows"], summary["instructions_without_a_pair"]) == (2, 0, 2)
    # 2 instructions x 4 dimensions x 2 attempts, and the two instructions themselves
    assert summary["rejected"] == {"values: an instruction with no set": 2, "values: not JSON": 16}


class Parrot(ScriptedWriter):
    """Every system message is the same, of the second instruction one that holds a benchmark's prompt."""

    TEXT = "You are a baker and " + " ".join(f"word{i}" for i in range(110))
    LEAK = TEXT.replace("word3 word4 word5 word6 word7", "name the nine oldest rivers of")

    def generate(self, prompts, indices, seed):
        found = super().generate(prompts, indices, seed)
        for p, (r,) in zip(prompts, found):
            if "Write the system message" in p.text:
                text = self.LEAK if "number 1 of" in p.text else self.TEXT
                found[prompts.index(p)] = [type(r)(r.id, r.prompt_id, r.index, text, (), "stop")]
        return found


def test_system_messages_that_repeat_or_leak(tmp_path):
    bench = tmp_path / "bench.jsonl"
    bench.write_text(json.dumps({"prompt": "Name the nine oldest rivers of"}) + "\n")
    settings = Janus(
        str(instructions(tmp_path / "i.jsonl", 3)),
        f"py:{__name__}:Parrot",
        bench=(str(bench),),
        attempts=2,
        values="taxonomy",
        threads=1,
    )
    run(settings, str(tmp_path / "run"), quiet=True)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    # instructions 0 and 2: the first of three stands, two fail twice each; one of the two then repeats the other. 1: three leak twice
    told = {k: v for k, v in summary["rejected"].items() if k.startswith("systems")}
    assert told == {
        "systems: nearly repeats another system message of the instruction": 8,
        "systems: nearly repeats another of the collection": 1,
        "systems: shares 6 words in a row with the benchmark's prompt bench.jsonl": 6,
    }
    assert summary["rows"] <= 1 and summary["near_duplicates"] == 1


def test_a_server_is_estimated_first_and_kept_to_its_budget(tmp_path, capsys):
    def answered(body, attempt):
        text = "\n".join(m["content"] for m in body["messages"])
        prompt = type("P", (), {"id": text, "messages": [type("M", (), m) for m in body["messages"]]})
        return 200, {}, chat(reply(prompt, attempt - 1))

    place = instructions(tmp_path / "i.jsonl", 3)
    with Scripted(answered) as server:
        argv = ["--instructions", str(place), "--writer", server.spec, "--out", str(tmp_path / "run"), "--quiet"]
        argv += ["--server.price-in", "1", "--server.price-out", "2"]
        with pytest.raises(UserError, match="does not hold one more call"):
            main([*argv, "--server.budget", "0.003"])
        told = capsys.readouterr().err
        assert (
            "the writer, values: 12 calls, about" in told
            and "the writer, answers: 9 calls" in told
            and "in money" in told
        )
        assert main([*argv, "--server.budget", "100"]) == 0
    assert json.loads((tmp_path / "run/summary.json").read_text())["rows"] >= 6
    assert "calls.jsonl" not in {p.name for p in (tmp_path / "run/sets").iterdir()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sets": 0}, "sets: 0; must be at least 1"),
        ({"near": 0.0}, "near: 0.0"),
        ({"most_words": 50}, "most_words: 50"),
        ({"differ": 5}, "differ: 5; a set has 4 values"),
        ({"sets": 31, "values": "taxonomy"}, "sets: 31; the taxonomy's dimension style has 30 values"),
        ({"instructions": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"taxonomy": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
    ],
)
def test_mistakes(tmp_path, change, told):
    with pytest.raises(UserError) as error:
        run(
            Janus(**({"instructions": str(instructions(tmp_path / "i.jsonl", 2)), "writer": WRITER} | change)),
            str(tmp_path / "run"),
            True,
        )
    assert told in str(error.value)
