"""Logins at OCI registries: what a registry asks for, and who may hear the user's password. No I/O.

A registry answers 401 and says how to log in (RFC 9110, section 11.6.1): with the password itself, or with a token that
a service issues for it (the distribution project's token authentication). The registry names that service, so a hostile
one could name any. The password goes to the registry's own host, to a service on it, and to the one that the user named
for this registry: to nobody else.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from orchestrator.core.registries import Repository
from orchestrator.errors import NotAllowedError, ProtocolError
from orchestrator.net.addresses import next_hop, place, redact, split
from orchestrator.net.credentials import Credentials, is_private

PULL = ("pull",)
PUSH = ("pull", "push")
DELETE = ("pull", "delete")
CATALOG = "registry:catalog:*"
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9_-]*)\s+(?=[A-Za-z0-9_-]+\s*=)")
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LONGEST = 8192

Scopes = tuple[str, ...]
"""What a token shall be good for, as the distribution project spells it."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user's login at a registry. `realm` is the address of a token service elsewhere that may have it, too; alone,
    without the registry itself, if the login `is_for_realm`."""

    user: str
    password: str = field(repr=False)
    realm: str | None = None
    is_for_realm: bool = False

    def hearers(self, registry: str) -> frozenset[str]:
        """The places that may hear it when this registry asks for it."""
        own = () if self.is_for_realm else (place(registry),)
        return frozenset((*own, *([place(self.realm)] if self.realm else ())))


@dataclass(frozen=True, slots=True)
class Challenge:
    """A way to log in: `bearer` with a token that `realm` issues for `service`, or `basic`."""

    scheme: str
    realm: str = ""
    service: str = ""


def login_at(logins: Logins, url: str) -> Login | None:
    """The login at the server of this address, whether or not it was kept with the port of it."""
    return logins.get(split(url).netloc.lower()) or logins.get(place(url))


def for_server(login: Login | None, url: str) -> Credentials:
    """Credentials for a server of ours, which takes the password as a token; it goes there alone."""
    return Credentials(login.password if login else None, frozenset({place(url)}))


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a `WWW-Authenticate` header, those of several headers joined by commas."""
    if len(header) > _LONGEST:
        return ()
    starts = list(_SCHEME.finditer(header))
    found = []
    for number, start in enumerate(starts, 1):
        end = starts[number].start() if number < len(starts) else len(header)
        given = {
            match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
            for match in _PARAMETER.finditer(header, start.end(), end)
        }
        found.append(Challenge(start[1].lower(), given.get("realm", ""), given.get("service", "")))
    return tuple(found)


def choose(challenges: tuple[Challenge, ...], registry: str) -> Challenge:
    """The challenge to take up: a token before the password itself. Raises ProtocolError when there is neither."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme and (challenge.realm or scheme == "basic"):
                return challenge
    host = split(registry).netloc
    raise ProtocolError(f"{host} asks for a login in a way that is not known (neither Bearer nor Basic)", source=host)


def scope(repository: Repository, actions: tuple[str, ...]) -> str:
    """The scope of these actions at a repository."""
    return f"repository:{repository.name}:{','.join(actions)}"


def repositories(scopes: Scopes) -> tuple[str, ...]:
    """The names of the repositories in scopes."""
    parts = (one.split(":") for one in scopes)
    return tuple(part[1] for part in parts if part[0] == "repository")


def token_url(challenge: Challenge, registry: str, scopes: Scopes) -> str:
    """The address that issues a token for these scopes, and for nothing else.

    They are ours: what a registry asks for could be a token for somebody else's repository.
    """
    realm = next_hop(f"{registry}/v2/", challenge.realm)
    query = urlencode([("service", challenge.service), *(("scope", one) for one in scopes)])
    return f"{realm}{'&' if split(realm).query else '?'}{query}"


def for_realm(login: Login | None, registry: str, realm: str) -> Credentials:
    """The credentials for a token service that `registry` named; none without a login.

    Raises NotAllowedError where there is a login and the service is not one that may have it.
    """
    if login is None:
        return Credentials()
    host = split(registry).netloc
    if place(realm) not in login.hearers(registry):
        raise NotAllowedError(
            f"{host} sends logins to {redact(realm)}, another server, which was not given yours",
            hint=f"if that is right: {command(host, realm)}",
            source=host,
        )
    return _basic(login, realm, host)


def for_registry(login: Login | None, registry: str) -> Credentials:
    """The credentials for a registry that asks for the password itself. Raises NotAllowedError without a login that it
    may hear."""
    host = split(registry).netloc
    if login is None or place(registry) not in login.hearers(registry):
        raise NotAllowedError(f"{host} asks for a login", hint=command(host), source=host)
    return _basic(login, registry, host)


def _basic(login: Login, url: str, host: str) -> Credentials:
    if not is_private(url):
        raise NotAllowedError(
            f"{redact(url)} asks for a login over plain http, where others can read it; yours was not sent",
            hint="give the registry a certificate, and name its authority with --ca-bundle",
            source=host,
        )
    return Credentials.basic(login.user, login.password, frozenset({place(url)}))


def command(host: str, realm: str | None = None) -> str:
    """The command that gives us the user's login at a registry, and names a token service elsewhere for it."""
    more = f" --realm {shlex.quote(realm.partition('?')[0])}" if realm else ""
    return f"glm-aria registry login {shlex.quote(host)}{more}"


Logins = Mapping[str, Login]
"""Logins by `host[:port]` of the registry."""
