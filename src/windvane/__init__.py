"""Windvane: an open-weight instruct model improves itself from preferences, without annotators.

    import windvane as wv

    result = wv.run(wv.Sppo(model="M", prompts="prompts.jsonl", judge="pairrm:JUDGE"), "RUN")
    print(result.summary["iterations"][-1], result.model)

Every name below is imported when it is first used, so that `import windvane` stays fast and does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windvane.api import RunResult, generate, judge, load_generator, load_judge, load_model, pair, run, score
    from windvane.core.errors import UserError
    from windvane.core.records import Group, Prompt, Response, Verdict
    from windvane.datasets.rows import read_rows
    from windvane.evalyaks.recipe import EvalYaks
    from windvane.finetune.settings import Finetune as Train
    from windvane.janus.collection.settings import Janus
    from windvane.longpo.settings import LongPO
    from windvane.models.trees.logprobs import Scorer
    from windvane.models.trees.share_prefixes import share_prefixes
    from windvane.models.trees.tree import Tree
    from windvane.runs.store import RunFolder
    from windvane.sppo.settings import Sppo

_WHERE = {
    "Sppo": "windvane.sppo.settings:Sppo",
    "LongPO": "windvane.longpo.settings:LongPO",
    "Janus": "windvane.janus.collection.settings:Janus",
    "EvalYaks": "windvane.evalyaks.recipe:EvalYaks",
    "Train": "windvane.finetune.settings:Finetune",
    "run": "windvane.api:run",
    "RunResult": "windvane.api:RunResult",
    "generate": "windvane.api:generate",
    "judge": "windvane.api:judge",
    "pair": "windvane.api:pair",
    "score": "windvane.api:score",
    "load_model": "windvane.api:load_model",
    "load_judge": "windvane.api:load_judge",
    "load_generator": "windvane.api:load_generator",
    "read_rows": "windvane.datasets.rows:read_rows",
    "Tree": "windvane.models.trees.tree:Tree",
    "Scorer": "windvane.models.trees.logprobs:Scorer",
    "share_prefixes": "windvane.models.trees.share_prefixes:share_prefixes",
    "RunFolder": "windvane.runs.store:RunFolder",
    "Prompt": "windvane.core.records:Prompt",
    "Response": "windvane.core.records:Response",
    "Verdict": "windvane.core.records:Verdict",
    "Group": "windvane.core.records:Group",
    "UserError": "windvane.core.errors:UserError",
}
__all__ = [
    "EvalYaks",
    "Group",
    "Janus",
    "LongPO",
    "Prompt",
    "Response",
    "RunFolder",
    "RunResult",
    "Scorer",
    "Sppo",
    "Train",
    "Tree",
    "UserError",
    "Verdict",
    "__version__",
    "generate",
    "judge",
    "load_generator",
    "load_judge",
    "load_model",
    "pair",
    "read_rows",
    "run",
    "score",
    "share_prefixes",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("windvane")
    if name not in _WHERE:
        raise AttributeError(f"module 'windvane' has no attribute '{name}'")
    from windvane.toy.register import register

    register()  # so that `toy:` names are known; it imports nothing heavy
    module, _, attribute = _WHERE[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
