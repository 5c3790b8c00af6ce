"""Addresses that peers ask are written in one way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.serve.peer.grammar import PeerAddress, parse, version_asked

HEX = "ab" * 32
DIGEST = f"sha256:{HEX}"


def test_addresses() -> None:
    assert parse(b"/peer/v1/have") == PeerAddress("have")
    assert parse(b"/peer/v1/about") == PeerAddress("about")
    found = parse(f"/peer/v1/{DIGEST}".encode())
    assert found is not None
    assert (found.subject, str(found.digest), found.is_pieces) == (DIGEST, DIGEST, False)
    pieces = parse(f"/peer/v1/git-sha1:{'0' * 40}/pieces".encode())
    assert pieces is not None
    assert pieces.is_pieces


@pytest.mark.parametrize(
    "path",
    [
        "/peer/v1/",
        "/peer/v1/have/",
        "/peer/v1//have",
        "/peer/v1/./have",
        "/peer/v1/x/../have",
        "/peer/v1/%68ave",
        "/peer/v2/have",
        "/peer/v1/have?x",
        "//peer/v1/have",
        f"/peer/v1/{DIGEST.upper()}",
        f"/peer/v1/{DIGEST}/",
        f"/peer/v1/{DIGEST}/have",
        f"/peer/v1/{DIGEST}%00",
        f"/peer/v1/{DIGEST}\n",
        f"/peer/v1/sha256%3A{HEX}",
        f"/peer/v1/{HEX}",
        f"/peer/v1/sha256:{HEX}ab",
        f"/peer/v1/git-sha1:{HEX}",
        f"/peer/v1/md5:{HEX[:32]}",
        f"/peer/v1/sha256:../../{HEX[:58]}",
    ],
)
def test_anything_else_is_none(path: str) -> None:
    assert parse(path.encode()) is None


@given(st.binary())
def test_any_bytes_are_an_address_or_none(tail: bytes) -> None:
    assert parse(b"/peer/v1/" + tail) in (None, PeerAddress("have"), PeerAddress("about"))


@pytest.mark.parametrize(
    ("query", "version"),
    [
        (b"after=7&epoch=3", 7),
        (b"after=0&epoch=3", 0),
        (b"after=7&epoch=4", None),
        (b"after=7", None),
        (b"after=-7&epoch=3", None),
        (b"after=x&epoch=3", None),
        (b"after=99999999999999999999&epoch=3", None),
        (b"", None),
    ],
)
def test_a_version_of_another_epoch_is_none(query: bytes, version: int | None) -> None:
    assert version_asked(query, 3) == version
