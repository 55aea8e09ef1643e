"""The longest modules of Python's standard library as documents, tiny models that can read them, and runs that are killed.

python -m tests.longpo.long_modules '[["iter-1/train", 1], null]' --model M ...   the command, killed in a stage; then to its end
"""

import json
import os
import signal
import sys
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from tests.tiny import FAMILIES, TEMPLATE

LIBRARY = Path(os.__file__).parent
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
WINDOW = 1024  # what the short model reads


def tokenizer(files):
    """A byte-level BPE of 2,048 pieces learnt from `files`, with tests.tiny's chat template."""
    learnt = ByteLevelBPETokenizer()
    learnt.train([str(f) for f in files], vocab_size=2048, special_tokens=SPECIAL, show_progress=False)
    made = PreTrainedTokenizerFast(
        tokenizer_object=learnt._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    made.chat_template = TEMPLATE
    return made


def modules(tokenizer):
    """(tokens, path) of the library's modules of 30 KB and more, the longest first."""
    found = []
    for path in LIBRARY.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if len(text) > 30_000:
            found.append((len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]), path))
    return sorted(found, reverse=True)


def save_model(folder, family, tokenizer):
    """One layer of two heads of four, random, its projections scaled up."""
    import torch

    config_class, model_class, _ = FAMILIES[family]
    torch.manual_seed(0)
    config = config_class(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        head_dim=4, max_position_embeddings=WINDOW, sliding_window=None, tie_word_embeddings=False, pad_token_id=0, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    model = model_class(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj" in name or "lm_head" in name:
                parameter.mul_(8.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def die_in(stage, done):
    """From now on this process is killed (SIGKILL) when `stage` says that `done` of its units are done."""
    from windvane.runs.store import RunFolder

    plain = RunFolder.status

    def status(self, name, so_far, total):
        plain(self, name, so_far, total)
        if name == stage and so_far >= done:
            os.kill(os.getpid(), signal.SIGKILL)

    RunFolder.status = status


def drive(points, argv):
    """The command once for each of `points` (stage, done; None: not killed), each in a child of this process; prints how each ended."""
    from windvane.longpo.recipe import main

    ends = []
    for point in points:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if point is not None:
                    die_in(*point)
                code = main(argv)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        ends.append(os.waitstatus_to_exitcode(status))
    print(json.dumps({"ends": ends}))


if __name__ == "__main__":
    drive(json.loads(sys.argv[1]), sys.argv[2:])
