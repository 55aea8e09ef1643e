"""RULER's questions: exact lengths, repeatable draws, published wording and designs; solvable from the prompt alone."""

import json
import random
import re
from collections import Counter

import pytest

from tests.evals.ruler_scripted import small_tokenizer
from tests.evals.ruler_solvers import solve
from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.evals.ruler.models import prompt_ids
from windvane.evals.ruler.needles import hide, sentences
from windvane.evals.ruler.questions import read_hotpotqa, read_squad
from windvane.evals.ruler.sample import Draft, Growing, TooShort, fit
from windvane.evals.ruler.score import (
    effective_length,
    found,
    string_match_all,
    string_match_part,
    weighted_average,
)
from windvane.evals.ruler.tasks import TASKS, Sources, make_samples, parse_length, question
from windvane.evals.ruler.words import Prose, WordList, polite, sentence

TOKENIZER = small_tokenizer()


def count(draft):
    return len(prompt_ids(TOKENIZER, draft.text, draft.prefix))


def samples(name, length, n=2, seed=42, sources=None):
    return list(make_samples(TASKS[name], length, n, seed, sources or Sources(), count))


@pytest.mark.parametrize("length", [2500, 6000])
@pytest.mark.parametrize("name", TASKS)
def test_filled_to_the_last_unit_and_never_over(name, length):
    task, sources = TASKS[name], Sources()
    for sample in make_samples(task, length, 2, 42, sources, count):
        assert sample.tokens == count(sample.draft) + task.tokens <= length
        small = length < 4096 or "repeats" in sample.source
        rng = random.Random(seed_of(42, name, length, sample.index))
        growing = question(task, rng, sources, length, sample.index, small)
        assert growing.build(sample.units) == sample.draft
        assert count(growing.build(sample.units + 1)) + task.tokens > length


@pytest.mark.parametrize("name", TASKS)
def test_solvable_from_the_prompt_alone_and_not_by_silence(name):
    score = string_match_part if TASKS[name].metric == "part" else string_match_all
    for sample in samples(name, 3000, n=4):
        prompt = sample.draft.text + sample.draft.prefix
        assert score(solve(prompt), sample.draft.references) == 1, (solve(prompt), sample.draft.references)
        assert score("", sample.draft.references) == 0


@pytest.mark.parametrize("name", TASKS)
def test_same_seed_same_questions(name):
    assert samples(name, 2500) == samples(name, 2500)
    if TASKS[name].group != "qa":  # questions are asked in the file's order; the seed shuffles their documents
        assert samples(name, 2500)[0].draft.references != samples(name, 2500, seed=1)[0].draft.references
    assert samples(name, 2500)[0].draft != samples(name, 2500, seed=1)[0].draft
    assert samples(name, 2500, n=1) == samples(name, 2500, n=2)[:1]


def test_designs_as_published():
    def needles(name):
        return re.findall(
            r"One of the special magic (\w+) for ([^:]+) is: ([\w-]+)\.", samples(name, 2500)[0].draft.text
        )

    assert len(needles("niah_single_1")) == 1 and needles("niah_single_1")[0][0] == "numbers"
    assert len(needles("niah_single_3")) == 1 and len(needles("niah_single_3")[0][2]) == 36
    assert len({key for _, key, _ in needles("niah_multikey_1")}) == 4
    values = needles("niah_multivalue")
    assert len(values) == 4 and len({key for _, key, _ in values}) == 1
    queried = samples("niah_multiquery", 2500)[0].draft
    assert len(queried.references) == 4 and queried.prefix.endswith("mentioned in the provided text are")
    keys = needles("niah_multikey_3")
    assert len(keys) > 10 and all(len(key) == 36 for _, key, _ in keys)
    single = samples("niah_single_2", 2500)[0].draft
    assert single.text.startswith("A special magic number is hidden") and single.prefix.endswith("text is")
    vt = samples("vt", 2500)[0].draft
    assert len(vt.references) == 5 and vt.text.count("Memorize and track") == 2  # the worked example, then the question
    question = vt.text.rsplit("Memorize and track", 1)[1]
    assert list(re.findall(r"VAR (\w+) = ", question)) == list(vt.references)  # a hop stands after the one before
    cwe = samples("cwe", 9000)[0].draft
    listed = Counter(re.findall(r"\d+\. (.+?)(?= \d+\. |\nQ)", cwe.text.split("Below is a numbered")[-1]))
    assert Counter(listed.values())[30] == 10 and set(listed.values()) == {30, 3}
    fwe = samples("fwe", 4096)[0]
    words = Counter(fwe.draft.text.split("coded words. ")[1].split("\nQuestion")[0].split())
    assert [words[w] for w in ("...", *fwe.draft.references)] == [
        int(fwe.units / k**2 / 1.6449340668482264) for k in range(1, 5)
    ]


def test_depth_is_where_the_needle_stands():
    context, stood = hide(["N1", "N2"], ["aa", "bb", "cc", "dd"], [0.25, 0.75], " ")
    assert context == "aa N1 bb cc N2 dd" and stood == [3 / 17, 12 / 17]
    for sample in samples("niah_multivalue", 2500):
        body = sample.draft.text.split("\n")[1]
        for value, depth in zip(sample.draft.references, sample.draft.depths):
            assert body.rindex("One of", 0, body.index(value)) / len(body) == pytest.approx(depth)


