"""Callers: those who ask a server, with what they may do, and the refusal of what they may not."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.core.dialects import OWN
from orchestrator.core.refs import Ref
from orchestrator.rights import Role, RoleGrant, Subject
from orchestrator.serve.http.refusals import Refused

USER = "user:"
"""What stands before the names of people whom a proxy logged in: no token is called so."""


@dataclass(frozen=True, slots=True)
class Caller(Subject):
    """One who asks a server. `hub_token` is a token of the Hub's that came along, for the root alone. Limits count by
    `client`."""

    client: str = ""
    hub_token: str | None = field(default=None, repr=False)

    def may_have(self, ref: Ref) -> bool:
        """True when what is not here may be asked for and fetched for the caller: of a model in the registry, whose
        place it is, all that the caller may read."""
        return self.may_read(ref.repo) if ref.catalog is OWN else self.may_fetch(ref.repo)

    def deny(self, what: str, code: str = "") -> Refused:
        """The refusal of what is not done for the caller: `what` says so. Who showed no token is asked for one."""
        if not self.name:
            hint = "a client without a token of this server: set HF_TOKEN or MODELSCOPE_API_TOKEN to one"
            return Refused(401, f"{what} for {hint}", code, {"WWW-Authenticate": "Bearer"})
        who = repr(self.name) if self.name.startswith(USER) else f"the token {self.name!r}"
        return Refused(403, f"{what} for {who} ({self.roles})", code)


NOBODY = Caller()
"""Who showed no token where one is needed."""
ANYBODY = Caller(grants=(RoleGrant(Role.PULLER),))
"""A client of a server that needs no tokens."""
OPERATOR = Caller(grants=(RoleGrant(Role.ADMIN),), restricted=True)
"""Programs of the user who runs the server."""
