"""A finished run -> the README.md of its model: a Hugging Face model card with the measured numbers.

In: RUN/recipe.toml and RUN/summary.json. Out: the card's text, a function of these two files: no date, no host, no path of the run;
folders outside it appear by their last name. The front matter is built and read back by huggingface_hub.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from windvane.core.errors import UserError

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# the folders of an absolute path, as in reward:/home/me/models/judge; neither http://host nor models/judge
FOLDERS = re.compile(r"(?<![\w.~/-])~?/(?:[^/\s]+/)*(?=[^/\s])")
COMMAND = ("model", "prompts", "prompt_column", "judge", "evaluate.judge", "evaluate.prompts", "iterations", "seed")
MEASURES = (  # column, key, how it is written
    ("win rate vs start", "win_rate", "rate"),
    ("vs iteration before", "win_rate_previous", "rate_previous"),
    ("proxy win rate vs start", "proxy_win_rate", "proxy_rate"),
    ("mean length (tokens)", "mean_length", ".1f"),
    ("KL to start (nats a sequence)", "kl", ".3f"),
    ("KL (nats a token)", "kl_token", ".4f"),
)
BOUNDS = {
    "rate": ("low", "high"),
    "rate_previous": ("low_previous", "high_previous"),
    "proxy_rate": ("proxy_low", "proxy_high"),
}


def model_card(run: Path) -> str:
    """The card of the run's final model. Raises `UserError` where recipe.toml or summary.json is not there."""
    summary, settings = _read(run / "summary.json"), _read(run / "recipe.toml")
    leaves = dict(_leaves(settings))
    adapter = bool(leaves.get("train.lora_rank"))
    recipe, model = str(summary["recipe"]), _public(str(summary["model"]))
    name = f"{model.rstrip('/').split('/')[-1].replace(':', '-')}-{recipe}"
    count = len(summary["iterations"]) - 1
    parts = [
        f"---\n{_front(summary, name, adapter).to_yaml()}\n---",
        f"# {name}",
        f"{'A LoRA adapter for' if adapter else 'A model trained from'} `{model}` by self-play with "
        f"Windvane's recipe `{recipe}`: in {count} iteration{'s' if count != 1 else ''} it "
        f"answered prompts, `{_public(str(summary['judge']))}` judged its answers in pairs, and it was trained on the preferences.",
        "## How to use it",
        _usage(adapter, model),
        "## How it was made",
        f"```bash\n{_command(recipe, leaves)}\n```",
        "with the settings of the last table wherever they differ from the recipe's own; the run's `recipe.toml` holds them all: "
        f"`windvane run {recipe} --recipe recipe.toml --out RUN`.",
        "## What was measured",
        _measured(summary),
        *(str(note) for note in summary.get("notes") or ()),
        "## Limits",
        _limits(summary),
        "## Settings",
        _table(("setting", "value"), [(f"`{key}`", f"`{_public(_value(v))}`") for key, v in leaves.items()]),
    ]
    text = "\n\n".join(parts) + "\n"
    ModelCard(text)  # raises where the front matter cannot be read back
    return text


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path}: not there; this run is not finished, finish it with the command that started it")
    text = path.read_text(encoding="utf-8")
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


def _front(summary: Mapping[str, Any], name: str, adapter: bool) -> ModelCardData:
    """Front matter; the base model only where its name is one of the hub's (a folder's name would link to somebody else's)."""
    base = str(summary["model"])
    hub = bool(HUB_NAME.fullmatch(base)) and not Path(base).exists()
    last = summary["iterations"][-1]
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="held-out-prompts",
            dataset_name=f"{last['prompts']} held-out prompts" if last.get("prompts") else "held-out prompts",
            metric_type="win_rate",
            metric_name=f"{label} win rate against the starting model, judged by {_public(str(judge))}",
            metric_value=round(last[key], 4),
        )
        for label, key, judge in (
            ("held-out", "win_rate", summary.get("evaluation_judge")),
            ("proxy", "proxy_win_rate", summary.get("proxy_judge") or summary.get("judge")),
        )
        if last.get(key) is not None
    ]
    front = ModelCardData(
        base_model=base if hub else None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["windvane", str(summary["recipe"]), "preference-optimization", "self-play"],
        model_name=name,
        eval_results=results or None,
    )
    if hub:
        front["base_model_relation"] = "adapter" if adapter else "finetune"
    return front


