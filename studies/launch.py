"""How every study is started: one command line, one check of the world, one folder, one way to write what came of it.

In: what a claim's module brings (a `Study`) and the words after `python -m studies.NAME`. Out: DIR/claim.json, the drawings and the
table on
the terminal. The module says which units there are, in what order they need each other, and what is read from their results.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from studies.assemble import Outcome, assemble
from studies.declare import Declaration, declared, take_seeds
from studies.plot import draw
from studies.record import Claim, code_version, write_claim
from studies.units import Work, Workshop, tell
from windvane.cli.main import guarded
from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.core.schema import dumps
from windvane.runs.store import RunFolder, file_sha256
from windvane.toy.register import register


@dataclass(frozen=True, slots=True)
class Study:
    """`about`: what --help says. `work`: one unit, called in a process of its own. `reduced`: the declaration at a size that continuous
    integration can afford, which decides nothing and looks at no declared seed. `world_sha256`: the world by what it does. `outcome`: runs
    the units that are missing, in their order, and reads them."""

    about: str | None
    work: Work
    reduced: Callable[[Declaration], Declaration]
    world_sha256: Callable[[], str]
    outcome: Callable[[Declaration, tuple[int, ...], Workshop], Outcome]


def start(module: str, main: Callable[[list[str]], int]) -> NoReturn:
    """Run a study's `main` on the process's arguments and exit with its code; see `windvane.cli.main.guarded`."""
    argv = sys.argv[1:]
    sys.exit(guarded(partial(main, argv), ["python", "-m", module, *argv]))


def command_of(name: str) -> str:
    """The command that runs the study of a declaration, such as "longpo-weight"."""
    return f"python -m studies.{name.replace('-', '_')}"


def launch(name: str, argv: Sequence[str], study: Study) -> int:
    """`python -m studies.NAME [--seeds N] [--out DIR] [--workers 2] [--reduced]`."""
    parser = Parser(prog=command_of(name), description=study.about)
    parser.add_argument("--seeds", type=int, help="the first N of the declared fresh seeds; left out: all")
    parser.add_argument(
        "--out", default=f"runs/claim-{name}", help="the folder; the same command goes on with what is there"
    )
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="single-threaded processes")
    parser.add_argument("--reduced", action="store_true", help="a small size that decides nothing, to see that it runs")
    given = parser.parse_args(list(argv))
    register()
    if given.workers < 1:
        raise UserError(f"--workers: {given.workers}; must be at least 1")
    d = study.reduced(declared(name)) if given.reduced else declared(name)
    claim = run_claim(d, take_seeds(d, given.seeds), study, Path(given.out), given.workers, given.reduced)
    print(told(claim))
    print(f"\n{Path(given.out) / 'claim.json'}")
    return 0


def run_claim(d: Declaration, seeds: tuple[int, ...], study: Study, out: Path, workers: int, is_reduced: bool) -> Claim:
    """Run what is missing, write DIR/claim.json and the drawings."""
    if study.world_sha256() != d.world_sha256:
        raise UserError(
            f"{d.name}: {d.world} is not the world that was declared (world_sha256 in studies/declarations/{d.name}.toml); declare it anew"
        )
    with RunFolder(out):
        outcome = study.outcome(d, seeds, Workshop(out, study.work, workers, code_version()))
        claim = assemble(d, seeds, outcome, is_reduced, workers)
        write_claim(claim, out / "claim.json")
        for name, text in draw(claim).items():
            (out / name).write_text(text, encoding="utf-8")
    return claim


def world_digest(start: Path, files: Sequence[str], told: Iterable[Any]) -> str:
    """The hash of a world by what it does: of its start's `files`, and of plain data that it says (documents, cases, verdicts)."""
    digest = hashlib.sha256()
    for name in files:
        digest.update(file_sha256(start / name).encode())
    for part in told:
        digest.update(dumps(part).encode())
    return digest.hexdigest()


def best_rate(
    d: Declaration, worth: Callable[[float], float], tie: Callable[[float], float] | None = None
) -> dict[str, Any]:
    """An arm's rate and the sweep it was chosen from, {rate: worth on the development seed}; of equals the lowest, or with `tie` the one
    of the greater. Where one rate is declared it is that, and nothing was swept."""
    if len(d.learning_rates) == 1:
        return {"learning_rate": d.learning_rates[0], "sweep": {}}
    found = {lr: worth(lr) for lr in sorted(d.learning_rates)}
    # Equal to the last bit without `tie`: kept claims were chosen so.
    best = max(found, key=(lambda lr: (round(found[lr], 9), tie(lr))) if tie else (lambda lr: (found[lr], 0.0)))
    return {"learning_rate": best, "sweep": {f"{lr:g}": value for lr, value in found.items()}}


def tell_rates(chosen: Mapping[str, Mapping[str, Any]], arms: Iterable[str]) -> None:
    for arm in arms:
        tell(f"{arm}: learning rate {chosen[arm]['learning_rate']:g}")


def told(claim: Claim) -> str:
    """What the terminal shows."""
    first, second = claim.primary
    lines = [f"{'arm':>12}  {'mean':>6}  {'spread':>6}  a seed each"]
    for arm, values in claim.per_seed.items():
        spread = claim.spread[arm]
        lines.append(
            f"{arm:>12}  {claim.mean[arm]:6.3f}  {'     -' if spread is None else f'{spread:6.3f}'}  "
            + " ".join(f"{v:.3f}" for v in values)
        )
    i = claim.interval
    between = "no interval from one seed" if i.low is None else f"[{i.low:+.3f}, {i.high:+.3f}]"
    lines.append(f"{first} - {second}: {i.mean:+.3f} {between}: {claim.verdict}")
    lines += [f"{f.verdict:>14}  {f.statement} ({f.numbers})" for f in claim.findings]
    return "\n".join(lines)
