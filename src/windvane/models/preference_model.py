"""Reward models and general preference models as folders: opened, started from a language model, saved; and chats as their trees.

A saved model is a plain transformers `AutoModelForSequenceClassification` folder: one label for Bradley-Terry, 2k labels (the embedding
before it is normed) for the GPM, which adds `preference.json` (temperature, kind) and, with a gate, `preference_gate.safetensors`.
A LoRA adapter is merged in before saving. Score and embedding are read where transformers reads them: at the row's last token that is
not the padding id of the config.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.core.schema import decode, dumps
from windvane.models.load import load_model, load_sequence_classifier, locate, save_model
from windvane.models.lora import merge
from windvane.models.preference_heads import HeadShape, PreferenceHead
from windvane.models.trees.hidden_states import Pooler, decoder_of
from windvane.models.trees.tree import Tree
from windvane.prompts.chat import answered, render
from windvane.prompts.system_role import seated

HEAD_FILE, GATE_FILE = "preference.json", "preference_gate.safetensors"


class PreferenceModel(nn.Module):
    """A decoder (perhaps with LoRA) and its head; `pad`: the id that ends no row, as the saved config will name it."""

    def __init__(self, decoder: Any, head: PreferenceHead, pad: int | None) -> None:
        super().__init__()
        self.decoder, self.head, self.pad = decoder, head, pad

    @property
    def window(self) -> int | None:
        """Tokens that the decoder was made for."""
        return getattr(decoder_of(self.decoder).config, "max_position_embeddings", None)

    def embed(self, pooler: Pooler, trees: Sequence[Tree]) -> list[tuple[Tensor, Tensor | None]]:
        """Per tree of `chat_tree`: embeddings of its answers [K, 1 or 2k], and its prompt's scales [k] where there is a gate."""
        gated = self.head.gate is not None
        lengths = [[len(tree.row(leaf)) for leaf in tree.leaves] for tree in trees]
        states = pooler.states(trees, [list(enumerate(n - 1 for n in rows)) for rows in lengths])
        found = []
        for part in states.split([len(rows) for rows in lengths]):
            answers = part[:-1] if gated else part
            found.append((self.head.embed(answers), self.head.scales(part[-1]) if gated else None))
        return found

    def add_lora(self, rank: int, alpha: int, dropout: float, seed: int) -> None:
        """A fresh adapter (arXiv 2106.09685) on every linear layer of the decoder; it and the head alone are trained then."""
        config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", bias="none")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.decoder = get_peft_model(self.decoder, config)


def chat_tree(
    model: PreferenceModel, tokenizer: Any, messages: Sequence[Message], answers: Sequence[str], name: str
) -> Tree:
    """One row an answer: the chat with it, through the template; a system message that it has no role for stands in the user's turn. With
    a gate the prompt, rendered alone, is the last row: being a prefix of the others it costs nothing, and its state depends on no answer.
    Raises `UserError`, opened by `name`, for a chat that the template refuses or that exceeds the window."""
    try:
        messages = seated(tokenizer, messages)
        rows = [list(answered(tokenizer, messages, text)) for text in answers]
        prompt = [list(render(tokenizer, messages))] if model.head.gate is not None else []
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    for row in rows:
        while len(row) > 1 and row[-1] == model.pad:
            row.pop()
        if model.window is not None and len(row) > model.window:
            raise UserError(
                f"{name}: {len(row)} tokens exceed the window of {model.window}; take shorter prompts or answers, or another model"
            )
    return Tree.of_rows([(row, 0) for row in rows + prompt])


def start_preference_model(
    spec: str, tokenizer: Any, shape: HeadShape, dtype: str, device: str, seed: int
) -> PreferenceModel:
    """A language model (or adapter, which is merged in) with a fresh head of `shape`; or a reward model or GPM that is trained on with
    its own head where that has the same shape."""
    if not tokenizer.chat_template:
        raise UserError(
            f"model {spec}: its tokenizer has no chat template; take an instruct model or add chat_template.jinja"
        )
    if _is_classifier(spec):
        model = load_sequence_classifier(spec, dtype, device)
        held = _held_head(spec, model, shape.kind)
        decoder: Any = decoder_of(model)
    else:
        decoder, held = decoder_of(merge(load_model(spec, dtype, device))), None
    _refuse_encoder(spec, decoder)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else decoder.config.pad_token_id
    if held is not None and (held.shape.dim, held.shape.gate) == (shape.dim, shape.gate):
        held.shape = shape
        return PreferenceModel(decoder, held, pad).eval()
    head = PreferenceHead(shape, decoder.config.hidden_size, seed).to(next(decoder.parameters()).device)
    return PreferenceModel(decoder, head, pad).eval()


