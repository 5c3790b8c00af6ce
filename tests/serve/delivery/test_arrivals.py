"""Who waits for a file, and what becomes of it when it was lost before."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from orchestrator.cache.cache import Cache
from orchestrator.core.plan import Have, Job
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.trust import Policy
from orchestrator.depot.elsewhere import Elsewhere
from orchestrator.depot.messages import Proven
from orchestrator.depot.watch import Arrival, State, Watch
from orchestrator.errors import SourcesDownError
from orchestrator.proof.verified import verify
from orchestrator.serve.delivery.arrivals import Arrivals
from orchestrator.serve.delivery.handed import Handed
from orchestrator.serve.delivery.ranges import Excerpt
from orchestrator.serve.http.clients import Manner
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.stock.library import Library
from orchestrator.serve.stock.room import Room
from orchestrator.serve.stock.shelves import Shelves
from tests import plain
from tests.plain import FILES, ONE, REPO, ROOT, Heard, PlainCatalog, tree_of


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


class Depot:
    """One arrival at a time, which a test ends by hand."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.arrival: Arrival | None = None

    def want(self, job: Job) -> Watch:
        if self.arrival is None or self.arrival.state is State.LOST:
            self.arrival = Arrival(job, self._cache.staging.part, threading.Lock())
        watch = Watch(self.arrival, lambda _: None, None)
        self.arrival.watches.append(watch)
        return watch


@pytest.mark.parametrize("is_lost_first", [False, True])
def test_a_file_is_placed_also_for_who_asks_again_after_it_was_lost(cache: Cache, is_lost_first: bool) -> None:
    heard = Heard()
    sites = plain.sites(PlainCatalog(trees={ONE: tree_of()}))
    library = Library(sites, plain.sources(ROOT), cache, policy=Policy.AGREE, offline=False, emit=heard)
    model = library.resolve(Ref(REPO, "main")).model
    file = next(one for one in model.tree.files if one.size)
    depot = Depot(cache)
    shelves = Shelves(cache, Elsewhere(sites, heard), heard)
    room = Room(cache, most=None, in_use=shelves.in_use, gone=shelves.gone, emit=heard)
    arrivals = Arrivals(shelves, Handed(cache.state_dir), room, ThreadPoolExecutor(1))
    arrivals.fetch_by(depot.want)
    whole = Excerpt(200, 0, file.size, file.size)

    async def ask() -> None:
        await arrivals.make_room(model, file, 10)
        assert room.reserved == file.size
        if is_lost_first:
            with arrivals.of(model, file, whole, Manner.WAITS) as awaited:
                cast(Arrival, depot.arrival).enter(State.LOST, SourcesDownError("root does not answer"))
                assert awaited.watch.state is State.LOST
        with arrivals.of(model, file, whole, Manner.WAITS) as awaited:
            assert awaited.watch.state is State.WAITING
            part = awaited.watch.part
            part.write_bytes(FILES[file.path])
            proven = verify(part, file.digest, file.size)
            assert not arrivals.place([Proven(awaited.watch.job, proven, {})])
            assert room.reserved == 0
        arrivals.close()

    asyncio.run(ask())
    assert library.find(model, file).have is Have.PLACED


@pytest.mark.parametrize("for_all", [False, True])
def test_what_comes_for_a_closed_repo_is_for_its_readers_alone(cache: Cache, for_all: bool) -> None:
    heard = Heard()
    catalog = PlainCatalog(trees={ONE: tree_of()})
    sites = plain.sites(catalog)
    library = Library(sites, plain.sources(ROOT), cache, policy=Policy.AGREE, offline=False, emit=heard)
    catalog.is_restricted = True
    closed = library.resolve(Ref(REPO, "main")).model
    catalog.is_restricted = False
    other = library.resolve(Ref(RepoId(RepoType.MODEL, "org/other"), "main")).model
    file = next(one for one in closed.tree.files if one.size)
    depot = Depot(cache)
    shelves = Shelves(cache, Elsewhere(sites, heard), heard)
    room = Room(cache, most=None, in_use=shelves.in_use, gone=shelves.gone, emit=heard)
    arrivals = Arrivals(shelves, Handed(cache.state_dir), room, ThreadPoolExecutor(1), for_all=for_all)
    arrivals.fetch_by(depot.want)
    whole = Excerpt(200, 0, file.size, file.size)

    async def ask() -> None:
        with arrivals.of(closed, file, whole, Manner.WAITS):
            with arrivals.of(closed, file, whole, Manner.HASHES):
                pass
            with contextlib.nullcontext() if for_all else pytest.raises(Refused, match="another repo"):
                arrivals.of(other, file, whole, Manner.HASHES).__enter__()
        arrivals.close()
        with arrivals.of(other, file, whole, Manner.HASHES), arrivals.of(closed, file, whole, Manner.HASHES):
            pass
        arrivals.close()

    asyncio.run(ask())
