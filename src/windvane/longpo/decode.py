"""Several questions on one document: the document is read once, the questions and answers grow from it side by side.

In: a model, rows of token ids that begin alike (document and question), a seed a row. Out: an answer a row, as
`windvane.models.generate.sampling` gives them. What all rows share is one prefill of any decoder; each row's own rest is then forced
token by
token, as an answer is decoded, so that no key or value of the document is ever copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from windvane.engines.local import Sampling, rope_switch
from windvane.models.generate.decode import Decoder, PlainDecoder, choose_decoder
from windvane.models.generate.sampling import Sampled, choose, uniforms


def common_prefix(rows: Sequence[tuple[int, ...]]) -> int:
    """How many first tokens all rows share."""
    first, last = min(rows), max(rows)  # in lexicographic order these two differ the earliest
    return next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), min(len(first), len(last)))


class TrunkReader:
    """Answers rows of one model; the way to decode it is chosen once."""

    def __init__(self, model: Any, stops: Sequence[int], sampling: Sampling) -> None:
        self.model, self.stops, self.sampling = model, sorted(stops), sampling
        self._decoder: Decoder | None = None

    @torch.no_grad()
    def answer(self, rows: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Sampled]:
        """One answer to each row. The rows of one call are computed together: the same rows give the same answers."""
        assert rows and len(rows) == len(seeds)
        was_training = self.model.training
        self.model.eval()
        try:
            if self._decoder is None:
                self._decoder = choose_decoder(self.model)
            switch, longest = rope_switch(self.model), max(map(len, rows)) + self.sampling.max_new_tokens
            trunk = common_prefix(rows)
            # keys cached before a switch of position embeddings would be wrong after it
            crossing = switch is not None and trunk <= switch < longest
            return self._grow(PlainDecoder(self.model) if crossing else self._decoder, rows, trunk, seeds)
        finally:
            self.model.train(was_training)

    def _grow(
        self, decoder: Decoder, rows: Sequence[tuple[int, ...]], trunk: int, seeds: Sequence[int]
    ) -> list[Sampled]:
        s, count = self.sampling, len(rows)
        if trunk == 0:  # nothing in common: one after another
            return [self._grow(decoder, [row], len(row), [seed])[0] for row, seed in zip(rows, seeds)]
        logits = decoder.start([rows[0][:trunk]], count).repeat_interleave(count, 0)
        device = logits.device
        forced_R = [len(row) - trunk for row in rows]
        uniform_RT = torch.from_numpy(np.stack([uniforms(seed, s.max_new_tokens) for seed in seeds])).to(device)
        said: list[list[int]] = [[] for _ in rows]
        logps = [0.0] * count
        stopped = [False] * count
        living = list(range(count))
        step = 0
        while True:
            free = [i for i, r in enumerate(living) if step >= forced_R[r]]
            tokens = torch.tensor(
                [rows[r][trunk + step] if step < forced_R[r] else 0 for r in living], dtype=torch.long, device=device
            )
            if free:
                draws = torch.stack([uniform_RT[living[i], step - forced_R[living[i]]] for i in free])
                picked, found = choose(logits[free], draws, s.temperature, s.top_p)
                tokens[free] = picked
                for i, token, logp in zip(free, picked.tolist(), found.double().tolist()):
                    r = living[i]
                    said[r].append(token)
                    logps[r] += logp
                    stopped[r] = token in self.stops
            going = [i for i, r in enumerate(living) if not stopped[r] and len(said[r]) < s.max_new_tokens]
            if not going:
                break
            if len(going) < len(living):
                kept = torch.tensor(going, device=device)
                decoder.keep(kept)
                tokens, living = tokens[kept], [living[i] for i in going]
            logits = decoder.step(tokens)
            step += 1
        return [Sampled(tuple(ids), logp, stop) for ids, logp, stop in zip(said, logps, stopped)]
