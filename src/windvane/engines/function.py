"""A user's own generator, named `py:module:object`.

The object has `.generate(prompts, indices, seed)` (`windvane.core.protocols.Generator`), or is a class of such objects, which is made with
the `Sampling`. An exception in the user's code stops the run with one line that names the object and the prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import Generator
from windvane.core.records import Prompt, Response
from windvane.core.schema import whole_text
from windvane.core.user_objects import error_line, load_object, make_instance


def open_generator(spec: str, sampling: Any, device: str, dtype: str) -> Generator:
    """An object with `.generate(prompts, indices, seed)`, or a class of such objects, made with the `Sampling`."""
    found = load_object(spec)
    if isinstance(found, type):
        found = make_instance(spec, found, sampling)
    if not hasattr(found, "generate"):
        raise UserError(f"py:{spec}: has no .generate(prompts, indices, seed)")
    return CheckedGenerator(spec, found)


class CheckedGenerator:
    """A user's `.generate(prompts, indices, seed)` (see `windvane.core.protocols.Generator`), its answers checked; half of a surrogate
    pair in a text becomes U+FFFD. `reasons` are the object's own, where it has any."""

    def __init__(self, spec: str, inner: Any) -> None:
        self.spec, self.inner = spec, inner

    @property
    def reasons(self) -> dict[str, str]:
        own = getattr(self.inner, "reasons", None)
        return own if isinstance(own, dict) else {}

    def generate(self, prompts: Sequence[Prompt], indices: Sequence[int], seed: int) -> list[list[Response]]:
        named = f"py:{self.spec}: {len(prompts)} prompts from {prompts[0].id if prompts else 'none'} on"
        try:
            found = [list(answers) for answers in self.inner.generate(prompts, indices, seed)]
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            raise UserError(f"{named}: {error_line(error)}") from error
        if len(found) != len(prompts):
            raise UserError(f"{named}: .generate gave {len(found)} lists of answers; give one for each prompt")
        for prompt, answers in zip(prompts, found):
            for a in answers:
                if not isinstance(a, Response) or not isinstance(a.text, str) or a.prompt_id != prompt.id:
                    raise UserError(
                        f"{named}: .generate must give windvane.core.records.Response with a text and the prompt's id; "
                        f"for {prompt.id} it gave {repr(a)[:80]}"
                    )
                if a.index not in indices:
                    raise UserError(f"{named}: .generate gave answer {a.index} to {prompt.id}, which was not asked for")
        return [[replace(a, text=whole_text(a.text)) for a in answers] for answers in found]
