"""Spans with a real aria2c: exactly the range is asked for, from any block on, and not a byte more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.aria2.control import BLOCK, PIECE, arrived, control_file, runs_of
from orchestrator.aria2.options import span_options
from orchestrator.aria2.rpc import Rpc
from orchestrator.transfer.spans import Span
from tests.support.content import MIB, generate
from tests.support.hub import LoopbackHub
from tests.support.repos import Repo
from tests.support.shaping import Shape

SIZE = 5 * MIB + 12_345
CONTENT = generate(SIZE, 3)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub([Repo("model", "org/m", {"m.safetensors": CONTENT})]) as made:
        yield made


def run(rpc: Rpc, hub: LoopbackHub, part: Path, start: int, end: int, *, width: int = 1) -> Span:
    near = hub.mirror(f"near-{len(hub.faces)}")
    span = Span("near", part.with_name("part.span-0"), start, end, SIZE, time.monotonic(), width=width)
    span.open(part)
    (span.gid,) = rpc.add([(span, f"{near.url}/org/m/resolve/main/m.safetensors", span_options(span))])
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
        (0, SIZE),
    ],
)
def test_a_span_is_one_request_for_its_range(rpc: Rpc, hub: LoopbackHub, tmp_path: Path, start: int, end: int) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"\xaa" * SIZE)
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
    assert not list(tmp_path.glob("part.*"))


def test_a_wide_span_tells_its_runs(rpc: Rpc, hub: LoopbackHub, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"\xaa" * SIZE)
    span = run(rpc, hub, part, BLOCK, SIZE, width=4)
    assert [(item.start, item.end) for item in span.extents()] == [(BLOCK, SIZE)]
    assert part.read_bytes()[BLOCK:] == CONTENT[BLOCK:]


def test_without_hard_links_a_symlink_serves(
    rpc: Rpc, hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no hard links here")

    part = tmp_path / "part"
    part.write_bytes(b"\xaa" * SIZE)
    monkeypatch.setattr(os, "link", refuse)
    run(rpc, hub, part, 0, 2 * PIECE)
    assert part.read_bytes()[: 2 * PIECE] == CONTENT[: 2 * PIECE]


BLOCKS = st.integers(1, 200)


@given(BLOCKS, st.data())
def test_the_bitfield_leaves_out_what_is_missing(blocks: int, data: st.DataObject) -> None:
    size = blocks * BLOCK + data.draw(st.integers(0, BLOCK - 1))
    start = data.draw(st.integers(0, blocks - 1)) * BLOCK
    end = data.draw(st.integers(start + 1, size))
    text = control_file(size, start, end)
    pieces = -(-size // PIECE)
    field = text[34 : 34 + -(-pieces // 8)]
    here = {at for first, last in runs_of(field, 0, size) for at in range(first // PIECE, -(-last // PIECE))}
    missing = set(range(start // PIECE, -(-end // PIECE)))
    assert here == set(range(pieces)) - missing
    assert int.from_bytes(field, "big") & ((1 << (len(field) * 8 - pieces)) - 1) == 0


@given(BLOCKS, st.data())
def test_what_was_written_is_read(blocks: int, data: st.DataObject) -> None:
    size = blocks * BLOCK + data.draw(st.integers(0, BLOCK - 1))
    start = data.draw(st.integers(0, blocks - 1)) * BLOCK
    end = min(size, data.draw(st.integers(start // PIECE + 1, -(-size // PIECE))) * PIECE)
    before = [(0, start)] if start else []
    after = [(end, size)] if end < size else []
    text = control_file(size, start, end)
    assert list(arrived(text, size, 0, size)) == before + after
    assert list(arrived(text, size, start, end)) == []
    assert list(arrived(text, size + PIECE, 0, size)) == [], "it is of another file"


@given(st.binary(max_size=80), st.integers(0, 60), st.integers(1, 1 << 40))
def test_a_damaged_control_file_says_nothing_wrong(junk: bytes, cut: int, size: int) -> None:
    text = control_file(5 * PIECE, BLOCK, 3 * PIECE)
    for damaged in (junk, text[:cut], text + junk[:1], text[:10] + junk):
        if damaged != text:
            assert all(0 <= at < to <= size for at, to in arrived(damaged, size, 0, min(size, 5 * PIECE)))


def test_what_aria2_saves_is_read(rpc: Rpc, hub: LoopbackHub, tmp_path: Path) -> None:
    """A download that is stopped in the middle, and forgotten before anybody asked how far it came."""
    part = tmp_path / "part"
    part.write_bytes(b"\xaa" * SIZE)
    near = hub.mirror("near", shape=Shape(total_rate=2 * MIB))
    span = Span("near", part.with_name("part.span-0"), BLOCK, SIZE, SIZE, time.monotonic())
    span.open(part)
    (span.gid,) = rpc.add([(span, f"{near.url}/org/m/resolve/main/m.safetensors", span_options(span))])
    while rpc.tell([span.gid])[span.gid].done <= SIZE - (SIZE - BLOCK) + MIB:
        time.sleep(0.01)
    rpc.stop([span.gid])
    while rpc.tell([span.gid]):
        rpc.forget([span.gid])
    span.look_up()
    assert BLOCK + MIB <= span.position < SIZE
    assert part.read_bytes()[BLOCK : span.position] == CONTENT[BLOCK : span.position]
    span.close()
