"""Who waits at a lock, by the tries to get it."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.serve import waiting
from orchestrator.serve.waiting import Tries


def test_somebody_waits_for_as_long_as_somebody_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "IDLE", 0.1)

    async def watch() -> list[bool]:
        tries = Tries()
        seen = [await tries.go_on()]
        asyncio.get_running_loop().call_soon(tries.add)
        seen.append(await tries.go_on())
        # A moment ago somebody did: no need to wait.
        seen.append(await asyncio.wait_for(tries.go_on(), 0.05))
        await asyncio.sleep(0.1)
        return [*seen, await tries.go_on()]

    assert asyncio.run(watch()) == [False, True, True, False]
