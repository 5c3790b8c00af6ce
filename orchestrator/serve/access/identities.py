"""People whom a trusted proxy names: users of a company's identity provider, with roles by their groups.

The proxy (oauth2-proxy, Authelia, an ingress) has logged them in, and says who they are in headers; or it passes on
their token of OpenID Connect, whose claims say the same. Both count only from a proxy that the settings name, which has
to take such headers out of what its own clients send.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from orchestrator.lists.json_text import parse_json
from orchestrator.rights import Role, RoleGrant
from orchestrator.serve.access.callers import USER, Caller
from orchestrator.serve.http.answers import Request

_NAMES = ("x-forwarded-preferred-username", "x-forwarded-user", "x-forwarded-email", "remote-user")
_GROUPS = ("x-forwarded-groups", "remote-groups")
_TOKENS = ("x-forwarded-id-token", "x-forwarded-access-token")
_CLAIMS = ("preferred_username", "email", "sub")
_LONGEST = 128
"""Characters of a name. Who has a longer one is not known here."""
_MOST_GROUPS = 1000


def parse_group(text: str) -> tuple[str, RoleGrant]:
    """Read `GROUP=ROLE` or `GROUP=ROLE:NAMESPACE`, where several namespaces have a `+` between them. Raises
    ValueError."""
    group, equals, said = text.partition("=")
    role, colon, namespaces = said.partition(":")
    if not group or not equals or role not in tuple(Role):
        raise ValueError(f"{text!r} is not GROUP=ROLE or GROUP=ROLE:NAMESPACE with one of {', '.join(Role)}")
    return group, RoleGrant(Role(role), tuple(namespaces.split("+"))) if colon else RoleGrant(Role(role))


class Identities:
    """The people whom proxies name, with what their groups give them."""

    def __init__(self, groups: Iterable[tuple[str, RoleGrant]] = ()) -> None:
        self._grants: dict[str, tuple[RoleGrant, ...]] = {}
        for group, grant in groups:
            self._grants[group] = (*self._grants.get(group, ()), grant)

    def caller_of(self, request: Request) -> Caller | None:
        """The one for whom a proxy asks; None where it names nobody, is not believed, or no group has a role."""
        if not self._grants or not request.is_passed_on:
            return None
        claims = _claims(request.headers)
        told = _first(request.headers, _NAMES)
        name = _utf8(told) if told else _first(claims, _CLAIMS)
        if not _is_name(name):
            return None
        groups = _groups(_utf8(_first(request.headers, _GROUPS)), _texts(claims.get("groups")))
        grants = (grant for group in groups[:_MOST_GROUPS] for grant in self._grants.get(group, ()))
        return Caller(f"{USER}{name}", tuple(dict.fromkeys(grants)), client=f"user {name}")


def _is_name(name: str) -> bool:
    """False for what is no name as it stands: cut or put right, it could be somebody else's."""
    return 0 < len(name) <= _LONGEST and name.isprintable() and name == name.strip()


def _groups(told: str, claimed: list[str]) -> list[str]:
    """The groups in a header, or those in the claims, or where there are both those that are in both.

    Whose group has a comma in its name is in two groups by the header, and in one by the claims.
    """
    listed = [group.strip() for group in told.split(",")] if told else claimed
    return [group for group in listed if group in claimed] if claimed else listed


def _utf8(text: str) -> str:
    """The text in a header, whose bytes are read as Latin-1; empty for what is no UTF-8."""
    try:
        return text.encode("latin-1").decode()
    except ValueError:
        return ""


def _first(found: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((found[name] for name in names if isinstance(found.get(name), str) and found[name]), "")


def _claims(headers: Mapping[str, str]) -> Mapping[str, Any]:
    """The claims of a token that the proxy passed on. It checked the signature; we believe the proxy."""
    for part in (_first(headers, (name,)).split(".") for name in _TOKENS):
        if len(part) == 3:
            with suppress(ValueError):
                found = parse_json(base64.urlsafe_b64decode(part[1] + "=" * (-len(part[1]) % 4)))
                if isinstance(found, dict):
                    return found
    return {}


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
