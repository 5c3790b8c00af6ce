"""Tokens as the data of the JSON documents of `token`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from orchestrator.documents import Count
from orchestrator.rights import Role
from orchestrator.serve.access.tokens import TokenGrant


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """Rights of a token. Moments are unix seconds; `last_used` is the beginning of a day."""

    name: str
    role: Role
    namespaces: tuple[str, ...]
    restricted: bool
    created: Count
    expires: Count | None
    last_used: Count | None

    @classmethod
    def of(cls, grant: TokenGrant, last_used: int | None = None) -> Self:
        """The entry of a grant."""
        return cls(grant.name, grant.role, grant.namespaces, grant.restricted, grant.created, grant.expires, last_used)


@dataclass(frozen=True, slots=True)
class NewTokenDocument:
    """The data of `token create`. Nothing else shows the token ever again."""

    token: str
    allows: TokenEntry


@dataclass(frozen=True, slots=True)
class TokensDocument:
    """The data of `token ls`, and of `token revoke`: the tokens that are left."""

    tokens: tuple[TokenEntry, ...]

    @classmethod
    def of(cls, grants: Iterable[TokenGrant], days: Mapping[str, int]) -> Self:
        """The data of all tokens; `days` tells by hash when each was last used."""
        return cls(tuple(TokenEntry.of(grant, days.get(grant.hash)) for grant in grants))
