"""A prefetch that ends early gives its room back, whenever that is."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from orchestrator.core.plan import Found, Have
from orchestrator.serve.delivery.prefetch import Prefetch, Prefetching
from orchestrator.serve.stock.room import Room
from orchestrator.serve.stock.shelves import Shelves
from tests import plain
from tests.plain import FILES, Heard

SIZE = sum(map(len, FILES.values()))


class Slow:
    """A library that looks for as long as a test wants, in a cache that has nothing."""

    def __init__(self) -> None:
        self.looks, self.may_end = threading.Event(), threading.Event()

    def find(self, *_asked: object, **_how: object) -> Found:
        self.looks.set()
        self.may_end.wait(60)
        return Found(Have.NOTHING)


class Arrivals:
    """Nothing is on its way."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def release_unused(self, digest: Any) -> None:
        self._room.release([digest])


def test_who_leaves_while_room_is_looked_for_takes_none(tmp_path: Path) -> None:
    library, heard = Slow(), Heard()
    with plain.cache(tmp_path) as cache, ThreadPoolExecutor(1) as making:
        shelves = Shelves(cache, cast(Any, None), heard)
        room = Room(cache, most=None, in_use=shelves.in_use, gone=shelves.gone, emit=heard)
        none, arrivals = cast(Any, None), cast(Any, Arrivals(room))
        prefetching = Prefetching(none, cast(Any, library), shelves, arrivals, room, making=making)
        model = plain.model_of()

        async def run() -> None:
            running = asyncio.ensure_future(prefetching.run(Prefetch(model, model.tree.files)))
            await asyncio.to_thread(library.looks.wait, 60)
            running.cancel()
            await asyncio.wait((running,))
            assert running.cancelled()
            library.may_end.set()
            await asyncio.to_thread(making.submit(lambda: None).result)
            await asyncio.sleep(0)

        asyncio.run(run())
        assert room.reserved == 0
        assert prefetching.running == ()
        assert shelves.in_use() == frozenset()
