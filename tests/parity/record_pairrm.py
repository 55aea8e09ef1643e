"""Records what the published llm-blender 0.0.2 computes, for tests/judges/test_pairrm_parity.py. It runs in an environment of its own:

    python3.11 -m venv /tmp/blender
    /tmp/blender/bin/pip install "torch==2.13.*" transformers==4.57.6 llm-blender==0.0.2 sentencepiece protobuf
    /tmp/blender/bin/python tests/parity/record_pairrm.py

(LLM-Blender does not import under transformers 5.) Out, beside this file: pairrm/, a tiny random PairRM saved by the package's own
DebertaV2PairRM in the layout of PairRM-hf, its vocabulary a SentencePiece model trained here on a few made-up lines and converted by
transformers 4; pairrm_base/spm.model, the same vocabulary before conversion; pairrm_recorded.json: ids and logits.
"""

import json
import random
import shutil
import tempfile
from pathlib import Path

import sentencepiece
import torch
import transformers
from llm_blender import Blender
from llm_blender.blender.config import BlenderConfig
from llm_blender.pair_ranker.collator import CrossCompareCollator
from llm_blender.pair_ranker.pairrm import DebertaV2PairRM
from safetensors.torch import save_file
from transformers import AutoTokenizer, DebertaV2Config, DebertaV2Model, DebertaV2TokenizerFast

HERE = Path(__file__).parent
MODEL, BASE, RECORDED = HERE / "pairrm", HERE / "pairrm_base", HERE / "pairrm_recorded.json"
LINES = """
the a of rain is wet because hello hi why tell me about cat dog purrs barks loudly love hate you too stars fly go answer
question Response USER Assistant: <Response 1>: 2 3 ! ? . , été café it so no Paris in France where sing
"""
SHAPE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 64,
    "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True, "type_vocab_size": 0,
    "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "max_relative_positions": -1, "layer_norm_eps": 1e-7,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "pad_token_id": 0,
}  # fmt: skip
LENGTHS = {"source_maxlength": 24, "candidate_maxlength": 12}  # short, so that the cuts are seen
IDS = (
    "hello!",
    "  two  spaces ",
    "a\nline\r\nand\ttab",
    "ＡＢＣ ①",
    "café été",
    "[SEP] [CLS] [MASK] [UNK]",
    "",
    "rain�",
    "x[SEP]y",
)
PROMPTS = ("hello!", "tell me about rain", "why is the cat so wet? " * 4, "where is Paris\nin France", "")
ANSWERS = (
    ("hi!", "rain is wet", "", "no, because you hate the dog too. " * 3, "it purrs"),
    ("rain is wet because it is", "a cat sings", "love " * 30, "go", "stars fly,\nstars go"),
    ("no", "the dog barks loudly " * 5, "it is so", "too [SEP] loudly", "where?"),
    ("in France", "Paris is in France.", "hello hello", "été  café", "the question is the answer"),
    ("a", "the", "a", "no!", "why " * 14),
)


def vocabulary(folder: Path) -> None:
    """A SentencePiece model like DeBERTa-v3's: [PAD] [CLS] [SEP] [UNK] first, a small normalisation that changes ids."""
    rng = random.Random(0)
    (folder / "lines.txt").write_text(
        "\n".join(" ".join(rng.choice(LINES.split()) for _ in range(12)) for _ in range(800))
    )
    rules = [
        (ord("\n"), " "),
        (ord("\r"), " "),
        (ord("\t"), " "),
        (0xFF21, "a"),
        (0xFF22, "b"),
        (0xFF23, "c"),
        (0x2460, "2"),
    ]
    (folder / "rules.tsv").write_text("".join(f"{code:X}\t{ord(to):X}\n" for code, to in rules))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"), model_prefix=str(folder / "spm"), vocab_size=120, model_type="unigram", pad_id=0, bos_id=1,
        eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", character_coverage=1.0,
        hard_vocab_limit=False, num_threads=1, minloglevel=2, normalization_rule_tsv=str(folder / "rules.tsv"),
    )  # fmt: skip


def network(tokenizer) -> DebertaV2PairRM:
    marks = [
        tokenizer.convert_tokens_to_ids(m) for m in ("<|source|>", "<|candidate1|>", "<|candidate2|>", "<|candidate|>")
    ]
    names = ("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id", "cand_prefix_id")
    config = DebertaV2Config(vocab_size=len(tokenizer), **SHAPE)
    for name, value in {**dict(zip(names, marks)), **LENGTHS, "n_tasks": 1, "drop_out": 0.05}.items():
        setattr(config, name, value)
    config.sep_token_id = tokenizer.sep_token_id
    torch.manual_seed(0)
    model = DebertaV2PairRM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:  # plain initialisation hides a broken mask
                parameter.mul_(25.0)
            elif "bias" in name:
                parameter.normal_(std=0.3)
    return model


