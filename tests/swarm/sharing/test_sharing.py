"""What a node has to give: of blobs that a depot fetches, by hand and with a real one, and of the cache at rest."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import xxhash

from orchestrator.cache.cache import Cache
from orchestrator.core.extents import Extent, Extents, Ranges
from orchestrator.core.files import Algorithm, Digest, RepoFile
from orchestrator.core.plan import Job
from orchestrator.depot.candidates import Choosing
from orchestrator.depot.company import Doubt, Engine
from orchestrator.depot.watch import Arrival, State, Watch
from orchestrator.proof import pieces as piece_lists
from orchestrator.proof.pieces import PIECE
from orchestrator.proof.verified import verify
from orchestrator.swarm.holdings import Holding, PieceHash, Readable
from orchestrator.swarm.sharing.sharing import Sharing
from orchestrator.swarm.units import Bits, piece_count, piece_range
from tests import plain
from tests.depot.conftest import _no_proxies, make_house, runtime
from tests.depot.world import REPO, MakeHouse
from tests.hub.content import MIB, generate

__all__ = ["_no_proxies", "make_house", "runtime"]

SIZE = 3 * PIECE + 70_000
DATA = generate(SIZE, 5)


def job_of(data: bytes = DATA, *, is_restricted: bool = False) -> Job:
    return Job(Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest()), len(data), True, (), is_restricted)


def true_hash(piece: int, data: bytes = DATA) -> bytes:
    start, end = piece_range(len(data), piece)
    return xxhash.xxh3_128_digest(data[start:end])


@dataclass
class PlainEngine:
    """Notes what is to be taken back."""

    dropped: list[tuple[Ranges, int | None]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def drop(self, _digest: Digest, ranges: Ranges, *, epoch: int | None = None) -> None:
        self.dropped.append((ranges, epoch))
        self.came.set()

    def stir(self) -> None:
        pass


class Node:
    """A node that shares blobs whose arrival a test tells."""

    def __init__(self, stack: ExitStack, folder: Path, *, share_restricted: bool = False) -> None:
        self.cache: Cache = stack.enter_context(plain.cache(folder))
        self.engine = PlainEngine()
        self.wrong: list[tuple[int, str]] = []
        self.now = 0.0
        self.sharing = stack.enter_context(
            Sharing(
                "me",
                self.cache.blobs,
                is_open=lambda folder: "secret" not in folder,
                wrong=lambda _digest, piece, peer: self.wrong.append((piece, peer)),
                share_restricted=share_restricted,
                clock=lambda: self.now,
            )
        )
        self.sharing.join(self.engine)
        self.changed = threading.Event()
        self.sharing.subscribe(self.changed.set)
        self.part = folder / "part"
        self.part.write_bytes(DATA)

    def follow(self, job: Job | None = None) -> Arrival:
        arrival = Arrival(job or job_of(), lambda _: self.part, threading.Lock())
        watch = Watch(arrival, lambda _: None, ())
        arrival.watches.append(watch)
        self.sharing.follow(watch)
        return arrival

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            self.changed.wait(0.05)
            self.changed.clear()

    def until_checked(self, *pieces: int, data: bytes = DATA) -> None:
        self.until(lambda: list(self.sharing.checked(job_of(data).digest) or ()) == list(pieces))

    def hear(self, *pieces: int, teller: str = "far") -> None:
        hashes = {piece: PieceHash(true_hash(piece), "far", "hub") for piece in pieces}
        self.sharing.hear(teller, Holding(job_of().digest, SIZE, Bits(piece_count(SIZE)), False, hashes))

    def place(self, repo_name: str = "org/m", data: bytes = DATA) -> Path:
        """A blob as a pull leaves it in the cache."""
        repo = type(plain.REPO)(plain.REPO.type, repo_name)
        staged = self.cache.staging.folder / "staged"
        staged.write_bytes(data)
        digest = job_of(data).digest
        file = RepoFile("big.safetensors", len(data), digest, is_lfs=True)
        self.cache.blobs.place(repo, plain.ONE, [(verify(staged, digest, len(data)), file)])
        return self.cache.layout.blob(repo, digest)


MakeNode = Callable[..., Node]


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    with ExitStack() as stack:
        yield lambda **given: Node(stack, tmp_path, **given)


def arrived(*items: tuple[int, int, str]) -> Extents:
    return Extents.of(Extent(start, end, source) for start, end, source in items)


def content(readable: Readable | None, start: int, end: int) -> bytes:
    assert readable is not None
    try:
        return os.pread(readable.descriptor, end - start, start)
    finally:
        assert readable.is_still_right()
        os.close(readable.descriptor)


def test_pieces_of_an_origin_are_checked_told_and_read_while_the_rest_arrives(make_node: MakeNode) -> None:
    node = make_node()
    arrival = node.follow()
    (empty,) = node.sharing.news(0).holdings
    assert (empty.digest, empty.size, len(empty.checked)) == (job_of().digest, SIZE, 0)
    arrival.grow(arrived((0, 2 * PIECE + 5, "hub")))
    node.until_checked(0, 1)
    news = node.sharing.news(0)
    assert news.holdings[0].hashes == {
        0: PieceHash(true_hash(0), "me", "hub"),
        1: PieceHash(true_hash(1), "me", "hub"),
    }
    assert content(node.sharing.read(job_of().digest, 5, 2 * PIECE), 5, 2 * PIECE) == DATA[5 : 2 * PIECE]
    assert node.sharing.read(job_of().digest, 5, 2 * PIECE + 1) is None
    assert node.sharing.whole([job_of().digest]) == {}
    assert node.sharing.news(news.version).holdings == ()
    arrival.grow(arrived((0, SIZE, "hub")))
    node.until_checked(0, 1, 2, 3)
    assert set(node.sharing.news(news.version).holdings[0].hashes) == {2, 3}
    assert content(node.sharing.read(job_of().digest, 0, 1 << 60), 0, SIZE) == DATA


def test_a_piece_of_a_peer_is_passed_on_once_its_published_hash_is_known(make_node: MakeNode) -> None:
    node = make_node()
    arrival = node.follow()
    arrival.grow(arrived((0, SIZE, "peer:b")))
    node.hear(1)
    node.until_checked(1)
    node.hear(0, 3)
    node.until_checked(0, 1, 3)
    assert not node.wrong
    assert not node.engine.dropped


def test_altered_pieces_are_taken_back_and_their_sender_is_accused(make_node: MakeNode) -> None:
    node = make_node()
    node.part.write_bytes(DATA[:PIECE] + bytes(2 * PIECE) + DATA[3 * PIECE :])
    arrival = node.follow()
    node.hear(0, 1, 2, 3)
    arrival.grow(arrived((0, SIZE, "peer:b")))
    node.until_checked(0, 3)
    while not node.engine.dropped or node.engine.dropped[-1] != (((PIECE, 3 * PIECE),), 0):
        assert node.engine.came.wait(30)
        node.engine.came.clear()
    assert sorted(node.wrong) == [(1, "b"), (2, "b")]
    # Of the drops of one epoch only the first counts, so the other is asked for again in the next.
    arrival.take_back(((PIECE, 2 * PIECE),))
    while node.engine.dropped[-1] != (((2 * PIECE, 3 * PIECE),), 1):
        assert node.engine.came.wait(30)
        node.engine.came.clear()
    arrival.take_back(((2 * PIECE, 3 * PIECE),))
    node.part.write_bytes(DATA)
    arrival.grow(arrived((0, PIECE, "peer:b"), (PIECE, 3 * PIECE, "peer:c"), (3 * PIECE, SIZE, "peer:b")))
    node.until_checked(0, 1, 2, 3)
    assert len(node.wrong) == 2


def test_what_was_opened_counts_for_nothing_once_its_bytes_are_taken_back(make_node: MakeNode) -> None:
    node = make_node()
    arrival = node.follow()
    arrival.grow(arrived((0, SIZE, "hub")))
    node.until_checked(0, 1, 2, 3)
    first, second = (node.sharing.read(job_of().digest, n * PIECE, (n + 1) * PIECE) for n in (0, 1))
    assert first is not None
    assert second is not None
    arrival.take_back(((PIECE, PIECE + 1),))
    assert first.is_still_right()
    assert not second.is_still_right()
    os.close(first.descriptor)
    os.close(second.descriptor)
    assert node.sharing.read(job_of().digest, PIECE, PIECE + 1) is None
    assert content(node.sharing.read(job_of().digest, 0, PIECE), 0, PIECE) == DATA[:PIECE]


def test_a_blob_that_is_lost_or_left_is_given_no_more(make_node: MakeNode) -> None:
    node = make_node()
    arrival = node.follow()
    arrival.grow(arrived((0, SIZE, "hub")))
    node.until_checked(0, 1, 2, 3)
    arrival.take_back(state=State.WAITING)
    assert node.sharing.read(job_of().digest, 0, 1) is None
    node.until_checked()
    arrival.grow(arrived((0, SIZE, "hub")))
    node.until_checked(0, 1, 2, 3)
    arrival.enter(State.LOST)
    node.until_checked()


def test_a_small_file_is_told_once_it_is_proven(make_node: MakeNode) -> None:
    node, data = make_node(), b"small"
    node.part.write_bytes(data)
    arrival = node.follow(job_of(data))
    arrival.arrived = arrived((0, len(data), "peer:b"))
    arrival.enter(State.PROVEN)
    node.until_checked(0, data=data)
    (holding,) = node.sharing.news(0).holdings
    assert holding.is_whole
    assert holding.hashes == {}
    assert node.sharing.whole([job_of(data).digest]) == {job_of(data).digest: 5}
    assert content(node.sharing.read(job_of(data).digest, 0, 5), 0, 5) == data


def test_news_are_told_in_portions(make_node: MakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.swarm.sharing.news.MOST_HOLDINGS", 2)
    node = make_node()
    digests = [job_of(bytes([number])).digest for number in range(5)]
    for number in range(5):
        node.follow(job_of(bytes([number])))
    version, seen = 0, list[Digest]()
    while (news := node.sharing.news(version)).holdings:
        assert len(news.holdings) <= 2
        version = news.version
        seen += [holding.digest for holding in news.holdings]
    assert seen == digests


@pytest.mark.parametrize("is_shared", [True, False])
def test_blobs_of_closed_repos_are_shared_only_where_that_was_said(make_node: MakeNode, is_shared: bool) -> None:
    node = make_node(share_restricted=is_shared)
    node.place("org/secret", DATA)
    other = generate(2 * PIECE, 9)
    node.follow(job_of(other, is_restricted=True))
    assert (job_of().digest in node.sharing.whole([job_of().digest])) == is_shared
    assert bool(node.sharing.news(0).holdings) == is_shared
    readable = node.sharing.read(job_of().digest, 0, SIZE)
    assert (readable is not None) == is_shared
    assert (node.sharing.proven_pieces(job_of().digest) is not None) == is_shared
    if readable:
        os.close(readable.descriptor)


def test_a_blob_of_the_cache_is_given_by_its_digest_as_long_as_it_is_what_was_proven(make_node: MakeNode) -> None:
    node = make_node()
    blob, digest = node.place(), job_of().digest
    assert node.sharing.whole([digest, job_of(b"x").digest]) == {digest: SIZE}
    assert content(node.sharing.read(digest, 7, PIECE + 9), 7, PIECE + 9) == DATA[7 : PIECE + 9]
    told = piece_lists.parse(node.sharing.proven_pieces(digest) or b"")
    assert told is not None
    assert [told.hash(piece) for piece in range(4)] == [true_hash(piece) for piece in range(4)]
    readable = node.sharing.read(digest, 0, 1)
    assert readable is not None
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.write(b"other")
    assert not readable.is_still_right()
    os.close(readable.descriptor)
    assert node.sharing.whole([digest]) == {}
    assert node.sharing.read(digest, 0, 1) is None
    assert node.sharing.proven_pieces(digest) is None


def test_a_link_out_of_the_cache_is_not_followed(make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node()
    blob, digest = node.place(), job_of().digest
    elsewhere = tmp_path / "elsewhere"
    blob.rename(elsewhere)
    blob.symlink_to(elsewhere)
    assert node.sharing.whole([digest]) == {}
    assert node.sharing.read(digest, 0, 1) is None


def test_a_placed_blob_that_was_removed_from_the_cache_is_told_no_more(make_node: MakeNode) -> None:
    node = make_node()
    arrival = node.follow()
    blob = node.place()
    node.part.unlink()
    arrival.enter(State.PROVEN)
    arrival.enter(State.PLACED)
    node.until_checked(0, 1, 2, 3)
    assert content(node.sharing.read(job_of().digest, 0, SIZE), 0, SIZE) == DATA
    blob.unlink()
    assert node.sharing.read(job_of().digest, 0, 1) is None
    node.until_checked()


def test_what_was_placed_long_ago_is_only_in_the_cache(make_node: MakeNode) -> None:
    node = make_node()
    arrival = node.follow()
    node.place()
    arrival.enter(State.PLACED)
    node.until_checked(0, 1, 2, 3)
    node.now += 301
    other = node.follow(job_of(b"x"))
    other.enter(State.LOST)
    node.until(lambda: node.sharing.checked(job_of().digest) is None)
    assert [one.digest for one in node.sharing.news(0).holdings] == [job_of(b"x").digest]
    assert node.sharing.whole([job_of().digest]) == {job_of().digest: SIZE}
    assert content(node.sharing.read(job_of().digest, 0, SIZE), 0, SIZE) == DATA


class Alone:
    """The company of a depot that only shares."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing

    def around(self, locator: Choosing) -> Choosing:
        return locator

    def join(self, engine: Engine) -> None:
        self._sharing.join(engine)

    def follow(self, watch: Watch) -> None:
        self._sharing.follow(watch)

    def doubt(self, digest: Digest, trusted: str) -> Doubt | None:
        return self._sharing.doubt(digest, trusted)


