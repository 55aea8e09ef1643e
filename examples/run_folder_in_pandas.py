"""A run folder in pandas: every artefact is a file of JSON lines. `python examples/run_folder_in_pandas.py RUN` prints three tables.

The columns are the fields of the records in `windvane.core.records`.
"""

import sys
from pathlib import Path

import pandas as pd


def main(run):
    folder = Path(run) / "iter-1"
    responses = pd.read_json(folder / "responses.jsonl", lines=True)
    verdicts = pd.read_json(folder / "verdicts.jsonl", lines=True)
    groups = pd.read_json(folder / "groups.jsonl", lines=True)
    responses["tokens"] = responses["token_ids"].map(len)
    print(responses.groupby("finish")["tokens"].describe()[["count", "mean", "max"]])
    print(verdicts[["p", "disagreement"]].mean())
    print(groups["status"].value_counts())


if __name__ == "__main__":
    main(*sys.argv[1:])
