"""Bands for speaking transcripts without a language model: `python examples/score_transcripts.py FILE PART`.

FILE holds turns such as "Examiner: ..." and "Candidate: ...", one per line, or any table that `windvane data transcripts` reads.
"""

import sys

import windvane as wv


def main(file, part):
    for assessment in wv.score(file, part=int(part)):
        print(assessment.status, assessment.reason or "")
        for band in assessment.bands:
            print(
                f"  {band.criterion}: {band.band:g} (expected {band.expected:.2f}, probability {band.probability:.2f})"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