def _usage(adapter: bool, model: str) -> str:
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("THIS")',
    ]
    if adapter:
        lines[0] = "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer"
        lines.append('model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("BASE"), "THIS")')
    else:
        lines.append('model = AutoModelForCausalLM.from_pretrained("THIS")')
    lines += [
        'chat = [{"role": "user", "content": "..."}]',
        'ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)',
        'print(tokenizer.decode(model.generate(**ids, max_new_tokens=256)[0, ids["input_ids"].shape[1] :]))',
    ]
    base = f" `BASE` is the base model, `{model}`." if adapter else ""
    return "```python\n" + "\n".join(lines) + f"\n```\n\n`THIS` is the folder or the hub name this card lies in.{base}"


def _command(recipe: str, leaves: Mapping[str, Any]) -> str:
    words = ["windvane", "run", recipe]
    for key in COMMAND:
        if leaves.get(key) is not None:
            words += [f"--{key.replace('_', '-')}", _public(str(leaves[key]))]
    return " ".join([*(word if _plain(word) else shlex.quote(word) for word in words), "--out RUN"])


def _plain(word: str) -> bool:
    """Whether the shell takes the word as it stands; shlex alone would quote every "…"."""
    return shlex.quote(word.replace("…", "")) == word.replace("…", "")


def _measured(summary: Mapping[str, Any]) -> str:
    iterations = summary["iterations"]
    rows = [
        (str(i.get("iteration", n)), *(_figure(i, k, how) for _, k, how in MEASURES)) for n, i in enumerate(iterations)
    ]
    judge, proxy = summary.get("evaluation_judge"), summary.get("proxy_judge") or summary.get("judge")
    by = (
        f"Win rates are judged by `{_public(str(judge))}`, which training never saw"
        if judge and any(i.get("win_rate") is not None for i in iterations)
        else f"Win rates are not measured: `{_public(str(judge))}` gave no usable answer"
        if judge
        else "Win rates are not measured"
    )
    count = iterations[-1].get("prompts")
    return (
        _table(("iteration", *(label for label, _, _ in MEASURES)), rows)
        + f"\n\n{by}; proxy win rates by `{_public(str(proxy))}`. Rates are fractions with their 95% interval, resampled over "
        + (f"{count} held-out prompts" if count else "held-out prompts")
        + ". Iteration 0 is the starting model."
    )


def _figure(row: Mapping[str, Any], key: str, how: str) -> str:
    value = row.get(key)
    if value is None:
        return "not measured"
    if how not in BOUNDS:
        return format(value, how)
    low, high = (row.get(bound) for bound in BOUNDS[how])
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _limits(summary: Mapping[str, Any]) -> str:
    limits = [
        f"The judge that trained it, `{_public(str(summary['judge']))}`, has tastes of its own; what it prefers was reinforced, "
        "length included. Compare the proxy's win rate with the held-out judge's, and look at the length.",
        "The figures hold for prompts like the held-out ones and for the decoding in the settings; other prompts were not measured.",
        "Nothing here measures safety, truthfulness or what the model forgot.",
        "The licences of the base model, of the prompts and of the judge apply.",
    ]
    if not summary.get("evaluation_judge"):
        limits.insert(0, "No held-out judge was given, so whether the model really got better is not known.")
    return "\n".join(f"- {line}" for line in limits)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{path}{key}.")
        else:
            yield f"{path}{key}", inner


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _public(text: str) -> str:
    return FOLDERS.sub("…/", text)
