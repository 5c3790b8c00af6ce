"""Links: what is announced is compared, tokens end here, and signed addresses have an expiry."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from orchestrator.core.dialects import MODELSCOPE
from orchestrator.core.files import Digest
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.core.sources import Origin, Source
from orchestrator.errors import (
    GlmAriaError,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    TemporaryError,
)
from orchestrator.mirrors.links import Link, Links
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.wire import Reply, Request
from tests.mirrors.conftest import CANARY, FILES, listed, origin, source

LFS = "w.safetensors"


def plain_get(url: str) -> bytes:
    """What someone without our token gets, as aria2 would."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def change_headers(hub: LoopbackHub, **headers: str | None) -> None:
    """Every answer of the hub gets these headers; None takes one away."""

    def change(request: Request, reply: Reply) -> Reply:
        names = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        kept = {name: value for name, value in reply.headers.items() if name.lower() not in names}
        reply.headers = kept | {name: value for name, value in names.items() if value is not None}
        return reply

    hub.rewrite(change)


def test_the_address_of_a_file_is_quoted() -> None:
    path, commit = "a b/ü#?.bin", "c" * 40
    tail = f"resolve/{commit}/a%20b/%C3%BC%23%3F.bin"
    names = {
        Origin(RepoId(RepoType.MODEL, "o/n"), commit, path): f"o/n/{tail}",
        Origin(RepoId(RepoType.MODEL, "gpt2"), commit, path): f"gpt2/{tail}",
        Origin(RepoId(RepoType.DATASET, "o/n"), commit, path): f"datasets/o/n/{tail}",
        Origin(RepoId(RepoType.SPACE, "o/n"), commit, path): f"spaces/o/n/{tail}",
    }
    for where, url in names.items():
        assert Source("x", "https://mirror.example/hf").file_url(where) == f"https://mirror.example/hf/{url}"
    there = Source("x", "https://modelscope.cn", MODELSCOPE)
    assert there.file_url(next(iter(names))) == f"https://modelscope.cn/models/o/n/{tail}"


@pytest.mark.parametrize("path", list(FILES))
def test_a_link_serves_the_bytes_to_anyone(hub: LoopbackHub, net: Net, path: str) -> None:
    link = Links(net).resolve(source(hub.url), origin(hub, path), *listed(hub, path))
    assert plain_get(link.url) == FILES[path]
    assert not link.needs_token
    assert link.url.startswith(hub.cdn_url if path == LFS else hub.url)


def test_a_file_of_a_dataset_is_resolved(hub: LoopbackHub, net: Net) -> None:
    link = Links(net).resolve(source(hub.url), origin(hub, LFS, "org/data", "dataset"), *listed(hub, LFS))
    assert plain_get(link.url) == FILES[LFS]


def test_one_request_for_an_lfs_file(hub: LoopbackHub, net: Net) -> None:
    Links(net).resolve(source(hub.url), origin(hub, LFS), *listed(hub, LFS))
    (seen,) = hub.log.requests()
    assert (seen.face, seen.method) == ("hub", "HEAD")


def test_a_mirror_that_serves_by_itself(hub: LoopbackHub, net: Net) -> None:
    site = hub.mirror("near")
    link = Links(net).resolve(source(site.url), origin(hub, LFS), *listed(hub, LFS))
    assert (link.url, link.expires_at) == (source(site.url).file_url(origin(hub, LFS)), None)
    assert plain_get(link.url) == FILES[LFS]
    assert hub.log.tokens() == set()


def test_a_file_of_modelscope_is_resolved(hub: LoopbackHub, net: Net) -> None:
    site = hub.modelscope()
    there = Source("the-mirror", site.url, MODELSCOPE)
    for path in (LFS, "config.json"):
        size, digest = listed(hub, path)
        link = Links(net).resolve(there, origin(hub, path), size, digest)
        assert plain_get(link.url) == FILES[path]
    assert hub.log.tokens() == set()


# -- restricted repos


def test_a_gated_lfs_file_needs_no_token_any_more(hub: LoopbackHub, net: Net) -> None:
    where = origin(hub, LFS, "org/gated")
    link = Links(net).resolve(source(hub.url), where, *listed(hub, LFS), is_restricted=True)
    assert not link.needs_token
    assert plain_get(link.url) == FILES[LFS]
    assert hub.log.tokens(face="hub") == {CANARY}
    assert hub.log.tokens(face="cdn") == set()
    assert CANARY not in link.url


def test_a_gated_small_file_is_not_for_aria2(hub: LoopbackHub, net: Net) -> None:
    where = origin(hub, "config.json", "org/gated")
    link = Links(net).resolve(source(hub.url), where, *listed(hub, "config.json"), is_restricted=True)
    assert link.needs_token


def test_a_mirror_of_a_gated_repo_gets_no_token(hub: LoopbackHub, net: Net) -> None:
    site = hub.mirror("near")
    with pytest.raises(NotAllowedError, match="the-mirror"):
        Links(net).resolve(source(site.url), origin(hub, LFS, "org/gated"), *listed(hub, LFS), is_restricted=True)
    assert hub.log.tokens() == set()


# -- what is compared


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (LFS, {"X_Linked_Etag": '"' + "0" * 64 + '"'}),
        (LFS, {"X_Linked_Etag": None, "ETag": "0" * 64}),
        (LFS, {"X_Linked_Size": "70005"}),
        (LFS, {"X_Linked_Size": "many"}),
        ("config.json", {"ETag": 'W/"' + "0" * 40 + '"'}),
    ],
)
def test_a_source_that_announces_something_else(
    hub: LoopbackHub, net: Net, path: str, headers: dict[str, str | None]
) -> None:
    change_headers(hub, **headers)
    with pytest.raises(IntegrityError, match="the-mirror announces") as caught:
        Links(net).resolve(source(hub.url), origin(hub, path), *listed(hub, path))
    assert (caught.value.source, caught.value.file) == ("the-mirror", path)


