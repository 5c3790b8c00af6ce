"""Through which proxy a site is asked: one decision for Python, git and aria2. Pure: reads no environment.

The proxy belongs to the site, not to the host: a link to a CDN that a mirror gave is followed through the mirror's
proxy. This machine, and what `no_proxy` names, is never asked through one.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from orchestrator.core.addresses import is_this_machine, parse_place
from orchestrator.errors import ConfigError

NONE = "none"
_FORM = "must be an address such as http://proxy.example:3128, or none"
_CODED = f"{_FORM}; @ : / ? # % in a password are written %40 %3A %2F %3F %23 %25"
_SOCKS = "SOCKS is not supported, since aria2 does not know it"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `user` and `password` are as they are said to it, not percent-encoded; `origin` set it."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    origin: str = field(default="", compare=False)

    @property
    def place(self) -> str:
        """`host:port`, which may be shown."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address with the login. Never to be shown."""
        login = quote(self.user, safe="") + (":" + quote(self.password, safe="") if self.password else "")
        return f"http://{login}@{self.place}" if login else f"http://{self.place}"

    @property
    def authorization(self) -> str | None:
        """The value of Proxy-Authorization (RFC 7617 with UTF-8); None without a login."""
        login = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(login).decode()}" if self.user or self.password else None


def parse_proxy(text: str, origin: str = "") -> Proxy | None:
    """The proxy of an address, None for `none`. Raises ValueError with a message that does not quote the address."""
    text = text.strip()
    if text.lower() == NONE:
        return None
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme.startswith("socks"):
        raise ValueError(f"{_SOCKS}; programs that offer SOCKS mostly have an HTTP port, too: {_FORM}")
    if scheme == "https":
        raise ValueError(f"aria2 speaks plain http to a proxy, and would send the password unencrypted; {_FORM}")
    if scheme not in ("", "http"):
        raise ValueError(_CODED)
    # What does not belong to an address stands in the login only, which goes on percent-encoded.
    login, at, rest = text.partition("://")[2 if scheme else 0].rpartition("@")
    try:
        user, _, password = login.partition(":")
        user, password = unquote(user, errors="strict"), unquote(password, errors="strict")
        place = parse_place(rest.removesuffix("/"))
    except ValueError as error:
        raise ValueError(_CODED) from error
    if any(mark in login for mark in "/?#") or (at and not user):
        raise ValueError(_CODED)
    if ":" in user or not (user + password).isprintable() or not login.isprintable() or " " in login:
        raise ValueError("the login holds a character that it must not hold")
    return Proxy(place.host.lower(), 80 if place.port is None else place.port, user, password, origin)


# Nobody but the superuser may listen there: who is sent that way fails, and does not go around it.
_UNUSABLE = Proxy("127.0.0.1", 1)


@dataclass(frozen=True, slots=True)
class Way:
    """The proxies of one site for each scheme (None is direct), and what is asked directly all the same."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy of each host.

    `sites` maps the base address of a site to its proxy, None for none at all; the empty address stands for all that
    are not named. Where it says nothing, `environment` does: proxy addresses by scheme, and under `all`. `no_proxy` are
    hosts (with all below them), `host:port`s, networks (`10.0.0.0/8`), or `*`.
    """

    sites: Mapping[str, Proxy | None] = field(default_factory=dict)
    environment: Mapping[str, str] | None = None
    no_proxy: tuple[str, ...] = ()

    def route(self, url: str, home: str | None = None) -> Proxy | None:
        """The proxy for `url`, to which the site at `home` led; None for a direct way.

        Raises ConfigError when the environment names a proxy that cannot be used.
        """
        return None if self._is_direct(url) else self._proxy(home or url, urlsplit(url).scheme)

    def way(self, home: str) -> Way | None:
        """The proxy settings for a program that follows redirects by itself; None to let it decide."""
        if self.environment is None and self._site(home) is None:
            return None
        if "*" in self.no_proxy:
            return Way()
        scheme = urlsplit(home).scheme or "https"
        try:
            mine = self._proxy(home, scheme)
        except ConfigError:
            if not self._is_direct(home):
                raise
            mine = _UNUSABLE  # only a redirect to what is not exempt would go that way, and must not go past it
        other = mine
        if self._site(home) is None:
            try:
                other = self._proxy(home, "http" if scheme == "https" else "https")
            except ConfigError:
                other = mine  # needed only after a redirect to the other scheme
        http, https = (mine, other) if scheme == "http" else (other, mine)
        return Way(http, https, ("localhost", "127.0.0.0/8", "::1", *_as_suffixes(self.no_proxy)))

    def _is_direct(self, url: str) -> bool:
        host = (urlsplit(url).hostname or "").lower()
        return is_this_machine(host) or any(_covers(entry, host, _port(url)) for entry in self.no_proxy)

    def _site(self, home: str) -> str | None:
        named = [site for site in self.sites if not site or home == site or home.startswith(f"{site}/")]
        return max(named, key=len, default=None)

    def _proxy(self, home: str, scheme: str) -> Proxy | None:
        site = self._site(home)
        if site is not None:
            return self.sites[site]
        for name in (scheme, "all"):
            text = (self.environment or {}).get(name, "").strip()
            if text:
                origin = f"environment {name.upper()}_PROXY"
                try:
                    return parse_proxy(text, origin)
                except ValueError as error:
                    hint = "set another with --proxy URL, or --proxy none"
                    raise ConfigError(f"{origin}: {error}", hint=hint) from error
        return None


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _covers(entry: str, host: str, port: int) -> bool:
    """True when an entry of `no_proxy` means the host: itself, all below it, or the network that it is in."""
    entry = entry.lower().rstrip(".")
    if entry == "*":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name, colon, only = entry.partition(":")
        name = name.removeprefix("*").removeprefix(".")
        is_meant = bool(name) and (host == name or host.endswith(f".{name}"))
        return is_meant and (not colon or only == str(port))
    try:
        return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return entry in (f"{host}:{port}", f"[{host}]:{port}")


def is_exemption(entry: str) -> bool:
    """True for what an entry of `no_proxy` can be: `*`, a host with a dot or `*.` before it or not, or a network."""
    if entry == "*":
        return True
    try:
        ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        try:
            parse_place(entry.removeprefix("*").removeprefix(".").rstrip("."))
        except ValueError:
            return False
    return True


def _as_suffixes(entries: tuple[str, ...]) -> list[str]:
    """As aria2 reads them: a name is only itself, and with a dot before it only what is below it."""
    found: list[str] = []
    for entry in entries:
        try:
            ipaddress.ip_network(entry.strip("[]"), strict=False)
            found.append(entry.strip("[]"))
        except ValueError:
            name = entry.lower().removeprefix("*").removeprefix(".")
            if name and ":" not in name:
                found += [name, f".{name}"]
    return found
