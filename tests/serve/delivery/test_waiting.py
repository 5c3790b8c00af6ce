"""When the headers of a file may be answered: not before its lock is held."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from orchestrator.core.files import Algorithm, Digest, RepoFile
from orchestrator.core.plan import Found, Have, ResolvedModel
from orchestrator.serve.delivery.waiting import Waiting
from orchestrator.transfer.spans import SMALL
from tests.plain import REPO, Heard

FILE = RepoFile("big.safetensors", SMALL, Digest(Algorithm.SHA256, "ab" * 32), is_lfs=True)
MODEL = cast(ResolvedModel, SimpleNamespace(ref=SimpleNamespace(repo=REPO)))


def test_no_program_gets_the_headers_before_the_lock_is_held(tmp_path: Path) -> None:
    """Else the second of two that ask at once takes it, and both fetch."""
    may_hold, is_asked = threading.Event(), threading.Event()
    lock = tmp_path / "lock"
    lock.touch()

    def hold(*_: object) -> Any:
        is_asked.set()
        assert may_hold.wait(60)
        return nullcontext(lock)

    library = SimpleNamespace(find=lambda *_: Found(Have.NOTHING))
    shelves = SimpleNamespace(refuse=lambda *_: None, hold=hold)

    async def ask(openings: Any, looking: ThreadPoolExecutor) -> None:
        waiting = Waiting(
            cast(Any, library), cast(Any, shelves), cast(Any, None), openings=openings, looking=looking, emit=Heard()
        )
        asked = [asyncio.ensure_future(waiting.expect(MODEL, FILE)) for _ in range(3)]
        await asyncio.to_thread(is_asked.wait, 60)
        await asyncio.sleep(0)
        has_answered = any(one.done() for one in asked)
        may_hold.set()
        assert not has_answered
        await asyncio.gather(*asked)
        await waiting.expect(MODEL, FILE)
        waiting.close()

    silent, other = socket.socketpair()
    with silent, other, ThreadPoolExecutor(1) as looking:
        openings = SimpleNamespace(fileno=silent.fileno, watch=lambda _: 1, forget=lambda _: None)
        asyncio.run(ask(openings, looking))
