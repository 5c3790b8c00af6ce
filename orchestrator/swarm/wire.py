"""The JSON that peers send each other. Strict: whatever a peer sends is read whole within bounds, or ProtocolError.

    news      {"node", "epoch", "cache", "version", "accused": [node, …], "holdings": [
                {"digest", "size", "checked", "whole", "claims": [node, …], "hashes": […]}, …]}
    hashes    {"node", "source", "pieces", "xxh3"}: the hashes, in order, of pieces that one node had from one source
    question  {"digests": […]}
    answer    {"node", "epoch", "whole": {digest: size}}
    about     {"node", "epoch", "zone"}

Sets of pieces and hashes are base64. `epoch` grows with each start of a node, and versions are those of one epoch. Keys
that are not known are passed over.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator.core.files import MAX_FILE, MAX_SIZE, Digest
from orchestrator.errors import GlmAriaError, ProtocolError
from orchestrator.swarm.holdings import (
    MOST_ACCUSED,
    MOST_CLAIMS,
    MOST_HASHES,
    MOST_HOLDINGS,
    Holding,
    HoldingNews,
    PieceHash,
    is_node_name,
)
from orchestrator.swarm.units import Bits, piece_count

MOST_BYTES = 16 << 20
"""Bytes of a message."""
_MOST_VALUES = 400_000
_MOST_SOURCE = 300
_MOST_CACHE = 64
_HASH = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeNews:
    """News of the holdings of the node of this name, in one epoch of it. `cache`: nodes that share one say the same."""

    node: str
    epoch: int
    news: HoldingNews
    cache: str = ""


@dataclass(frozen=True, slots=True)
class WholeBlobs:
    """The sizes of blobs that a node holds whole, of those that it was asked for."""

    node: str
    epoch: int
    sizes: Mapping[Digest, int]


@dataclass(frozen=True, slots=True)
class About:
    """The name of a node, its epoch, and its zone and its cache, "" for none."""

    node: str
    epoch: int
    zone: str = ""
    cache: str = ""


def render_news(told: NodeNews) -> bytes:
    """News as they are sent."""
    holdings, accused = [_rendered(one) for one in told.news.holdings], sorted(told.news.accused)
    who = {"node": told.node, "epoch": told.epoch, "cache": told.cache}
    return _dump({**who, "version": told.news.version, "accused": accused, "holdings": holdings})


def parse_news(data: bytes) -> NodeNews:
    """Read news. Raises ProtocolError."""

    def read(value: Any) -> NodeNews:
        holdings = [_holding(one) for one in _list(value["holdings"], MOST_HOLDINGS)]
        if len({one.digest for one in holdings}) < len(holdings) or sum(len(one.hashes) for one in holdings) > (
            MOST_HASHES
        ):
            raise ValueError
        accused = frozenset(map(_node, _list(value["accused"], MOST_ACCUSED)))
        return NodeNews(
            _node(value["node"]),
            _number(value["epoch"]),
            HoldingNews(_number(value["version"]), tuple(holdings), accused),
            _text(value.get("cache", ""), _MOST_CACHE),
        )

    return _read(data, "news", read)


def render_question(digests: Iterable[Digest]) -> bytes:
    """The question which of these blobs a node holds whole."""
    return _dump({"digests": [str(digest) for digest in digests]})


def parse_question(data: bytes) -> Collection[Digest]:
    """Read a question. Raises ProtocolError."""
    return _read(data, "question", lambda value: frozenset(map(_digest, _list(value["digests"], MOST_HOLDINGS))))


def render_answer(told: WholeBlobs) -> bytes:
    """The answer to a question."""
    sizes = {str(digest): size for digest, size in told.sizes.items()}
    return _dump({"node": told.node, "epoch": told.epoch, "whole": sizes})


def parse_answer(data: bytes) -> WholeBlobs:
    """Read an answer. Raises ProtocolError."""

    def read(value: Any) -> WholeBlobs:
        whole = value["whole"]
        if type(whole) is not dict or len(whole) > MOST_HOLDINGS:
            raise ValueError
        sizes = {_digest(text): _size(size) for text, size in whole.items()}
        return WholeBlobs(_node(value["node"]), _number(value["epoch"]), sizes)

    return _read(data, "answer", read)


def render_about(told: About) -> bytes:
    """The form in which a node says who it is."""
    return _dump({"node": told.node, "epoch": told.epoch, "zone": told.zone})


def _rendered(one: Holding) -> Mapping[str, object]:
    by: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for piece, told in sorted(one.hashes.items()):
        by[told.node, told.source].append(piece)
    hashes = [
        {
            "node": node,
            "source": source,
            "pieces": _base64(bytes(Bits.of(one.checked.count, pieces))),
            "xxh3": _base64(b"".join(one.hashes[piece].hash for piece in pieces)),
        }
        for (node, source), pieces in by.items()
    ]
    return {
        "digest": str(one.digest),
        "size": one.size,
        "checked": _base64(bytes(one.checked)),
        "whole": one.is_whole,
        "claims": sorted(one.claims),
        "hashes": hashes,
    }


def _holding(value: Any) -> Holding:
    size, is_whole = _size(value["size"]), value["whole"]
    checked = _bits(size, value["checked"])
    if type(is_whole) is not bool or (is_whole and not checked.is_full):
        raise ValueError
    hashes: dict[int, PieceHash] = {}
    for told in _list(value["hashes"], MOST_HASHES):
        node, source = _node(told["node"]), _text(told["source"], _MOST_SOURCE)
        pieces, found = _bits(size, told["pieces"]), _bytes(told["xxh3"])
        if len(found) != _HASH * len(pieces) or len(hashes) + len(pieces) > MOST_HASHES:
            raise ValueError
        for at, piece in enumerate(pieces):
            if piece in hashes:
                raise ValueError
            hashes[piece] = PieceHash(found[at * _HASH : (at + 1) * _HASH], node, source)
    claims = frozenset(map(_node, _list(value["claims"], MOST_CLAIMS)))
    return Holding(_digest(value["digest"]), size, checked, is_whole, hashes, claims)


def _read(data: bytes, what: str, read: Callable[[Any], T]) -> T:
    try:
        # Each value follows one of these. As Python objects they take up to 30 times the room of their text.
        if len(data) > MOST_BYTES or sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:
            raise ValueError
        return read(json.loads(data.decode()))
    except (ValueError, KeyError, TypeError, RecursionError, GlmAriaError) as error:
        raise ProtocolError(f"the {what} of a peer cannot be read") from error


def _dump(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _list(value: Any, most: int) -> list[Any]:
    if type(value) is not list or len(value) > most:
        raise ValueError
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SIZE:
        raise ValueError
    return value


def _size(value: Any) -> int:
    if _number(value) > MAX_FILE:
        raise ValueError
    return _number(value)


def _text(value: Any, most: int) -> str:
    if type(value) is not str or len(value) > most or not value.isprintable():
        raise ValueError
    return value


def _node(value: Any) -> str:
    if type(value) is not str or not is_node_name(value):
        raise ValueError
    return value


def _digest(value: Any) -> Digest:
    return Digest.parse(_text(value, 80))


def _bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise TypeError
    return b64decode(value, validate=True)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _bits(size: int, value: Any) -> Bits:
    return Bits.parse(piece_count(size), _bytes(value))
