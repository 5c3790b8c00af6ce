"""Name servers as values: their spelling, their order over time, and answers that are not to be believed."""

from __future__ import annotations

import pytest

from orchestrator.core.network.resolvers import HALF_LIFE, NameServer, Reply, Standing, odd_ones, ordered, parse_server

ONE, OTHER = NameServer("1.1.1.1"), NameServer("8.8.8.8")


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("1.1.1.1", ONE),
        ("1.1.1.1:5353", NameServer("1.1.1.1", 5353)),
        ("2606:4700::1111", NameServer("2606:4700::1111")),
        ("[2606:4700::1111]:54", NameServer("2606:4700::1111", 54)),
    ],
)
def test_how_a_server_is_written(text: str, server: NameServer) -> None:
    assert parse_server(text) == server
    assert parse_server(str(server)) == server


@pytest.mark.parametrize("text", ["", "dns.example.com", "1.1.1.1:0", "1.1.1.1:x", "1.1.1", "1.1.1.1:70000"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a resolver|does not exist"):
        parse_server(text)


def test_the_order_follows_time_and_failures_and_forgets() -> None:
    fast, slow = Standing().after(0.01, 1000.0), Standing().after(0.3, 1000.0)
    standings = {ONE: slow, OTHER: fast}
    assert ordered((ONE, OTHER), {}, 1000.0) == (ONE, OTHER)
    assert ordered((ONE, OTHER), standings, 1000.0) == (OTHER, ONE)
    standings[OTHER] = fast.after(None, 1000.0)
    assert ordered((ONE, OTHER), standings, 1000.0) == (ONE, OTHER)
    later = 1000.0 + 40 * HALF_LIFE
    assert ordered((OTHER, ONE), standings, later) == (OTHER, ONE)


def test_a_resolver_that_answers_oddly_is_named() -> None:
    name = "hub.example.com"
    honest, block = Reply(ONE, name, ("8.8.4.4",)), Reply(OTHER, name, ("10.1.1.1",))
    assert [server for server, _ in odd_ones((honest, block))] == [OTHER]
    assert [server for server, _ in odd_ones((honest, Reply(OTHER, name, ())))] == [OTHER]
    assert odd_ones((honest, Reply(OTHER, name, ("9.9.9.9",)))) == ()
    assert odd_ones((honest, Reply(OTHER, name, error="SERVFAIL"))) == ()
    assert odd_ones((Reply(ONE, "hub.lan", ("10.1.1.1",)), Reply(OTHER, "hub.lan", ()))) == ()
