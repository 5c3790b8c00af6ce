"""Who comes in: names of the server, proxies, and requests that two programs may read in two ways."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.serve.access.callers import Caller
from orchestrator.serve.access.clients import ClientLimits, client_of
from orchestrator.serve.access.door import Door
from orchestrator.serve.http.answers import Request
from orchestrator.serve.http.proxies import TrustedProxies
from orchestrator.serve.http.refusals import Refused

LIMITS = ClientLimits(requests=2)


async def _nothing() -> Any:
    raise AssertionError("nobody reads")


def request(
    host: str | None = "127.0.0.1:8090",
    *,
    at: str = "127.0.0.1",
    peer: str = "127.0.0.1",
    method: str = "GET",
    path: bytes = b"/api/models/org/m",
    prefix: str = "",
    proxies: TrustedProxies | None = None,
    **headers: str,
) -> Request:
    named = {"host": host, **headers} if host is not None else headers
    scope = {
        "method": method,
        "raw_path": path,
        "query_string": b"",
        "headers": [
            (name.replace("_", "-").encode(), (value or "").encode("latin-1")) for name, value in named.items()
        ],
        "server": (at, 8090),
        "client": (peer, 40000),
        "scheme": "http",
    }
    return Request.of(scope, prefix, _nothing, proxies or TrustedProxies())


def status(asked: Request, *hosts: str, is_own: bool = False) -> int:
    try:
        Door(LIMITS, hosts=hosts, is_own=is_own).admit(asked)
    except Refused as refused:
        return refused.status
    return 200


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "127.0.0.1", "localhost", "LocalHost:1", "[::1]:8090", None])
def test_names_of_this_machine_lead_to_a_listener_of_it(host: str | None) -> None:
    """With any port: `ssh -L 9000:127.0.0.1:8090`."""
    assert status(request(host)) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.5", "2130706433"],
)
def test_a_name_of_somebody_else_leads_nowhere(host: str) -> None:
    """A page of evil.example that leads to this machine (DNS rebinding) has that name."""
    assert status(request(host)) == 421


@pytest.mark.parametrize(
    "host", ["", "a b", "a/b", "[::1", "user@127.0.0.1", "127.0.0.1:x", "127.0.0.1:123456", "\xe4"]
)
def test_what_is_no_name_leads_nowhere(host: str) -> None:
    assert status(request(host)) == 421


def test_a_listener_for_others_is_called_by_its_address() -> None:
    assert status(request("10.0.0.5:8090", at="10.0.0.5")) == 200
    assert status(request("[fd00::5]:8090", at="fd00::5")) == 200
    for host in ("10.0.0.6", "localhost", "127.0.0.1", "labserver"):
        assert status(request(host, at="10.0.0.5")) == 421
    assert status(request("LabServer:8090", at="10.0.0.5"), "labserver") == 200


def test_a_program_of_ours_asks_below_the_prefix_alone() -> None:
    assert status(request(path=b"/secret/api/models/org/m", prefix="/secret"), is_own=True) == 200
    for path in (b"/api/models/org/m", b"/secretapi", b"/", b"http://127.0.0.1/secret/api", b"*"):
        assert status(request(path=path, prefix="/secret"), is_own=True) == 404


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_get_nothing(site: str) -> None:
    assert status(request(sec_fetch_site=site)) == 403
    assert status(request(sec_fetch_site="none")) == 200


@pytest.mark.parametrize(
    ("agent", "path", "expected"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36", b"/org/m/resolve/main/a", 403),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36", b"/api/models/org/m", 403),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36", b"/", 200),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36", b"/-/events", 200),
        ("Mozilla/5.0 (Windows NT; Windows NT 10.0) WindowsPowerShell/5.1", b"/org/m/resolve/main/a", 200),
        ("unknown/None; hf_hub/1.18.0; python/3.12", b"/org/m/resolve/main/a", 200),
    ],
)
def test_a_browser_that_does_not_say_which_page_asks_gets_pages_alone(agent: str, path: bytes, expected: int) -> None:
    """Over plain http it says that to addresses of its own machine alone."""
    assert status(request(user_agent=agent, path=path)) == expected
    assert status(request(user_agent=agent, path=path, sec_fetch_site="none")) == 200


@pytest.mark.parametrize("target", [b"http://evil.example/api/models/org/m", b"*", b"evil.example:443", b"api"])
def test_a_target_is_a_path(target: bytes) -> None:
    assert status(request(path=target)) == 400


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {"content_length": "5"}, 400),
        ("GET", {"transfer_encoding": "chunked"}, 400),
        ("HEAD", {"content_length": "5"}, 400),
        ("GET", {"content_length": "0"}, 200),
        ("GET", {"content_length": "000"}, 200),
        ("POST", {"content_length": "5", "transfer_encoding": "chunked"}, 400),
        ("POST", {"content_length": "5"}, 200),
    ],
)
def test_a_body_has_one_length_and_only_a_question_has_one(method: str, headers: dict[str, Any], expected: int) -> None:
    assert status(request(method=method, **headers)) == expected


# -- clients and proxies


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("fd00::1:2:3:4", "fd00::/64"),
        ("fd00::9", "fd00::/64"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_a_client_is_an_address_or_the_network_that_one_machine_has(address: str, name: str) -> None:
    assert client_of(address) == name


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "192.168.1.7", "192.168.1.7"),
        ("10.0.0.1", "1.2.3.4, 192.168.1.7", "192.168.1.7"),  # the first was written by the client
        ("10.0.0.1", "192.168.1.7, 10.0.0.2", "192.168.1.7"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "evil", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.168.1.7", "1.2.3.4", "192.168.1.7"),  # nobody's proxy
        ("", "1.2.3.4", ""),
    ],
)
def test_only_a_named_proxy_tells_for_whom_it_asks(peer: str, forwarded: str, client: str) -> None:
    proxies = TrustedProxies(["10.0.0.0/24"])
    assert proxies.client(peer, forwarded) == client
    assert request(peer=peer, proxies=proxies, x_forwarded_for=forwarded).client == client


def test_links_have_the_scheme_that_a_named_proxy_tells() -> None:
    told: dict[str, Any] = {"host": "hub.lab", "x_forwarded_proto": "https"}
    assert request(**told, proxies=TrustedProxies(["127.0.0.1"])).link_base == "https://hub.lab"
    assert request(**told).link_base == "http://hub.lab"


# -- limits


def test_a_client_has_so_many_requests_at_once() -> None:
    door = Door(LIMITS)
    one, other = Caller(client="10.0.0.1"), Caller(client="10.0.0.2")
    with door.within(one), door.within(one):
        with pytest.raises(Refused) as caught, door.within(one):
            pass
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")
        with door.within(other):
            pass
    with door.within(one):
        pass


def test_the_house_itself_has_no_limit() -> None:
    door, house = Door(LIMITS, is_own=True), Caller()
    with door.within(house), door.within(house), door.within(house) as pace:
        assert pace(1 << 40) == 0