def blender_of(model, folder: Path) -> Blender:
    """The package's ranker over the same weights, from files in Blender's own layout."""
    config = {
        "ranker_type": "pairranker",
        "model_type": "deberta-v3",
        "model_name": str(folder / "base"),
        "n_tasks": 1,
        **LENGTHS,
    }
    layout = folder / "blender"
    layout.mkdir()
    (layout / "config.json").write_text(json.dumps(config))
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, layout / "model.safetensors", {"format": "pt"}
    )
    blender = Blender(BlenderConfig(use_tqdm=False))
    blender.loadranker(str(layout), device="cpu")
    return blender


def card_row(tokenizer, source: str, first: str, second: str) -> dict[str, torch.Tensor]:
    """One row by the recipe on the card of PairRM-hf: the answers share what the prompt leaves, the row is padded to its whole length."""
    limit = LENGTHS["source_maxlength"] + 2 * LENGTHS["candidate_maxlength"]
    ids = tokenizer.encode("<|source|>" + source, max_length=LENGTHS["source_maxlength"], truncation=True)
    room = (limit - len(ids)) // 2
    for mark, text in (("<|candidate1|>", first), ("<|candidate2|>", second)):
        ids += tokenizer.encode(mark + text, max_length=room, truncation=True)
    padded = tokenizer.pad({"input_ids": [ids]}, padding="max_length", max_length=limit, return_tensors="pt")
    return {name: padded[name] for name in ("input_ids", "attention_mask")}


def main() -> None:
    for folder in (MODEL, BASE):
        shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "base").mkdir()
        vocabulary(work)
        shutil.copy(work / "spm.model", work / "base" / "spm.model")
        base = DebertaV2TokenizerFast(vocab_file=str(work / "base" / "spm.model"))
        base.save_pretrained(work / "base")
        plain = {text: base.encode(text, add_special_tokens=False) for text in IDS}
        tokenizer = AutoTokenizer.from_pretrained(work / "base")
        collator = CrossCompareCollator(LENGTHS["source_maxlength"], tokenizer, LENGTHS["candidate_maxlength"])
        model = network(tokenizer)
        DebertaV2Model(DebertaV2Config(vocab_size=len(base), **SHAPE)).save_pretrained(work / "base")
        model.save_pretrained(MODEL)
        tokenizer.save_pretrained(MODEL)
        (MODEL / "spm.model").unlink(missing_ok=True)
        BASE.mkdir()
        shutil.copy(work / "spm.model", BASE / "spm.model")
        (BASE / "config.json").write_text((work / "base" / "config.json").read_text())

        blender = blender_of(model, work)
        answers = [list(a) for a in ANSWERS]
        with torch.no_grad():
            matrices = []
            for prompt, group in zip(PROMPTS, answers):
                batch = collator([{"index": 0, "source": prompt, "candidates": group}])
                matrices.append(
                    blender.ranker._full_predict(**{k: v for k, v in batch.items() if v is not None})["logits"][
                        0
                    ].tolist()
                )
            card = [
                model(**card_row(tokenizer, prompt, *group[:2])).logits.item()
                for prompt, group in zip(PROMPTS, answers)
            ]
        scores = blender.rank(list(PROMPTS), answers, return_scores=True, batch_size=1)
        batched = blender.rank(list(PROMPTS), answers, return_scores=True, batch_size=5)
        conversation = [
            [("USER", "hello!"), ("ASSISTANT", one), ("USER", "why?"), ("ASSISTANT", other)]
            for one, other in (("hi!", "because"), ("hi!", "no, you hate me"), ("go", "because"))
        ]
        talks = [[{"role": r, "content": c} for r, c in talk] for talk in conversation]
        pairs = [(0, 1), (1, 0), (0, 2)]
        blender.ranker_collator.source_maxlength, blender.ranker_collator.candidate_maxlength = 200, 60
        compared = [
            blender.compare_conversations([talks[i]], [talks[j]], return_logits=True, mode="[A,B]", batch_size=1)[0]
            for i, j in pairs
        ]
    found = {
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__, "llm-blender": "0.0.2"},
        "ids": [[text, plain[text]] for text in IDS],
        "vocabulary": {"base": len(base), "with_marks": len(tokenizer)},
        "prompts": PROMPTS, "answers": ANSWERS, "matrices": matrices, "rank_scores_batch_1": scores.tolist(),
        "rank_scores_batch_5": batched.tolist(),
        "card": card, "conversations": {
            "talks": conversation, "pairs": pairs, "lengths": [200, 60], "logits": [float(x) for x in compared],
        },
    }  # fmt: skip
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in found.items())
    RECORDED.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
