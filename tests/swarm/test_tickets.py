"""Tickets open what they are made for, to who has the key, for minutes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.swarm.tickets import HAVE, LIFE, MOST_AHEAD, FleetKeys, authority

OLD, NEW = "old-key-0123456789", "new-key-0123456789"
KEYS = FleetKeys.parse(OLD)
DIGEST, OTHER = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
NOW = 1_000_000.5


def test_a_ticket_is_believed_by_who_has_the_key() -> None:
    ticket = KEYS.ticket(DIGEST, "node-1", NOW)
    assert KEYS.node_of(DIGEST, ticket, NOW) == "node-1"
    assert KEYS.node_of(DIGEST, f"after=7&{ticket}", NOW) == "node-1"
    assert FleetKeys.parse(NEW).node_of(DIGEST, ticket, NOW) is None


def test_a_ticket_opens_nothing_else() -> None:
    ticket = KEYS.ticket(DIGEST, "node-1", NOW)
    assert KEYS.node_of(OTHER, ticket, NOW) is None
    assert KEYS.node_of(HAVE, ticket, NOW) is None
    assert KEYS.node_of(DIGEST, ticket.replace("node-1", "node-2"), NOW) is None
    ends = ticket.partition("&e=")[2].partition("&")[0]
    assert KEYS.node_of(DIGEST, ticket.replace(ends, str(int(ends) + 1)), NOW) is None


def test_a_ticket_holds_for_minutes_also_where_a_clock_is_wrong() -> None:
    ticket = KEYS.ticket(DIGEST, "a", NOW)
    assert KEYS.node_of(DIGEST, ticket, NOW + LIFE - 1)
    assert KEYS.node_of(DIGEST, ticket, NOW + LIFE) is None
    assert KEYS.node_of(DIGEST, ticket, NOW - (MOST_AHEAD - LIFE) + 1)
    assert KEYS.node_of(DIGEST, ticket, NOW - (MOST_AHEAD - LIFE) - 1) is None


def test_a_key_is_changed_while_nodes_run() -> None:
    """Whatever the order in which two nodes are told, they understand each other."""
    steps = [FleetKeys.parse(text) for text in (OLD, f"{OLD}\n{NEW}", f"{NEW} {OLD}", NEW)]
    for one, next_one in pairwise(steps):
        assert next_one.node_of(DIGEST, one.ticket(DIGEST, "a", NOW), NOW) == "a"
        assert one.node_of(DIGEST, next_one.ticket(DIGEST, "a", NOW), NOW) == "a"


def test_a_seal_holds_for_what_was_said_under_any_key_of_the_fleet() -> None:
    seal = KEYS.seal("lock", b"content")
    for keys in (KEYS, FleetKeys.parse(f"{NEW} {OLD}")):
        assert keys.is_seal("lock", b"content", seal)
    assert not KEYS.is_seal("lock", b"other", seal)
    assert not KEYS.is_seal("other", b"content", seal)
    for text in ("", "é", seal[:22], FleetKeys.parse(NEW).seal("lock", b"content")):
        assert not KEYS.is_seal("lock", b"content", text)


@pytest.mark.parametrize("text", ["", " \n", "too-short", f"{OLD} short", "schlüssel-mit-umlaut", "x" * 1025])
def test_a_key_that_is_none_is_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="key") as raised:
        FleetKeys.parse(text)
    assert not text.strip() or text.strip() not in str(raised.value)


def test_keys_are_not_shown() -> None:
    assert OLD not in repr(KEYS)


@pytest.mark.parametrize("node", ["", "a|b", "a b", "a&b", "-a", "x" * 65, "é"])
def test_a_name_that_could_be_read_in_two_ways_gets_no_ticket(node: str) -> None:
    with pytest.raises(ValueError, match="name of a node"):
        KEYS.ticket(DIGEST, node, NOW)


@given(st.one_of(st.text(), st.text(alphabet="nets=&|0123456789abc-_", max_size=80)))
def test_what_is_no_ticket_is_believed_by_nobody(query: str) -> None:
    assert KEYS.node_of(DIGEST, query, NOW) is None


@given(st.integers(min_value=0), st.characters())
def test_a_ticket_that_was_altered_is_believed_by_nobody(at: int, character: str) -> None:
    ticket = KEYS.ticket(DIGEST, "node-1", NOW)
    at %= len(ticket)
    altered = ticket[:at] + character + ticket[at + 1 :]
    assert altered == ticket or KEYS.node_of(DIGEST, altered, NOW) is None


def test_a_ticket_is_for_who_is_asked() -> None:
    ticket = KEYS.ticket(DIGEST, "node-1", NOW, "10.0.0.1:8092")
    assert KEYS.node_of(DIGEST, ticket, NOW, "10.0.0.1:8092") == "node-1"
    for other in ("10.0.0.2:8092", "10.0.0.1", ""):
        assert KEYS.node_of(DIGEST, ticket, NOW, other) is None


def test_an_answer_proves_the_key_to_who_asked() -> None:
    ticket = KEYS.ticket(DIGEST, "node-1", NOW)
    both = FleetKeys.parse(f"{NEW} {OLD}")
    assert KEYS.is_proof(ticket, KEYS.proof(f"after=7&{ticket}"))
    assert KEYS.is_proof(ticket, both.proof(ticket))
    assert both.is_proof(ticket, KEYS.proof(ticket))
    for wrong in (
        "",
        " ",
        FleetKeys.parse(NEW).proof(ticket),
        KEYS.proof(KEYS.ticket(HAVE, "node-1", NOW)),
        "\udcff é",
    ):
        assert not KEYS.is_proof(ticket, wrong)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("http://10.0.0.1:8092", "10.0.0.1:8092"),
        ("http://Node-1.Lab:8092/", "node-1.lab:8092"),
        ("http://node:80", "node"),
        ("https://node:443", "node"),
        ("https://node:80", "node:80"),
        ("http://[fd00::1]:8092", "[fd00::1]:8092"),
    ],
)
def test_who_is_asked_is_named_as_in_a_request(address: str, named: str) -> None:
    assert authority(address) == named
