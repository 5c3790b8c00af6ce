"""The user's logins at registries, and at the servers that name models in them."""

from __future__ import annotations

from pathlib import Path

from orchestrator.app.compose import proxies_of
from orchestrator.core.addresses import parse_place
from orchestrator.core.registries import address_of
from orchestrator.errors import ConfigError, NotAllowedError, UsageError
from orchestrator.net.session import Net
from orchestrator.oci.login import Login, command
from orchestrator.oci.logins import keep_login, own_file
from orchestrator.oci.registries import Registries
from orchestrator.settings import Settings


def log_in(settings: Settings, host: str, login: Login) -> Path:
    """Keep a login after the server took it; the file that it is kept in.

    Raises UsageError for what is no `HOST[:PORT]`, NotAllowedError when the server refuses the login, ConfigError, and
    what `Net` raises.
    """
    where = _host(host)
    registry = address_of(where)
    with Net(proxies=proxies_of(settings), ca_bundle=settings.ca_bundle) as net:
        answer = Registries(net, lambda: {where: login}).ask(
            registry, (), lambda way: way.exchange("GET", f"{registry}/v2/")
        )
    if answer.status in (401, 403):
        raise NotAllowedError(f"{where} does not accept this login; it is not kept", hint=command(where))
    file = _file()
    keep_login(file, where, login)
    return file


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
