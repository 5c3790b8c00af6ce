"""The registries of a run: what each demands of whom, and the tokens that they gave.

A token is asked for when a registry demands one, for the scopes at hand, kept until it is about to end, and sent to
that registry alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.core.registries import Repository
from orchestrator.errors import NotAllowedError, ProtocolError
from orchestrator.net import shapes
from orchestrator.net.addresses import place, split
from orchestrator.net.answers import Answer
from orchestrator.net.credentials import Credentials
from orchestrator.net.failures import blaming
from orchestrator.net.session import Net
from orchestrator.oci.login import (
    PULL,
    Login,
    Logins,
    Scopes,
    choose,
    command,
    for_realm,
    for_registry,
    login_at,
    parse_challenges,
    repositories,
    scope,
    token_url,
)

MOST = 4 * 1024 * 1024
"""Bytes of a manifest, which is what the specification asks a registry to take, and of any other answer."""
_USUAL_LIFE = 60.0
_LONGEST_LIFE = 3600.0

Issue = Callable[[Scopes], str]
"""Makes a bearer for scopes, for who issues the registry's tokens itself."""
Vouch = Callable[[Repository], None]
"""Calls `Registries.introduce` if the repository is one for which a server issues tokens. Raises what asking the server
does, and NotAllowedError where the user may not read it."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """The way to a registry with what it asked for, until a moment of the monotonic clock."""

    net: Net
    until: float
    has_login: bool


class Registries:
    """The registries of a run, and the logins of its user. Thread-safe.

    `logins` are asked for when a registry demands one. `clock` is monotonic seconds.
    """

    def __init__(
        self,
        net: Net,
        logins: Callable[[], Logins] = dict,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.net = net.carrying(Credentials(), body=MOST)
        self._logins = logins
        self._clock = clock
        self._lock = threading.Lock()
        self._issues: dict[str, Issue] = {}
        self._introduced: dict[str, Login] = {}
        self._vouching: dict[str, Vouch] = {}
        self._passes: dict[tuple[str, Scopes], _Pass] = {}

    def ask(self, registry: str, scopes: Scopes, ask: Callable[[Net], Answer]) -> Answer:
        """The answer of `ask`, which is called again with a login if the registry demands one."""
        return self._asked(registry, scopes, ask)[0]

    def reader(self, repository: Repository, blob: str) -> Net:
        """The way to the blobs of a repository, with what the registry demands of who reads.

        It is found out by asking for the blob at this address, once.
        """
        scopes = (scope(repository, PULL),)
        known = self._known(repository.registry, scopes)
        # What was kept of it may be forgotten by another thread at once.
        return known or self._asked(repository.registry, scopes, lambda net: net.exchange("HEAD", blob))[1]

    def is_closed(self, repository: Repository) -> bool:
        """True when the repository was read with a login, or with a bearer of our own, so that it may be closed to
        others."""
        if place(repository.registry) in self._issues:
            return True
        with self._lock:
            found = self._passes.get((repository.registry, (scope(repository, PULL),)))
        return found is not None and found.has_login

    def login(self, url: str) -> Login | None:
        """The user's login at the server of this address."""
        return login_at(self._logins(), url)

    def has_login(self, registry: str) -> bool:
        """True when a registry that demands a login is shown one."""
        return self._login_for(registry) is not None

    def issue_for(self, registry: str, issue: Issue) -> None:
        """Ask a registry with bearers that are made here: who issues its tokens needs no login."""
        self._issues[place(registry)] = issue

    def introduce(self, registry: str, login: Login, realm: str) -> None:
        """Log in so at a registry that a server named whose login this is: at its own token service, `realm`, alone."""
        self._introduced[place(registry)] = replace(login, realm=realm, is_for_realm=True)

    def consult(self, issuer: str, vouch: Vouch) -> None:
        """Have `vouch` say which registries are those of the server at `issuer`, when one wants tokens of it."""
        self._vouching[place(issuer)] = vouch

    def forget(self, repository: Repository) -> None:
        """Find out again what the registry demands of who reads the repository."""
        with self._lock:
            self._passes.pop((repository.registry, (scope(repository, PULL),)), None)

    def _asked(self, registry: str, scopes: Scopes, ask: Callable[[Net], Answer]) -> tuple[Answer, Net]:
        """The answer of `ask`, and the way on which it came."""
        known = self._known(registry, scopes)
        answer = ask(known or self.net)
        if answer.status == 401 and place(registry) not in self._issues:
            admitted = self._admitted(answer, registry, scopes)
            return ask(admitted), admitted
        if known is None:
            with self._lock:
                self._passes[(registry, scopes)] = _Pass(self.net, self._clock() + _LONGEST_LIFE, has_login=False)
        return answer, known or self.net

    def _known(self, registry: str, scopes: Scopes) -> Net | None:
        """The way that is ours, or was given, for the scopes; None before, and when it is about to end."""
        if (issue := self._issues.get(place(registry))) is not None:
            return self.net.carrying(Credentials(issue(scopes), frozenset({place(registry)})))
        with self._lock:
            found = self._passes.get((registry, scopes))
        return found.net if found and self._clock() < found.until else None

    def _login_for(self, registry: str) -> Login | None:
        return self.login(registry) or self._introduced.get(place(registry))

    def _admitted(self, answer: Answer, registry: str, scopes: Scopes) -> Net:
        host = split(registry).netloc
        if place(answer.url) != place(registry):
            raise ProtocolError(f"{split(answer.url).netloc} asks for a login, and is not {host}", source=host)
        challenge = choose(parse_challenges(answer.headers.get("WWW-Authenticate", "")), registry)
        login = self._login_for(registry)
        begun = self._clock()
        if challenge.scheme == "basic":
            admitted = _Pass(self.net.carrying(for_registry(login, registry)), begun + _LONGEST_LIFE, has_login=True)
        else:
            url = token_url(challenge, registry, scopes)
            login = login or self._vouched(url, registry, scopes)
            token, life = self._token(url, login, registry)
            bearer = Credentials(token, frozenset({place(registry)}))
            # A token is renewed while it still has a quarter of its life.
            admitted = _Pass(self.net.carrying(bearer), begun + 0.75 * life, has_login=login is not None)
        with self._lock:
            self._passes[(registry, scopes)] = admitted
        return admitted.net

    def _vouched(self, url: str, registry: str, scopes: Scopes) -> Login | None:
        """The login at the server that is to issue a token, if it says that this registry is its own. Any other could
        name it, and use the token that it is shown at the right one."""
        if (vouch := self._vouching.get(place(url))) is not None:
            for name in repositories(scopes):
                vouch(Repository(registry, name))
        return self._introduced.get(place(registry))

    def _token(self, url: str, login: Login | None, registry: str) -> tuple[str, float]:
        """A token of a registry's service, and the seconds that it lives."""
        host = split(registry).netloc
        with blaming(host):
            answer = self.net.carrying(for_realm(login, registry, url)).get_json(url)
            if answer.status in (401, 403):
                said = "does not accept your login" if login else "asks for a login"
                raise NotAllowedError(f"{host} {said}", hint=command(host))
            found = shapes.mapping(answer.value, host, "the token")
            token = found.get("token") or found.get("access_token")
            if not isinstance(token, str) or not token:
                raise shapes.odd(host, "its token service sent no token")
            life = found.get("expires_in")
            return token, min(life, _LONGEST_LIFE) if type(life) is int and life > 0 else _USUAL_LIFE
