"""Does a model follow the values in its system message? `python examples/steerability.py OUT` asks the toy model and a program.

For a model of your own use `windvane eval steerability --cases BENCH --model M --judge rubric:http://HOST:PORT/v1#JUDGE --out OUT`.
"""

import json
import sys
from pathlib import Path

from windvane.janus.steerability.command import main as steerability
from windvane.toy.register import register


def main(out, prompts="4"):
    register()  # the command line does this by itself
    argv = f"--cases toy:values:{prompts} --model toy:values --judge toy:values:programme --max-new-tokens 40 --quiet --out {out}"
    steerability(argv.split())
    result = json.loads((Path(out) / "result.json").read_text(encoding="utf-8"))
    print(result["name"], sorted(result)[:5])


if __name__ == "__main__":
    main(*sys.argv[1:])
