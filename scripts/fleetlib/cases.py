"""What is fetched by how many nodes, over which lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.hub.models import many_files, one_big, several_big
from tests.hub.repos import Source

MIB = 1 << 20
_EACH_MIB = 8

Files = Callable[[Path], Mapping[str, Source]]
"""Makes the files of a model; big ones in this folder, where they are kept."""


@dataclass(frozen=True, slots=True)
class Case:
    """`rate` is that of a node's line in each direction, `origin_rate` that of what the origin sends, in bits per
    second. `quick` makes the model of a trial. `is_alone_first`: one node by itself is the measure of the others, since
    the origin is not the narrow place."""

    name: str
    what: str
    nodes: int
    rate: float
    origin_rate: float
    files: Files
    quick: Files
    is_alone_first: bool = False


def _big(mebibytes: int) -> Files:
    return lambda data: one_big(mebibytes * MIB, data)


def _shards(count: int, small: int) -> Files:
    return lambda data: {**several_big(count, _EACH_MIB * MIB, data), **many_files(small)}


CASES = (
    Case("four", "384 MiB in one file, 4 nodes of 1 Gbit/s, origin 200 Mbit/s", 4, 1e9, 200e6, _big(384), _big(32)),
    Case(
        "eight", "384 MiB in one file, 8 nodes of 500 Mbit/s, origin 100 Mbit/s", 8, 500e6, 100e6, _big(384), _big(24)
    ),
    Case(
        "shards",
        f"40 shards of {_EACH_MIB} MiB and 60 small files, 4 nodes of 1 Gbit/s, origin 200 Mbit/s",
        4,
        1e9,
        200e6,
        _shards(40, 60),
        _shards(5, 10),
    ),
    Case(
        "nic",
        "384 MiB in one file, 8 nodes and an origin of 500 Mbit/s each",
        8,
        500e6,
        500e6,
        _big(384),
        _big(64),
        is_alone_first=True,
    ),
    Case(
        "nic-quarter",
        "384 MiB in one file, 8 nodes and an origin of 125 Mbit/s each",
        8,
        125e6,
        125e6,
        _big(384),
        _big(16),
        is_alone_first=True,
    ),
)
