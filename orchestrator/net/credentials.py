"""The token, and the one decision about who gets it.

Nothing else in the package writes an Authorization header. The hosts are the root's and those that the user named in
`token_hosts`; a mirror is never among them by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.errors import ConfigError, ProtocolError
from orchestrator.net.addresses import is_loopback, place, split


@dataclass(frozen=True, slots=True)
class Credentials:
    """A Hub token and the hosts that may see it, each `host` (the scheme's default port) or `host:port`."""

    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # A newline from a token file would split the header; requests would print the token in its complaint.
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise ConfigError("the token holds characters that no token has", hint="copy it again, without a newline")
        object.__setattr__(self, "hosts", frozenset(host.lower() for host in self.hosts))

    def may_send(self, url: str) -> bool:
        """True when the token goes to `url`: https (or http to this machine) and a host that was named."""
        if not self.token:
            return False
        try:
            parts = split(url)
        except ProtocolError:
            return False
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            return False
        return self.names(url)

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
        return {"Authorization": f"Bearer {self.token}"} if self.may_send(url) else {}
