"""The board in Redis: a server that stops, dies or forgets, and others who write what they like."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator.errors import ConfigError, TemporaryError
from orchestrator.swarm.board.interface import LIFE, Register
from orchestrator.swarm.board.redis import PATIENCE, RedisBoard
from orchestrator.swarm.tickets import FleetKeys
from tests.servers.redis import RedisServer
from tests.servers.threads import serving
from tests.shared.test_odd_redis import Liar
from tests.swarm.board.keys import KEYS
from tests.swarm.board.test_contract import put


@pytest.fixture
def board(server: RedisServer, fleet: str) -> Iterator[RedisBoard]:
    board = RedisBoard(server.url, fleet, KEYS)
    yield board
    board.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "own") as server:
        yield server


def test_a_server_that_forgot_everything_begins_anew(own: RedisServer) -> None:
    one, two = RedisBoard(own.url, "f", KEYS), RedisBoard(own.url, "f", KEYS)
    at_one, at_two = one.exchange((put("a"),), None).mark, two.exchange((), None).mark
    own.client.flushall()
    # So many changes that the numbers are beyond the mark of the other one again.
    for version in range(1, 9):
        at_one = one.exchange((put("b", version),), at_one).mark
    told = two.exchange((), at_two)
    assert told.is_whole
    assert told.news == (put("b", 8),)
    for board in (one, two):
        board.close()


def test_one_that_only_reads_sees_that_everything_is_gone(own: RedisServer) -> None:
    board = RedisBoard(own.url, "f", KEYS)
    mark = board.exchange((put("a"),), None).mark
    own.client.flushall()
    told = board.exchange((), mark)
    assert (told.is_whole, told.news) == (True, ())
    board.close()


@pytest.mark.parametrize("key", ["log", "born", "shelves", "recent"])
def test_a_key_that_somebody_removed(server: RedisServer, board: RedisBoard, fleet: str, key: str) -> None:
    mark = board.exchange((put("a"),), None).mark
    server.client.delete(f"glm:{{{fleet}}}:{key}")
    told = board.exchange((put("b"),), mark)
    assert told.won == (True,)
    assert board.exchange((put("b", 2),), told.mark).won == (True,)


def test_a_server_that_was_killed_and_came_back(own: RedisServer) -> None:
    board = RedisBoard(own.url, "f", KEYS)
    mark = board.exchange((put("a"),), None).mark
    own.kill()
    with pytest.raises(TemporaryError):
        board.exchange((put("b"),), mark)
    own.start()
    told = board.exchange((put("b"),), mark)
    assert (told.won, told.is_whole) == ((True,), True)
    board.close()


def test_a_server_that_stands_still_is_given_up_soon(own: RedisServer) -> None:
    board = RedisBoard(own.url, "f", KEYS)
    mark = board.exchange((put("a"),), None).mark
    own.hold()
    begin = time.monotonic()
    with pytest.raises(TemporaryError) as caught:
        board.exchange((put("b"),), mark)
    assert time.monotonic() - begin < 10 * PATIENCE
    assert own.password not in f"{caught.value.message} {caught.value.hint}"
    own.go_on()
    told = board.exchange((put("b"), put("c")), mark)
    # What was put in the exchange that failed has arrived, and is told since nobody else could know.
    assert told.won == (False, True)
    assert put("b") in told.news
    board.close()


def test_everything_is_forgotten_a_day_after_the_last_change(
    server: RedisServer, board: RedisBoard, fleet: str
) -> None:
    board.exchange((put("a"), put("a", shelf="sha256:ab")), None)
    keys = [key for key in server.client.keys("*") if f"{{{fleet}}}" in key]
    assert len(keys) == 6
    assert all(0 < server.client.ttl(key) <= LIFE for key in keys)


def test_few_commands_for_an_exchange_of_many_registers(server: RedisServer, board: RedisBoard) -> None:
    mark = board.exchange((put("a"),), None).mark
    before = server.client.info("commandstats")
    for version in range(2, 12):
        puts = [put(f"n{index}", version) for index in range(300)]
        mark = board.exchange(puts, mark).mark
    after = server.client.info("commandstats")
    calls = {
        name: found["calls"] - before.get(name, {"calls": 0})["calls"]
        for name, found in after.items()
        if name != "cmdstat_info"
    }
    # Ours: EXISTS, EVAL, GET, XREAD. The script's: GET, SET, TIME; HMGET, HSET, EXPIRE, ZADD a shelf; XADD,
    # ZREMRANGEBYSCORE, SET, two EXPIRE.
    assert sum(calls.values()) <= 10 * 17
    assert (calls["cmdstat_eval"], calls["cmdstat_xread"]) == (10, 10)


@pytest.mark.parametrize(
    "cell", [b"", b"x", b"0" * 31, b"f" * 32 + b"x", b"G" * 40, b"\xff" * 50, b"0" * 32 + b"\xff"], ids=range(7)
)
def test_what_somebody_else_wrote_on_a_shelf(server: RedisServer, board: RedisBoard, fleet: str, cell: bytes) -> None:
    mark = board.exchange((put("a"),), None).mark
    prefix = f"glm:{{{fleet}}}:"
    server.client.hset(f"{prefix}shelf:fleet", "odd", cell)
    server.client.hset(f"{prefix}shelf:fleet", b"\xff\xfe", b"0" * 33)
    born = server.client.get(f"{prefix}born")
    server.client.xadd(f"{prefix}log", {"fleet odd": cell, b"\xff": b"x", "no-space": b"0" * 40}, f"{born}-*")
    assert all(one.name == "odd" for one in board.exchange((), mark).news)
    other = RedisBoard(server.url, fleet, KEYS)
    assert put("a") in other.exchange((), None).news
    other.close()


@pytest.mark.parametrize("key", ["log", "born", "shelves", "recent", "shelf:fleet"])
@pytest.mark.parametrize("kind", ["a list", "a text", "bytes"])
def test_keys_of_another_kind(server: RedisServer, board: RedisBoard, fleet: str, key: str, kind: str) -> None:
    mark = board.exchange((put("a"),), None).mark
    name = f"glm:{{{fleet}}}:{key}"
    server.client.delete(name)
    if kind == "a list":
        server.client.rpush(name, "x")
    else:
        server.client.set(name, "x" if kind == "a text" else b"\xff")
    for after in (mark, None):
        try:
            board.exchange((put("a", 2),), after)
        except TemporaryError:
            continue


def test_an_entry_of_the_log_with_another_number(server: RedisServer, board: RedisBoard, fleet: str) -> None:
    mark = board.exchange((put("a"),), None).mark
    server.client.xadd(f"glm:{{{fleet}}}:log", {"a": "b"}, f"{mark[0]}-{mark[1] + 100}")
    assert board.exchange((), mark).is_whole


def test_a_shelf_too_large_to_be_ours_is_left_alone(
    server: RedisServer, board: RedisBoard, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.swarm.board.redis._MOST_SHELF", 4096)
    board.exchange((put("a"), Register("huge", "a", (0, 1), bytes(8192))), None)
    answer = board.exchange((), None)
    assert (answer.news, answer.left_out) == ((put("a"),), ("huge",))


@pytest.mark.parametrize(
    "reply",
    [b":7\r\n", b":0\r\n", b"+text\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"*1\r\n:1\r\n", b"*2\r\n+a\r\n+b\r\n",
     b"*2\r\n:1\r\n:1\r\n", b"*2\r\n:1\r\n*0\r\n", b"*3\r\n:1\r\n+\r\n+\r\n", b"$2\r\n\xff\xfe\r\n", b"-ERR no\r\n",
     b"?\r\n", b":x\r\n", b":" + b"9" * 5000 + b"\r\n", b"*1\r\n" * 5000 + b":1\r\n", b"%1\r\n+a\r\n+b\r\n",
     b"_\r\n", b"#t\r\n", b"$1\r\n1\r\n"],
    ids=range(21),
)  # fmt: skip
def test_one_that_answers_anything(reply: bytes) -> None:
    said: list[str] = []
    with serving(Liar(reply)) as liar:
        board = RedisBoard(f"redis://:secret-canary@127.0.0.1:{liar.server_address[1]}/0?protocol=2", "f", KEYS)
        for puts, after in (((put("a"),), None), ((), (1, 1)), ((put("a"),), (1, 1))):
            try:
                board.exchange(puts, after)
            except TemporaryError as error:
                said.append(error.message)
        board.close()
    assert "secret-canary" not in str(said)


def test_a_fleet_that_went_silent_is_quiet_for_who_comes_later(own: RedisServer) -> None:
    board = RedisBoard(own.url, "f", KEYS)
    assert board.exchange((put("a"),), None).is_quiet
    assert not RedisBoard(own.url, "f", KEYS).exchange((), None).is_quiet
    assert 0 < own.client.ttl("glm:{f}:recent") <= 10
    own.client.delete("glm:{f}:recent")
    late = RedisBoard(own.url, "f", KEYS).exchange((put("b"),), None)
    assert (late.is_quiet, set(late.news)) == (True, {put("a"), put("b")})


def test_an_address_that_is_none() -> None:
    with pytest.raises(ConfigError):
        RedisBoard("http://somewhere", "f", KEYS)


# -- what a tenant of the same Redis writes

STRANGE = FleetKeys.parse("a-key-of-somebody-else-in-there")


def write(server: RedisServer, fleet: str, shelf: str, name: str, cell: bytes) -> None:
    """Put a cell on a shelf and into the log, as the next change, as a tenant of the Redis does who saw how."""
    prefix = f"glm:{{{fleet}}}:"
    server.client.hset(f"{prefix}shelf:{shelf}", name, cell)
    server.client.zadd(f"{prefix}shelves", {shelf: time.time() + LIFE})
    born = server.client.get(f"{prefix}born")
    server.client.xadd(f"{prefix}log", {"by": "x", f"{shelf} {name}": cell}, f"{born}-*")


def cell_of(server: RedisServer, fleet: str, shelf: str, name: str) -> bytes:
    with redis.Redis.from_url(server.url) as client:
        found: bytes = client.hget(f"glm:{{{fleet}}}:shelf:{shelf}", name)
        return found


def test_only_who_has_the_key_decides_anything(server: RedisServer, board: RedisBoard, fleet: str) -> None:
    there = Register("fleet", "a", (0, 1), b"value")
    mark = board.exchange((there, Register("fleet", "gone", (0, 1), b"value")), None).mark
    cell = cell_of(server, fleet, "fleet", "a")
    version, seal, value = cell[:32], cell[32:48], cell[48:]
    assert value == b"value"
    stranger = RedisBoard(server.url, fleet, STRANGE)
    stranger.exchange((Register("fleet", "stranger", (0, 9), b"value"),), None)
    newer = b"%016x%016x" % (0, 9)
    write(server, fleet, "fleet", "plain", newer + value)
    write(server, fleet, "fleet", "zeros", newer + bytes(16) + value)
    write(server, fleet, "fleet", "moved", cell)
    write(server, fleet, "task:t1", "a", cell)
    write(server, fleet, "fleet", "b", newer + seal + value)
    write(server, fleet, "fleet", "c", version + seal + b"other")
    write(server, fleet, "fleet", "gone", newer)
    write(server, fleet, "fleet", "gone", newer + seal)
    answer = board.exchange((), mark)
    assert answer.news == ()
    late = RedisBoard(server.url, fleet, KEYS)
    whole = late.exchange((), None).news
    assert [one.name for one in whole] == ["a"]
    other = RedisBoard(server.url, f"{fleet}x", KEYS)
    other.exchange((put("x"),), None)
    write(server, f"{fleet}x", "fleet", "a", cell)  # of another fleet with the same key
    late.close()
    again = RedisBoard(server.url, f"{fleet}x", KEYS)
    assert again.exchange((), None).news == (put("x"),)
    for one in (stranger, other, again):
        one.close()


def test_who_changes_the_key_is_believed_with_any(server: RedisServer, fleet: str) -> None:
    old = RedisBoard(server.url, fleet, KEYS)
    both = RedisBoard(server.url, fleet, FleetKeys(STRANGE.keys + KEYS.keys))
    new = RedisBoard(server.url, fleet, STRANGE)
    mark = old.exchange((put("old"),), None).mark
    assert both.exchange((put("new"),), None).news == (put("old"), put("new"))
    assert old.exchange((), mark).news == ()
    assert new.exchange((), None).news == (put("new"),)
    for one in (old, both, new):
        one.close()


def test_a_fleet_that_changes_its_key_has_one_board_at_each_step(own: RedisServer) -> None:
    old_key, new_key = KEYS.keys, STRANGE.keys
    one = RedisBoard(own.url, "old", KEYS)
    first = RedisBoard(own.url, "old", FleetKeys(old_key + new_key), ["new"])
    second = RedisBoard(own.url, "new", FleetKeys(new_key + old_key), ["old"])
    last = RedisBoard(own.url, "new", STRANGE)
    stranger = RedisBoard(own.url, "new", FleetKeys((b"of another fleet",)))
    mark = one.exchange((put("a"),), None).mark
    assert first.exchange((put("b"),), None).news == (put("a"), put("b"))
    assert second.exchange((put("c"),), None).news == (put("a"), put("b"), put("c"))
    assert [each.name for each in one.exchange((), mark).news] == ["b"], "who has only the old key reads no new one"
    found = last.exchange((put("d"),), None)
    assert found.news == (put("c"), put("d")), "and the other way round"
    assert second.exchange((put("e"),), found.mark).news == ()
    assert last.exchange((), found.mark).news == (put("e"),)
    assert stranger.exchange((), None).news == ()
    for board in (one, first, second, last, stranger):
        board.close()


def test_what_is_removed_stays_removed_for_who_follows(server: RedisServer, board: RedisBoard, fleet: str) -> None:
    other = RedisBoard(server.url, fleet, KEYS)
    mark = other.exchange((put("a"),), None).mark
    board.exchange((Register("fleet", "a", (0, 2), b""),), None)
    assert other.exchange((), mark).news == (Register("fleet", "a", (0, 2), b""),)
    assert not server.client.exists(f"glm:{{{fleet}}}:shelf:fleet")
    other.close()
