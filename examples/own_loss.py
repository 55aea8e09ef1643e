"""A loss of your own is this file: a hinge on the margin of log-ratios. Train with it: `python examples/own_loss.py pairs.jsonl RUN`.

On the command line: `windvane train --objective examples/own_loss.py --model M --data pairs.jsonl --out RUN`.
"""

import sys
from dataclasses import replace

BRANCHES = "pair"  # it reads a chosen and a rejected response
REFERENCE = True  # and the reference model's log-probabilities
REDUCTION = "example"  # the loss of a batch is the mean over its comparisons


def loss(batch, *, beta: float = 0.1):
    margin = batch.margin(batch.logratio)
    return (1 - beta * margin).clamp(min=0), {"margin": margin}


def main(data, out):
    import windvane as wv

    settings = wv.Train(objective=__file__, model="toy:styles", data=data, device="cpu")
    settings = replace(settings, train=replace(settings.train, batch=2, warmup=0.0, lr=1e-3))
    result = wv.run(settings, out, quiet=True)
    print(f"{result.summary['steps']} steps; model: {result.model}")


if __name__ == "__main__":
    main(*sys.argv[1:])
