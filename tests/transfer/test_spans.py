"""Spans with a real aria2c: exactly the range is asked for, from any block on, and not a byte more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.aria2.control import BLOCK, FINE_PIECE, PIECE
from orchestrator.aria2.rpc import Rpc
from orchestrator.transfer.spans import Span
from tests.hub.content import MIB, generate
from tests.hub.loopback import LoopbackHub, Site
from tests.hub.repos import Repo
from tests.hub.shaping import Shape

SIZE = 5 * MIB + 12_345
CONTENT = generate(SIZE, 3)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub([Repo("model", "org/m", {"m.safetensors": CONTENT})]) as made:
        yield made


@pytest.fixture
def part(tmp_path: Path) -> Path:
    made = tmp_path / "part"
    made.write_bytes(b"\xaa" * SIZE)
    return made


def begin(rpc: Rpc, near: Site, part: Path, start: int, end: int, *, width: int = 1) -> Span:
    span = Span("near", part.with_name("part.span-0"), start, end, SIZE, time.monotonic(), width=width)
    span.open(part)
    (answer,) = rpc.add([span.download(f"{near.url}/org/m/resolve/main/m.safetensors")])
    assert isinstance(answer, str), answer
    span.gid = answer
    return span


def run(rpc: Rpc, hub: LoopbackHub, part: Path, start: int, end: int, *, width: int = 1) -> Span:
    span = begin(rpc, hub.mirror("near"), part, start, end, width=width)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        status = rpc.tell([span.gid], with_bitfield=True)[span.gid]
        if status.is_stopped:
            span.see(status, time.monotonic())
            assert status.is_complete, status
            rpc.forget([span.gid])
            span.close()
            return span
    raise AssertionError("the span did not end")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, PIECE),
        (PIECE, 3 * PIECE),
        (2 * BLOCK, PIECE),
        (PIECE + 63 * BLOCK, 4 * PIECE),
        (5 * PIECE, SIZE),
        (3 * PIECE + 5 * BLOCK, SIZE),
        (0, FINE_PIECE),
        (3 * FINE_PIECE, 7 * FINE_PIECE),
        (PIECE + 5 * BLOCK, PIECE + 3 * FINE_PIECE),
        (0, SIZE),
    ],
)
def test_a_span_is_one_request_for_its_range(rpc: Rpc, hub: LoopbackHub, part: Path, start: int, end: int) -> None:
    span = run(rpc, hub, part, start, end)
    assert span.position == end
    assert [(item.start, item.end, item.source) for item in span.extents()] == [(start, end, "near")]
    written = part.read_bytes()
    assert written[start:end] == CONTENT[start:end]
    assert written[:start] == b"\xaa" * start
    assert written[end:] == b"\xaa" * (SIZE - end)
    hub.log.settle()
    (asked,) = hub.log.requests(method="GET")
    assert asked.range == (f"bytes={start}-{end - 1}" if (start, end) != (0, SIZE) else asked.range)
    assert asked.bytes_sent == end - start
    assert not list(part.parent.glob("part.*"))


def test_a_wide_span_tells_its_runs(rpc: Rpc, hub: LoopbackHub, part: Path) -> None:
    span = run(rpc, hub, part, BLOCK, SIZE, width=4)
    assert [(item.start, item.end) for item in span.extents()] == [(BLOCK, SIZE)]
    assert part.read_bytes()[BLOCK:] == CONTENT[BLOCK:]


def test_a_wide_span_that_ends_within_a_mebibyte_tells_only_what_came(rpc: Rpc, hub: LoopbackHub, part: Path) -> None:
    """Such a range ends where another begins; its pieces are shorter, and so are those that aria2 tells of."""
    start, end = 3 * PIECE, 4 * PIECE + FINE_PIECE
    near = hub.mirror("near", shape=Shape(total_rate=2 * MIB))
    span = begin(rpc, near, part, start, end, width=4)
    while span.position == start:
        span.see(rpc.tell([span.gid], with_bitfield=True)[span.gid], time.monotonic())
    assert span.left
    assert sum(item.end - item.start for item in span.extents()) <= span.position - start
    rpc.stop([span.gid])


def test_without_hard_links_a_symlink_serves(
    rpc: Rpc, hub: LoopbackHub, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    run(rpc, hub, part, 0, 2 * PIECE)
    assert part.read_bytes()[: 2 * PIECE] == CONTENT[: 2 * PIECE]


def test_what_aria2_saves_is_read(rpc: Rpc, hub: LoopbackHub, part: Path) -> None:
    """A download that is stopped in the middle, and forgotten before anybody asked how far it came."""
    span = begin(rpc, hub.mirror("near", shape=Shape(total_rate=2 * MIB)), part, BLOCK, SIZE)
    while rpc.tell([span.gid])[span.gid].done <= SIZE - (SIZE - BLOCK) + MIB:
        time.sleep(0.01)
    rpc.stop([span.gid])
    while rpc.tell([span.gid]):
        rpc.forget([span.gid])
    span.look_up()
    assert BLOCK + MIB <= span.position < SIZE
    assert part.read_bytes()[BLOCK : span.position] == CONTENT[BLOCK : span.position]
    span.close()
