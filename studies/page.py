"""docs/claims.md and its drawings, made from docs/claims/*.json alone: `python -m studies.page`.

In: a folder with claims/NAME.json. Out: claims.md and claims/NAME-*.svg in it. Nothing on the page is typed by hand but the words here
and in the claims' own sections; a test draws it again and compares.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from studies.declare import declared
from studies.launch import command_of, start
from studies.plot import draw
from studies.record import Claim, read_claim
from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.runs.store import write_atomic

SECTIONS = {  # a claim's own part of the page
    "janus": "studies.janus.section:section",
    "rubric-sppo": "studies.rubric_sppo.section:section",
    "sppo": "studies.sppo.section:section",
    "longpo": "studies.longpo.section:section",
    "longpo-weight": "studies.longpo.section:section",
    "evalyaks": "studies.evalyaks.section:section",
}

HEAD = """# The papers' claims, re-run small

Made by `python -m studies.page` from `docs/claims/*.json`; each of those is the last full run of `python -m studies.NAME`. Arms, metric,
seeds
and the world's hash were committed in `studies/declarations/NAME.toml` before the run; learning rates were chosen once an arm, all from the
same list, on a development seed; what is shown comes from fresh seeds. The primary contrast is the one thing each run was made to decide:
its interval draws seeds first and prompts within them, with Student's t for the few seeds. Everything else on the page is looked at beside
it, without a correction for looking often. These are toys: they show what the methods do here, not how good a real model would become.
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(
        ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]
    )


def section(claim: Claim, files: Sequence[str]) -> str:
    """One claim: verdict, arms, findings, its own tables, drawings."""
    first, second = claim.primary
    i = claim.interval
    between = "no interval" if i.low is None else f"95% interval [{i.low:+.3f}, {i.high:+.3f}] over {i.n} seeds"
    rows = []
    for arm, values in claim.per_seed.items():
        a, spread = claim.arms[arm], claim.spread[arm]
        rows.append(
            [
                f"`{arm}`" + (f", {len(values)} seeds" if a["secondary"] else ""),
                a["what"],
                f"{a['learning_rate']:g}" if a["learning_rate"] else "-",
                ", ".join(f"{lr}: {rate:.3f}" for lr, rate in a["sweep"].items()) or "-",
                f"{claim.mean[arm]:.3f}",
                "-" if spread is None else f"{spread:.3f}",
                " ".join(f"{v:.3f}" for v in values),
            ]
        )
    head = ("arm", "what", "rate", "sweep, development seed", "mean", "spread", "a seed each")
    parts = [
        f"## {claim.claim}: {claim.verdict}",
        f"{claim.statement}.",
        f"Primary contrast, {first} - {second}: **{i.mean:+.3f}**, {between}: **{claim.verdict}**. Metric: {claim.metric}. "
        f"Seeds {', '.join(map(str, claim.seeds))}.",
        table(head, rows),
        not_run(claim),
        f"![{claim.metric}](claims/{claim.claim}-arms.svg)",
        "What else was looked at. But where it says otherwise, a finding holds where its 95% t interval over seeds lies on its side of 0:",
        table(("verdict", "finding", "numbers"), [(f.verdict, f.statement, f.numbers) for f in claim.findings]),
        own_section(claim),
        *(f"![{name}](claims/{name})" for name in files if name != f"{claim.claim}-arms.svg"),
        f"`{command_of(claim.claim)}{' --reduced' if claim.reduced else ''} --seeds {len(claim.seeds)}`: "
        f"{claim.cpu_seconds / 60:.0f} minutes of CPU, {claim.seconds / 60:.0f} of waiting on the machine it ran on; "
        f"code {claim.code_version}; {claim.world}, sha256 {claim.world_sha256[:16]}; "
        f"declaration sha256 {claim.declaration_sha256[:16]}.",
    ]
    return "\n\n".join(part for part in parts if part)


def not_run(claim: Claim) -> str:
    """A sentence where arms or seeds were declared and are not in the claim; else nothing."""
    d = declared(claim.claim)
    arms = [f"`{arm}`" for arm in d.arms if arm not in claim.arms]
    seeds = [] if claim.reduced else [str(seed) for seed in d.seeds if seed not in claim.seeds]
    told = [f"{words} {', '.join(names)}" for words, names in (("the arms", arms), ("the seeds", seeds)) if names]
    return f"Declared and not run: {' and '.join(told)}." if told else ""


def own_section(claim: Claim) -> str:
    module, _, function = SECTIONS.get(claim.claim, "").partition(":")
    return getattr(importlib.import_module(module), function)(claim) if module else ""


def render(folder: Path) -> dict[str, str]:
    """{path under `folder`: text} of everything that the claims in folder/claims make."""
    found = sorted((folder / "claims").glob("*.json"), key=lambda path: path.stem)  # a claim before its later ones
    if not found:
        raise UserError(
            f"{folder / 'claims'}: no claim there; run `python -m studies.sppo` and put its claim.json there as sppo.json"
        )
    made: dict[str, str] = {}
    parts = [HEAD.strip()]
    for path in found:
        claim = read_claim(path)
        drawn = draw(claim)
        made |= {f"claims/{name}": text for name, text in drawn.items()}
        parts.append(section(claim, list(drawn)))
    return {"claims.md": "\n\n".join(parts) + "\n", **made}


def main(argv: Sequence[str]) -> int:
    """`python -m studies.page [--docs docs]`."""
    parser = Parser(prog="python -m studies.page", description=__doc__)
    parser.add_argument("--docs", default="docs", help="the folder that holds claims/*.json")
    folder = Path(parser.parse_args(list(argv)).docs)
    for name, text in render(folder).items():
        write_atomic(folder / name, text)
        print(folder / name)
    return 0


if __name__ == "__main__":
    start("studies.page", main)
