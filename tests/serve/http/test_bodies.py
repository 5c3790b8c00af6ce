"""Bodies of requests: one that is too long is refused, and a client has a few long ones at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from orchestrator.serve.http.bodies import MOST, SHORT, Bodies, read_body
from orchestrator.serve.http.refusals import Refused


def sent(*pieces: bytes) -> Any:
    """The `receive` of a request whose body comes in these pieces."""
    left = list(pieces)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


def test_a_body_that_is_too_long_is_refused() -> None:
    assert asyncio.run(read_body(sent(b"a", bytes(MOST - 1)))) == b"a" + bytes(MOST - 1)
    with pytest.raises(Refused) as caught:
        asyncio.run(read_body(sent(bytes(MOST), b"a", b"never read")))
    assert caught.value.status == 413


def test_a_client_has_a_few_long_bodies_at_once() -> None:
    bodies, long = Bodies(), bytes(SHORT + 1)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(4):
                assert await stack.enter_async_context(bodies.of(sent(long), "one")) == long
            # Before the rest of it is read.
            with pytest.raises(Refused) as caught:
                await stack.enter_async_context(bodies.of(sent(long, b"never read"), "one"))
            assert caught.value.status == 429
            for client, body in (("one", b"short"), ("other", long), ("", long)):
                assert await stack.enter_async_context(bodies.of(sent(body), client)) == body
        async with bodies.of(sent(long), "one") as again:
            assert again == long

    asyncio.run(run())
