"""Rights: one table of roles for `serve`, the registry and gRPC; a role holds in namespaces.

A namespace is what stands before the slash of a repo's name. A pattern without a slash (`team-*`) is matched with
it, or with the whole name of a repo that has none; one with slashes with the path of the repo, part by part
(`team/model-*`, `datasets/team/*`). Names on a Hub differ by more than their case, so that is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from orchestrator.core.refs import RepoId
from orchestrator.errors import NotAllowedError

EVERYWHERE = ("*",)
"""The patterns of a role that holds for all repos."""
_PATTERN = re.compile(r"[A-Za-z0-9._*?\[\]!-]+(?:/[A-Za-z0-9._*?\[\]!-]+){0,2}")


class Right(StrEnum):
    """Something that one may do with a repo, or with the server (COMMAND)."""

    READ = "read"  # get what is in the cache, or in the registry
    FETCH = "fetch"  # have the server ask and fetch upstream
    PUBLISH = "publish"
    PROMOTE = "promote"
    COMMAND = "command"


class Role(StrEnum):
    """Roles."""

    READER = "reader"
    PULLER = "puller"
    PUBLISHER = "publisher"
    PROMOTER = "promoter"
    ADMIN = "admin"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.READER: frozenset({Right.READ}),
    Role.PULLER: frozenset({Right.READ, Right.FETCH}),
    Role.PUBLISHER: frozenset({Right.READ, Right.FETCH, Right.PUBLISH}),
    Role.PROMOTER: frozenset({Right.READ, Right.FETCH, Right.PROMOTE}),
    Role.ADMIN: frozenset(Right),
}
"""The table. Who promotes a version need not be able to write one."""


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role, and the patterns of the repos for which it holds. Raises ValueError for one that cannot be held."""

    role: Role
    namespaces: tuple[str, ...] = EVERYWHERE

    def __post_init__(self) -> None:
        check_patterns(self.namespaces)
        if self.role is Role.ADMIN and self.namespaces != EVERYWHERE:
            raise ValueError("an admin commands the whole server, and not some namespaces of it")

    def gives(self, right: Right, repo: RepoId) -> bool:
        """True when the role has this right in the repo's namespace."""
        return right in RIGHTS[self.role] and matches(self.namespaces, repo)

    def gives_everywhere(self, right: Right) -> bool:
        """True when the role has this right, and holds for all repos."""
        return right in RIGHTS[self.role] and self.namespaces == EVERYWHERE


@dataclass(frozen=True, slots=True)
class Subject:
    """One who asks: a `name` ("" for one who showed nothing), and what was granted. `restricted` is the right to what
    is gated or private there."""

    name: str = ""
    grants: tuple[RoleGrant, ...] = ()
    restricted: bool = False

    def may(self, right: Right, repo: RepoId) -> bool:
        """True when a role gives this right to the repo."""
        return any(grant.gives(right, repo) for grant in self.grants)

    def may_read(self, repo: RepoId, *, restricted: bool = False) -> bool:
        """True when what is kept of the repo may be given to this one."""
        return self.may(Right.READ, repo) and (self.restricted or not restricted)

    def may_fetch(self, repo: RepoId) -> bool:
        """True when this one may have others asked about the repo, and its files fetched."""
        return self.may(Right.FETCH, repo)

    @property
    def is_admin(self) -> bool:
        """True when this one may command the server."""
        return any(grant.gives_everywhere(Right.COMMAND) for grant in self.grants)

    @property
    def may_view(self) -> bool:
        """True when this one may see what is done for all: which repos there are, and who asks for them."""
        return any(grant.gives_everywhere(Right.READ) for grant in self.grants)

    @property
    def roles(self) -> str:
        """The roles, for people."""
        return ", ".join(dict.fromkeys(grant.role.value for grant in self.grants)) or "no role"


def require(who: Subject, right: Right, repo: RepoId) -> None:
    """Refuse who has not the right, in the same words whether there is such a repo or not. Raises NotAllowedError."""
    if not who.may(right, repo):
        raise NotAllowedError(f"{_asker(who)} may not {right.value} {repo.name}", hint=_hint(who, right))


def require_any(who: Subject) -> None:
    """Refuse who was granted nothing. Raises NotAllowedError."""
    if not who.grants:
        raise NotAllowedError(f"{_asker(who)} may read nothing here", hint=_hint(who, Right.READ))


def _asker(who: Subject) -> str:
    return f"{who.name!r} ({who.roles})" if who.name else "who shows no token"


def _hint(who: Subject, right: Right) -> str:
    """The roles of who asks, and those that have the right."""
    if not who.name:
        return "show a token of this server: glm-aria registry login HOST, or GLM_ARIA_REGISTRY_TOKEN"
    held = "; ".join(f"{grant.role} in {', '.join(grant.namespaces)}" for grant in who.grants) or "nothing"
    needed = ", ".join(role for role, rights in RIGHTS.items() if right in rights)
    return f"it is {held}; to {right} there takes one of the roles {needed}"


def check_patterns(patterns: Iterable[str]) -> None:
    """Refuse what is no pattern of namespaces. Raises ValueError."""
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f"{pattern!r} is no pattern of namespaces such as 'team-*' or 'datasets/team/*'")


def matches(patterns: Iterable[str], repo: RepoId) -> bool:
    """True when a repo is in the namespaces of one of these patterns."""
    return any(_matches(pattern, repo) for pattern in patterns)


def _matches(pattern: str, repo: RepoId) -> bool:
    wanted = pattern.casefold().split("/")
    if len(wanted) == 1:
        return fnmatchcase(repo.name.partition("/")[0].casefold(), wanted[0])
    parts = repo.url_path.casefold().split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
