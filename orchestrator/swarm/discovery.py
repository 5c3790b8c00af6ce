"""Discovery of peers on the local network by multicast DNS (RFC 6762, 6763): `_glm-aria._tcp.local`.

A node announces its address and a mark of its fleet, and nothing of what it has or fetches. What others announce is an
address to try, no more: who has the key of the fleet shows only when it answers. zeroconf is imported here alone.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from orchestrator.errors import ConfigError, GlmAriaError
from orchestrator.events import Emit, Notice
from orchestrator.system import threads

if TYPE_CHECKING:
    from zeroconf import InterfaceChoice, ServiceInfo, Zeroconf

SERVICE = "_glm-aria._tcp.local."
_MOST_NODES = 256
_MOST_ADDRESSES = 4
_ANSWER_MS = 3000
_CLOSE_SECONDS = 2.0
_NO_MULTICAST = Notice(
    "no-multicast",
    "no peer can be found on this network: the system refuses multicast here; name the peers instead, with --peer",
)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A node as it announces itself: name, port, scheme of its address, and the `marks` of its fleet. `host` is
    where it listens; all its addresses are announced when that is none in particular."""

    node: str
    host: str
    port: int
    marks: tuple[str, ...]
    scheme: str = "http"


class Discovery:
    """Announces this node and finds the others of its fleet, until it is closed. Loads no library before its thread
    runs: check with `refuse_missing` that it is there."""

    def __init__(
        self,
        own: Announcement,
        emit: Emit,
        *,
        interfaces: Sequence[str] | InterfaceChoice | None = None,
    ) -> None:
        self._own = own
        self._emit = emit
        self._interfaces = interfaces
        self._lock = threading.Lock()
        self._found: Mapping[str, tuple[str, ...]] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)

    def __enter__(self) -> Self:
        threads.start(self._thread)
        return self

    def __exit__(self, *_exc: object) -> None:
        """Take the announcement back. Waits for that for a moment only: what is not taken back expires."""
        self._is_over.set()
        self._thread.join(_CLOSE_SECONDS)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses (`http://HOST:PORT`) of all that were found and have not taken leave."""
        with self._lock:
            return tuple(address for found in self._found.values() for address in found)

    def _run(self) -> None:
        from zeroconf import Error, ServiceBrowser

        network = None
        try:
            network = _opened(self._interfaces)
            browser = ServiceBrowser(network, SERVICE, handlers=[self._changed])
            with contextlib.suppress(Error):  # somebody who has this name already is no reason not to look
                network.register_service(self._announced(), cooperating_responders=True)
            self._is_over.wait()
            browser.cancel()
        except (OSError, RuntimeError, Error, GlmAriaError):
            self._emit(_NO_MULTICAST)
        finally:
            if network is not None:
                network.close()

    def _announced(self) -> ServiceInfo:
        from zeroconf import ServiceInfo

        own = self._own
        return ServiceInfo(
            SERVICE,
            f"{own.node}.{SERVICE}",
            port=own.port,
            properties={"f": ",".join(own.marks), "s": own.scheme},
            server=f"{own.node}.local.",
            parsed_addresses=_own_addresses(own.host),
        )

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: object) -> None:
        """Called by the thread of the browser for each node that comes, changes, or goes."""
        from zeroconf import ServiceInfo, ServiceStateChange

        addresses: tuple[str, ...] = ()
        if state_change is not ServiceStateChange.Removed:
            info = ServiceInfo(service_type, name)
            if not info.request(zeroconf, _ANSWER_MS) or not self._is_of_ours(info):
                return
            addresses = _addresses(info)
        with self._lock:
            found = {node: known for node, known in self._found.items() if node != name}
            if addresses and len(found) < _MOST_NODES:
                found[name] = addresses
            self._found = found

    def _is_of_ours(self, info: ServiceInfo) -> bool:
        marks = (info.properties.get(b"f") or b"").decode("ascii", "replace").split(",")
        return info.name != f"{self._own.node}.{SERVICE}" and bool({*marks} & {*self._own.marks})


def refuse_missing() -> None:
    """Raise ConfigError where the library is not installed."""
    try:
        import zeroconf  # noqa: F401
    except ImportError:
        raise ConfigError(
            "to find peers on the local network takes zeroconf, which is not installed",
            hint="pip install 'glm-aria[fleet]', or name the peers: --peer HOST:PORT",
        ) from None


def _opened(interfaces: Sequence[str] | InterfaceChoice | None) -> Zeroconf:
    """IPv4 and IPv6 on all interfaces, or what of that the system has. Raises OSError."""
    from zeroconf import InterfaceChoice, IPVersion, Zeroconf

    if interfaces is not None:
        return Zeroconf(interfaces=interfaces)
    for version in (IPVersion.All, IPVersion.V4Only):
        with contextlib.suppress(OSError, RuntimeError):
            return Zeroconf(interfaces=InterfaceChoice.All, ip_version=version)
    return Zeroconf(interfaces=InterfaceChoice.Default, ip_version=IPVersion.V6Only)


def _own_addresses(host: str) -> list[str]:
    """The addresses under which others reach a server that listens at `host`; those of this machine alone only where
    there are no others."""
    import ifaddr  # comes with zeroconf

    if not ipaddress.ip_address(host).is_unspecified:
        return [host]
    has_6 = ":" in host
    every = [
        ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if ip.is_IPv4 or has_6
    ]
    return [str(ip) for ip in every if not ip.is_loopback and not ip.is_link_local] or [
        str(ip) for ip in every if ip.is_loopback
    ]


def _addresses(info: ServiceInfo) -> tuple[str, ...]:
    """The addresses of a node, IPv4 first. A link-local one of IPv6 means nothing without its interface, and aria2 has
    no way to say that."""
    from zeroconf import IPVersion

    scheme = (info.properties.get(b"s") or b"http").decode("ascii", "replace")
    if scheme not in ("http", "https") or not info.port:
        return ()
    found = [ipaddress.ip_address(text) for text in info.parsed_addresses(IPVersion.All)]
    usable = sorted({ip for ip in found if not (ip.is_link_local and ip.version == 6)}, key=lambda ip: ip.version)
    hosts = [f"[{ip}]" if ip.version == 6 else str(ip) for ip in usable[:_MOST_ADDRESSES]]
    return tuple(f"{scheme}://{host}:{info.port}" for host in hosts)
