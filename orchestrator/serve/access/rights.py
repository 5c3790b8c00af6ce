"""Rights of callers: one table of roles, each held in the namespaces of its caller. No I/O.

A namespace is what stands before the slash of a repo's name. A pattern without a slash (`team-*`) is matched with
it, or with the whole name of a repo that has none; one with slashes with the path of the repo, part by part
(`team/model-*`, `datasets/team/*`). Names on a Hub differ by more than their case, so that is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from orchestrator.core.refs import RepoId
from orchestrator.serve.http.refusals import Refused

EVERYWHERE = ("*",)
"""The patterns of a caller whose role holds for all repos."""


class Right(StrEnum):
    """Something that a caller may do with a repo, or with the server (COMMAND)."""

    READ = "read"  # get what is in the cache
    FETCH = "fetch"  # have the server ask and fetch upstream
    PUBLISH = "publish"
    PROMOTE = "promote"
    COMMAND = "command"


class Role(StrEnum):
    """Roles of callers."""

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
class Caller:
    """One who asks: a `name` ("" for one who showed no token), and a role (None: no right at all) in namespaces.

    `restricted` is the right to what is gated or private there. `hub_token` is a token of the Hub's that came along,
    for the root alone. Limits count by `client`.
    """

    name: str = ""
    role: Role | None = None
    namespaces: tuple[str, ...] = EVERYWHERE
    restricted: bool = False
    client: str = ""
    hub_token: str | None = field(default=None, repr=False)

    def may(self, right: Right, repo: RepoId) -> bool:
        """True when the role has this right in the repo's namespace."""
        return self._can(right) and any(_matches(pattern, repo) for pattern in self.namespaces)

    def may_read(self, repo: RepoId, *, restricted: bool = False) -> bool:
        """True when what is cached of the repo may be given to the caller."""
        return self.may(Right.READ, repo) and (self.restricted or not restricted)

    def may_fetch(self, repo: RepoId) -> bool:
        """True when the caller may have others asked about the repo, and its files fetched."""
        return self.may(Right.FETCH, repo)

    @property
    def is_admin(self) -> bool:
        """True when the caller may command the server."""
        return self._can(Right.COMMAND) and self.namespaces == EVERYWHERE

    @property
    def may_view(self) -> bool:
        """True when the caller may see what the server does for all: which repos it has, and who asks for them."""
        return self._can(Right.READ) and self.namespaces == EVERYWHERE

    def deny(self, what: str, code: str = "") -> Refused:
        """The refusal of what is not done for the caller: `what` says so. Who showed no token is asked for one."""
        if self.role is None or not self.name:
            hint = "a client without a token of this server: set HF_TOKEN or MODELSCOPE_API_TOKEN to one"
            return Refused(401, f"{what} for {hint}", code, {"WWW-Authenticate": "Bearer"})
        return Refused(403, f"{what} for the token {self.name!r} ({self.role.value})", code)

    def _can(self, right: Right) -> bool:
        return self.role is not None and right in RIGHTS[self.role]


NOBODY = Caller()
"""Who showed no token where one is needed."""
ANYBODY = Caller(role=Role.PULLER)
"""A client of a server that needs no tokens."""
OPERATOR = Caller(role=Role.ADMIN, restricted=True)
"""Programs of the user who runs the server."""


def _matches(pattern: str, repo: RepoId) -> bool:
    wanted = pattern.casefold().split("/")
    if len(wanted) == 1:
        return fnmatchcase(repo.name.partition("/")[0].casefold(), wanted[0])
    parts = repo.url_path.casefold().split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
