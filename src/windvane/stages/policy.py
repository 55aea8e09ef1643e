"""The policy of one iteration: loaded when first asked for, in the form that the stage needs, one in memory at a time.

In: a model spec (the start's, or RUN/iter-t/model). Out: a Generator, a Scorer for log-probs, or the model opened for training. It is
always read back from disk, so that a resumed run sees the very weights that an undisturbed one did.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import torch

from windvane.core.errors import UserError
from windvane.engines.local import LocalGenerator, Sampling, window
from windvane.models.load import load_model, load_tokenizer
from windvane.models.lora import add_lora, merge
from windvane.models.trees.logprobs import Scorer
from windvane.train.settings import Train


class Policy:
    """`spec` as `load_model` takes it; `train` says precision and LoRA; `seed` draws a fresh adapter's weights. `stacked`: an adapter that
    `spec` holds stays as it is, and a fresh one is trained on top."""

    def __init__(self, spec: str, train: Train, device: str, seed: int, stacked: bool = False) -> None:
        self.spec, self.train, self.device, self.seed, self.stacked = spec, train, device, seed, stacked
        self._loaded: tuple[tuple[str, bool, bool], Any] | None = None
        self._holds = False  # whether what `spec` names is an adapter itself
        self._tokenizer: Any = None
        self._scorer: Scorer | None = None

    @property
    def tokenizer(self) -> Any:
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self.spec)
        return self._tokenizer

    def release(self) -> None:
        """Forget the weights."""
        self._loaded = self._scorer = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def model(self, training: bool) -> Any:
        """To sample from and evaluate in the run's precision, or to train: float32 weights where all of them are trained
        (autocast does the rest), an adapter on the run's precision where LoRA is."""
        bf16 = self.train.precision == "bfloat16"
        adapter = training and self.train.lora_rank > 0
        dtype = "bfloat16" if bf16 and (adapter or not training) else "float32"
        # one that `spec` holds is opened for training when it is loaded; a fresh one is there already, and stays as it is
        key = (dtype, adapter, training and self._holds)
        if self._loaded is None or self._loaded[0] != key:
            self.release()
            stacked = False
            model = load_model(self.spec, dtype, self.device, training and not self.stacked, self.train.quantize)
            if training and self.stacked and hasattr(model, "peft_config"):
                model = merge(model)
                stacked = True
            self.refuse_rank(model, training)
            self._holds = hasattr(model, "peft_config")
            key = (dtype, adapter, training and self._holds)
            if adapter and not self._holds:
                s = self.train
                model = add_lora(model, s.lora_rank, s.lora_alpha, s.lora_dropout, seed=self.seed)
                model.stacked = stacked  # type: ignore[assignment]  # its base is the adapter's folder (`save_model`)
            self._loaded = (key, model)
        return self._loaded[1]

    def refuse_rank(self, model: Any, training: bool) -> None:
        """An adapter is trained on at its own rank; to train all weights it must be merged first."""
        held = getattr(model, "peft_config", None)
        rank = next(iter(held.values())).r if held else None
        if training and rank is not None and rank != self.train.lora_rank:
            raise UserError(
                f"model {self.spec}: holds a LoRA adapter of rank {rank}; train it on with --train.lora-rank {rank}, or "
                "merge it first (windvane merge)"
            )

    def generator(self, sampling: Sampling) -> LocalGenerator:
        return LocalGenerator(self.model(training=False), self.tokenizer, sampling)

    def scorer(self, training: bool) -> Scorer:
        model = self.model(training)
        if self._scorer is None or self._scorer.model is not model:
            self._scorer = Scorer(model)
        return self._scorer

    def vocabulary(self) -> int:
        """Rows of the model's input embedding."""
        return int(self.model(training=False).get_input_embeddings().weight.shape[0])

    def window(self) -> int:
        """Tokens that the model was made for, prompt and answer together (a model that names no limit has none)."""
        return window(self.model(training=False)) or sys.maxsize
