"""Fleets for tests of the planner: by hand, and any that can be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from orchestrator.core.files import Digest
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm.units import Bits, Unit, piece_count, unit_bytes
from orchestrator.swarm.view import (
    BlobView,
    Bundle,
    BundleView,
    FleetView,
    Lease,
    NodeState,
    NodeView,
    OriginView,
    TaskView,
)

NOW = 1000.0
NAMES = tuple(f"n{number}" for number in range(6))


def digest(number: int) -> Digest:
    return Digest.parse(f"sha256:{number:064x}")


def node(name: str, **changes: Any) -> NodeView:
    known: dict[str, Any] = {"epoch": 1, "state": NodeState.READY, "beat": NOW, **changes}
    return NodeView(id=name, **known)


def nodes(names: Iterable[str], **changes: Any) -> dict[str, NodeView]:
    return {name: node(name, **changes) for name in names}


def units_of(digest: Digest, size: int) -> tuple[Unit, ...]:
    """The units of a blob, in order; none of an empty one."""
    each = unit_bytes(size)
    starts = range(0, size, each)
    return tuple(Unit(digest, index, start, min(size, start + each)) for index, start in enumerate(starts))


def lease(number: int, index: int, name: str, size: int, **changes: Any) -> Lease:
    """The lease of a unit of the blob of this number and size."""
    known: dict[str, Any] = {"since": NOW - 1, "moved": NOW, **changes}
    return Lease(f"{number}-{index}", units_of(digest(number), size)[index], name, **known)


def blob(number: int, pieces: int, **changes: Any) -> BlobView:
    """A blob of so many pieces, each of which is a unit, that all want."""
    known: dict[str, Any] = {"wanted_by": frozenset(NAMES), "host": "hub", **changes}
    return BlobView(digest(number), pieces * PIECE, **known)


_few = st.frozensets(st.sampled_from(NAMES))
_ages = st.sampled_from((0.0, 1.0, 4.0, 5.5, 7.0, 100.0))


@st.composite
def _any_node(draw: st.DrawFn, name: str) -> NodeView:
    return node(
        name,
        state=draw(st.sampled_from((*NodeState, NodeState.READY, NodeState.READY))),
        beat=NOW - draw(_ages),
        zone=draw(st.sampled_from("ab")),
        pace=draw(st.sampled_from((0.0, 1e5, 1e7))),
        peers=tuple(sorted(draw(_few) - {name})),
        told=NOW - draw(_ages),
        starves=draw(st.booleans()),
        rests_until=draw(st.sampled_from((0.0, NOW + 1))),
        shares_restricted=draw(st.booleans()),
    )


@st.composite
def _any_leases(draw: st.DrawFn, works: Iterable[Any], label: str) -> tuple[Lease, ...]:
    found = []
    for work in works:
        if draw(st.integers(0, 3)) == 0:
            since = draw(_ages)
            found.append(
                Lease(
                    f"{label}-{work.index}",
                    work,
                    draw(st.sampled_from(NAMES)),
                    NOW - since,
                    NOW - min(since, draw(_ages)),
                    draw(st.sampled_from((0, 1, PIECE))),
                    draw(st.sampled_from((0.0, 1e5, 1e7))),
                )
            )
    return tuple(found)


@st.composite
def _any_blob(draw: st.DrawFn, number: int) -> BlobView:
    size = draw(st.integers(1, 12 * PIECE))
    count = piece_count(size)
    have = {name: Bits(count, draw(st.integers(0, (1 << count) - 1))) for name in draw(_few)}
    holders = draw(st.frozensets(st.sampled_from(NAMES), max_size=1))
    return BlobView(
        digest(number),
        size,
        {**have, **{name: Bits.full(count) for name in holders}},
        holders,
        draw(_any_leases(units_of(digest(number), size), str(number))),
        draw(_few),
        draw(st.dictionaries(st.sampled_from(NAMES), _few, max_size=2)),
        draw(st.sampled_from(("hub", "mirror"))),
        draw(st.booleans()),
        draw(_few),
    )


@st.composite
def _any_bundle(draw: st.DrawFn, index: int) -> BundleView:
    files = draw(st.integers(1, 4))
    bundle = Bundle("t0", index, tuple(digest(100 + 10 * index + number) for number in range(files)), 100 * files)
    return BundleView(
        bundle,
        {name: Bits(files, draw(st.integers(0, (1 << files) - 1))) for name in draw(_few)},
        draw(_any_leases([bundle], f"b{index}")),
        draw(_few),
        {},
        "hub",
    )


@st.composite
def any_fleet(draw: st.DrawFn) -> FleetView:
    """A fleet in any state that can be told of, and some that can not."""
    blobs = [draw(_any_blob(number)) for number in range(draw(st.integers(0, 3)))]
    tasks = tuple(
        TaskView(f"t{number}", draw(st.integers(-2, 2)), tuple(draw(st.permutations([each.digest for each in blobs]))))
        for number in range(draw(st.integers(0, 2)))
    )
    origins = {
        host: OriginView(draw(st.integers(1, 8))) for host in draw(st.frozensets(st.sampled_from(("hub", "mirror"))))
    }
    present = draw(st.permutations(NAMES))[: draw(st.integers(0, len(NAMES)))]
    return FleetView(
        {name: draw(_any_node(name)) for name in present},
        {each.digest: each for each in blobs},
        tuple(draw(_any_bundle(index)) for index in range(draw(st.integers(0, 2)))),
        tasks,
        origins,
    )
