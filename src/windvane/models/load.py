"""Models and tokenizers from a folder, a hub id or the toy world; and back to plain Hugging Face files.

In: a spec: a folder of Hugging Face files, a folder holding a PEFT adapter (its base named relatively to that folder or by hub id), a
hub id, or `toy:FAMILY`. Out: a model in evaluation mode, a tokenizer. Safetensors only; code that comes with a model is never run, and
there is no switch for it. Whatever a user can mend is one `UserError` line.

What is saved holds no path of the machine and no date: the same weights give the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as hf_logging
from transformers.utils.peft_utils import find_adapter_config_file

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer
from windvane.core.hub import reach, refusal
from windvane.models.lora import load_adapter, merge
from windvane.models.quantize import quantized
from windvane.runs.publish import ADAPTER_CONFIG
from windvane.runs.store import named

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(device: str = "auto") -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; a device that is not there is a `UserError`."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {device}: not usable here ({_condense(error)}); take cpu, cuda or auto") from None


def locate(spec: str) -> str:
    """A folder that exists, or a hub id; `toy:FAMILY` becomes the folder of the model in the package."""
    if is_family(spec):
        return str(offer(spec, "model")[0]())
    folder = Path(spec).expanduser()
    if spec and folder.is_dir():
        bare = not any((folder / name).exists() for name in ("config.json", ADAPTER_CONFIG))
        if bare and any((folder / "model" / name).exists() for name in ("config.json", ADAPTER_CONFIG)):
            raise UserError(f"model {spec}: is a run's folder; name its model: {folder / 'model'}")
        return str(folder)
    if folder.is_file():
        raise UserError(f"model {spec}: is a file; give the folder that holds config.json")
    if not spec or spec.startswith((".", "~", os.sep)) or (spec.count("/") != 1 and os.sep in spec):
        raise UserError(f"model {spec}: no such folder; give a folder with config.json or a hub id such as owner/name")
    return reach(spec)


def load_model(
    spec: str, dtype: str = "float32", device: str = "auto", trainable: bool = False, quantize: str | None = None
) -> Any:
    """A decoder by `AutoModelForCausalLM`, in evaluation mode; a `PeftModel` where `spec` holds an adapter. Of adapters stacked on
    adapters those below are added into the weights, and the topmost is the one that is left.

    `trainable` leaves the adapter's weights open to training (those of a model without adapter always are). `quantize` "nf4" stores the
    base's linear layers in 4 bits (`models/quantize.py`).
    """
    where = locate(spec)
    config = _adapter_config(spec, where)
    if config is None:
        return _load(AutoModelForCausalLM, spec, where, dtype, device, quantize)
    base = load_model(_base_of(spec, where, config), dtype, device, quantize=quantize)
    if isinstance(base, PeftModel):
        if quantize:
            raise UserError(
                f"model {spec}: adapters on an adapter cannot be added into {quantize} weights; windvane merge the lower one first"
            )
        base = merge(base)
    return load_adapter(base, where, trainable=trainable)


def below_adapters(spec: str) -> str:
    """The model itself, where `spec` is an adapter, or one of a stack of them."""
    where = locate(spec)
    config = _adapter_config(spec, where)
    return spec if config is None else below_adapters(_base_of(spec, where, config))


def load_sequence_classifier(spec: str, dtype: str = "float32", device: str = "auto") -> Any:
    """A classifier by `AutoModelForSequenceClassification` with all its weights present (no freshly drawn head)."""
    return _load(AutoModelForSequenceClassification, spec, locate(spec), dtype, device)


def load_tokenizer(spec: str) -> Any:
    """The tokenizer beside the model, or that of an adapter's base where the adapter's folder has none."""
    where = locate(spec)
    config = _adapter_config(spec, where)
    if config is not None and Path(where).is_dir() and not (Path(where) / "tokenizer_config.json").exists():
        return load_tokenizer(_base_of(spec, where, config))
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
    except Exception as error:
        raise UserError(f"tokenizer {spec}: {_reason(error, where)}") from None
    if not len(tokenizer):
        raise UserError(f"tokenizer {spec}: is empty; the folder lacks tokenizer.json: save the tokenizer there")
    return tokenizer


def save_model(model: Any, tokenizer: Any, folder: Path, base_spec: str) -> None:
    """Write weights (safetensors, or the adapter alone of a `PeftModel`), config and tokenizer with its chat template.

    `base_spec` is how the base was named: an adapter keeps a hub id as it is and a local folder relatively to `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    adapted = isinstance(model, PeftModel)
    core = getattr(tokenizer, "backend_tokenizer", None)
    if core is not None:  # what its last call padded and cut to would be saved too, and differ from run to run
        core.no_padding()
        core.no_truncation()
    with _quiet(), named(folder):
        # whether an adapter resized the vocabulary is known here; PEFT would ask the hub
        kept = {"save_embedding_layers": getattr(model, "resized", False)} if adapted else {}
        model.save_pretrained(folder, **kept)
        tokenizer.save_pretrained(folder)
    if not adapted:
        _copy_vocabulary(base_spec, folder)
    else:
        base = base_spec if getattr(model, "stacked", False) else _start_of(base_spec)
        if Path(base).expanduser().is_dir():
            base = Path(os.path.relpath(Path(base).expanduser().resolve(), folder.resolve())).as_posix()
        _rewrite(folder / ADAPTER_CONFIG, base_model_name_or_path=base)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card, which names the base's path


def save_plain(model: Any, tokenizer: Any, folder: Path, max_shard_size: str, spec: str) -> None:
    """A model without adapter, in shards of at most `max_shard_size` ("5GB"), with its tokenizer. `spec`: where it was loaded from."""
    folder.mkdir(parents=True, exist_ok=True)
    with _quiet(), named(folder):
        try:
            model.save_pretrained(folder, max_shard_size=max_shard_size)
        except ValueError as error:
            raise UserError(f"--max-shard-size {max_shard_size}: {_condense(error)}; write it like 5GB") from None
        tokenizer.save_pretrained(folder)
    _copy_vocabulary(spec, folder)


VOCABULARY = "tokenizer.model"  # SentencePiece's own file: transformers does without, llama.cpp reads Gemma's and Llama 2's from it


def _copy_vocabulary(spec: str, folder: Path) -> None:
    """The SentencePiece file of the model, or of the base below its adapters, where there is one."""
    try:
        where = locate(spec)
    except UserError:  # a model that was made here and never had a place
        return
    if Path(where).is_dir():
        found: str | None = str(Path(where) / VOCABULARY) if (Path(where) / VOCABULARY).exists() else None
    else:
        try:
            found = hf_hub_download(where, VOCABULARY)
        except (OSError, ValueError, HfHubHTTPError):
            found = None
    if found is not None:
        shutil.copyfile(found, folder / VOCABULARY)
        return
    config = _adapter_config(spec, where)
    if config is not None:
        _copy_vocabulary(_base_of(spec, where, config), folder)


def _start_of(base_spec: str) -> str:
    """The base itself where training went on from an adapter (which was loaded, so it is a folder or in the local cache)."""
    folder = Path(base_spec).expanduser()
    if not folder.is_dir() and not is_family(base_spec):
        found = try_to_load_from_cache(base_spec, ADAPTER_CONFIG)
        folder = Path(found).parent if isinstance(found, str) else folder
    config = _adapter_config(base_spec, str(folder)) if folder.is_dir() else None
    return _base_of(base_spec, str(folder), config) if config else base_spec


def _load(auto: Any, spec: str, where: str, dtype: str, device: str, quantize: str | None = None) -> Any:
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype}: unknown; take {' or '.join(DTYPES)}")
    target = pick_device(device)
    if Path(where).is_dir():
        _check_folder(spec, Path(where))
    try:
        with _quiet():
            model, info = auto.from_pretrained(
                where,
                dtype=DTYPES[dtype],
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                **(quantized(quantize, target) if quantize else {}),
            )
    except Exception as error:
        raise UserError(f"model {spec}: {_reason(error, where)}") from None
    missing = sorted(info["missing_keys"]) + sorted(str(m) for m in info.get("mismatched_keys", ()))
    if missing:
        kind = "a causal language model" if auto is AutoModelForCausalLM else "a trained sequence classifier"
        raise UserError(f"model {spec}: its weights lack {missing[0]} ({len(missing)} missing): it is not {kind}")
    return model.eval() if quantize else model.to(target).eval()


def _check_folder(spec: str, folder: Path) -> None:
    if not (folder / "config.json").exists():
        raise UserError(f"model {spec}: no config.json in this folder; give the folder of a saved Hugging Face model")
    if not list(folder.glob("*.safetensors")):
        pickled = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern))
        found = f"only {pickled[0]}, which could run code: convert it to" if pickled else "no weights: it needs"
        raise UserError(f"model {spec}: {found} safetensors (model.safetensors)")


def _adapter_config(spec: str, where: str) -> dict[str, Any] | None:
    """The adapter's config where there is one and no whole model beside it."""
    folder = Path(where)
    if folder.is_dir():
        path = folder / ADAPTER_CONFIG if not (folder / "config.json").exists() else None
    else:
        try:
            found = find_adapter_config_file(where)
        except Exception as error:
            raise UserError(f"model {spec}: {_reason(error, where)}") from None
        path = Path(found) if found else None
    if path is None or not path.exists():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error.msg}, line {error.lineno})") from None
    if not isinstance(config, dict) or not config.get("base_model_name_or_path"):
        raise UserError(f"{path}: field 'base_model_name_or_path': missing; name the base model there")
    return config


def _base_of(spec: str, where: str, config: dict[str, Any]) -> str:
    base = str(config["base_model_name_or_path"])
    beside = Path(where) / base
    if beside.is_dir():
        return os.path.normpath(beside)
    if base.startswith("."):
        raise UserError(f"model {spec}: its base {base} is not there (relative to the adapter's folder); put it back")
    return base


def _rewrite(path: Path, **changes: Any) -> None:
    """Sorted lists (PEFT writes sets in the order of their hashes) and changed fields."""
    config = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    for key in ("target_modules", "modules_to_save", "exclude_modules"):
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class _quiet:
    """Without the bars and load reports of transformers: what matters in them is raised."""

    def __enter__(self) -> None:
        self.verbosity, self.bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
        hf_logging.set_verbosity_error()
        hf_logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        hf_logging.set_verbosity(self.verbosity)
        if self.bars:
            hf_logging.enable_progress_bar()


def _reason(error: Exception, where: str) -> str:
    """Hugging Face's many lines as one, with the mend."""
    text = str(error)
    low = text.lower()
    hub = not Path(where).is_dir()
    if "trust_remote_code" in low or "custom code" in low:
        return "needs code of its own, which windvane never runs; take a model that transformers supports itself"
    if "unrecognized configuration class" in low:
        return f"this kind of model does not fit: {_condense(error)}"
    if "backend tokenizer" in low:
        return "no tokenizer there (tokenizer.json); save the tokenizer beside the model"
    if "deserializing header" in low or "safetensors_rust" in low:
        damaged = _damaged(Path(where))
        return f"{damaged}: cut, or no safetensors file ({_condense(error)}); fetch it again"
    if "ignore_mismatched_sizes" in low:
        return "its weights have other shapes than its config.json says: they are of two models; fetch both again"
    if hub and (refused := refusal(error, where)) is not None:
        return refused
    return _condense(error)


def _damaged(folder: Path) -> str:
    """The first file of weights that cannot be opened."""
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(str(file), "pt"):
                pass
        except Exception:  # whatever it is, this file cannot be read
            if file.read_bytes()[:40].startswith(b"version https://git-lfs"):
                return f"{file.name} is a Git LFS pointer (git lfs pull fetches what it points to)"
            return file.name
    return "its weights"


def _condense(error: BaseException) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return first if len(first) <= 200 else first[:197] + "..."
