"""A stand-in for a model: a small real tokenizer and answers computed from the prompt's own text."""

from collections.abc import Callable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from windvane.core.protocols import Generator
from windvane.core.records import Prompt, Response

CHAT = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
TEXT = (
    "The grass is green. The sky is blue. One of the special magic numbers for the word is: 12345. VAR Document Answer "
)


def small_tokenizer(template: str = CHAT) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 500 tokens: any text, several characters a token, so that counts are not character counts."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<s>", "</s>"], initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
    )
    core.train_from_iterator([TEXT * 3], trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    made.chat_template = template
    return made


class Scripted:
    """An `Answerer`: `solve` reads what the model would, the decoded prompt tokens; `asked` counts the prompts."""

    spec = "scripted"

    def __init__(self, solve: Callable[[str], str], window: int | None = None) -> None:
        self.tokenizer, self.solve, self._window, self.asked = small_tokenizer(), solve, window, 0

    def tell(self, calls, prompt_tokens, answer_tokens):
        """It costs nothing."""

    def window(self) -> int | None:
        return self._window

    def generator(self, max_new_tokens: int) -> Generator:
        return self

    def generate(self, prompts: list[Prompt], indices: list[int], seed: int) -> list[list[Response]]:
        self.asked += len(prompts)
        texts = [self.tokenizer.decode(list(p.token_ids), skip_special_tokens=True) for p in prompts]
        return [
            [Response(f"{p.id}-{i}", p.id, i, self.solve(t), (), "stop") for i in indices]
            for p, t in zip(prompts, texts)
        ]
