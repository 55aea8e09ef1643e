"""PairRM from its files, in both published layouts, on today's transformers.

In: a folder or a hub id. Out: the network, its tokenizer and its lengths.

- the layout of `llm-blender/PairRM-hf`: config.json (DeBERTa's, with the marks' ids), model.safetensors, tokenizer.json;
- Blender's own, `llm-blender/PairRM`: config.json (a RankerConfig) and weights alone. DeBERTa's config and vocabulary come from the base
  that it names (`model_name`, microsoft/deberta-v3-large), or from `base`.

Only safetensors are read here; a pickle is refused with the command that converts it. tokenizer.json is read as it is: transformers 5
rebuilds DeBERTa's tokenizer without its normalisation (line breaks, full-width letters), which gives other ids than those PairRM was
trained on. A vocabulary that is a spm.model alone, as in microsoft/deberta-v3-large, is converted as transformers 4 did.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import DebertaV2Config
from transformers.convert_slow_tokenizer import DebertaV2Converter

from windvane.core.errors import UserError
from windvane.core.hub import refusal
from windvane.judges.pairrm.model import PairRM, build
from windvane.judges.pairrm.tokens import CANDIDATE, CLS, FIRST, MARKS, SECOND, SEP, SOURCE, Limits
from windvane.models.load import locate

PLAIN = ("*.json", "*.safetensors", "spm.model")
PICKLES = ("*.bin", "*.pt", "*.pth")
MARK_FIELDS = {
    "source_prefix_id": SOURCE,
    "cand1_prefix_id": FIRST,
    "cand2_prefix_id": SECOND,
    "cand_prefix_id": CANDIDATE,
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What surrounds the weights. `config` is DeBERTa's."""

    config: DebertaV2Config
    tokenizer: Tokenizer
    limits: Limits


def folder_of(spec: str, patterns: Sequence[str] = PLAIN) -> Path:
    """The folder of `spec`: of a hub id, the files that match `patterns` fetched to the local cache."""
    where = locate(spec)
    if Path(where).is_dir():
        return Path(where)
    try:
        return Path(snapshot_download(where, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's client raises its own, requests' and the file system's
        refused = refusal(error, where) or f"{_first_line(error)}; check the name and the network"
        raise UserError(f"model {spec}: {refused}") from None


def load(spec: str, dtype: torch.dtype) -> tuple[PairRM, Parts]:
    """The network on the CPU, and its parts."""
    folder = folder_of(spec)
    parts = read_parts(spec, folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        held = pickles(folder) or not Path(spec).is_dir()
        mend = f"run: windvane data pairrm {spec} DST" if held else "give a folder with model.safetensors"
        raise UserError(f"model {spec}: no safetensors; a pickle could run code and is never opened here: {mend}")
    try:
        found = {name: w for path in weights for name, w in load_file(path).items()}
        return build(parts.config, found, dtype), parts
    except (ValueError, SafetensorError) as error:
        raise UserError(f"model {spec}: {_first_line(error)}") from None


def pickles(folder: Path) -> list[Path]:
    return sorted(p for pattern in PICKLES for p in folder.glob(pattern) if p.name != "training_args.bin")


def read_parts(spec: str, folder: Path, base: str | None = None) -> Parts:
    """Config, tokenizer and lengths of either layout. `base` stands in for the base that Blender's layout names."""
    config = read_json(folder / "config.json")
    if "ranker_type" not in config and "source_prefix_id" not in config:
        raise UserError(
            f"{folder / 'config.json'}: neither field 'source_prefix_id' (PairRM-hf) nor 'ranker_type' (Blender); give a PairRM"
        )
    limits = _limits(folder, config)
    if "ranker_type" not in config:
        tokenizer = read_tokenizer(folder)
        for field, mark in MARK_FIELDS.items():
            if config.get(field) != tokenizer.token_to_id(mark):
                raise UserError(
                    f"{folder / 'config.json'}: field '{field}' is {config.get(field)}, its tokenizer has "
                    f"{tokenizer.token_to_id(mark)} for {mark}; put the model's own tokenizer there"
                )
        return Parts(DebertaV2Config.from_dict(config), tokenizer, limits)
    kind, model_type = config["ranker_type"], str(config.get("model_type"))
    if kind != "pairranker" or not model_type.startswith("deberta"):
        raise UserError(f"model {spec}: is a {kind} of {model_type}; PairRM is a pairranker of deberta")
    named = base or str(config.get("model_name") or "")
    if base is None and (folder / named).is_dir():
        named = str(folder / named)
    try:
        below = folder_of(named, ("config.json", "tokenizer.json", "spm.model"))
    except UserError as error:
        raise UserError(
            f"model {spec}: Blender's layout takes config and vocabulary from {named}: {error}; name a folder that has them: "
            f"windvane data pairrm {spec} DST --base FOLDER"
        ) from None
    return Parts(DebertaV2Config.from_dict(read_json(below / "config.json")), read_tokenizer(below), limits)


def read_tokenizer(folder: Path) -> Tokenizer:
    """tokenizer.json, else spm.model, with the four marks at the end of the vocabulary where it lacks them."""
    if (folder / "tokenizer.json").exists():
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare Exception
            raise UserError(f"{folder / 'tokenizer.json'}: {_first_line(error)}") from None
    elif (folder / "spm.model").exists():
        tokenizer = _from_sentencepiece(folder / "spm.model")
    else:
        raise UserError(f"{folder}: no tokenizer.json and no spm.model; put the model's tokenizer there")
    for special in (CLS, SEP):
        if tokenizer.token_to_id(special) is None:
            raise UserError(f"{folder}: its vocabulary has no {special}; it is not DeBERTa's")
    tokenizer.add_tokens([mark for mark in MARKS if tokenizer.token_to_id(mark) is None])
    return tokenizer


def _from_sentencepiece(path: Path) -> Tokenizer:
    pieces = SimpleNamespace(vocab_file=str(path), do_lower_case=False, split_by_punct=False)
    specials = ("[PAD]", CLS, SEP, "[UNK]")  # the first four pieces of DeBERTa's vocabulary
    pieces.convert_tokens_to_ids = dict(zip(specials, range(4))).__getitem__
    try:
        tokenizer = DebertaV2Converter(pieces).converted()
    except ImportError:
        raise UserError(
            f"{path}: reading a spm.model needs protobuf: pip install 'windvane[pairrm]' (a tokenizer.json needs nothing more)"
        ) from None
    tokenizer.add_special_tokens([*specials, "[MASK]"])
    return tokenizer


def read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path}: no such file; give the folder of a PairRM model")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error.msg}, line {error.lineno})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected a table")
    return found


def _limits(folder: Path, config: dict[str, Any]) -> Limits:
    """Blender's fields, which `windvane data pairrm` keeps; PairRM-hf has none and means PairRM's."""
    values = []
    for field, usual in (("source_maxlength", Limits().source), ("candidate_maxlength", Limits().candidate)):
        value = config.get(field)
        value = usual if value is None else value
        if type(value) is not int or value < 4:
            raise UserError(f"{folder / 'config.json'}: field '{field}': expected at least 4 tokens, got {value!r}")
        values.append(value)
    return Limits(*values)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
