"""A small finished run folder, written by hand."""

import json
from pathlib import Path

import tomli_w

from windvane.core.records import Message, Prompt, Response, Verdict, content_id
from windvane.core.schema import dumps
from windvane.stages.pair import group


def verdicts(prompt, wins):
    """`wins`: {(a, b): P(a wins)}, both orders agreeing."""
    return [Verdict(f"{prompt.id}-{a}-{b}", prompt.id, a, b, p, 1 - p, p, 0.0) for (a, b), p in wins.items()]


def answer(prompt, index, text, ids, finish="stop"):
    return Response(content_id([prompt.id, index]), prompt.id, index, text, tuple(ids), finish, -1.0)


def write_iteration(run: Path, number: int, rows):
    """`rows`: (prompt, answers, wins)."""
    folder = run / f"iter-{number}"
    folder.mkdir(parents=True)
    groups = [group(p.id, answers, verdicts(p, wins)) for p, answers, wins in rows]
    tables = {
        "prompts": [p for p, _, _ in rows],
        "responses": [a for _, answers, _ in rows for a in answers],
        "groups": groups,
    }
    for name, records in tables.items():
        (folder / f"{name}.jsonl").write_text("".join(dumps(r) + "\n" for r in records))


def write_recipe(run: Path, **changes):
    run.mkdir(parents=True, exist_ok=True)
    settings = {
        "model": "mistralai/Mistral-7B-Instruct-v0.2",
        "prompts": "prompts.jsonl",
        "judge": "reward:/home/me/models/judge",
        "iterations": 1,
        "seed": 42,
        "sampling": {"k": 5, "temperature": 1.0},
        "train": {"objective": "sppo", "objective_args": {"eta": 1000.0}, "lr": 5e-07, "lora_rank": 0},
        "evaluate": {"judge": "py:mine:held_out", "count": 200},
        **changes,
    }
    (run / "recipe.toml").write_text(tomli_w.dumps(settings))


def summary(**changes):
    start = {
        "iteration": 0, "win_rate": 0.497, "low": 0.45, "high": 0.54, "win_rate_previous": None, "low_previous": None,
        "high_previous": None, "proxy_win_rate": 0.501, "proxy_low": 0.46, "proxy_high": 0.55, "mean_length": 20.04,
        "kl": 0.0, "kl_token": 0.0, "prompts": 200,
    }  # fmt: skip
    first = {
        **start, "iteration": 1, "win_rate": 0.6234, "low": 0.5811, "high": 0.6687, "win_rate_previous": 0.6234,
        "low_previous": 0.5811, "high_previous": 0.6687, "proxy_win_rate": 0.71, "mean_length": 25.5, "kl": 1.25,
        "kl_token": 0.05,
    }  # fmt: skip
    return {
        "iterations": [start, first],
        "recipe": "sppo",
        "model": "mistralai/Mistral-7B-Instruct-v0.2",
        "judge": "reward:/home/me/models/judge",
        "proxy_judge": "reward:/home/me/models/judge",
        "evaluation_judge": "py:mine:held_out",
        "prompts": "prompts.jsonl",
        "report": "report.html",
        "notes": ["A note."],
        **changes,
    }


def write_summary(run: Path, **changes):
    (run / "summary.json").write_text(json.dumps(summary(**changes)))


def question(text, system=None, token_ids=()):
    head = () if system is None else (Message("system", system),)
    made = Prompt.of((*head, Message("user", text)))
    return Prompt(made.id, made.messages, tuple(token_ids))
