"""What the cache counts on from whoever says which node writes a blob: the contract of the port `Owners`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cache.cache import HfCache
from orchestrator.cache.claims import Alone, FileClaims, Grant, Owners
from orchestrator.cache.staging import Staging
from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import TemporaryError
from tests.cache.world import World, model_of
from tests.plain import PlainOwners
from tests.shared.nodes import Node, until_granted

ONE = Digest(Algorithm.SHA256, "1" * 64)
TWO = Digest(Algorithm.GIT_SHA1, "2" * 40)


@dataclass
class Pair:
    """Two nodes of one cache; `stop_one` stops the process of the first, as SIGSTOP does."""

    one: Owners
    other: Owners
    stop_one: Callable[[], None]


@pytest.fixture(params=["plain", "redis"])
def pair(request: pytest.FixtureRequest, scope: str) -> Pair:
    if request.param == "plain":
        one = PlainOwners()
        return Pair(one, PlainOwners(one.board), lambda: setattr(one, "is_still", True))
    server = request.getfixturevalue("server")
    far, near = Node(server.url, scope, host="far-away"), Node(server.url, scope)
    return Pair(far.leases, near.leases, far.stand_still)


@pytest.fixture(params=["alone", "plain", "redis"])
def owners(request: pytest.FixtureRequest, scope: str) -> Owners:
    if request.param == "redis":
        return Node(request.getfixturevalue("server").url, scope).leases
    return Alone() if request.param == "alone" else PlainOwners()


def test_what_nobody_took_is_granted_and_ours(owners: Owners) -> None:
    assert owners.is_ours(ONE)
    assert owners.take(ONE) is Grant.YES
    assert owners.is_ours(ONE)


def test_whoever_has_a_blob_may_ask_again(owners: Owners) -> None:
    assert owners.take(ONE) is owners.take(ONE) is Grant.YES


def test_giving_back_is_repeatable_and_fine_for_what_is_not_held(owners: Owners) -> None:
    owners.give_back(TWO)
    owners.take(ONE)
    owners.give_back(ONE)
    owners.give_back(ONE)
    assert owners.is_ours(ONE)
    assert owners.take(ONE) is Grant.YES


def test_a_part_is_claimed_and_released(owners: Owners, tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    staging = Staging(tmp_path, owners)
    with staging.claim(ONE) or pytest.fail("nobody has it"):
        assert staging.part(ONE).name == ONE.hex
        assert staging.claim(ONE) is None
    with staging.claim(ONE) or pytest.fail("it was released"):
        pass
    staging.close()


def test_closing_gives_everything_back(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    staging = Staging(tmp_path, pair.one)
    assert staging.claim(ONE)
    assert pair.other.take(ONE) is Grant.NO
    staging.close()
    assert until_granted(pair.other, ONE) is Grant.YES


def test_a_blob_has_one_writer_among_nodes(pair: Pair) -> None:
    assert pair.one.take(ONE) is Grant.YES
    assert pair.other.take(ONE) is Grant.NO
    assert pair.other.take(TWO) is Grant.YES
    assert pair.one.is_ours(ONE)
    pair.one.give_back(ONE)
    assert until_granted(pair.other, ONE) is Grant.YES, "given back in order: the part may be continued"


def test_a_node_that_stood_still_is_taken_over_and_fenced(pair: Pair) -> None:
    pair.one.take(ONE)
    pair.stop_one()
    assert until_granted(pair.other, ONE) is Grant.NEW_PART, "the one before may still write into its part"
    assert not pair.one.is_ours(ONE)
    assert pair.other.is_ours(ONE)
    pair.one.give_back(ONE)
    assert pair.other.is_ours(ONE), "a node that lost a blob cannot give it back"


def test_a_node_is_fenced_even_when_the_other_is_done(pair: Pair) -> None:
    pair.one.take(ONE)
    pair.stop_one()
    until_granted(pair.other, ONE)
    pair.other.give_back(ONE)
    assert not pair.one.is_ours(ONE)


def test_a_part_that_was_taken_over_is_begun_anew_under_another_name(pair: Pair, tmp_path: Path) -> None:
    state = World(tmp_path).state
    old, new = Staging(state, pair.one), Staging(state, pair.other)
    # Each with a file of locks of its own: as on a file system that grants every lock to everyone.
    for staging, locks in ((old, "a"), (new, "b")):
        staging._files = FileClaims(staging.folder, tmp_path / locks)
        staging._files._trusts_locks = True
    claim = old.claim(ONE)
    assert claim is not None
    assert new.claim(ONE) is None
    first_part = old.part(ONE)
    with first_part.open("wb") as stream:
        stream.write(b"half")
        stream.flush()
        pair.stop_one()
        deadline = time.monotonic() + 10
        while (taken := new.claim(ONE)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not first_part.exists(), "the part of a node that may still write was continued"
        assert new.part(ONE) != first_part, "it can still make names like this one"
        new.part(ONE).write_bytes(b"new")
        stream.write(b" and more")
    old.discard(ONE)
    assert new.part(ONE).read_bytes() == b"new", "a node that lost the claim removed the part of the one that has it"
    taken.release()
    claim.release()
    assert [path.name for path in new.folder.iterdir()] == []


def test_a_node_that_lost_a_blob_does_not_place_it(pair: Pair, tmp_path: Path) -> None:
    world, model = World(tmp_path), model_of({"a.safetensors": b"x" * 1000})
    (file,) = model.wanted.files
    cache = HfCache(world.layout, world.state, owners=pair.one)
    pair.one.take(file.digest)
    pair.stop_one()
    entries = world.entries([file], {"a.safetensors": b"x" * 1000})
    until_granted(pair.other, file.digest)
    with pytest.raises(TemporaryError, match="another node took over"):
        cache.place(model.ref.repo, model.commit, entries)
    assert not world.blob(model, "a.safetensors").exists()
    # Once the other has placed it, the one that woke up is content.
    world.cache.place(model.ref.repo, model.commit, entries)
    cache.place(model.ref.repo, model.commit, entries)
    assert world.blob(model, "a.safetensors").read_bytes() == b"x" * 1000
