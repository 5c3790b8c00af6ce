"""The token, and the one decision about who gets it.

Nothing else in the package writes an Authorization header. The hosts of the Hub's token are the root's and those that
the user named in `token_hosts`; a mirror is never among them by itself. A registry's credential has its own host.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from orchestrator.errors import ConfigError, ProtocolError
from orchestrator.net.addresses import is_loopback, place, split


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token and the hosts that may see it, each `host` (the scheme's default port) or `host:port`.

    `scheme` is that of the Authorization header (RFC 9110, section 11.4).
    """

    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()
    scheme: str = "Bearer"

    def __post_init__(self) -> None:
        # A newline from a token file would split the header; requests would print the token in its complaint.
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise ConfigError("the token holds characters that no token has", hint="copy it again, without a newline")
        object.__setattr__(self, "hosts", frozenset(host.lower() for host in self.hosts))

    @classmethod
    def basic(cls, user: str, password: str, hosts: frozenset[str]) -> Credentials:
        """A user name and a password (RFC 7617)."""
        return cls(base64.b64encode(f"{user}:{password}".encode()).decode(), hosts, "Basic")

    def may_send(self, url: str) -> bool:
        """True when the token goes to `url`: nobody on the way can read it, and its host was named."""
        return bool(self.token) and is_private(url) and self.names(url)

    def names(self, url: str) -> bool:
        """True when the server of `url` is one that was named, whether there is a token or not."""
        try:
            parts, where = split(url), place(url)
        except ProtocolError:
            return False
        host = (parts.hostname or "").lower()
        bare = f"[{host}]" if ":" in host else host
        default = 443 if parts.scheme == "https" else 80
        named = {f"{bare}:{where.rpartition(':')[2]}"}
        if (parts.port or default) == default:
            named.add(bare)
        return not named.isdisjoint(self.hosts)

    def headers_for(self, url: str) -> dict[str, str]:
        """The Authorization header for `url`, or nothing."""
        return {"Authorization": f"{self.scheme} {self.token}"} if self.may_send(url) else {}


def is_private(url: str) -> bool:
    """True when nobody on the way to `url` can read what is sent: https, or http to this machine."""
    try:
        parts = split(url)
    except ProtocolError:
        return False
    return parts.scheme == "https" or is_loopback(parts.hostname or "")
