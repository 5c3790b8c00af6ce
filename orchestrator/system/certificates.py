"""Certificates that are believed of a server."""

from __future__ import annotations

import ssl
from pathlib import Path


def context_of(bundle: str) -> ssl.SSLContext:
    """A context for clients that believes what a file, or a folder, of certificates signed. Raises OSError."""
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
