"""Traffic: requests as an observer counts them, with plain values."""

from __future__ import annotations

from typing import Any

from orchestrator.core.files import Digest
from orchestrator.serve.http.exchange import Exchange, Presence
from orchestrator.serve.pages.traffic import Traffic

BLOB = Digest.parse(f"sha256:{'a' * 64}")


def exchange(**given: Any) -> Exchange:
    return Exchange(**{"client": "10.0.0.5", "method": "GET", "path": b"/org/m/resolve/main/f", "face": "hub"} | given)


def ended(traffic: Traffic, one: Exchange, status: int = 200, sent: int = 0, seconds: float = 0.0) -> None:
    traffic.began(one)
    one.status, one.sent = status, sent
    if sent:
        one.first_byte = one.began + seconds
    one.ended = one.began + 2 * seconds
    traffic.ended(one)


def test_answers_are_counted_by_face_and_status() -> None:
    traffic = Traffic()
    ended(traffic, exchange())
    ended(traffic, exchange())
    ended(traffic, exchange(face="modelscope"), status=404)
    assert traffic.requests == 3
    assert traffic.answers == {("hub", 200): 2, ("modelscope", 404): 1}


def test_bytes_count_while_they_go_out() -> None:
    traffic, one = Traffic(), exchange()
    ended(traffic, exchange(), sent=10)
    traffic.began(one)
    one.sent = 5
    assert traffic.sent == 15
    traffic.ended(one)
    assert traffic.sent == 15


def test_bytes_to_peers_count_by_themselves() -> None:
    traffic, one = Traffic(), exchange(face="peer", caller="node-1", blob=BLOB)
    ended(traffic, exchange(), sent=10)
    traffic.began(one)
    one.sent = 5
    assert (traffic.sent, traffic.sent_to_peers) == (10, 5)
    assert not traffic.wanted
    traffic.ended(one)
    assert (traffic.sent, traffic.sent_to_peers) == (10, 5)


def test_what_a_peer_does_not_get_is_no_news_but_a_stranger_is() -> None:
    traffic = Traffic()
    for status in (304, 416, 429):
        ended(traffic, exchange(face="peer", caller="node-1"), status=status)
    assert not traffic.recent
    ended(traffic, exchange(face="peer"), status=403)
    assert len(traffic.recent) == 1


def test_a_file_is_a_hit_or_a_miss_and_has_a_first_byte() -> None:
    traffic = Traffic()
    ended(traffic, exchange(found=Presence.HIT), sent=1, seconds=0.01)
    ended(traffic, exchange(found=Presence.MISS), sent=1, seconds=400)
    ended(traffic, exchange(found=Presence.MISS), status=429)
    assert traffic.found == {Presence.HIT: 1, Presence.MISS: 2}
    assert traffic.first_bytes[Presence.HIT].counts[1] == 1
    assert traffic.first_bytes[Presence.MISS].counts[-1] == 1


def test_a_client_is_its_token_or_its_address() -> None:
    traffic = Traffic(clock=lambda: 7.0)
    ended(traffic, exchange(found=Presence.HIT), sent=3)
    ended(traffic, exchange(caller="ci", found=Presence.MISS), sent=4)
    ended(traffic, exchange(caller="ci"))
    address, token = traffic.clients["10.0.0.5"], traffic.clients["ci"]
    assert (address.requests, address.sent, address.found[Presence.HIT]) == (1, 3, 1)
    assert (token.requests, token.sent, token.last) == (2, 4, 7.0)


def test_of_very_many_clients_the_last_are_kept() -> None:
    traffic = Traffic()
    for number in range(1000):
        ended(traffic, exchange(client=f"fd00::{number:x}"))
    assert len(traffic.clients) == 256
    assert "fd00::3e7" in traffic.clients


def test_who_looks_is_no_client() -> None:
    traffic = Traffic()
    ended(traffic, exchange(face="pages"))
    assert not traffic.clients
    assert traffic.answers == {("pages", 200): 1}


def test_files_and_refusals_are_recent() -> None:
    traffic = Traffic()
    ended(traffic, exchange())
    ended(traffic, exchange(found=Presence.HIT, name="org/m/f"))
    ended(traffic, exchange(), status=404)
    assert [one.name or one.status for _, one in traffic.recent] == ["org/m/f", 404]


def test_a_file_on_its_way_has_the_name_that_a_client_asked_for() -> None:
    traffic, one = Traffic(), exchange(found=Presence.MISS, blob=BLOB, name="org/m/f")
    traffic.began(one)
    assert traffic.under_way == (one,)
    assert traffic.wanted == {BLOB: one}
    traffic.ended(one)
    assert not traffic.wanted
