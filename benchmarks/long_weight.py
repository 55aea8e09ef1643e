"""How much the preference weighs beside the document's NLL in LongPO's loss, and what that does in the embedded world.

In: weights `--lam`, a rate, a seed, and a run whose documents, questions and answers are taken (the claim keeps them in OUT/data). Out: a
line a weight: the ratio of the two terms' weights on one answer token at the first and the last length, lam beta/2 |x_L| (at 128K with
the paper's lam .01 and beta .1 it is 65; the NLL is a mean over the row, so short documents make it small), then right answers by length,
lists reversed, nats a token and KL to the start, as the claim measures them. One seed decides nothing. About 90 CPU-seconds a weight.

    python benchmarks/long_weight.py --data OUT/data/longpo-5e-05-900 --lam 0.1 1.3 5.2 --rate 1e-4 --seed 900
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from dataclasses import replace
from pathlib import Path

from studies.declare import declared
from studies.longpo.arm import Size, settings
from studies.longpo.measure import Probe
from windvane.core.schema import decode
from windvane.longpo.recipe import run
from windvane.models.load import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lam", type=float, nargs="+", required=True)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=900, help="900 is the claim's development seed")
    parser.add_argument("--data", type=Path, help="a run to take the data of; without it each weight makes its own")
    given = parser.parse_args()
    size = decode(Size, declared("longpo").parts["size"])
    for lam in given.lam:
        s = replace(settings(size, "longpo", given.rate, given.seed, given.data), lam=lam)
        probe = Probe(size.sizes, s.targets[-1], given.seed)
        with tempfile.TemporaryDirectory() as folder:
            with contextlib.redirect_stdout(io.StringIO()):
                run(s, f"{folder}/run", quiet=True)
            end = probe.whole(load_model(f"{folder}/run/model", "float32", "cpu"))
        ratios = " to ".join(f"{lam * s.beta / 2 * n:.3g}" for n in (s.targets[0], s.targets[-1]))
        right = ", ".join(f"{n}: {v:.2f}" for n, v in zip(size.sizes.lengths, end["right"]))
        print(
            f"lam {lam:g} (ratio {ratios}), rate {given.rate:g}: right at {right}; reversed {end['reversed']:.2f}, nats {end['nats']:.3f}, "
            f"KL {end['kl']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
