"""Tickets: what a node shows a peer to be answered. Only who has the key of the fleet can make one.

A ticket is `n=NODE&e=SECONDS&t=MAC` at the end of a query, where MAC is base64url(HMAC-SHA256(key,
"peer/1|SUBJECT|NODE|SECONDS|AUTHORITY"))[:22]. The subject is what may be asked for with it: the text of a digest,
`have` or `about`. The authority is who is asked, as the address names it (`HOST:PORT`). So a ticket that somebody saw
on the way opens nothing else, and that only for minutes; and who only pretends to be a peer can show it to no real one.

The answer proves that the peer has the key: base64url(HMAC-SHA256(key, "answer/1|MAC"))[:22].
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from orchestrator.swarm.holdings import is_node_name

HAVE, ABOUT = "have", "about"
PROOF = "X-Fleet-Proof"
"""The header of an answer with the proof that a peer has the key."""
LIFE = 300
"""Seconds for which a ticket is made."""
MOST_AHEAD = 600
"""Seconds from now within which the end of a ticket must lie: the clocks of two nodes may differ by `LIFE`."""
LEAST_KEY = 16
"""Bytes that a key has at least."""
_MAC = 22
"""Characters of a code: 132 bits."""
_SEAL = 43
"""Characters of a seal: all of the code, since a seal holds as long as the key does."""
_MARK = 8
_KEY = re.compile(rf"[!-~]{{{LEAST_KEY},1024}}")
_TICKET = re.compile(rf"(?:.*&)?n=([^&=]+)&e=([1-9][0-9]{{0,11}})&t=([A-Za-z0-9_-]{{{_MAC}}})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FleetKeys:
    """The keys of a fleet. The first one makes tickets, and all are believed.

    So a key is changed in three steps, between which all nodes understand each other: the new one is added behind the
    old one at every node, then put before it, and then the old one is removed.
    """

    keys: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.keys or min(map(len, self.keys)) < LEAST_KEY:
            raise ValueError(f"a fleet needs a key, of {LEAST_KEY} bytes at least")

    @classmethod
    def parse(cls, text: str) -> FleetKeys:
        """Read keys as a file has them: words of visible ASCII. Raises ValueError, which does not quote them."""
        words = text.split()
        if not all(map(_KEY.fullmatch, words)):
            raise ValueError(f"a key is one word of visible ASCII characters, and has {LEAST_KEY} to 1024 of them")
        return cls(tuple(word.encode() for word in words))

    @property
    def marks(self) -> tuple[str, ...]:
        """Words that tell nodes of this fleet from those of another one on the same network, and prove nothing."""
        return tuple(_short(hmac.digest(key, b"mark/1", "sha256"), _MARK) for key in self.keys)

    def ticket(self, subject: str, node: str, now: float, to: str = "") -> str:
        """A ticket of a node for a subject, as it stands in a query. `now` is in seconds since the epoch; `to` is the
        `authority` that is asked."""
        if not is_node_name(node):
            raise ValueError(f"{node!r} is no name of a node")
        ends = str(int(now) + LIFE)
        return f"n={node}&e={ends}&t={_code(self.keys[0], subject, node, ends, to)}"

    def node_of(self, subject: str, query: str, now: float, to: str = "") -> str | None:
        """The node that shows a ticket for the subject at the end of a query, when `to` was asked; None without one
        that holds now.

        Takes as long for a code that is nearly right as for one that is not.
        """
        shown = _TICKET.fullmatch(query)
        if shown is None:
            return None
        node, ends, code = shown.groups()
        is_known = False
        for key in self.keys:
            is_known |= hmac.compare_digest(_code(key, subject, node, ends, to), code)
        return node if is_known and is_node_name(node) and now < int(ends) <= now + MOST_AHEAD else None

    def proof(self, query: str) -> str:
        """The proofs, one for each key, for who showed the ticket at the end of this query."""
        shown = query[-_MAC:].encode("utf-8", "surrogatepass")
        return " ".join(_short(hmac.digest(key, b"answer/1|" + shown, "sha256"), _MAC) for key in self.keys)

    def seal(self, kind: str, content: bytes) -> str:
        """The code by which all of the fleet know that one of them said this. `kind`: what it is said of, without |."""
        return _seal(self.keys[0], kind, content)

    def is_seal(self, kind: str, content: bytes, text: str) -> bool:
        """True for a seal of who has a key of this fleet."""
        shown, is_known = text.encode("utf-8", "surrogatepass"), False
        for key in self.keys:
            is_known |= hmac.compare_digest(_seal(key, kind, content).encode(), shown)
        return is_known

    def is_proof(self, ticket: str, text: str) -> bool:
        """True when one of these proofs is that of a peer that has a key of this fleet, and was shown this ticket."""
        shown = text.encode("utf-8", "surrogatepass").split(b" ")
        return any(hmac.compare_digest(own.encode(), proof) for own in self.proof(ticket).split() for proof in shown)


def authority(address: str) -> str:
    """The host and port of an address (`http://HOST:PORT`), as a program names them in the Host header."""
    parts = urlsplit(address)
    default = ":443" if parts.scheme == "https" else ":80"
    return parts.netloc.lower().removesuffix(default)


def _code(key: bytes, subject: str, node: str, ends: str, to: str) -> str:
    text = f"peer/1|{subject}|{node}|{ends}|{to}"
    return _short(hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256"), _MAC)


def _seal(key: bytes, kind: str, content: bytes) -> str:
    return _short(hmac.digest(key, f"seal/1|{kind}|".encode() + content, "sha256"), _SEAL)


def _short(mac: bytes, length: int) -> str:
    return urlsafe_b64encode(mac)[:length].decode()
