"""Which language a text is in: py3langid (naive Bayes over byte n-grams, its model in the package), loaded when first needed.

In: text. Out: its likeliest language. Short learners' English is now and then taken for Scots or Nigerian Pidgin, which count as English.
"""

from __future__ import annotations

import functools
from typing import Any

from windvane.core.errors import UserError

ENGLISH = ("en", "sco", "pcm")


@functools.cache
def identifier() -> Any:
    """py3langid's model, loaded once (half a second)."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UserError("telling languages apart needs py3langid: pip install py3langid") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
