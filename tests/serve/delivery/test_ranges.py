"""Ranges and conditions, by RFC 9110."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.serve.delivery.ranges import Excerpt, excerpt, is_known

WHOLE = Excerpt(200, 0, 100, 100)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bytes=0-9", Excerpt(206, 0, 10, 100)),
        ("bytes=10-", Excerpt(206, 10, 100, 100, is_open=True)),
        ("bytes=0-", Excerpt(206, 0, 100, 100, is_open=True)),
        ("bytes=-10", Excerpt(206, 90, 100, 100)),
        ("bytes=-1000", Excerpt(206, 0, 100, 100)),
        ("bytes=90-1000", Excerpt(206, 90, 100, 100)),
        ("bytes=100-", Excerpt(416, 0, 0, 100)),
        ("bytes=200-300", Excerpt(416, 0, 0, 100)),
        ("bytes=-0", Excerpt(416, 0, 0, 100)),
        ("bytes=9-0", WHOLE),
        ("bytes=0-1,5-6", WHOLE),
        ("bytes=-", WHOLE),
        ("items=0-9", WHOLE),
        ("bytes=x-", WHOLE),
        ("", WHOLE),
    ],
)
def test_a_range(text: str, found: Excerpt) -> None:
    assert excerpt({"range": text}, 100, "etag") == found


def test_a_range_of_another_version_is_the_whole() -> None:
    asked = {"range": "bytes=10-19"}
    assert excerpt(asked | {"if-range": '"etag"'}, 100, "etag").status == 206
    for other in ('"other"', 'W/"etag"', "Wed, 21 Oct 2015 07:28:00 GMT", "etag"):
        assert excerpt(asked | {"if-range": other}, 100, "etag") == WHOLE


@pytest.mark.parametrize("count", [2, 3, 1300])
def test_many_ranges_are_the_whole_once(count: int) -> None:
    """An answer of many parts would cost a multiple of the file."""
    assert excerpt({"range": "bytes=" + ",".join(["0-"] * count)}, 10, "x") == Excerpt(200, 0, 10, 10)


def test_an_empty_file() -> None:
    assert excerpt({}, 0, "etag") == Excerpt(200, 0, 0, 0)
    assert excerpt({"range": "bytes=0-"}, 0, "etag").status == 416


def test_headers_of_an_excerpt() -> None:
    assert excerpt({"range": "bytes=10-19"}, 100, "e").headers == {
        "Content-Length": "10",
        "Content-Range": "bytes 10-19/100",
    }
    assert excerpt({"range": "bytes=100-"}, 100, "e").headers["Content-Range"] == "bytes */100"
    assert WHOLE.headers == {"Content-Length": "100"}


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 2**63 - 1))
def test_any_range_is_inside_of_the_file(text: str, size: int) -> None:
    cut = excerpt({"range": text}, size, "e")
    assert 0 <= cut.start <= cut.end <= size
    assert cut.status in (200, 206, 416)


def test_what_the_client_has() -> None:
    assert is_known({"if-none-match": '"etag"'}, "etag")
    assert is_known({"if-none-match": 'W/"x", W/"etag"'}, "etag")
    assert is_known({"if-none-match": "*"}, "etag")
    assert not is_known({"if-none-match": '"other"'}, "etag")
    assert not is_known({}, "etag")


@pytest.mark.parametrize(
    ("text", "starts_over"),
    [("", True), ("bytes=5-", True), ("bytes=0-99", False), ("bytes=5-99", False), ("bytes=-5", False)],
)
def test_who_takes_the_whole_for_the_rest(text: str, starts_over: bool) -> None:
    """One that names an end may be joining parts of the file, this the last of them."""
    assert excerpt({"range": text} if text else {}, 100, "e").starts_over is starts_over