def test_fit_stops_at_the_border():
    def growing(most=None, width=3):
        return Growing(lambda n: Draft("x" * (10 + width * n), "", ("r",), (None,)), most=most)

    def length(draft):
        return len(draft.text)

    for limit in (13, 14, 16, 100, 9999):
        for guess in (None, 1, 50, 5000):
            assert fit(growing(), length, limit, guess)[0] == (limit - 10) // 3
    assert fit(growing(most=7), length, 9999)[0] == 7
    with pytest.raises(TooShort):
        fit(growing(), length, 12)
    stairs = Growing(lambda n: Draft("x" * (n // 40 * 7), "", ("r",), (None,)))
    assert fit(stairs, length, 20)[0] == 119  # 2 steps of 7; the third comes at 120


def test_haystack_of_given_text_is_repeated_when_short(tmp_path):
    (tmp_path / "b.txt").write_text("Second one here.")
    (tmp_path / "a.txt").write_text("First\n\nbook. ")
    assert Prose(tmp_path).words(7) == ["First", "book.", "Second", "one", "here.", "First", "book."]
    sources = Sources(haystack=tmp_path)
    sample = samples("niah_single_2", 1500, 1, sources=sources)[0]
    assert sample.source == f"text of {tmp_path.name}" and "Second one here. First book." in sample.draft.text
    assert solve(sample.draft.text + sample.draft.prefix) == sample.draft.references[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no text for a haystack"):
        Prose(tmp_path / "empty")
    assert sentences(["One.", "Two!", "Three"]) == ["One.", "Two!", "Three"]


def test_words():
    many = WordList(random.Random(0)).first(12_000)
    assert len(set(many)) == 12_000 and many[:50] == WordList(random.Random(0)).first(50)
    assert all(text[0].isupper() and text.endswith(".") for text in (sentence(random.Random(i)) for i in range(50)))
    assert all(len(words) > 500 for words in polite())
    assert [parse_length(x) for x in ("4k", "128K", "6000")] == [4096, 131072, 6000]


def squad(path, paragraphs=6):
    def paragraph(a, p):
        qas = [{"question": f"Who is {a}{p}?", "answers": [{"text": f"Name{a}{p}"}], "is_impossible": False}]
        qas += [{"question": "?", "answers": [], "is_impossible": True}]
        qas += [{"question": f"What is {a}{p}?", "answers": [{"text": "x"}, {"text": f"Name{a}{p}"}]}]
        return {"context": f"Article {a} part {p} tells of Name{a}{p}. " + "Filler. " * 20, "qas": qas}

    data = {"data": [{"title": str(a), "paragraphs": [paragraph(a, p) for p in range(paragraphs)]} for a in range(4)]}
    path.write_text(json.dumps(data))
    return path


def test_squad_takes_the_same_article_first(tmp_path):
    path = squad(tmp_path / "squad.json")
    read = read_squad(path)
    assert len(read.questions) == 48 and len(read.documents) == 24 and not read.stand_in
    first, second = samples("qa_1", 1300, 2, sources=Sources(squad=path))
    articles = re.findall(r"Article (\d) part", first.draft.text)
    assert len(articles) > 3 and Counter(articles).most_common(1)[0] == ("0", min(6, len(articles)))
    assert first.draft.cluster == second.draft.cluster and first.source == "squad.json"
    assert second.draft.references == ("x", "Name00")
    body = first.draft.text.split("given documents.\n\n")[1].split("\n\nAnswer the question")[0]
    assert body[int(first.draft.depths[0] * len(body)) + 1 :].lstrip()[:200].count("Name00") == 1
    with pytest.raises(UserError, match="has 48 questions, 60 were asked for"):
        samples("qa_1", 1300, 60, sources=Sources(squad=path))


def test_hotpotqa_and_files_of_another_kind(tmp_path):
    rows = [
        {
            "question": f"Q{i}?",
            "answer": f"A{i}",
            "context": [[f"T{i}{j}", [f"Text {i} {j}. ", "More."]] for j in range(3)],
        }
        for i in range(5)
    ]
    path = tmp_path / "hotpot.json"
    path.write_text(json.dumps(rows))
    assert len(read_hotpotqa(path).documents) == 15
    sample = samples("qa_2", 600, 1, sources=Sources(hotpotqa=path))[0]
    assert (
        all(f"T0{j}\nText 0 {j}. More." in sample.draft.text for j in range(3)) and "Question: Q0?" in sample.draft.text
    )
    with pytest.raises(UserError, match="not in SQuAD's format"):
        read_squad(path)
    with pytest.raises(UserError, match="not in HotpotQA's format"):
        read_hotpotqa(squad(tmp_path / "squad.json"))
    path.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_hotpotqa(path)


def test_metrics_by_hand():
    assert string_match_all("Apple\nand PEAR", ["apple", "pear", "plum", "fig"]) == 0.5
    assert string_match_part("Apple", ["pear", "APPLE"]) == 1 and string_match_part("Apple", ["pear"]) == 0
    assert found("12\x0034", ["1234", "12"]) == [False, True]


def test_effective_length_and_weighted_averages_of_published_models():
    lengths = [4096 * 2**i for i in range(6)]
    mistral = dict(zip(lengths, (93.6, 91.2, 87.2, 75.4, 49.0, 13.8)))  # RULER's table: 16K, 68.4, 55.6, 81.2
    assert effective_length(mistral) == 16384
    assert round(sum(mistral.values()) / 6, 1) == 68.4
    assert round(weighted_average(mistral, increasing=True), 1) == 55.6
    assert round(weighted_average(mistral, increasing=False), 1) == 81.2
    glm4 = dict(zip(lengths, (94.7, 92.8, 92.1, 89.9, 86.7, 83.1)))  # 64K, 88.0, 91.7
    assert effective_length(glm4) == 65536
    assert weighted_average(glm4, True) == pytest.approx(88.0, abs=0.06)
    assert weighted_average(glm4, False) == pytest.approx(91.7, abs=0.06)  # from scores rounded to a tenth
    assert effective_length({4096: 82.3, 8192: 90.0}) is None  # a gap below ends it
