"""Train a Bradley-Terry reward model on pairs, then judge with it: `python examples/train_reward_model.py pairs.jsonl RUN`.

The file has the columns prompt, chosen and rejected. `windvane train reward --kind bt` does the same on the command line.
"""

import sys
from dataclasses import replace

import windvane as wv


def main(data, out):
    from windvane.stages.train_reward import TrainReward, run

    settings = TrainReward(kind="bt", model="toy:styles", data=data, device="cpu")
    run(replace(settings, train=replace(settings.train, batch=2, lr=1e-3)), out, quiet=True)
    judge = f"reward:{out}/model"
    prompts = ["tell me of the sea ."]
    responses = wv.generate(prompts, "toy:styles", k=2, max_new_tokens=24)
    (verdict,) = wv.judge(prompts, responses, judge)
    print(f"P(response 0 beats response 1) = {verdict.p:.3f} by {judge}")


if __name__ == "__main__":
    main(*sys.argv[1:])
