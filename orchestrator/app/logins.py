"""The user's logins at registries, and at the servers that name models in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.app.compose import logins_of, proxies_of
from orchestrator.core.addresses import parse_place
from orchestrator.core.registries import Repository, address_of
from orchestrator.errors import ConfigError, NotAllowedError, ProtocolError, UsageError
from orchestrator.net import shapes
from orchestrator.net.answers import Answer
from orchestrator.net.session import Net
from orchestrator.oci.client import Client
from orchestrator.oci.login import Login, command, for_registry, for_server
from orchestrator.oci.logins import keep_login, own_file
from orchestrator.oci.registries import Registries
from orchestrator.settings import Settings
from orchestrator.system.signals import Stop


@dataclass(frozen=True, slots=True)
class KeptLogin:
    """A login that is kept in `file`; `name` is what the server calls the user. Without `was_tried` the server asked
    for no login, so nothing is known of it."""

    file: Path
    name: str
    was_tried: bool


@contextlib.contextmanager
def open_client(settings: Settings, repository: Repository, stop: Stop) -> Iterator[Client]:
    """A client of a repository, with the logins of this user."""
    with Net(proxies=proxies_of(settings), ca_bundle=settings.ca_bundle, sleep=stop.wait) as net:
        yield Client(Registries(net, partial(logins_of, settings)), repository)


def log_in(settings: Settings, host: str, login: Login) -> KeptLogin:
    """Keep a login after the server took it.

    Raises UsageError for what is no `HOST[:PORT]` and no user name, NotAllowedError when the server refuses the login,
    ProtocolError for what is no registry, ConfigError, and what `Net` raises.
    """
    if ":" in login.user:
        raise UsageError(f"{login.user!r} is no user name: it has a colon", hint="give it with -u NAME")
    where = _host(host)
    named = host.partition("://")[0] if "://" in host else ""
    address = f"{named}://{where}" if named in ("http", "https") else address_of(where)
    with Net(proxies=proxies_of(settings), ca_bundle=settings.ca_bundle) as net:
        name = _tried(net, address, where, login)
    file = _file()
    keep_login(file, where, login)
    return KeptLogin(file, name or login.user, name is not None)


def _tried(net: Net, address: str, where: str, login: Login) -> str | None:
    """The name of the user by this login; None where the server asks nobody for one."""
    ways: list[Net] = []

    def look(way: Net) -> Answer:
        ways.append(way)
        return way.exchange("GET", f"{address}/v2/")

    answer = Registries(net, lambda: {where: login}).ask(address, (), look)
    is_asked = len(ways) > 1
    if answer.status == 200 and not is_asked:
        # Some ask only those for a login who do more than to read, but refuse a wrong one at once.
        answer = net.carrying(for_registry(login, address)).exchange("GET", f"{address}/v2/")
    if answer.status == 200:
        return login.user if is_asked else None
    if answer.status == 404 and not is_asked:
        # A server of models is no registry itself; its Hub face tells whose token it is.
        answer = net.carrying(for_server(login, address)).exchange("GET", f"{address}/api/whoami-v2")
        if answer.status == 200:
            return shapes.text(shapes.mapping(answer.json, where, "the account"), "name", where, "the account")
    if answer.status in (401, 403):
        raise NotAllowedError(f"{where} does not accept this login; it is not kept", hint=command(where))
    raise ProtocolError(
        f"{answer.place} answered HTTP {answer.status}, which no registry does; the login is not kept",
        hint="check the host and the port",
        source=where,
    )


def log_out(host: str) -> bool:
    """Forget the login at a server; False if there was none of ours."""
    file = _file()
    return file.exists() and keep_login(file, _host(host), None)


def _host(text: str) -> str:
    try:
        return str(parse_place((text.partition("://")[2] or text).rstrip("/"))).lower()
    except ValueError as error:
        raise UsageError(f"{text!r} {error}", hint="write it as HOST or HOST:PORT") from error


def _file() -> Path:
    file = own_file()
    if file is None:
        raise ConfigError("this user has no home folder to keep a login in", hint="set HOME or XDG_CONFIG_HOME")
    return file
