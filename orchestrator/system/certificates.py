"""Certificates that are believed of a server."""

from __future__ import annotations

import ssl
from pathlib import Path

from orchestrator.platform.host import HAS_ROOT

CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
"""Where distributions keep the certificates that they trust."""


def system_bundle() -> Path | None:
    """The file of the certificates that this system trusts."""
    return next((path for path in map(Path, CA_FILES) if path.is_file()), None) if HAS_ROOT else None


def context_of(bundle: str) -> ssl.SSLContext:
    """A context for clients that believes what a file, or a folder, of certificates signed. Raises OSError."""
    if Path(bundle).is_dir():
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)
