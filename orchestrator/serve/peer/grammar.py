"""Addresses that peers ask. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.core.files import Digest
from orchestrator.serve.http.addresses import parameters
from orchestrator.swarm.tickets import ABOUT, HAVE

BELOW = b"/peer/v1/"
_ADDRESS = re.compile(rb"/peer/v1/(?:(have|about)|((?:sha256:[0-9a-f]{64})|(?:git-sha1:[0-9a-f]{40}))(/pieces)?)")
_NUMBER = re.compile(r"\d{1,19}")


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """The subject that an address asks for: `have`, `about`, or the text of a `digest`, whose bytes are meant, or with
    `is_pieces` the list of its pieces."""

    subject: str
    digest: Digest | None = None
    is_pieces: bool = False


def parse(raw_path: bytes) -> PeerAddress | None:
    """Read a path as it was sent; None for what is no address here. There is one way to write each."""
    found = _ADDRESS.fullmatch(raw_path)
    if found is None:
        return None
    word, digest, pieces = found.groups()
    if word is not None:
        return PeerAddress(HAVE if word == b"have" else ABOUT)
    text = digest.decode("ascii")
    return PeerAddress(text, Digest.parse(text), pieces is not None)


def version_asked(query_string: bytes, epoch: int) -> int | None:
    """The version after which news are asked for; None without one of this epoch. Raises Refused."""
    asked = parameters(query_string)
    after = asked.get("after", "")
    return int(after) if asked.get("epoch") == str(epoch) and _NUMBER.fullmatch(after) else None
