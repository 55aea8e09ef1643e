"""SPPO from Python on the toy world, small enough for a minute on a laptop: `python examples/run_from_python.py RUN`.

Call it again and it continues where it was stopped. For a model of your own, name its folder, your prompts and your judge instead.
"""

import sys
from dataclasses import replace

import windvane as wv


def main(out, prompts_per_iteration=64):
    from windvane.toy.demo import recipe

    settings = replace(recipe(), iterations=1, prompts_per_iteration=int(prompts_per_iteration))
    result = wv.run(settings, out, quiet=True)
    for row in result.summary["iterations"]:
        print(f"iteration {row['iteration']}: win rate {row['win_rate']:.3f}, length {row['mean_length']:.1f}")
    print(result.model)


if __name__ == "__main__":
    main(*sys.argv[1:])
