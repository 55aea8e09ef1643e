"""A model behind an OpenAI-compatible server as a `Generator`.

In: prompts (their messages; the server renders them). Out: Responses. Sampled token ids are taken where the server offers them (vLLM:
`return_token_ids`); a server that does not (hosted APIs) gives text alone, `token_ids` empty: such answers can be judged and
evaluated, but not trained on, since text is never re-tokenised here. `Server.token_ids` = "require" stops at the first such answer, and
where the server rendered the prompt to other ids than ours. `logps` is filled at temperature 1 and top-p 1 alone, where servers agree
on what it means.

A row that failed is left out of the list returned and stands in `reasons` (response id -> why) and in the journal of calls.
Seeds are sent, as 31 bits; a server that ignores them samples otherwise next time: the journal, not the seed, makes a run repeatable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import Prompt, Response, seed_of
from windvane.engines.http.budget import Estimate
from windvane.engines.http.calls import Answer, Call
from windvane.engines.http.endpoint import Endpoint, open_endpoint
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling


class HttpGenerator:
    """`reasons`: every row given up so far, by response id. `closing`: ids one of which ends an answer that was not cut (empty: not known,
    not checked)."""

    def __init__(self, endpoint: Endpoint, sampling: Sampling, closing: frozenset[int] = frozenset()) -> None:
        self.endpoint, self.sampling, self.closing = endpoint, sampling, closing
        self.reasons: dict[str, str] = {}

    def generate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> list[list[Response]]:
        """For each prompt its answers at `indices`, those that failed left out."""
        asked = [(p, i) for p in prompts for i in indices]
        told = self.endpoint.ask([self._call(p, i, seed) for p, i in asked])
        found: dict[str, list[Response]] = {p.id: [] for p in prompts}
        for (prompt, index), answer in zip(asked, told):
            if isinstance(answer, Answer):
                found[prompt.id].append(self._response(prompt, index, answer))
            else:
                self.reasons[answer.row] = answer.reason
        return [found[p.id] for p in prompts]

    def estimate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> Estimate:
        """What `generate` would ask for, less what the journal has."""
        return self.endpoint.estimate(self._call(p, i, seed) for p in prompts for i in indices)

    def _call(self, prompt: Prompt, index: int, seed: int) -> Call:
        s = self.sampling
        return Call(
            row=f"{prompt.id}-{index}",
            messages=prompt.messages,
            max_tokens=s.max_new_tokens,
            temperature=s.temperature,
            top_p=s.top_p,
            seed=seed_of(seed, prompt.id, index) >> 32,
            ids=True,
        )

    def _response(self, prompt: Prompt, index: int, answer: Answer) -> Response:
        if self.endpoint.server.token_ids == "require":
            self._require(prompt, answer)
        s, row = self.sampling, f"{prompt.id}-{index}"
        plain = s.temperature == 1.0 and s.top_p == 1.0
        whole = plain and answer.token_ids and len(answer.logps) == len(answer.token_ids)
        logps = math.fsum(answer.logps) if whole else None
        return Response(row, prompt.id, index, answer.text, answer.token_ids, answer.finish, logps)

    def _require(self, prompt: Prompt, answer: Answer) -> None:
        name = self.endpoint.place.name
        if not answer.token_ids:
            raise UserError(
                f"{name}: sends no token ids, so its answers cannot be trained on; take a server that knows return_token_ids "
                "(vLLM), or the model itself with local:MODEL"
            )
        if self.closing and answer.finish == "stop" and answer.token_ids[-1] not in self.closing:
            raise UserError(
                f"{name}: leaves the token that closed an answer out of its token ids (prompt {prompt.id}: they end with "
                f"{answer.token_ids[-1]}); who trains on them learns never to stop: take a server that counts it (vLLM)"
            )
        if prompt.token_ids and answer.prompt_token_ids and answer.prompt_token_ids != prompt.token_ids:
            raise UserError(
                f"{name}: renders prompt {prompt.id} to {len(answer.prompt_token_ids)} tokens, here it has {len(prompt.token_ids)}; "
                "start the server with this model's own tokenizer and chat template"
            )


def open_generator(
    spec: str, sampling: Sampling, server: Server | None = None, calls: Path | None = None
) -> HttpGenerator:
    """`http://HOST:PORT/v1#MODEL` (or https)."""
    return HttpGenerator(open_endpoint(spec, server, calls), sampling)
