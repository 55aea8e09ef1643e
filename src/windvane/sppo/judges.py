"""The judges of a run, and what they cost where they stand behind a server.

In: a recipe's settings and its run folder. Out: the judge that trains, the one that evaluates and the proxy; before the first call an
outlook on the whole run's calls, before each stage an estimate of its own; one budget for all of them and for a generator's server.
Answers are journaled in the run folder as they arrive (calls-ROLE.journal), so that a killed run pays for none of them twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import is_family, spelled
from windvane.core.protocols import PairJudge, Question
from windvane.core.records import Prompt, Response, Verdict
from windvane.engines.http.budget import Account, Estimate, Usage, priced
from windvane.engines.http.endpoint import Endpoint
from windvane.engines.http.generator import HttpGenerator
from windvane.engines.http.server import Server, address
from windvane.engines.names import SERVERS, resolve_generator
from windvane.judges.names import resolve_judge
from windvane.judges.rubric_pairs import RubricPairJudge
from windvane.sppo.settings import Sppo
from windvane.stages.judge import Pair, questions

Judges = dict[str, PairJudge | None]  # "train", "true" (None where none was given), "proxy"


def canonical(judge: str) -> str:
    """One name for one judge: defaults filled in, folders resolved, llm: of a server and the server alone, PairRM whatever its budget."""
    judge = spelled(judge)
    kind, _, rest = judge.partition(":")
    if kind == "pairrm":
        rest = rest.partition("#")[0]
    if is_family(judge):
        return judge if ":" in rest else f"{judge}:proxy"
    if kind == "rubric" and not rest.startswith("py:") and not is_family(rest):
        # the same model, asked for grades instead of a label
        return canonical(f"llm:{rest}")
    if kind == "llm" and rest.partition(":")[0] in SERVERS:
        return rest
    folder = Path(rest).expanduser()
    return f"{kind}:{folder.resolve() if folder.is_dir() else rest}"


def open_judges(s: Sppo, folder: Path) -> Judges:
    """One judge for each name, whatever its roles. The judge that trains must not be the one that evaluates."""
    if s.evaluate.judge and canonical(s.evaluate.judge) == canonical(s.judge):
        raise UserError(f"evaluate.judge: {s.judge} trains already; give another judge, or none")
    named = {"train": s.judge, "true": s.evaluate.judge, "proxy": s.evaluate.proxy or s.judge}
    found: Judges = {}
    for role, spec in named.items():
        same = next((found[r] for r in found if named[r] == spec), None)
        if same is None and spec:
            calls = folder / f"calls-{role}.jsonl"
            same = resolve_judge(spec, s.device, s.judge_dtype, server=s.server, calls=calls, **rubric_options(s, spec))
        found[role] = same
    return found


def rubric_options(s: Sppo, spec: str) -> dict[str, Any]:
    """What a judge of grades is told besides its name: a file of rubrics, logits a grade."""
    return {"rubrics": s.rubrics, "slope": s.rubric_slope} if spec.startswith("rubric:") else {}


def check_rubrics(judges: Judges, training: Sequence[Prompt], held: Sequence[Prompt]) -> None:
    """`UserError` where a judge of grades has nothing to grade a prompt's answers by: training's, or the held-out ones that the others
    judge (the proxy is the training judge, where no other is named)."""
    for role, judge in judges.items():
        if isinstance(judge, RubricPairJudge):
            judge.check(training if role == "train" else held)


def open_sampler(s: Sppo, folder: Path) -> HttpGenerator | None:
    """The server that samples the answers which train, where one is named: without token ids it cannot be trained on."""
    if s.generator is None:
        return None
    if s.generator.partition(":")[0] not in SERVERS:
        raise UserError(f"generator {s.generator}: give http://HOST:PORT/v1#MODEL, or nothing for the model itself")
    server = replace(s.server, token_ids="require")
    calls = folder / "calls-generate.jsonl"
    made = resolve_generator(served(s.generator, 0), s.sampling, server=server, calls=calls)
    assert isinstance(made, HttpGenerator)
    return made


def served(generator: str, t: int) -> str:
    """`{t}` in the name stands for the iteration that made the served weights, 0 for the start."""
    return generator.replace("{t}", str(t))


def sampler_of(sampler: HttpGenerator, generator: str, t: int, tokenizer: Any) -> HttpGenerator:
    """The same server, journal and account, asked for the weights of iteration `t`. What closes an answer is one of the tokens that
    `tokenizer` adds to its vocabulary."""
    first = sampler.endpoint
    endpoint = Endpoint(address(served(generator, t)), first.server)
    endpoint.calls, endpoint.account = first.calls, first.account
    return HttpGenerator(
        endpoint, sampler.sampling, frozenset({*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder})
    )


def endpoint_of(backend: Any) -> Endpoint | None:
    """The server's endpoint behind a judge or a generator, where there is one."""
    found = getattr(backend, "endpoint", None) or getattr(getattr(backend, "asker", None), "endpoint", None)
    return found if isinstance(found, Endpoint) else None


