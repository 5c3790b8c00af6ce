"""`--proxy`: all goes through it, from Python and from aria2c. The host names below mean something to it alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import MakeHub, wanted
from tests.e2e.machine import Machine, content
from tests.support.proxy import ForwardProxy, forward_proxy
from tests.support.repos import Repo


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with forward_proxy() as running:
        yield running


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_all_goes_through_the_proxy(
    machine: Machine, make_hub: MakeHub, tiny: Repo, proxy: ForwardProxy, how: str
) -> None:
    hub = make_hub(tiny)
    hub.faces["hub"].host, hub.faces["cdn"].host = "hub.example.test", "cdn.example.test"
    machine.root = hub.url
    address = proxy.url
    if how == "flag":
        done = machine.pull("org/tiny", "--proxy", address).ended(0)
    else:
        done = machine.pull("org/tiny", env={"HTTP_PROXY": address, "http_proxy": address}).ended(0)
    assert done.warnings == ["plain-http"]
    assert content(machine.snapshot("model/org/tiny", tiny.head)) == wanted(tiny)
    assert {host for _, host, _ in proxy.asked} == {"hub.example.test", "cdn.example.test"}
    assert hub.log.tokens() == set(), "the token went over plain http"


def test_a_proxy_that_is_down(machine: Machine, make_hub: MakeHub, tiny: Repo) -> None:
    hub = make_hub(tiny)
    hub.faces["hub"].host = "hub.example.test"
    machine.root = hub.url
    machine.pull("org/tiny", "--proxy", "http://127.0.0.1:9").ended(69)