def test_what_a_real_depot_fetches_is_shared_and_stays_so_in_the_cache(make_house: MakeHouse) -> None:
    house = make_house({"big.safetensors": generate(30 * MIB, 1), "small.safetensors": b"small" * 1000})
    made = Sharing("me", house.cache.blobs, is_open=lambda _: True, wrong=lambda *_: None)
    sharing = house.stack.enter_context(made)
    changed = threading.Event()
    sharing.subscribe(changed.set)
    resident = house.resident(company=Alone(sharing))
    jobs = {job.digest: name for name in house.files for job in [house.job(name)]}
    watches = [resident.want(house.job(name)) for name in house.files]
    version, pieces = 0, dict[Digest, set[int]]()
    whole = set[Digest]()
    while len(whole) < 2 or len(pieces[house.job().digest]) < 8:
        changed.clear()
        news = sharing.news(version)
        version = news.version
        for holding in news.holdings:
            data = house.files[jobs[holding.digest]]
            for piece, told in holding.hashes.items():
                assert told == PieceHash(true_hash(piece, data), "me", "hub")
            pieces.setdefault(holding.digest, set()).update(holding.hashes)
            for piece in holding.checked:
                start, end = piece_range(holding.size, piece)
                readable = sharing.read(holding.digest, start, end)
                if readable is not None:  # between two folders a blob is at neither for a moment
                    assert content(readable, start, end) == data[start:end]
            if holding.is_whole:
                whole.add(holding.digest)
        if not news.holdings:
            assert changed.wait(30)
    for watch in watches:
        while not watch.has_ended:
            watch.wait(watch.version, 5)
        assert watch.state is State.PLACED
    assert set(sharing.whole(jobs)) == set(jobs)
    assert content(sharing.read(house.job().digest, 0, 30 * MIB), 0, 30 * MIB) == house.files["big.safetensors"]
    assert house.cache.layout.blob(REPO, house.job().digest).exists()
