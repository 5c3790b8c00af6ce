"""What peers send each other is read as it was meant, and anything else is one error."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.files import MAX_FILE, Algorithm, Digest
from orchestrator.errors import ProtocolError
from orchestrator.proof.pieces import PIECE
from orchestrator.swarm import wire
from orchestrator.swarm.holdings import MOST_HOLDINGS, Holding, HoldingNews, PieceHash
from orchestrator.swarm.units import Bits, piece_count
from orchestrator.swarm.wire import NodeNews, WholeBlobs

NODES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)
DIGESTS = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda raw: Digest(Algorithm.SHA256, raw.hex())),
    st.binary(min_size=20, max_size=20).map(lambda raw: Digest(Algorithm.GIT_SHA1, raw.hex())),
)
SOURCES = st.text(alphabet=st.characters(categories=["L", "N", "P"]), max_size=40)
PARSERS = (wire.parse_news, wire.parse_question, wire.parse_answer)
DIGEST = "sha256:" + "ab" * 32
KEYS = (
    "node",
    "epoch",
    "version",
    "accused",
    "holdings",
    "digest",
    "size",
    "checked",
    "whole",
    "claims",
    "hashes",
    "source",
    "pieces",
)


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    size = draw(st.integers(min_value=0, max_value=40 * PIECE))
    count = piece_count(size)
    numbers = st.sets(st.integers(min_value=0, max_value=count - 1)) if count else st.just(set[int]())
    hashes = st.builds(PieceHash, st.binary(min_size=16, max_size=16), NODES, SOURCES)
    checked = Bits.of(count, draw(numbers))
    is_whole = checked.is_full and draw(st.booleans())
    claims = draw(st.frozensets(NODES, max_size=3))
    return Holding(draw(DIGESTS), size, checked, is_whole, {piece: draw(hashes) for piece in draw(numbers)}, claims)


HOLDINGS = st.lists(holdings(), max_size=4, unique_by=lambda one: one.digest)


@given(NODES, NUMBERS, NUMBERS, HOLDINGS, st.frozensets(NODES))
@settings(deadline=None)
def test_news_come_over_as_they_are(
    node: str, epoch: int, version: int, told: list[Holding], accused: frozenset[str]
) -> None:
    news = NodeNews(node, epoch, HoldingNews(version, tuple(told), accused), "cache-1")
    assert wire.parse_news(wire.render_news(news)) == news


@given(st.sets(DIGESTS, max_size=20), NODES, NUMBERS, st.integers(0, MAX_FILE))
def test_questions_and_answers_come_over_as_they_are(digests: set[Digest], node: str, epoch: int, size: int) -> None:
    assert wire.parse_question(wire.render_question(digests)) == digests
    answer = WholeBlobs(node, epoch, dict.fromkeys(digests, size))
    assert wire.parse_answer(wire.render_answer(answer)) == answer


@pytest.mark.parametrize("size", [MAX_FILE + 1, 2**50, 2**63 - 1])
def test_a_blob_larger_than_any_disk_is_refused(size: int) -> None:
    answer = WholeBlobs("a", 1, {Digest.parse(DIGEST): size})
    with pytest.raises(ProtocolError):
        wire.parse_answer(wire.render_answer(answer))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([DIGEST, "AQ==", "node"]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                KEYS,
                inner,
            ),
        )
    ),
)


@given(st.one_of(st.binary(), VALUES.map(lambda value: json.dumps(value).encode())))
@settings(deadline=None)
def test_whatever_a_peer_sends_is_read_or_one_error(data: bytes) -> None:
    for parse in PARSERS:
        with contextlib.suppress(ProtocolError):
            parse(data)


def _news(**changed: Any) -> bytes:
    holding = {
        "digest": DIGEST,
        "size": PIECE + 1,
        "checked": "AQ==",
        "whole": False,
        "claims": [],
        "hashes": [{"node": "b", "source": "root", "pieces": "AQ==", "xxh3": base64.b64encode(bytes(16)).decode()}],
    }
    news = {"node": "a", "epoch": 1, "version": 2, "accused": [], "holdings": [{**holding, **changed}]}
    return json.dumps(news).encode()


def test_the_sample_is_right() -> None:
    (one,) = wire.parse_news(_news()).news.holdings
    assert one == Holding(Digest.parse(DIGEST), PIECE + 1, Bits(2, 1), False, {0: PieceHash(bytes(16), "b", "root")})


@pytest.mark.parametrize(
    "changed",
    [
        {"size": -1},
        {"size": True},
        {"size": 1.0},
        {"size": "1"},
        {"size": 2**63},
        {"size": 2**63 - 1},  # a set of its pieces would fill the memory
        {"size": 8 * PIECE + 1},
        {"size": PIECE, "checked": "Ag=="},  # a piece beyond the end
        {"checked": "Aw"},
        {"checked": "BA=="},
        {"checked": "AQAA"},
        {"checked": "A Q = ="},
        {"checked": ""},
        {"checked": None},
        {"whole": True},
        {"whole": 1},
        {"digest": "sha256:AB"},
        {"digest": "md5:" + "ab" * 16},
        {"digest": DIGEST.upper()},
        {"digest": f"{DIGEST}\n"},
        {"digest": ["sha256"]},
        {"hashes": {}},
        {"hashes": [[]]},
        {"hashes": [{"node": "b", "source": "s", "pieces": "Aw==", "xxh3": base64.b64encode(bytes(16)).decode()}]},
        {"hashes": [{"node": "b|c", "source": "s", "pieces": "AQ==", "xxh3": base64.b64encode(bytes(16)).decode()}]},
        {"hashes": [{"node": "b", "source": "\x1b[2J", "pieces": "AA==", "xxh3": ""}]},
        {"hashes": [{"node": "b", "source": "s" * 301, "pieces": "AA==", "xxh3": ""}]},
        {"hashes": 2 * [{"node": "b", "source": "s", "pieces": "AQ==", "xxh3": base64.b64encode(bytes(16)).decode()}]},
    ],
)
def test_a_holding_that_is_odd_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        wire.parse_news(_news(**changed))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"digests": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"digests": [' + b"{}," * 500_000 + b"{}]}",
        b'{"epoch": ' + b"9" * 5000 + b"}",
        b" " * (wire.MOST_BYTES + 1),
        json.dumps({"digests": [DIGEST] * (MOST_HOLDINGS + 1)}).encode(),
        b'{"node": "a", "epoch": NaN, "zone": ""}',
        b'{"node": "a", "epoch": 1, "version": 1, "accused": [], "holdings": [null, null]}',
        b'{"node": "a", "epoch": 1, "version": 1, "accused": ["a b"], "holdings": []}',
        '{"node": "ä", "epoch": 1, "zone": ""}'.encode("latin-1"),
    ],
    ids=range(12),
)
def test_what_would_cost_much_or_is_nothing_is_refused(data: bytes) -> None:
    for parse in PARSERS:
        with pytest.raises(ProtocolError):
            parse(data)


def test_a_blob_is_told_once() -> None:
    twice = json.loads(_news())
    twice["holdings"] *= 2
    with pytest.raises(ProtocolError):
        wire.parse_news(json.dumps(twice).encode())
