"""The rows of a data set that the `datasets` library reads: a folder that it saved, or a name on the Hugging Face hub.

A data set on the hub is asked for only where the hub answers within seconds; otherwise the local cache has it, or one line says so.
"""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from windvane.core.errors import UserError
from windvane.core.hub import refusal

HUB_SECONDS = 3.0


def stored_rows(name: str, split: str | None) -> Iterator[tuple[str, Any]]:
    """The rows of a folder that `datasets` saved, or of a data set on the hub, as they are stored: no image is decoded."""
    data = _loaded(name, split) if Path(name).exists() else from_hub(name, lambda: _loaded(name, split))
    number = 0
    for table in data.with_format("arrow").iter(1024):
        for row in table.to_pylist():
            number += 1
            yield f"row {number}", row
    if not number:
        raise UserError(f"{name}: no rows; write at least one")


def _loaded(name: str, split: str | None) -> Any:
    import datasets

    folder = Path(name)
    saved = any((folder / file).exists() for file in ("state.json", "dataset_dict.json"))
    try:
        data = datasets.load_from_disk(name) if saved else datasets.load_dataset(name, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        what = "cannot be read as a data set" if folder.exists() else "no such file, and no data set that can be read"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if not folder.exists() and (refused := refusal(error, name, "data set")) is not None:
            raise UserError(f"{name}: {refused}") from None
        raise UserError(f"{name}: {what} ({type(error).__name__}: {reason[:200]}); check the name") from None
    if isinstance(data, dict):
        if split is None and len(data) > 1:
            raise UserError(f"{name}: it has the splits {', '.join(data)}; name one")
        chosen = split if split is not None else next(iter(data))
        if chosen not in data:
            raise UserError(f"{name}: no split '{chosen}'; there are: {', '.join(data)}")
        return data[chosen]
    if split is not None and folder.exists() and data.split is not None and str(data.split) != split:
        raise UserError(f"{name}: it holds the split '{data.split}' alone, not '{split}'; leave the split out")
    return data


def from_hub(name: str, read: Callable[[], Any]) -> Any:
    """`read()` a data set on the hub. A hub that does not answer is not waited for: libraries retry for half a minute."""
    import datasets
    import huggingface_hub

    place = urlsplit(huggingface_hub.constants.ENDPOINT)
    if huggingface_hub.constants.HF_HUB_OFFLINE or answers(place.hostname or "", place.port or 443):
        return read()
    held = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True  # what the cache has, at once
    try:
        return read()
    except UserError as error:
        if "ConnectionError" not in str(error):
            raise
        raise UserError(
            f"{name}: no such file, {place.hostname} does not answer, and the cache of data sets holds no copy; connect, or give a file or "
            "a folder with these rows"
        ) from None
    finally:
        datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE = held


def answers(host: str, port: int, seconds: float = HUB_SECONDS) -> bool:
    """Whether a connection can be opened; taken for granted behind a proxy, which knows names that this machine may not."""
    if urllib.request.getproxies().get("https"):
        return True
    opened: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
        except OSError:
            return
        opened.append(True)

    thread = threading.Thread(target=connect, daemon=True)  # looking a name up has no time limit of its own
    thread.start()
    thread.join(seconds)
    return bool(opened)
