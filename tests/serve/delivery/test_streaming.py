"""What goes out while a blob arrives, to which client, and when an answer is broken off."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cache.proofs import stamp
from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.plan import Found, Have, Job
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin
from orchestrator.depot.watch import State
from orchestrator.errors import IntegrityError, TemporaryError
from orchestrator.serve.delivery.handed import Handed
from orchestrator.serve.delivery.ranges import Excerpt, excerpt
from orchestrator.serve.delivery.streaming import (
    LAST_PIECE,
    Awaited,
    allowed,
    is_ready,
    opened,
    retry_after,
    send_arriving,
    send_file,
    until_placed,
)
from orchestrator.serve.http.clients import Manner
from tests.fuzz.ground import KINDS, plant
from tests.hub.content import generate
from tests.serve.watches import Hand

MIB = 1 << 20
SIZE = 5 * MIB + 17
RIGHT = generate(SIZE, 1)
WRONG = generate(SIZE, 2)
DIGEST = Digest(Algorithm.SHA256, hashlib.sha256(RIGHT).hexdigest())
WHOLE = Excerpt(200, 0, SIZE, SIZE)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    (tmp_path / "stage").mkdir()
    origin = Origin(RepoId(RepoType.MODEL, "org/m"), "1" * 40, "model.bin")
    return Hand(Job(DIGEST, SIZE, True, (origin,)), tmp_path / "stage" / "part", RIGHT)


@pytest.fixture
def handed(tmp_path: Path) -> Handed:
    return Handed(tmp_path)


def range_of(text: str) -> Excerpt:
    return excerpt({"range": text}, SIZE, DIGEST.hex)


class Client:
    """What one client has got so far."""

    def __init__(self) -> None:
        self.got = bytearray()
        self._more = asyncio.Event()

    async def take(self, data: bytes | bytearray) -> None:
        self.got += data
        self._more.set()

    async def has(self, count: int) -> None:
        """Wait until so many bytes have come."""
        while len(self.got) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 10)


def played(
    hand: Hand,
    handed: Handed,
    pool: ThreadPoolExecutor,
    cut: Excerpt,
    manner: Manner,
    play: Callable[[Client], Awaitable[None]],
) -> tuple[int | None, bytes]:
    """Where an answer stopped (None: it was broken off), and what it sent, while `play` moves the watch."""

    async def run() -> tuple[int | None, bytes]:
        client = Client()
        awaited = Awaited(hand.watch)
        sending = asyncio.ensure_future(
            send_arriving(awaited, hand.watch.epoch, cut, manner, client.take, handed, pool)
        )
        await play(client)
        at = None
        with suppress(TemporaryError):
            at = await asyncio.wait_for(sending, 10)
        awaited.close()
        return at, bytes(client.got)

    return asyncio.run(run())


# -- the rule


def test_who_may_have_what(hand: Hand) -> None:
    hand.come(0, 3 * MIB)
    may = {manner: allowed(hand.watch, WHOLE, 0, manner) for manner in Manner}
    assert may == {Manner.HASHES: 3 * MIB, Manner.STARTS_OVER: 3 * MIB, Manner.ASKS_AGAIN: 0, Manner.WAITS: 0}
    hand.come(3 * MIB, SIZE)
    assert allowed(hand.watch, WHOLE, 0, Manner.STARTS_OVER) == SIZE - LAST_PIECE
    assert allowed(hand.watch, WHOLE, SIZE - 10, Manner.STARTS_OVER) == SIZE - 10
    hand.become(State.PROVEN)
    assert {allowed(hand.watch, WHOLE, 0, manner) for manner in Manner} == {SIZE}


def test_nothing_of_a_suspect_blob(hand: Hand) -> None:
    hand.come(0, 3 * MIB)
    hand.become(State.SUSPECT)
    assert allowed(hand.watch, WHOLE, 0, Manner.STARTS_OVER) == 0


def test_a_range_with_an_end_is_sent_after_the_proof_only(hand: Hand) -> None:
    """It is complete without the last piece of the file, and the client would not notice."""
    hand.come(0, SIZE)
    assert allowed(hand.watch, range_of("bytes=0-99"), 0, Manner.STARTS_OVER) == 0
    assert allowed(hand.watch, range_of("bytes=0-99"), 0, Manner.HASHES) == 100


def test_bytes_behind_a_gap_wait(hand: Hand) -> None:
    hand.come(0, 100)
    hand.come(200, 300)
    assert allowed(hand.watch, WHOLE, 0, Manner.HASHES) == 100
    assert allowed(hand.watch, range_of("bytes=250-"), 250, Manner.HASHES) == 300
    assert allowed(hand.watch, range_of("bytes=150-"), 150, Manner.HASHES) == 150


def test_a_lost_blob_says_why(hand: Hand) -> None:
    hand.become(State.LOST, IntegrityError("no source had it"))
    with pytest.raises(IntegrityError, match="no source had it"):
        allowed(hand.watch, WHOLE, 0, Manner.WAITS)


# -- one answer


def test_bytes_go_out_while_they_arrive_and_the_last_after_the_proof(
    hand: Hand, handed: Handed, pool: ThreadPoolExecutor
) -> None:
    async def play(client: Client) -> None:
        hand.come(0, MIB)
        await client.has(MIB)
        hand.come(MIB, SIZE)
        await client.has(SIZE - LAST_PIECE)
        assert len(client.got) == SIZE - LAST_PIECE
        hand.become(State.PROVEN)

    assert played(hand, handed, pool, WHOLE, Manner.STARTS_OVER, play) == (SIZE, RIGHT)
    handed.proven(DIGEST, hand.watch.epoch)
    assert not handed.is_suspect(DIGEST)


@pytest.mark.parametrize("manner", [Manner.ASKS_AGAIN, Manner.WAITS])
def test_others_get_nothing_before_the_proof(
    hand: Hand, handed: Handed, pool: ThreadPoolExecutor, manner: Manner
) -> None:
    async def play(client: Client) -> None:
        hand.come(0, SIZE)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not client.got
        hand.become(State.PROVEN)

    assert played(hand, handed, pool, WHOLE, manner, play) == (SIZE, RIGHT)


def test_a_failed_proof_ends_the_answer_before_its_last_piece(
    hand: Hand, handed: Handed, pool: ThreadPoolExecutor
) -> None:
    async def play(client: Client) -> None:
        hand.come(0, SIZE, WRONG)
        await client.has(SIZE - LAST_PIECE)
        hand.doubt()
        hand.come(0, SIZE)
        hand.become(State.PROVEN)

    at, got = played(hand, handed, pool, WHOLE, Manner.STARTS_OVER, play)
    assert (at, len(got)) == (None, SIZE - LAST_PIECE)
    assert got != RIGHT[: len(got)]
    # Whoever has these bytes and asks for the rest must start over, now and later.
    assert handed.is_suspect(DIGEST, hand.watch.epoch)
    handed.proven(DIGEST, hand.watch.epoch)
    assert handed.is_suspect(DIGEST)


def test_the_rest_is_not_joined_to_bytes_that_were_wrong(hand: Hand, handed: Handed, pool: ThreadPoolExecutor) -> None:
    """The client has the beginning from before; nothing of this answer has gone out when the proof fails."""

    async def play(client: Client) -> None:
        hand.come(0, MIB, WRONG)
        for _ in range(100):
            await asyncio.sleep(0)
        hand.doubt()
        hand.come(0, SIZE)
        hand.become(State.PROVEN)

    cut = range_of(f"bytes={MIB}-")
    assert played(hand, handed, pool, cut, Manner.STARTS_OVER, play) == (None, b"")
    # Who never got unproven bytes has the right ones.
    assert played(hand, handed, pool, cut, Manner.WAITS, play) == (SIZE, RIGHT[MIB:])


def test_an_answer_that_has_not_begun_survives_a_failed_proof(
    hand: Hand, handed: Handed, pool: ThreadPoolExecutor
) -> None:
    async def play(client: Client) -> None:
        hand.come(0, SIZE, WRONG)
        for _ in range(100):
            await asyncio.sleep(0)
        hand.doubt()
        hand.come(0, SIZE)
        hand.become(State.PROVEN)

    assert played(hand, handed, pool, WHOLE, Manner.WAITS, play) == (SIZE, RIGHT)


def test_the_rest_of_a_file(hand: Hand, handed: Handed, pool: ThreadPoolExecutor) -> None:
    async def play(client: Client) -> None:
        hand.come(0, 3 * MIB)
        await client.has(MIB)
        hand.come(3 * MIB, SIZE)
        hand.become(State.PROVEN)

    cut = range_of(f"bytes={2 * MIB}-")
    assert played(hand, handed, pool, cut, Manner.STARTS_OVER, play) == (SIZE, RIGHT[2 * MIB :])


def test_who_hashes_gets_all_at_once(hand: Hand, handed: Handed, pool: ThreadPoolExecutor) -> None:
    async def play(client: Client) -> None:
        hand.come(0, SIZE)
        await client.has(SIZE)
        assert hand.watch.state is State.ARRIVING

    assert played(hand, handed, pool, WHOLE, Manner.HASHES, play) == (SIZE, RIGHT)


def test_nothing_unproven_goes_out_that_cannot_be_noted(
    hand: Hand, handed: Handed, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    (tmp_path / "serve").rmdir()
    (tmp_path / "serve").write_text("in the way")

    async def play(client: Client) -> None:
        hand.come(0, SIZE)
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert not client.got
        hand.become(State.PROVEN)

    assert played(hand, handed, pool, WHOLE, Manner.STARTS_OVER, play) == (SIZE, RIGHT)


def test_a_blob_that_is_placed_before_its_part_was_opened(
    hand: Hand, handed: Handed, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    async def play(client: Client) -> None:
        hand.become(State.PLACED)

    assert played(hand, handed, pool, WHOLE, Manner.WAITS, play) == (0, b"")


def test_a_blob_is_looked_for_when_it_is_placed_and_not_before(hand: Hand) -> None:
    async def run(end: State) -> bool:
        awaited = Awaited(hand.watch)
        hand.become(State.PROVEN)
        waiting = asyncio.ensure_future(until_placed(awaited))
        await asyncio.sleep(0.001)
        assert not waiting.done()
        hand.become(end)
        await waiting
        return True

    assert asyncio.run(run(State.PLACED))


def test_a_file_that_is_here(pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(RIGHT)

    found = Found(Have.PLACED, blob, stamp(blob.stat()))
    assert sent(found, WHOLE, pool) == (True, RIGHT)
    assert sent(found, range_of("bytes=1000000-3000000"), pool) == (True, RIGHT[1000000:3000001])
    assert sent(replace(found, path=tmp_path / "gone"), WHOLE, pool) == (False, b"")
    assert sent(Found(Have.UNPROVEN, blob), WHOLE, pool) == (False, b"")
    link = tmp_path / "link"
    link.symlink_to(blob)
    assert sent(replace(found, path=link), WHOLE, pool) == (True, RIGHT)


def sent(found: Found, cut: Excerpt, pool: ThreadPoolExecutor) -> tuple[bool, bytes]:
    """Whether a file was sent whole, and what was."""

    async def run() -> tuple[bool, bytes]:
        client = Client()
        async with asyncio.timeout(20), opened(lambda: found, pool) as one:
            return await send_file(one, cut, client.take, pool), bytes(client.got)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", [*KINDS, "other bytes", "another file", "link to a secret"])
def test_what_lies_in_the_place_of_a_proven_file_goes_to_nobody(
    kind: str, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """Whoever writes to a cache of a group can put anything there after the server has looked."""
    blob, outside = tmp_path / "blob", tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_bytes(RIGHT)
    blob.write_bytes(RIGHT)
    found = Found(Have.PLACED, blob, stamp(blob.stat()))
    if kind == "other bytes":
        blob.write_bytes(WRONG)
        os.utime(blob, ns=(0, 0))
    elif kind == "another file":
        (tmp_path / "new").write_bytes(WRONG)
        os.utime(tmp_path / "new", ns=(blob.stat().st_atime_ns, blob.stat().st_mtime_ns))
        (tmp_path / "new").replace(blob)
    else:
        plant("link out" if kind == "link to a secret" else kind, blob, outside, content=WRONG)
    assert sent(found, WHOLE, pool) == (False, b"")


def test_a_file_that_is_written_to_while_it_is_sent_is_broken_off(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    """Its owner may do so, in a cache of a group."""
    blob = tmp_path / "blob"
    blob.write_bytes(RIGHT)
    found = Found(Have.PLACED, blob, stamp(blob.stat()))

    async def run() -> tuple[bool, int]:
        client = Client()

        async def take(data: bytes | bytearray) -> None:
            await client.take(data)
            with blob.open("r+b") as file:
                file.write(b"wrong")
            os.utime(blob, ns=(0, 0))

        async with asyncio.timeout(20), opened(lambda: found, pool) as one:
            return await send_file(one, WHOLE, take, pool), len(client.got)

    is_whole, count = asyncio.run(run())
    assert not is_whole
    assert 0 < count < len(RIGHT)


@pytest.mark.parametrize("kind", ["fifo", "folder", "link out", "zero", "socket", "none"])
def test_what_lies_in_the_place_of_a_part_goes_to_nobody(
    kind: str, hand: Hand, handed: Handed, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_bytes(RIGHT)
    hand.come(0, 3 * MIB)
    plant(kind, hand.watch.part, outside)

    async def nothing(_: Client) -> None:
        return

    assert played(hand, handed, pool, WHOLE, Manner.HASHES, nothing) == (0, b"")


def test_a_client_is_told_to_ask_again(hand: Hand, handed: Handed) -> None:
    async def run(seconds: float) -> bool:
        awaited = Awaited(hand.watch)
        return await is_ready(awaited, WHOLE, Manner.ASKS_AGAIN, seconds)

    assert not asyncio.run(run(0.01))
    hand.come(0, SIZE)
    hand.become(State.PROVEN)
    assert asyncio.run(run(0.01))


def test_when_to_ask_again(hand: Hand) -> None:
    assert retry_after(hand.watch, 0) == 10
    assert retry_after(hand.watch, SIZE / 60) == 66
    assert retry_after(hand.watch, 1) == 300
    assert retry_after(hand.watch, 1e9) == 2
