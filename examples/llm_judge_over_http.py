"""A language model behind an OpenAI-compatible server as the judge: `python examples/llm_judge_over_http.py http://HOST:PORT/v1#MODEL`.

Every pair is asked in both orders; a verdict that cannot be read is counted with its reason and never scored.
"""

import sys

import windvane as wv


def main(server):
    prompts = ["tell me of the sea ."]
    responses = wv.generate(prompts, "toy:styles", k=3, max_new_tokens=24)
    verdicts = wv.judge(prompts, responses, f"llm:{server}")
    for verdict in verdicts:
        print(
            f"{verdict.a} against {verdict.b}: {'no verdict' if verdict.p is None else round(verdict.p, 3)} {verdict.reason or ''}".rstrip()
        )
    print(wv.pair(responses, verdicts)[0].status)


if __name__ == "__main__":
    main(*sys.argv[1:])
