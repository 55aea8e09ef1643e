"""A believable run folder with numbers that the tests know."""

import json
import random
from pathlib import Path

import pytest

from windvane.core.records import Message, Prompt, Response, Verdict, content_id
from windvane.core.schema import dumps
from windvane.stages.pair import group

NASTY = '<script>document.title="owned"</script><img src=x onerror="document.title=1"> & </script> مرحبا بالعالم שלום'
TOPICS = ["bread", "the tides", "a lost cat", "prime numbers", "old radios", "the moon", "tea", "a noisy neighbour"]
ASKS = [
    "Explain {} to a child.",
    "Write a short note about {}.",
    "Give me three facts about {}.",
    "What should I know about {}?",
]
WORDS = """well the first thing to say is that it takes time and care so begin slowly look closely and tell a friend
what you find""".split()  # noqa: SIM905


ITERATIONS = [
    {"iteration": 0, "win_rate": 0.5, "low": 0.5, "high": 0.5, "proxy_win_rate": 0.5, "proxy_low": 0.5, "proxy_high": 0.5,
     "mean_length": 31.0, "kl": 0.0, "kl_token": 0.0, "prompts": 60},
    {"iteration": 1, "win_rate": 0.618, "low": 0.561, "high": 0.671, "win_rate_previous": 0.618, "low_previous": 0.561,
     "high_previous": 0.671, "proxy_win_rate": 0.655, "proxy_low": 0.602, "proxy_high": 0.704, "proxy_win_rate_previous": 0.655,
     "mean_length": 33.4, "kl": 1.92, "kl_token": 0.0575, "chosen_logps": 1.31, "rejected_logps": -2.05, "prompts": 60},
    {"iteration": 2, "win_rate": 0.659, "low": 0.604, "high": 0.711, "win_rate_previous": 0.552, "low_previous": 0.503,
     "high_previous": 0.602, "proxy_win_rate": 0.711, "proxy_low": 0.661, "proxy_high": 0.759, "proxy_win_rate_previous": 0.566,
     "mean_length": 35.9, "kl": 4.37, "kl_token": 0.1217, "chosen_logps": 1.08, "rejected_logps": -3.4, "prompts": 60},
    {"iteration": 3, "win_rate": 0.682, "low": 0.629, "high": 0.733, "win_rate_previous": 0.521, "low_previous": 0.471,
     "high_previous": 0.572, "proxy_win_rate": 0.743, "proxy_low": 0.694, "proxy_high": 0.788, "proxy_win_rate_previous": 0.539,
     "mean_length": 38.75, "kl": 7.08, "kl_token": 0.1827, "chosen_logps": 0.42, "rejected_logps": -4.91, "prompts": 60},
]  # fmt: skip

RECIPE = """
recipe = "sppo"
model = "/home/someone/models/tiny-mistral"
seed = 7
[generate]
answers = 5
temperature = 1.0
top_p = 1.0
max_new_tokens = 64
[train]
objective = "sppo"
eta = 10.0
lr = 0.001
betas = [0.9, 0.95]
[judge]
name = "world:styles-proxy"
"""


def lines(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(dumps(row) + "\n" for row in rows), encoding="utf-8")


def prompts(dice: random.Random, count: int, system: str = "") -> list[Prompt]:
    found = []
    for i in range(count):
        text = dice.choice(ASKS).format(dice.choice(TOPICS)) + f" ({i})"
        head = (Message("system", system),) if system and i % 3 == 0 else ()
        found.append(Prompt.of((*head, Message("user", text))))
    return found


def reply(dice: random.Random, prompt: Prompt, index: int, stage: str, text: str = "") -> Response:
    many = dice.randint(8, 48)
    text = text or " ".join(dice.choice(WORDS) for _ in range(many)).capitalize() + "."
    finish = "length" if many > 46 else "stop"
    return Response(
        content_id([stage, prompt.id, index]), prompt.id, index, text, tuple(range(many)), finish, -2.0 * many
    )


