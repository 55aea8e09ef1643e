"""`windvane data pairrm SRC DST`: PairRM in either layout, pickle or not -> the layout of PairRM-hf in safetensors.

    windvane data pairrm llm-blender/PairRM models/PairRM
    windvane data pairrm OLD_FOLDER models/PairRM --base DEBERTA_FOLDER

In: a folder or a hub id; its pytorch_model.bin is opened by `torch.load(weights_only=True)`, which rebuilds tensors and refuses code.
Out: DST with config.json, model.safetensors, tokenizer.json and tokenizer_config.json, which `pairrm:DST` opens and so does LLM-Blender's
own `DebertaV2PairRM.from_pretrained`. `--base` names DeBERTa's config.json and vocabulary where the folder that Blender's layout points
to cannot be had.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from windvane.core.arguments import Parser
from windvane.core.errors import UserError
from windvane.judges.pairrm.files import MARK_FIELDS, PICKLES, PLAIN, Parts, folder_of, pickles, read_parts
from windvane.judges.pairrm.model import IGNORED, build
from windvane.judges.pairrm.tokens import CLS, SEP


def main(argv: Sequence[str]) -> int:
    """Convert, then print what was written."""
    parser = Parser(prog="windvane data pairrm", description=str(__doc__).splitlines()[0])
    parser.add_argument("source", help="a folder or a hub id, such as llm-blender/PairRM")
    parser.add_argument("target", help="the new folder")
    parser.add_argument(
        "--base", help="folder or hub id of DeBERTa's config.json and tokenizer (Blender's layout only)"
    )
    options = parser.parse_args(list(argv))
    convert(options.source, Path(options.target).expanduser(), options.base)
    print(f"{options.target}: model.safetensors and tokenizer.json written; judge with pairrm:{options.target}")
    return 0


def convert(source: str, target: Path, base: str | None = None) -> None:
    """`UserError` where `target` is there already, the weights are not PairRM's, or the pickle holds more than tensors."""
    if target.exists():
        raise UserError(f"{target}: is there already; name a new folder")
    folder = folder_of(source, (*PLAIN, *PICKLES))
    parts, weights = read_parts(source, folder, base), _weights(source, folder)
    try:
        model = build(parts.config, weights, torch.float32)
    except ValueError as error:
        raise UserError(f"model {source}: {error}") from None
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    kept = {name: w.contiguous().clone() for name, w in weights.items() if not name.endswith(IGNORED)}
    save_file(kept, partial / "model.safetensors", metadata={"format": "pt"})
    _write_config(partial, parts, model.n_tasks)
    parts.tokenizer.save(str(partial / "tokenizer.json"))
    partial.rename(target)


def _weights(source: str, folder: Path) -> dict[str, torch.Tensor]:
    plain = sorted(folder.glob("*.safetensors"))
    if plain:
        return {name: w for path in plain for name, w in load_file(path).items()}
    found: dict[str, torch.Tensor] = {}
    for path in pickles(folder):
        try:
            held = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise UserError(
                f"{path}: holds more than tensors, or is damaged ({str(error).splitlines()[0][:120]})"
            ) from None
        if not isinstance(held, dict) or not all(isinstance(w, torch.Tensor) for w in held.values()):
            raise UserError(f"{path}: expected a table of tensors, as Blender saves it")
        found.update(held)
    if not found:
        raise UserError(f"model {source}: neither safetensors nor pytorch_model.bin; give the folder of a PairRM model")
    return found


def _write_config(target: Path, parts: Parts, n_tasks: int) -> None:
    config, tokenizer = parts.config, parts.tokenizer
    marks = {field: tokenizer.token_to_id(mark) for field, mark in MARK_FIELDS.items()}
    lengths = {"source_maxlength": parts.limits.source, "candidate_maxlength": parts.limits.candidate}
    own = {"architectures": ["DebertaV2PairRM"], "n_tasks": n_tasks, "drop_out": 0.05}
    told = {**config.to_dict(), **own, **marks, **lengths, "sep_token_id": tokenizer.token_to_id(SEP)}
    told.pop("dtype", None)
    (target / "config.json").write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    names = {"cls_token": CLS, "bos_token": CLS, "sep_token": SEP, "eos_token": SEP, "pad_token": "[PAD]"}
    # The plain class, which takes tokenizer.json as it is in transformers 4 and 5 alike.
    kind = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
        "padding_side": "right",
    }
    (target / "tokenizer_config.json").write_text(
        json.dumps({**kind, **names}, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
