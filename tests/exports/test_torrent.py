"""BitTorrent files: their form, the size of pieces, and addresses of web seeds."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.sources import Origin, Source
from orchestrator.exports.torrent import (
    Torrent,
    TorrentFile,
    TorrentHasher,
    bencode,
    piece_length,
    web_seeds,
)
from tests.plain import ONE, REPO

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
VALUES = st.recursive(
    st.integers() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def bdecode(data: bytes) -> tuple[Any, bytes]:
    """The value, and what is left: an independent reading of BEP 3."""
    head = data[:1]
    if head == b"i":
        number, _, rest = data[1:].partition(b"e")
        return int(number), rest
    if head in (b"l", b"d"):
        items, rest = [], data[1:]
        while rest[:1] != b"e":
            item, rest = bdecode(rest)
            items.append(item)
        if head == b"l":
            return items, rest[1:]
        assert items[::2] == sorted(items[::2])
        return {key.decode(): value for key, value in zip(items[::2], items[1::2], strict=True)}, rest[1:]
    length, _, rest = data.partition(b":")
    return rest[: int(length)], rest[int(length) :]


@given(VALUES)
def test_what_is_written_can_be_read(value: Any) -> None:
    assert bdecode(bencode(value)) == (value, b"")


def test_names_are_in_the_order_of_their_bytes() -> None:
    assert bencode({"b": 1, "a": "é", "info": [b"x"]}) == b"d1:a2:\xc3\xa91:bi1e4:infol1:xee"


@pytest.mark.parametrize(
    ("size", "piece"),
    [
        (0, 256 * KIB),
        (512 * MIB, 256 * KIB),
        (512 * MIB + 1, 512 * KIB),
        (8 * GIB, 4 * MIB),
        (14 * GIB, 8 * MIB),
        (1 << 40, 32 * MIB),
    ],
)
def test_there_are_one_to_two_thousand_pieces(size: int, piece: int) -> None:
    assert piece_length(size) == piece


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 40))
def test_pieces_run_across_the_ends_of_files(files: list[bytes], piece: int) -> None:
    hasher = TorrentHasher(piece)
    for data in files:
        hasher.update(memoryview(data))
    whole = b"".join(files)
    pieces = [whole[start : start + piece] for start in range(0, len(whole), piece)]
    assert hasher.hashes() == b"".join(hashlib.sha1(one).digest() for one in pieces)


def test_a_swarm_is_named_by_the_content_alone() -> None:
    files = (TorrentFile("a/b.bin", 3), TorrentFile("c", 0))
    one = Torrent(ONE, files, 256 * KIB, b"h" * 20)
    two = Torrent(ONE, files, 256 * KIB, b"h" * 20, ["https://a.test/x/"], ["http://t.test/a"], "note", "glm-aria 1")
    known, rest = bdecode(bytes(two))
    assert (rest, one.info_hash) == (b"", two.info_hash)
    assert two.info_hash == hashlib.sha1(bencode(known["info"])).hexdigest()
    assert known["info"]["files"] == [{"length": 3, "path": [b"a", b"b.bin"]}, {"length": 0, "path": [b"c"]}]
    assert (known["url-list"], known["announce"]) == ([b"https://a.test/x/"], b"http://t.test/a")
    assert "announce" not in bdecode(bytes(one))[0]


def test_web_seeds_are_resolve_addresses_up_to_the_commit() -> None:
    sources = [Source("root", "https://root.test", is_root=True), Source("near", "https://near.test/hf")]
    origin = Origin(REPO, ONE, "sub dir/a.bin")
    assert web_seeds(origin, sources) == (
        "https://root.test/org/m/resolve/",
        "https://near.test/hf/org/m/resolve/",
    )
    site = Source("ms", "https://ms.test", MODELSCOPE)
    assert web_seeds(Origin(REPO, ONE, "a", MODELSCOPE), [site]) == ("https://ms.test/models/org/m/resolve/",)
