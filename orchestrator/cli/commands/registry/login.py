"""`glm-aria registry login` and `logout`: who you are at a registry."""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass
from typing import Annotated

import click

from orchestrator.cli import options as shared
from orchestrator.cli import terminal
from orchestrator.cli.named_config import CONFIG
from orchestrator.cli.typed import argument, option, takes
from orchestrator.core.text import printable
from orchestrator.errors import NotFoundError, UsageError
from orchestrator.oci.login import Login
from orchestrator.system import streams

_LONGEST = 16384


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """The options of `registry login`."""

    host: Annotated[str, argument("HOST")]
    user: Annotated[
        str, option("-u", "--user", metavar="NAME", default="token", show_default=True, help="Your name there.")
    ]
    realm: Annotated[
        str | None,
        option("--realm", metavar="URL", help="The token service on another host that the registry may send it to."),
    ]
    config: Annotated[str | None, CONFIG]


@dataclass(frozen=True, slots=True)
class LogoutOptions:
    """The options of `registry logout`."""

    host: Annotated[str, argument("HOST")]


@click.command()
@takes(LoginOptions)
def login(options: LoginOptions) -> int:
    """Log in at a registry (HOST or HOST:PORT), with a password or a token from the terminal or from stdin.

    It is tried first, then kept in a file that you alone may read, beside your settings. It goes to HOST, to a token
    service on it, and to the one of --realm; to no other server, whatever a registry says. Logins of docker, podman and
    skopeo are found without this.
    """
    from orchestrator.app.logins import log_in

    settings = shared.settings(options)
    password = _password(options)
    kept = log_in(settings, options.host, Login(options.user, password, options.realm))
    if kept.was_tried:
        terminal.say(printable(f"logged in at {options.host} as {kept.name}; kept in {kept.file}"))
    else:
        terminal.say(printable(f"{options.host} asks for no login, so yours was not tried; kept in {kept.file}"))
    return 0


@click.command()
@takes(LogoutOptions)
def logout(options: LogoutOptions) -> int:
    """Forget a login that `registry login` kept."""
    from orchestrator.app.logins import log_out

    if not log_out(options.host):
        raise NotFoundError(f"there is no login of glm-aria's at {options.host!r}")
    terminal.say(printable(f"logged out of {options.host}"))
    return 0


def _password(options: LoginOptions) -> str:
    """A line that is not shown, from the terminal or from stdin."""
    if streams.is_missing(sys.stdin):
        raise UsageError("there is no stdin to read the password from")
    if sys.stdin.isatty():
        found = getpass.getpass(f"Password or token of {options.user} at {options.host}: ")
    else:
        found = sys.stdin.readline(_LONGEST)
    if not found.strip():
        raise UsageError("the password is empty")
    return found.strip()
