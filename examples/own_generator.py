"""A generator of your own: any object with a `generate` method can be sampled from. Run it with `python examples/own_generator.py`.

On the command line the same class is named `--model py:own_generator:Echo` in `windvane generate`.
"""

import windvane as wv


class Echo:
    """Answers with the prompt's own words, one more repetition for each index."""

    def __init__(self, sampling=None):
        self.sampling = sampling  # what --temperature, --max-new-tokens and the like asked for

    def generate(self, prompts, indices, seed):
        return [[self._response(prompt, index) for index in indices] for prompt in prompts]

    def _response(self, prompt, index):
        text = " ".join([prompt.text] * (index + 1))
        return wv.Response(f"{prompt.id}-{index}", prompt.id, index, text, (), "stop")


def main():
    for response in wv.generate(["say yes"], Echo(), k=2)[0]:
        print(f"{response.index}: {response.text}")


if __name__ == "__main__":
    main()