def test_a_length_that_is_off_by_five(hub: LoopbackHub, net: Net) -> None:
    site = hub.mirror("near")
    size, digest = listed(hub, "big.txt")
    with pytest.raises(IntegrityError, match="instead of"):
        Links(net).resolve(source(site.url), origin(hub, "big.txt"), size - 5, digest)


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Linked_Etag": None, "X_Linked_Size": None, "ETag": None},
        {"X_Linked_Etag": None, "ETag": '"d41d8cd98f00b204e9800998ecf8427e-7"'},
        {"X_Linked_Etag": None, "ETag": 'W/"5f3a-abc"'},
    ],
)
def test_a_source_that_announces_nothing_or_its_own_etags(
    hub: LoopbackHub, net: Net, headers: dict[str, str | None]
) -> None:
    change_headers(hub, **headers)
    assert Links(net).resolve(source(hub.url), origin(hub, LFS), *listed(hub, LFS))


def test_etags_may_be_in_upper_case_and_weak(hub: LoopbackHub, net: Net) -> None:
    size, digest = listed(hub, LFS)
    change_headers(hub, X_Linked_Etag=f'W/"{digest.hex.upper()}"')
    assert Links(net).resolve(source(hub.url), origin(hub, LFS), size, digest)


# -- refusals and redirects


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("status", status=404), NotFoundError),
        (Fault("status", status=410), NotFoundError),
        (Fault("status", status=401), NotAllowedError),
        (Fault("status", status=403), NotAllowedError),
        (Fault("status", status=405), ProtocolError),
        (Fault("status", status=503), TemporaryError),
        (Fault("redirect_loop"), ProtocolError),
        (Fault("redirect", location="ftp://127.0.0.1/x"), ProtocolError),
        (Fault("redirect", location="file:///etc/passwd"), ProtocolError),
        (Fault("html_portal"), IntegrityError),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_source_that_is_dropped(hub: LoopbackHub, net: Net, fault: Fault, error: type[GlmAriaError]) -> None:
    hub.fault(fault)
    with pytest.raises(error) as caught:
        Links(net).resolve(source(hub.url), origin(hub, LFS), *listed(hub, LFS))
    assert (caught.value.source, caught.value.file) == ("the-mirror", LFS)


def test_a_file_that_is_not_there(hub: LoopbackHub, net: Net) -> None:
    with pytest.raises(NotFoundError, match=r"the-mirror does not have 'none\.bin'"):
        Links(net).resolve(source(hub.url), origin(hub, "none.bin"), *listed(hub, LFS))


# -- expiry


def test_the_hubs_links_expire_in_an_hour(hub: LoopbackHub, net: Net) -> None:
    link = Links(net).resolve(source(hub.url), origin(hub, LFS), *listed(hub, LFS))
    assert link.expires_at == pytest.approx(net.now() + 3600, abs=5)
    hub.advance(3601)
    assert Links(net).resolve(source(hub.url), origin(hub, LFS), *listed(hub, LFS)).url != link.url


SIGNED = "https://cdn.example/blob?"


@pytest.mark.parametrize(
    ("query", "date", "expires_at"),
    [
        ("Expires=2000&Signature=s&Key-Pair-Id=k", None, 2000.0),
        ("X-Amz-Date=19700101T001000Z&X-Amz-Expires=3600&X-Amz-Signature=s", None, 4200.0),
        ("x-amz-date=19700101T001000Z&x-amz-expires=3600", None, 4200.0),
        ("Expires=2000", "Thu, 01 Jan 1970 00:10:00 GMT", 2400.0),  # our clock says 1000 when theirs says 600
        ("Expires=2000", "yesterday", 2000.0),
        ("Expires=soon", None, None),
        ("X-Amz-Expires=3600", None, None),
        ("X-Amz-Date=x&X-Amz-Expires=3600", None, None),
        ("token=abc", None, None),
        ("", None, None),
    ],
)
def test_the_expiry_of_a_signed_link_is_read(
    hub: LoopbackHub, query: str, date: str | None, expires_at: float | None
) -> None:
    change_headers(hub, Location=SIGNED + query, Date=date)
    with Net(now=lambda: 1000.0) as net:
        link = Links(net).resolve(source(hub.url), origin(hub, LFS), *listed(hub, LFS))
    assert (link.url, link.expires_at) == (SIGNED + query, expires_at)


def test_a_signature_is_not_shown() -> None:
    link = Link(Source("cdn", "https://hub.example"), "https://cdn.example/blob?Signature=SECRET", 5.0)
    assert "SECRET" not in f"{link!r} {link}"
    assert "https://cdn.example/blob?…" in repr(link)


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest?sig=SECRET", "http://10.0.0.8/x", "http://intranet/x"]
)
def test_a_public_source_may_not_send_us_inside(location: str) -> None:
    """Only the answer is made up here: a public address cannot be served by a test."""

    class Public(Net):
        def head(self, url: str, *, home: str | None = None, as_get: bool = False) -> Any:
            from orchestrator.net.answers import Answer

            return Answer(url, 302, {"Location": location})

    where = Origin(RepoId(RepoType.MODEL, "o/n"), "c" * 40, "f")
    with pytest.raises(ProtocolError, match="internal address") as caught:
        Links(Public(Credentials())).resolve(
            source("http://mirror.example"), where, 1, Digest.parse("sha256:" + "0" * 64)
        )
    assert "SECRET" not in caught.value.message