def one_budget(backends: Iterable[Any]) -> Account | None:
    """All servers count into one account from here on, what earlier processes of the run spent included; None without servers."""
    account: Account | None = None
    for endpoint in {id(e): e for b in backends if (e := endpoint_of(b)) is not None}.values():
        if account is None:
            account = endpoint.account
        elif endpoint.account is not account:
            account.carry(endpoint.account.spent, False)
            if endpoint.account.lost != Usage():
                account.carry(endpoint.account.lost, True)
            endpoint.account = account
    return account


def estimated(judge: PairJudge | None, asked: Sequence[Question]) -> Estimate | None:
    """What a server would be asked for; None where the judge is none, or has answered all of it before."""
    if endpoint_of(judge) is None:
        return None
    found = judge.estimate(asked)  # type: ignore[union-attr]
    return found if found.calls else None


def outlook(
    s: Sppo, judges: Mapping[str, PairJudge | None], training: Sequence[Prompt], held: Sequence[Prompt]
) -> dict[str, Estimate]:
    """The whole run's calls by server role, before any answer is known: every prompt with two answers of full length. Training asks each of
    K(K-1)/2 pairs in both orders; evaluation compares with the start and, from iteration 2 on, with the iteration before."""
    pairs = s.sampling.k * (s.sampling.k - 1) // 2
    compared = s.evaluate.answers * (1 + s.iterations + max(0, s.iterations - 1))
    wanted = {
        "train": (training, pairs, s.sampling.max_new_tokens),
        "true": (held, compared, s.evaluate.max_new_tokens),
        "proxy": (held, compared, s.evaluate.max_new_tokens),
    }
    found = {}
    for role, (prompts, times, longest) in wanted.items():
        blank = [Response("", p.id, i, "", (), "stop") for p in prompts for i in (0, 1)]
        asked = questions([(p, a, b) for p, a, b in zip(prompts, blank[::2], blank[1::2])])
        once = estimated(judges[role], asked)
        if once is not None:
            calls, used = once.calls * times, once.likely
            tokens = used.prompt_tokens * times + 2 * longest * calls
            found[role] = Estimate(calls, priced(s.server, tokens, used.completion_tokens * times))
    return found


def outlook_line(calls: Mapping[str, Estimate], server: Server) -> str:
    """The outlook in one line, with the budget where there is one."""
    parts = [f"{role} judge {e.told(server)}" for role, e in calls.items()]
    limits = [f"{server.budget:g} in money"] if server.budget is not None else []
    limits += [f"{server.token_budget} tokens"] if server.token_budget is not None else []
    budget = f"; the budget is {' and '.join(limits)}" if limits else "; there is no budget (--server.budget)"
    return f"the whole run, if every answer were of full length: {'; '.join(parts)}{budget}"


def remarks(stage: str, found: Sequence[Verdict]) -> list[str]:
    """What the user should know of a stage's verdicts: how many failed, how many the judge remarked on. `UserError` where all failed."""
    failed, noted = [v for v in found if v.p is None], [v for v in found if v.p is not None and v.reason]
    if failed and len(failed) == len(found):
        raise UserError(
            f"{stage}: no pair of {len(found)} has a usable verdict, the first because: {failed[0].reason}; mend the judge and give the "
            "same command, or take another judge and another --out"
        )
    return [
        f"{stage}: {len(some)} of {len(found)} pairs {what}, the first: {some[0].reason}"
        for some, what in ((failed, "have no usable verdict"), (noted, "were judged with a remark"))
        if some
    ]


def evaluation_pairs(prompts: Sequence[Prompt], ours: Mapping[str, Sequence[Response]], *theirs: Any) -> list[Pair]:
    """What evaluation compares, once each."""
    found = {}
    for side in theirs:
        for p in prompts:
            for a, b in zip(ours[p.id], side[p.id]):
                found[p.id, a.text, b.text] = (p, a, b)
    return list(found.values())
