"""A single file by its address: its digest, and the way that it comes."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from orchestrator.cli.run import Run
from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import UsageError
from orchestrator.events import Notice


def warn_of_plain_http(url: str, run: Run) -> None:
    """Warn of an address whose traffic others can read."""
    from orchestrator.net.addresses import is_loopback

    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        run.emit(Notice("plain-http", f"{parts.hostname} is contacted over plain http; the digest protects the bytes"))


def sha256_digest(text: str) -> Digest:
    """The digest that `--sha256` says. Raises UsageError."""
    folded = text.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", folded):
        raise UsageError("--sha256 takes 64 hexadecimal digits")
    return Digest(Algorithm.SHA256, folded)
