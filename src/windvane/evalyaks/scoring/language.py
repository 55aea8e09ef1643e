"""Which language a text is in: py3langid (naive Bayes over byte n-grams, its model in the package), loaded when first needed.

In: text. Out: its likeliest language. Short learners' English is now and then taken for Scots or Nigerian Pidgin, which count as English.
"""

from __future__ import annotations

import functools
from typing import Any

from windvane.core.extras import require

ENGLISH = ("en", "sco", "pcm")


@functools.cache
def identifier() -> Any:
    """py3langid's model, loaded once (half a second)."""
    langid = require("py3langid.langid", "telling languages apart in transcripts", "speech")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
