"""Which specs are models of this process, and that each way of sampling reads the same weights."""

import pytest

from windvane.core.errors import UserError
from windvane.engines.local import Sampling
from windvane.engines.open import Opened


@pytest.mark.parametrize(
    ("spec", "local"),
    [
        ("org/name", "org/name"),
        ("local:org/name", "org/name"),
        ("world:values", "world:values"),
        ("world:values:writer", None),  # a programme
        ("http://127.0.0.1:9/v1#m", None),
        ("scripted:answers.jsonl", None),
        ("py:module:object", None),
        ("nothing:known", None),
    ],
)
def test_what_is_loaded_here(spec, local):
    opened = Opened(spec, "cpu", "float32")
    assert (opened.local, opened.behind_server) == (local, spec.startswith("http"))


def test_a_folder_whose_name_has_a_colon_is_a_folder(tmp_path):
    folder = tmp_path / "epoch:1"
    folder.mkdir()
    assert Opened(str(folder), "cpu", "float32").local == str(folder)


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(UserError, match="generator nothing:known: not known; a generator is toy:FAMILY"):
        Opened("nothing:known", "cpu", "float32").generator(Sampling(1, 1.0, 1.0, 8))


def test_weights_are_loaded_once_and_let_go():
    opened = Opened("world:styles", "cpu", "float32")
    one, other = (opened.generator(Sampling(1, t, 1.0, 8)) for t in (0.0, 1.0))
    assert one is not other and one.model is other.model and opened.generator(Sampling(1, 0.0, 1.0, 8)) is one
    opened.close()
    assert opened.generator(Sampling(1, 0.0, 1.0, 8)).model is not one.model
