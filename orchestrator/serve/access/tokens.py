"""The tokens of a server: made, listed and revoked by its user, and kept as hashes beside the cache.

`tokens.json` in the state folder (0600) has the sha256 of each token, and what it allows. A token has 256 bits of
chance, so a hash without a salt tells nothing, and nobody learns anything from how long a look-up by it takes. A file
that cannot be read is an error, never an empty list. `tokens-used.json` has the day on which each was last used.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.disk.access import refuse_strangers
from orchestrator.disk.file_stat import Identity
from orchestrator.disk.locks import state_lock
from orchestrator.disk.state_file import UNREADABLE, load_state, read_state, write_state
from orchestrator.errors import DiskIOError, UsageError
from orchestrator.rights import Role, RoleGrant
from orchestrator.serve.access.callers import Caller
from orchestrator.system.failures import on_disk

DAY = 86400
_MARK = "gla_"
_TOKEN = re.compile(rf"{_MARK}[A-Za-z0-9_-]{{43}}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """Rights of a token; `hash` is that of the token. Moments are unix seconds, without an end where `expires` is
    None."""

    name: str
    role: Role
    namespaces: tuple[str, ...]
    restricted: bool
    created: int
    expires: int | None
    hash: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} is no name of a token", hint="letters, digits, and . _ @ - after the first"
            )
        try:
            RoleGrant(self.role, self.namespaces)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def caller_at(self, now: float) -> Caller | None:
        """The caller who shows the token; None when it has expired."""
        if self.expires is not None and now >= self.expires:
            return None
        return Caller(self.name, (RoleGrant(self.role, self.namespaces),), self.restricted, client=f"token {self.name}")


class TokenFile:
    """The tokens of one cache. Any number of processes may read and change them."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "tokens.json"
        self._used = state_dir / "tokens-used.json"
        self._lock = state_dir / "tokens.lock"
        self._stage = state_dir / "stage"

    def identity(self) -> Identity | None:
        """Facts that tell one content of the file from another; None when there is none."""
        return Identity.at(self._path, follow=False)

    def grants(self) -> tuple[TokenGrant, ...]:
        """All tokens, by name. Raises DiskIOError."""
        try:
            data = load_state(self._path, judge=refuse_strangers)
            found = [_grant(entry) for entry in data["tokens"]]
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except UNREADABLE as error:
            raise DiskIOError(
                f"{self._path} cannot be read: {error}",
                hint="it must be a file of yours that nobody else may read; move it away to begin with no tokens",
                file=str(self._path),
            ) from error
        return tuple(sorted(found, key=lambda grant: grant.name))

    def create(self, grant_of: Callable[[str], TokenGrant]) -> tuple[str, TokenGrant]:
        """Make a token, and a grant of its hash. Raises UsageError for a name that is taken, and per
        `system.failures`."""
        token = fresh_token()
        grant = grant_of(hashed(token))
        with on_disk("lock", self._lock), state_lock(self._lock):
            known = self.grants()
            if any(other.name == grant.name for other in known):
                raise UsageError(
                    f"there is a token {grant.name!r} already",
                    hint=f"take another name, or remove it first: glm-aria token revoke {shlex.quote(grant.name)}",
                )
            self._write((*known, grant))
        return token, grant

    def revoke(self, name: str) -> TokenGrant | None:
        """Remove a token; None when there is none of this name. Raises per `system.failures`."""
        with on_disk("lock", self._lock), state_lock(self._lock):
            known = self.grants()
            gone = next((grant for grant in known if grant.name == name), None)
            if gone is not None:
                self._write(tuple(grant for grant in known if grant is not gone))
        return gone

    def last_used(self) -> Mapping[str, int]:
        """The day on which each token was last used, by its hash, in unix seconds."""
        return read_state(self._used, _days) or {}

    def used(self, token_hash: str, day: int) -> None:
        """Note a use. Raises per `system.failures`."""
        with on_disk("lock", self._lock), state_lock(self._lock):
            known = {grant.hash for grant in self.grants()}
            days = {one: then for one, then in self.last_used().items() if one in known}
            write_state(self._used, self._stage, {"days": {**days, token_hash: day}}, durable=False)

    def _write(self, grants: tuple[TokenGrant, ...]) -> None:
        write_state(self._path, self._stage, {"tokens": [asdict(grant) for grant in grants]}, indent=1)


def fresh_token() -> str:
    """A new token."""
    return _MARK + secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """The hash under which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def is_token(text: str) -> bool:
    """True for a text of the form of our tokens."""
    return _TOKEN.fullmatch(text) is not None


def _grant(entry: dict[str, Any]) -> TokenGrant:
    """An entry of the file. Raises any of UNREADABLE."""
    expires = entry["expires"]
    return TokenGrant(
        str(entry["name"]),
        Role(entry["role"]),
        tuple(map(str, entry["namespaces"])),
        bool(entry["restricted"]),
        int(entry["created"]),
        None if expires is None else int(expires),
        str(entry["hash"]),
    )


def _days(data: dict[str, Any]) -> dict[str, int]:
    return {str(one): int(day) for one, day in data["days"].items()}