def open_gpm(spec: str, dtype: str = "float32", device: str = "auto") -> PreferenceModel:
    """A saved GPM; its head stays in float32."""
    where = Path(locate(spec))
    if not (where / HEAD_FILE).exists():
        raise UserError(f"gpm:{spec}: no {HEAD_FILE} there; give a folder made by windvane train reward --kind gpm")
    model = load_sequence_classifier(spec, dtype, device)
    decoder = decoder_of(model)
    _refuse_encoder(spec, decoder)
    head = _held_head(spec, model, "gpm")
    if head is None:
        raise UserError(f"gpm:{spec}: {HEAD_FILE} holds a reward model; name it reward:{spec}")
    return PreferenceModel(decoder, head, model.config.pad_token_id).eval()


def save_preference_model(model: PreferenceModel, tokenizer: Any, folder: Path, spec: str) -> None:
    """Write the folder; an adapter is merged into `model` by this."""
    decoder = merge(model.decoder)
    model.decoder = decoder
    shape, config = model.head.shape, decoder.config
    config.num_labels, config.pad_token_id = shape.dim, model.pad
    with torch.device("meta"):
        whole = AutoModelForSequenceClassification.from_config(config)
    whole.model, whole.score = decoder, model.head.score
    save_model(whole, tokenizer, folder, spec)
    (folder / HEAD_FILE).write_text(dumps(shape) + "\n", encoding="utf-8")
    if model.head.gate is not None:
        save_file({"weight": model.head.gate.weight.detach().cpu().contiguous()}, folder / GATE_FILE)


def _is_classifier(spec: str) -> bool:
    where = locate(spec)
    if Path(where).is_dir() and not (Path(where) / "config.json").exists():
        return False
    try:
        config = AutoConfig.from_pretrained(where, trust_remote_code=False)
    except (OSError, ValueError):  # load_model, which is next, says what is wrong
        return False
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or ())


def _held_head(spec: str, model: Any, kind: str) -> PreferenceHead | None:
    """The head that a folder holds, where it is of this kind: a classifier of one label is Bradley-Terry's whoever trained it."""
    where = Path(locate(spec))
    layer = getattr(model, "score", None)
    if not isinstance(layer, nn.Linear) or layer.bias is not None:
        raise UserError(f"model {spec}: its classifier has no plain `score` head; take a decoder's")
    if (where / HEAD_FILE).exists():
        try:
            shape = decode(
                HeadShape, json.loads((where / HEAD_FILE).read_text(encoding="utf-8")), str(where / HEAD_FILE)
            )
        except json.JSONDecodeError as error:
            raise UserError(f"{where / HEAD_FILE}: not valid JSON ({error.msg}, line {error.lineno})") from None
    elif model.config.num_labels == 1:
        shape = HeadShape.of("bt")
    else:
        return None
    if shape.kind != kind:
        return None
    if layer.out_features != shape.dim:
        raise UserError(
            f"{where / HEAD_FILE}: field 'dim': {shape.dim}, but the weights have {layer.out_features} labels"
        )
    head = PreferenceHead(shape, layer.in_features, 0)
    gate = load_file(where / GATE_FILE)["weight"] if head.gate is not None else None
    with torch.no_grad():
        head.score.weight.copy_(layer.weight)
        if head.gate is not None and gate is not None:
            head.gate.weight.copy_(gate)
    return head.to(layer.weight.device)


def _refuse_encoder(spec: str, decoder: Any) -> None:
    if not isinstance(getattr(decoder, "layers", None), nn.ModuleList):
        raise UserError(
            f"model {spec}: {type(decoder).__name__} is not a decoder with layers; take a causal language model"
        )
