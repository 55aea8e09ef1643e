"""A finished model's folder to the Hugging Face hub: only where it was asked for by name, and private unless said otherwise.

In: a folder, a repository's name. Out: its address. The token is the environment's (HF_TOKEN, or huggingface-cli's login); it is never
written down or printed.
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from windvane.core.errors import UserError


def check_push(repo: str) -> None:
    """`UserError` where the name is none, or no token is there: before hours of training, not after."""
    from huggingface_hub import get_token
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise UserError(f"--push {repo}: no name of a repository; write OWNER/NAME") from None
    if repo.count("/") != 1:
        raise UserError(f"--push {repo}: no name of a repository; write OWNER/NAME")
    if not get_token():
        raise UserError(f"--push {repo}: no token for the hub; set HF_TOKEN, or log in with: hf auth login")


def push(folder: Path, repo: str, public: bool = False) -> str:
    """Upload `folder` as it is; the repository is made where there is none."""
    check_push(repo)
    api = HfApi()
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repo, commit_message="Upload model")
    except (HfHubHTTPError, OSError) as error:
        line = next((text.strip() for text in str(error).splitlines() if text.strip()), type(error).__name__)
        raise UserError(f"--push {repo}: the hub did not take it ({line[:200]}); the model stays in {folder}") from None
    return f"{api.endpoint}/{repo}"
