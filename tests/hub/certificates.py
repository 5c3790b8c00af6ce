"""A self-signed certificate, for 127.0.0.1 and localhost if no other name is given, made by the `openssl` command."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

LOOPBACK = "DNS:localhost,IP:127.0.0.1"


def make_certificate(folder: Path, *, days: int = 1, names: str = LOOPBACK) -> tuple[Path, Path]:
    """Make `cert.pem` (also what a client trusts) and `key.pem` under `folder`; `names` as in subjectAltName."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=loopback"]
    files = ["-keyout", str(key), "-out", str(certificate), "-days", str(days), "-addext", f"subjectAltName={names}"]
    subprocess.run(["openssl", "req", "-x509", *curve, *files], check=True, capture_output=True)
    return certificate, key


def server_context(certificate: Path, key: Path, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """For `LoopbackHub(tls=…)` and `hub.mirror(…, tls=…)`.

    `alpn` is what the server offers, its favourite first. The faces speak HTTP/1.1 only, so `h2` is for clients that
    look at the handshake and hang up.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
