"""The entrance of a server: who needs a token, which tokens are known, and that it does not ask itself."""

from __future__ import annotations

import ipaddress
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult

from orchestrator.errors import ConfigError, UsageError
from orchestrator.events import Emit, Notice
from orchestrator.net.addresses import split
from orchestrator.net.own_addresses import addresses_of, is_own
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.app.house import House
    from orchestrator.serve.access.door import Door
    from orchestrator.serve.access.identities import Identities
    from orchestrator.serve.http.certificates import ServerCertificate
    from orchestrator.serve.server import ListenAddress

Auth = Literal["tokens", "none"]


@dataclass(frozen=True, slots=True)
class Entrance:
    """The way in for clients: where they connect (`HOST:PORT`), the path below which they ask, and who needs a token.

    Without `auth` those need one who come from elsewhere. `own_token` is that of the user who runs the server; without
    one all clients are programs of that user's, who alone know the prefix. `certificate` and `key` are PEM files.
    """

    listen: str
    prefix: str = ""
    auth: Auth | None = None
    certificate: Path | None = None
    key: Path | None = None
    own_token: str = field(default="", repr=False)

    @property
    def is_own(self) -> bool:
        """True when the only clients are programs of the user who runs the server."""
        return not self.own_token

    def url(self, address: ListenAddress, names: Sequence[str] = ()) -> str:
        """The address for clients, who are to know this machine by the first of its names, if that leads to it."""
        is_named = names and (self.certificate is not None or not address.is_loopback)
        return (address.url_at(names[0]) if is_named else address.url) + self.prefix

    def near(self, address: ListenAddress, names: Sequence[str] = ()) -> str:
        """The address for programs on this machine: by a name in the certificate, else by loopback if that leads there,
        so that no token goes over a network in plain."""
        if self.certificate is not None or address.host not in ("0.0.0.0", "::"):  # noqa: S104 - all addresses
            return self.url(address, names if self.certificate is not None else ())
        return address.url_at("127.0.0.1" if address.host == "0.0.0.0" else "::1") + self.prefix  # noqa: S104

    def certified(self, emit: Emit) -> ServerCertificate | None:
        """The certificate to show, if there is one. Raises ConfigError for one that cannot be used."""
        from orchestrator.serve.http.certificates import ServerCertificate

        if self.certificate is None or self.key is None:
            return None
        return ServerCertificate(self.certificate, self.key, emit)

    def needs_token(self, addresses: Sequence[ListenAddress], emit: Emit) -> bool:
        """True when nobody gets anything without a token, at any of these. Warns where others could reach the server
        without one."""
        reached = [address for address in addresses if not address.is_loopback]
        if self.auth is None:
            return bool(reached)
        if self.auth == "none":
            for address in reached:
                emit(
                    Notice(
                        "open-to-all",
                        f"everybody who can reach {address.host} port {address.port} may read what is served, have any "
                        "open repo fetched, and fill the disk with it (--auth none)",
                    )
                )
        return self.auth == "tokens"

    def door(self, settings: Settings, address: ListenAddress, house: House, emit: Emit) -> Door:
        """The door of a house, which knows the tokens of its cache.

        Raises UsageError where a token is needed, and there is none; DiskIOError where they cannot be read.
        """
        from orchestrator.serve.access.callers import OPERATOR
        from orchestrator.serve.access.clients import ClientLimits
        from orchestrator.serve.access.door import Door
        from orchestrator.serve.access.keyring import Keyring
        from orchestrator.serve.access.tokens import TokenFile, hashed
        from orchestrator.serve.server import parse_listen

        limits = ClientLimits(settings.serve_client_connections, settings.serve_client_speed)
        if self.is_own:
            return Door(limits, hosts=settings.serve_hosts, is_own=True)
        # One door for both, so who lets other machines in at one needs tokens at the other, too.
        spoken_at = (parse_listen(text) for text in (settings.serve_registry_grpc,) if text)
        needs_token = self.needs_token((address, *spoken_at), emit)
        file = TokenFile(house.state_dir)
        grants = file.grants()  # what cannot be read is told before anybody is turned away
        if needs_token and not any(grant.caller_at(time.time()) for grant in grants):
            whose = f" --cache-dir {shlex.quote(str(settings.cache_dir))}" if _is_said(settings) else ""
            raise UsageError(
                "clients would need a token, and there is none that is valid",
                hint=f"make one: glm-aria token create NAME{whose}; or let everybody in: --auth none",
            )
        keyring = Keyring(file, {hashed(self.own_token): OPERATOR}, write=house.later, emit=emit)
        return Door(
            limits,
            keyring,
            hosts=settings.serve_hosts,
            needs_token=needs_token,
            takes_hub_tokens=settings.serve_gated == "hub",
            identities=_identities(settings),
        )


def _identities(settings: Settings) -> Identities:
    """The people whom proxies name. Raises ConfigError for a group that cannot be read, and for groups without a proxy
    that would be believed."""
    from orchestrator.serve.access.identities import Identities, parse_group

    if settings.serve_groups and not settings.serve_proxies:
        raise ConfigError(
            "serve.groups names groups, and there is no proxy that would be believed when it names one",
            hint="name it: serve.proxies, or --trusted-proxy ADDRESS",
        )
    try:
        return Identities(map(parse_group, settings.serve_groups))
    except ValueError as error:
        raise ConfigError(f"{settings.origins.get('serve_groups', 'serve.groups')}: {error}") from error


def _is_said(settings: Settings) -> bool:
    return settings.origins.get("cache_dir", "").startswith("--")


def asking(settings: Settings) -> Settings:
    """The settings with which a server asks the root: with its user's token only where callers have rights to what that
    opens. Raises UsageError without a token that the root may be sent."""
    if settings.serve_gated == "off":
        return replace(settings, token=None)
    if not settings.offline and (settings.token is None or settings.token_withheld):
        raise UsageError(
            settings.token_withheld or "gated repos are fetched with your token of the Hub, and there is none",
            hint="log in: hf auth login; or serve open repos only: --gated off",
        )
    return settings


def refuse_itself(settings: Settings, address: ListenAddress) -> None:
    """Raise UsageError where a source is the server that listens there, also by a name of its own, which may lead to a
    proxy before it: it would ask itself without an end."""
    hints = {
        "root": "name the Hub that it shall ask: --root https://huggingface.co",
        "mirrors": "take it out of the mirrors",
    }
    for name, sources in (("root", (settings.root,)), ("mirrors", settings.mirrors)):
        for source in sources:
            there = split(source.url)
            if _is_same(there, address) or there.hostname in settings.serve_hosts:
                origin = settings.origins.get(name, "settings")
                raise UsageError(f"{source.url} is this server's own address ({origin})", hint=hints[name])


def _is_same(there: SplitResult, own: ListenAddress) -> bool:
    """True for any path of a server of the same port, whose name leads to where this one listens."""
    default = 443 if there.scheme == "https" else 80
    if (there.scheme, there.port or default) != (own.scheme, own.port):
        return False
    listened = ipaddress.ip_address(own.host)
    found = addresses_of(there.hostname or "")
    return any(is_own(address) for address in found) if listened.is_unspecified else own.host in found
