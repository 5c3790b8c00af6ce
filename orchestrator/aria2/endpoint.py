"""Values about a daemon: its address, a download, a remark. Loads no aria2p."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from orchestrator.errors import UsageError
from orchestrator.system.listeners import Listener


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The RPC address of a daemon, `http://host:port/jsonrpc`, and its secret.

    `listener` is the process behind it, where that is ours: it is proven again for each connection.
    `ca_bundle` is a file or folder of the certificates that are believed of it; None for the usual ones.
    """

    url: str
    secret: str = field(repr=False, default="")
    listener: Listener | None = field(repr=False, compare=False, default=None)
    ca_bundle: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{self.url!r} is not an RPC address", hint="for example http://127.0.0.1:6800/jsonrpc")


@dataclass(frozen=True, slots=True)
class OpenRpc:
    """An aria2 on this machine whose RPC at `url` asks for no secret; `conf` is its configuration file, if it told."""

    url: str
    conf: str | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """One file for aria2 to fetch: its address, the options for it, and the metalink that names it.

    The address may be signed: never shown. `piece` is the length of a piece in bytes; None for that of the options.
    """

    name: str
    size: int
    url: str = field(repr=False)
    options: Mapping[str, str]
    piece: int | None = None

    @property
    def metalink(self) -> str:
        """A metalink document (RFC 5854) of the file, in base64 as `aria2.addMetalink` takes it."""
        # aria2 takes the length of a piece from here. It cannot check pieces by one hash, and is told not to try
        # (`realtime-chunk-checksum`).
        pieces = f'<pieces length="{self.piece}" type="sha-1"><hash>{"0" * 40}</hash></pieces>' if self.piece else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">'
            f'<file name="{self.name}"><size>{self.size}</size>{pieces}<url>{escape(self.url)}</url></file></metalink>'
        )
        return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that the user should know of the daemon; `code` is that of a warning."""

    code: str
    message: str
