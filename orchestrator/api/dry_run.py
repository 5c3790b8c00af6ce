"""The result of a dry run: huggingface_hub's type where that is installed, else an equal one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class DryRunFileInfo:
    """A file that a call is about, with its size in bytes.

    `is_cached`: its content is here; `will_download`: it would be fetched.
    """

    commit_hash: str
    file_size: int | None
    filename: str
    local_path: str
    is_cached: bool
    will_download: bool


def dry_run_type() -> Any:
    """The class to make them of."""
    try:
        from huggingface_hub import DryRunFileInfo as Theirs
    except ImportError:  # not installed, or older than dry runs
        return DryRunFileInfo
    return Theirs
