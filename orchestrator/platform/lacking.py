"""The error where this system lacks something, and the one question that other rooms may ask about systems."""

from __future__ import annotations

import sys

from orchestrator.errors import UnsupportedError

HAS_FOLDERS = sys.platform != "win32"
"""Folders can be opened, and names looked up in an open one: without that, nothing is safely written for models."""


def lacks(what: str) -> UnsupportedError:
    """The error for something that takes `what`, in the plural."""
    return UnsupportedError(
        f"this system lacks {what}, without which glm-aria changes no cache and runs no server",
        hint="use it in WSL, the Linux in Windows: wsl --install; what works here is in the README",
    )


def need_folders() -> None:
    """Raise UnsupportedError where folders cannot be held open. To be called before the first change."""
    if not HAS_FOLDERS:
        raise lacks("folders that stay open")