def training(folder: Path, dice: random.Random, count: int, nasty: bool) -> None:
    asked = prompts(dice, count, "Answer in a calm voice.")
    replies, verdicts, groups = [], [], []
    for place, prompt in enumerate(asked):
        first = {0: NASTY, 4: "w" * 300}.get(place, "") if nasty else ""  # markup, and a word that no line can hold
        answers = [reply(dice, prompt, k, folder.name, first if k == 0 else "") for k in range(5)]
        skill = [dice.gauss(0, 1) for _ in answers]
        mine = []
        for a in range(5):
            for b in range(a + 1, 5):
                fair = min(max(0.5 + 0.17 * (skill[a] - skill[b]) + dice.gauss(0, 0.12), 0.02), 0.98)
                lean = abs(dice.gauss(0, 0.06))
                p_ab, p_ba = min(fair + lean, 1.0), min(1 - fair + lean, 1.0)
                name = content_id([prompt.id, a, b])
                if place == 1 or (place == 2 and a == 0):  # a poisoned prompt, and one answer that nobody could judge
                    mine.append(
                        Verdict(name, prompt.id, a, b, None, None, None, None, "no probability in the judge's answer")
                    )
                elif place == 3:  # the judge minds nothing here
                    mine.append(Verdict(name, prompt.id, a, b, 0.5, 0.5, 0.5, 0.0))
                else:
                    p = (p_ab + 1 - p_ba) / 2
                    mine.append(Verdict(name, prompt.id, a, b, p_ab, p_ba, p, abs(p_ab + p_ba - 1)))
        replies += answers
        verdicts += mine
        groups.append(group(prompt.id, answers, mine))
    lines(folder / "prompts.jsonl", asked)
    lines(folder / "responses.jsonl", replies)
    lines(folder / "verdicts.jsonl", verdicts)
    lines(folder / "groups.jsonl", groups)
    lines(folder / "reference.jsonl", [{"id": r.id, "logps": r.logps, "tokens": len(r.token_ids)} for r in replies])


def metrics(folder: Path, dice: random.Random, steps: int) -> None:
    rows = []
    for step in range(1, steps + 1):
        done = step / steps
        for split, noise in [("train", 0.05), ("held-out", 0.01)]:
            if split == "held-out" and step % 8:
                continue
            row = {"step": step, "split": split, "epoch": 2 * done, "loss": 0.5 - 0.3 * done + dice.gauss(0, noise)}
            row |= {
                "accuracy": min(0.5 + 0.3 * done + dice.gauss(0, noise), 1.0),
                "chosen_logps": -60.0,
                "rejected_logps": -66.0,
            }
            row |= {
                "chosen_logratio": 1.5 * done + dice.gauss(0, 4 * noise),
                "rejected_logratio": -3 * done + dice.gauss(0, 4 * noise),
            }
            rows.append(row | ({"lr": 1e-3, "grad_norm": 1.0} if split == "train" else {}))
    lines(folder / "train" / "metrics.jsonl", rows)


def make_run(
    path: Path, count: int = 40, held: int = 60, iterations: int = 3, judge: bool = True, nasty: bool = True
) -> Path:
    """Write the run folder; `judge` False leaves out every number of the held-out judge."""
    dice = random.Random(11)
    path.mkdir(parents=True, exist_ok=True)
    (path / "recipe.toml").write_text(RECIPE)
    heldout = prompts(dice, held)
    lines(path / "heldout.jsonl", heldout)
    rows = [dict(row) for row in ITERATIONS[: iterations + 1]]
    for n in range(iterations + 1):
        folder = path / f"iter-{n}"
        lines(folder / "answers.jsonl", [reply(dice, p, 0, f"held-{n}") for p in heldout])
        scores = []
        for p in heldout:
            win = min(max(dice.gauss(rows[n]["win_rate"], 0.2), 0), 1) if judge else None
            kl = abs(dice.gauss(rows[n]["kl"], 0.3 * rows[n]["kl"]))
            scores.append({"id": p.id, "win_start": win, "win_previous": win, "proxy_start": 0.6, "proxy_previous": 0.55,
                           "mean_length": 30.0, "kl": kl, "kl_token": kl / 30, "finish_length_share": 0.0})  # fmt: skip
        lines(folder / "evaluation.jsonl", scores)
        if not judge:
            rows[n] |= {k: None for k in rows[n] if k.removesuffix("_previous") in ("win_rate", "low", "high")}
        if n:
            training(folder, dice, count, nasty)
            metrics(folder, dice, 32)
    summary = {
        "recipe": "sppo", "model": "/home/someone/models/tiny-mistral", "judge": "world:styles-proxy",
        "evaluation_judge": "world:styles" if judge else None, "proxy_judge": "world:styles-proxy", "prompts": "world:styles",
        "iterations": rows, "report": "report.html", "notes": ["20% of the training verdicts are flipped by design."],
    }  # fmt: skip
    (path / "summary.json").write_text(json.dumps(summary))
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def make():
    return make_run


@pytest.fixture
def nasty() -> str:
    return NASTY


@pytest.fixture
def write_lines():
    return lines
