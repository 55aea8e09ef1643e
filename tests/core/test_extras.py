"""A package of an extra that is missing is one line that says how to install it."""

import sys

import pytest

from windvane.core.errors import UserError
from windvane.core.extras import require
from windvane.evals.ruler.words import vocabulary
from windvane.evalyaks.scoring.language import identifier


def hide(monkeypatch, package):
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


def test_a_module_that_is_there():
    assert require("json.decoder", "this test", "test").JSONDecoder is not None


@pytest.mark.parametrize(
    ("package", "use", "line"),
    [
        ("wonderwords", vocabulary, r"RULER needs wonderwords: pip install 'windvane\[eval\]'"),
        ("py3langid", identifier, r"transcripts needs py3langid: pip install 'windvane\[speech\]'"),
        ("sklearn", lambda: require("sklearn.metrics", "a fit", "eval"), r"a fit needs scikit-learn: pip install"),
    ],
)
def test_a_module_that_is_missing(monkeypatch, package, use, line):
    hide(monkeypatch, package)
    if hasattr(use, "cache_clear"):
        use.cache_clear()
    with pytest.raises(UserError, match=line):
        use()
