"""The Hugging Face hub, asked once before anything is loaded: what it refuses is one line with its mend, told at once.

In: a model's hub id. Out: the id where the hub has it; its folder in the local cache where the hub does not answer, answers with an error
of its own or HF_HUB_OFFLINE is set. Without this question its client finds the same out file by file, with minutes of retries.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import constants as HUB
from huggingface_hub import get_hf_file_metadata, get_token, try_to_load_from_cache
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from windvane.core.errors import UserError

SECONDS = 10.0
KEPT = ("config.json", "adapter_config.json")


@functools.cache
def reach(spec: str) -> str:
    """`spec`, or the cached folder of it. `UserError` where neither is to be had."""
    if HUB.HF_HUB_OFFLINE:
        return _cached(
            spec,
            "and HF_HUB_OFFLINE is set; give a folder, or unset it, or fetch the model where there is a network: "
            f"hf download {spec}",
        )
    try:
        validate_repo_id(spec)
        get_hf_file_metadata(f"{HUB.ENDPOINT}/{quote(spec)}/resolve/main/{KEPT[0]}", timeout=SECONDS)
    except HFValidationError:
        raise UserError(f"model {spec}: neither a folder nor a hub id such as owner/name") from None
    except EntryNotFoundError:
        return spec  # an adapter, say: the model is there
    except Exception as error:  # its own, the system's, and those of its HTTP library, which has been another before
        why = refusal(error, spec)
        if why is not None:
            raise UserError(f"model {spec}: {why}") from None
        return _cached(
            spec, f"and the Hugging Face hub {_said(error)}; give a folder, or check the name and the network"
        )
    return spec


def _cached(spec: str, why: str) -> str:
    for name in KEPT:
        try:
            found = try_to_load_from_cache(spec, name)
        except HFValidationError:
            raise UserError(f"model {spec}: neither a folder nor a hub id such as owner/name") from None
        if isinstance(found, str):
            return str(Path(found).parent)
    raise UserError(f"model {spec}: no such folder, not in the local cache, {why}")


def _said(error: Exception) -> str:
    code = getattr(getattr(error, "response", None), "status_code", None)
    if code == 429:
        return "says that it is asked too often from here (HTTP 429): wait, or log in (hf auth login)"
    return f"answers with an error of its own (HTTP {code}): try again later" if code else "does not answer"


def refusal(error: BaseException, spec: str, kind: str = "model") -> str | None:
    """Why the hub refuses `spec`, and what mends it; None where the error, or one that it came from, is not the hub's word on that."""
    page = f"{HUB.ENDPOINT}/{'datasets/' if kind == 'data set' else ''}{spec}"
    login = "run hf auth login or set HF_TOKEN"
    for e in _chain(error):
        code = getattr(getattr(e, "response", None), "status_code", None)
        unknown = "doesn't exist on the Hub or cannot be accessed" in str(
            e
        )  # as datasets has it, without the hub's own error
        if isinstance(e, GatedRepoError) or "is a gated dataset on the Hub" in str(e):
            then = f"then {login}" if get_token() is None else "with the account of this token (hf auth whoami)"
            return f"is gated on the hub: accept its terms at {page}, {then}; or give a local folder"
        if isinstance(e, DisabledRepoError):
            return f"is disabled on the hub ({page}); take another"
        if code == 401 and "invalid credentials" in str(e).lower():
            return f"the hub does not take this token; {login}, with a token from {HUB.ENDPOINT}/settings/tokens"
        if isinstance(e, RepositoryNotFoundError) or unknown:
            private = login if get_token() is None else "see that this token's account (hf auth whoami) may read it"
            here = "file or folder" if kind == "data set" else "folder"
            return f"no such {here} here and no such {kind} on the hub; check the name; where it is private, {private}"
        if code in (401, 403):
            return f"the hub refuses it (HTTP {code}): the token may not read {page}; {login}, with one that may"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
