"""A judge of your own: any object with a `judge` method compares two responses. Run it with `python examples/own_judge.py`.

On the command line the same class is named `--judge py:own_judge:Shorter`.
"""

import windvane as wv


class Shorter:
    """Prefers the response with fewer words."""

    def judge(self, questions):
        words = [(len(q.first.text.split()), len(q.second.text.split())) for q in questions]
        return [0.5 if a == b else float(a < b) for a, b in words]  # the probability that the first response wins


def main():
    prompts = ["tell me of the sea .", "tell me of the cat ."]
    responses = wv.generate(prompts, "toy:styles", k=3, max_new_tokens=24)
    groups = wv.pair(responses, wv.judge(prompts, responses, Shorter()))
    for group, candidates in zip(groups, responses):
        lengths = [len(r.text.split()) for r in candidates]
        print(f"{group.status}: chosen {group.chosen}, rejected {group.rejected}, words {lengths}")


if __name__ == "__main__":
    main()
